//! The real program, its real output.

mod check;
mod help;
mod load;
mod rejects;
mod run;
mod signals;
mod state;
mod support;
mod tools;
