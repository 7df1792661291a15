//! Cases, lessons and the shop, played against the real program.

mod cases;
mod kill;
mod lesson;
