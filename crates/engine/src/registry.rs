//! From a URL or a source's settings to a connector.

use crate::neighbours;
use floodmark_connect::{Destination, Source};
#[cfg(feature = "lake")]
use floodmark_core::url::holds_tables;
use floodmark_core::{
    Code, Error, Result,
    catalog::Catalog,
    pipeline::{DatabaseSource, FileSource, Relation, SourceSpec},
    url::ConnectionUrl,
};

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
        scheme if holds_tables(scheme) => Ok(Box::new(floodmark_lake::LakeSource::new(url, relation.clone())?)),
        other => Err(unknown(other, "source")),
    }
}

/// The same for a comparison, which reads it again and again and sees one state of it; only the rows for which a condition
/// in its own SQL holds. Files know none: whoever reads them judges.
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
        scheme if holds_tables(scheme) => floodmark_lake::catalog(url),
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
        scheme if holds_tables(scheme) => Ok(Box::new(floodmark_lake::LakeDestination::new(url)?)),
        other => Err(unknown(other, "destination")),
    }
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
    if floodmark_core::url::holds_tables(scheme) {
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
