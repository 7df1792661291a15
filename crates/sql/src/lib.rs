//! SQL over the rows of a run, by DataFusion: the `transform` over the table `source`, and the `delete_when` condition.
//!
//! Nothing else depends on DataFusion, and this crate leaves out its umbrella crate: catalogs, files and object stores are not
//! needed for one table that streams through, and were a third of a newcomer's first build. So what ties DataFusion's parts
//! together is here: [`session`] (functions; text → optimised logical plan), [`physical`] and [`join`] (→ operators), and
//! [`feed`] (what operators read from). Whole numbers that outgrow their type are errors: [`checked`] and [`sum`].

mod checked;
mod condition;
mod feed;
mod join;
mod overflow;
mod physical;
mod session;
mod steady;
mod sum;
mod transform;
mod unplanned;

pub use condition::Condition;
pub use steady::Unsteady;
pub use transform::{Transform, output_schema};
pub use unplanned::Unplanned;
