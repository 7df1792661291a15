//! What only a server can do to a run: end its session or its statement, be gone, be full, be locked, lose its client.
//!
//! InnoDB shows the transactions of all databases of a server in one list, and one that stays open for seconds keeps the
//! watermark of every load from that server where it is: such tests have a server of their own.

#[cfg(target_os = "linux")]
mod ended;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod network;
mod project;
#[cfg(target_os = "linux")]
mod server;

use crate::servers::said;
use floodmark_testkit::Mysql;

/// A project with a MariaDB.
pub(crate) type Project = crate::servers::project::Project<Mysql>;

const UPSERT: &str = "    load: upsert\n    key: id\n    version: v\n";
const FIRST: &str = "id,v,name\n1,1,a\n2,1,b\n";
const SECOND: &str = "id,v,name\n2,2,B\n3,1,c\n";

fn before() -> Vec<(i64, String)> {
    vec![(1, "a".into()), (2, "b".into())]
}

fn both() -> Vec<(i64, String)> {
    vec![(1, "a".into()), (2, "B".into()), (3, "c".into())]
}

/// A project whose first file is loaded, and the second is not.
#[cfg(target_os = "linux")]
fn loading(server: &floodmark_testkit::server::mariadb::Server) -> Project {
    let project = Project::loading(Mysql::empty_on(&server.url()).unwrap(), UPSERT);
    project.file("a.csv", FIRST);
    project.loads();
    project.file("b.csv", SECOND);
    project
}

/// A project that reads a table of which some rows changed since.
#[cfg(target_os = "linux")]
fn reading(server: &floodmark_testkit::server::mariadb::Server) -> Project {
    use crate::servers::Hosted as _;
    let fields = "    key: id\n    watermark: v\n";
    let project = Project::reading(Mysql::empty_on(&server.url()).unwrap(), fields);
    project.database.make_source(20000);
    project.loads();
    project.database.change_source(20001, 30000);
    project
}
