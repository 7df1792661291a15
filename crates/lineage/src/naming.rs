//! What datasets are called, as OpenLineage's naming conventions have it, so that what others load from a table and what is
//! loaded here into it is the same dataset. Nothing of a name is secret.

use floodmark_core::{
    pipeline::{FileSource, Pipeline, Relation, STDIN, SourceSpec},
    url::ConnectionUrl,
};
use std::path::{Component, Path, PathBuf};

/// A dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dataset {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What a pipeline reads. Nothing where that has no name: standard input, rows of a program, a query.
pub(crate) fn inputs(pipeline: &Pipeline) -> Vec<Dataset> {
    let mut all = match &pipeline.source {
        SourceSpec::Files(files) => of_files(files),
        SourceSpec::Database(source) => match &source.relation {
            Relation::Table(table) => of_table(&source.url, table).into_iter().collect(),
            Relation::Query(_) => Vec::new(),
        },
        SourceSpec::Handed(_) => Vec::new(),
    };
    all.sort();
    all.dedup();
    all
}

/// What it writes.
pub(crate) fn output(pipeline: &Pipeline) -> Option<Dataset> {
    of_table(&pipeline.destination.url, &pipeline.destination.table)
}

/// A file by its path, an object by its key in its bucket; of a pattern the folder in which all of its files are.
fn of_files(files: &FileSource) -> Vec<Dataset> {
    let named = files.patterns.iter().filter(|pattern| *pattern != STDIN);
    named
        .map(|pattern| {
            if let Some((scheme, rest)) = pattern.split_once("://") {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                // Who is named there is refused when it is read; this is told before.
                let bucket = bucket.rsplit_once('@').map_or(bucket, |(_, bucket)| bucket);
                let wild = |part: &&str| part.contains(['*', '?', '[']);
                let fixed: Vec<&str> = key.split('/').take_while(|part| !wild(part)).collect();
                let name = if fixed.is_empty() { "/".to_owned() } else { fixed.join("/") };
                return Dataset { namespace: format!("{scheme}://{bucket}"), name };
            }
            let path = files.base.join(pattern);
            let wild = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
            let fixed: PathBuf = path.components().take_while(|part| !wild(part)).collect();
            Dataset { namespace: "file".into(), name: absolute(&fixed) }
        })
        .collect()
}

fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // `..` stays: what it leads to is the file system's to know.
    path.display().to_string()
}

/// A table of a database; `None` for one that is gone with its process.
fn of_table(url: &ConnectionUrl, table: &str) -> Option<Dataset> {
    let scheme = url.scheme();
    match scheme {
        "postgres" | "postgresql" => {
            let (server, database) = server(url, 5432);
            let table = if table.contains('.') { table.to_owned() } else { format!("public.{table}") };
            Some(Dataset { namespace: format!("postgres://{server}"), name: format!("{database}.{table}") })
        }
        "mysql" | "mariadb" => {
            let (server, database) = server(url, 3306);
            let name = if table.contains('.') { table.to_owned() } else { format!("{database}.{table}") };
            Some(Dataset { namespace: format!("mysql://{server}"), name })
        }
        _ => {
            // Neither has a convention of its own: a file, and a table in it.
            let path = url.file_path().ok().flatten()?;
            Some(Dataset { namespace: "file".into(), name: format!("{}:{table}", absolute(&path)) })
        }
    }
}

/// `host:port`, the first where there are several, and the database; nobody's name and no password.
fn server(url: &ConnectionUrl, port: u16) -> (String, String) {
    let rest = url.written().strip_prefix("//").unwrap_or(url.written());
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold a slash that should have been written otherwise.
    let behind = rest.rsplit_once('@').map_or(rest, |(_, behind)| behind);
    let (hosts, path) = behind.split_once('/').unwrap_or((behind, ""));
    let parameter = |names: &[&str]| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| names.contains(name)).map(|(_, value)| value.to_owned()).next()
    };
    let first = hosts.split(',').next().unwrap_or_default();
    let given = if first.is_empty() { parameter(&["host"]) } else { None }.unwrap_or_else(|| first.to_owned());
    let host = if given.is_empty() || given.starts_with(['/', '%', '@']) { "localhost".to_owned() } else { given };
    let bracketed = host.ends_with(']') || !host.contains(':');
    let server = if bracketed {
        let port = parameter(&["port"]).unwrap_or_else(|| port.to_string());
        format!("{host}:{port}")
    } else {
        host
    };
    let database = if path.is_empty() { parameter(&["dbname", "database"]) } else { None };
    (server, database.unwrap_or_else(|| path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(url: &str, table: &str) -> String {
        let dataset = of_table(&ConnectionUrl::parse(url).unwrap(), table).unwrap();
        format!("{} {}", dataset.namespace, dataset.name)
    }

    #[test]
    fn tables_are_called_as_others_call_them() {
        for (url, name, told) in [
            ("postgres://app:s3c@ret@db.internal/shop", "orders", "postgres://db.internal:5432 shop.public.orders"),
            ("postgresql://db:6432,db2/shop?sslpassword=s3cret", "raw.orders", "postgres://db:6432 shop.raw.orders"),
            ("postgres:///shop?host=/var/run/postgresql", "o", "postgres://localhost:5432 shop.public.o"),
            ("postgres://app:s3/cret@[::1]/shop", "o", "postgres://[::1]:5432 shop.public.o"),
            ("postgres://?host=db&port=7&dbname=d&password=s3cret", "o", "postgres://db:7 d.public.o"),
            ("mysql://app:s3cret@db/shop?ssl-mode=required", "orders", "mysql://db:3306 shop.orders"),
            ("mariadb://db:3307/shop", "other.orders", "mysql://db:3307 other.orders"),
            ("sqlite:////data/w.db", "orders", "file /data/w.db:orders"),
            ("duckdb:////data/w.duckdb", "main.orders", "file /data/w.duckdb:main.orders"),
        ] {
            assert_eq!(table(url, name), told);
        }
        assert_eq!(of_table(&ConnectionUrl::parse("sqlite://").unwrap(), "orders"), None);
    }

    #[test]
    fn files_are_their_paths_and_patterns_their_folders() {
        let patterns = ["/d/a.csv", "/d/sub/*.csv", "/d/*/x.csv", "-"].map(str::to_owned).to_vec();
        let names: Vec<String> =
            of_files(&FileSource { patterns, ..FileSource::default() }).into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["/d/a.csv", "/d/sub", "/d"]);
        let patterns =
            ["s3://shop/in/**/a.csv", "s3://shop/*.csv", "s3://me:geheim@shop/a.csv"].map(str::to_owned).to_vec();
        let all = of_files(&FileSource { patterns, ..FileSource::default() });
        assert!(all.iter().all(|dataset| dataset.namespace == "s3://shop"), "{all:?}");
        let names: Vec<String> = all.into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["in", "/", "a.csv"]);
    }
}
