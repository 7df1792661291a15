//! From a URL or a source's settings to a connector.

use crate::neighbours;
use floodmark_connect::{Destination, Source, destination::Tidied};
use floodmark_core::url::is_lake;
use floodmark_core::{
    Code, Error, Result,
    catalog::Catalog,
    pipeline::{DatabaseSource, FileSource, Relation, SourceSpec},
    url::ConnectionUrl,
};
use std::time::Duration;

/// Opens the source a pipeline names.
pub fn source(spec: &SourceSpec) -> Result<Box<dyn Source>> {
    match spec {
        SourceSpec::Files(spec) => files(spec),
        SourceSpec::Database(database) => table(database),
        SourceSpec::Handed(name) => Err(Error::new(
            Code::SourceMissing,
            format!("the rows of {name:?} are handed over by a program, and there is none"),
        )
        .state("nothing was read or written")
        .help("load them from the program that has them")),
    }
}

fn files(spec: &FileSource) -> Result<Box<dyn Source>> {
    let reader = floodmark_files::FileSourceReader::new(spec.clone())?;
    #[cfg(feature = "objects")]
    let reader = reader.with_store(Box::new(floodmark_objects::Objects::new(spec.store.clone())));
    Ok(Box::new(reader))
}

fn table(database: &DatabaseSource) -> Result<Box<dyn Source>> {
    let DatabaseSource { url, relation, readers } = database;
    neighbours::look(url)?;
    match url.scheme() {
        #[cfg(feature = "duckdb")]
        "duckdb" => Ok(Box::new(floodmark_duckdb::DuckdbSource::new(url, relation.clone())?)),
        "mysql" | "mariadb" => Ok(Box::new(floodmark_mysql::MysqlSource::new(url, relation.clone())?)),
        "postgres" | "postgresql" => {
            Ok(Box::new(floodmark_postgres::PostgresSource::new(url, relation.clone(), *readers)?))
        }
        "sqlite" => Ok(Box::new(floodmark_sqlite::SqliteSource::new(url, relation.clone())?)),
        #[cfg(feature = "lake")]
        scheme if is_lake(scheme) => Ok(Box::new(floodmark_lake::LakeSource::new(url, relation.clone())?)),
        other => Err(unknown(other, "source")),
    }
}

/// Whether it answers to conditions in SQL. Files and lakes do not: whoever reads them judges.
pub fn judges(spec: &SourceSpec) -> bool {
    matches!(spec, SourceSpec::Database(database) if !is_lake(database.url.scheme()))
}

/// The same for a comparison, which reads it again and again and sees one state of it; only the rows for which a condition
/// in its own SQL holds, where it `judges`.
pub fn compared(spec: &SourceSpec, condition: Option<&str>) -> Result<Box<dyn Source>> {
    let SourceSpec::Database(DatabaseSource { url, relation, readers }) = spec else { return source(spec) };
    let filtered = |condition: &str| -> Result<Relation> {
        Ok(match url.scheme() {
            #[cfg(feature = "duckdb")]
            "duckdb" => floodmark_duckdb::filtered(url, relation, condition)?,
            "mysql" | "mariadb" => floodmark_mysql::filtered(relation, condition),
            "postgres" | "postgresql" => floodmark_postgres::filtered(relation, condition)?,
            _ => floodmark_sqlite::filtered(relation, condition),
        })
    };
    let relation = condition.map_or_else(|| Ok(relation.clone()), filtered)?;
    neighbours::look(url)?;
    match url.scheme() {
        #[cfg(feature = "duckdb")]
        "duckdb" => Ok(Box::new(floodmark_duckdb::DuckdbSource::new(url, relation)?.lasting())),
        "sqlite" => Ok(Box::new(floodmark_sqlite::SqliteSource::new(url, relation)?.lasting())),
        _ => source(&SourceSpec::Database(DatabaseSource { url: url.clone(), relation, readers: *readers })),
    }
}

/// The tables and views of a source, for patterns that name several of them.
pub fn catalog(url: &ConnectionUrl) -> Result<Catalog> {
    neighbours::look(url)?;
    match url.scheme() {
        #[cfg(feature = "duckdb")]
        "duckdb" => floodmark_duckdb::catalog(url),
        "mysql" | "mariadb" => floodmark_mysql::catalog(url),
        "postgres" | "postgresql" => floodmark_postgres::catalog(url),
        "sqlite" => floodmark_sqlite::catalog(url),
        #[cfg(feature = "lake")]
        scheme if is_lake(scheme) => floodmark_lake::catalog(url),
        other => Err(unknown(other, "source")),
    }
}

/// Opens a destination by URL. Nothing is created or locked yet.
pub fn destination(url: &ConnectionUrl) -> Result<Box<dyn Destination>> {
    neighbours::look(url)?;
    match url.scheme() {
        #[cfg(feature = "duckdb")]
        "duckdb" => Ok(Box::new(floodmark_duckdb::DuckdbDestination::new(url)?)),
        "mysql" | "mariadb" => Ok(Box::new(floodmark_mysql::MysqlDestination::new(url)?)),
        "postgres" | "postgresql" => Ok(Box::new(floodmark_postgres::PostgresDestination::new(url)?)),
        "sqlite" => Ok(Box::new(floodmark_sqlite::SqliteDestination::new(url)?)),
        #[cfg(feature = "lake")]
        scheme if is_lake(scheme) => Ok(Box::new(floodmark_lake::LakeDestination::new(url)?)),
        other => Err(unknown(other, "destination")),
    }
}

/// Writes small files of a lake's table together, into files of about `target` bytes, and deletes those that are the table's
/// no more and that no version of the last time (`keep`, else what the table says, else 7 days) had.
pub fn optimize(url: &ConnectionUrl, table: &str, target: u64, keep: Option<Duration>) -> Result<Tidied> {
    #[cfg(feature = "lake")]
    if is_lake(url.scheme()) {
        return floodmark_lake::Lake::open(url)?.table(table)?.optimize(target, keep);
    }
    #[cfg(not(feature = "lake"))]
    if is_lake(url.scheme()) {
        return Err(unknown(url.scheme(), "table"));
    }
    let _ = (table, target, keep);
    Err(Error::new(Code::BadUrl, format!("{url} is no lake, and a database tidies up by itself"))
        .state("nothing was done")
        .help("lakes are delta:///folder, delta+s3://bucket/folder and the like"))
}

fn unknown(scheme: &str, what: &str) -> Error {
    if scheme == "duckdb" {
        return Error::new(Code::BadUrl, format!("this build of Floodmark has no DuckDB, and the {what} is one"))
            .state("nothing was read or written")
            .help("build one that has: cargo build --release --features duckdb, with DuckDB's library where DUCKDB_LIB_DIR says")
            .help("or with DuckDB's own sources, which takes long: --features duckdb-bundled")
            .help("for Python: pip install . --config-settings build-args=\"--features duckdb-bundled\"");
    }
    #[cfg(not(feature = "lake"))]
    if is_lake(scheme) {
        return Error::new(Code::BadUrl, format!("this build of Floodmark has no lakes, and the {what} is one"))
            .state("nothing was read or written")
            .help("build one that has: cargo build --release --features lake");
    }
    Error::new(Code::BadUrl, format!("{scheme:?} is not a {what} this version knows"))
        .state("nothing was read or written")
        .help(
            "databases it knows: sqlite:///relative.db, sqlite:////absolute.db, duckdb:///relative.duckdb, postgres://user@host/database, \
               mysql://user@host/database, delta:///folder",
        )
}
