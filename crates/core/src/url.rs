//! Connection URLs. A URL never prints its password.

use crate::error::{Code, Error, Result};
use std::{fmt, path::PathBuf};

/// The schemes of databases there is a connector for, as a source, a destination or both.
pub const DATABASES: [&str; 6] = ["sqlite", "duckdb", "postgres", "postgresql", "mysql", "mariadb"];

/// The schemes of object stores and web servers that files are read from.
pub const STORES: [&str; 11] = ["s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "adl", "http", "https"];

/// The schemes of lakes: folders of tables. Where such a folder is in an object store, that one's scheme stands behind a plus.
pub const LAKES: [&str; 2] = ["delta", "parquet"];

/// Whether a scheme is that of a lake.
pub fn is_lake(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    let (lake, store) = scheme.split_once('+').map_or((scheme.as_str(), None), |(lake, store)| (lake, Some(store)));
    LAKES.contains(&lake) && store.is_none_or(|store| STORES.contains(&store))
}

/// Whether a scheme is that of a database or a lake.
pub fn holds_tables(scheme: &str) -> bool {
    DATABASES.contains(&scheme.to_ascii_lowercase().as_str()) || is_lake(scheme)
}

/// A connection URL: scheme, and the rest as written. `Display` and `Debug` hide a password and secret parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionUrl {
    scheme: String,
    rest: String,
}

impl ConnectionUrl {
    /// Splits off the scheme; whether it is known is the registry's business.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(Code::BadUrl, format!("{:?} is not a connection URL", redact(text)))
                .help("write it as scheme://…, for example sqlite:///shop.db (relative) or sqlite:////data/shop.db (absolute)")
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(bad)?;
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') {
            return Err(bad());
        }
        Ok(ConnectionUrl { scheme: scheme.to_ascii_lowercase(), rest: rest.to_owned() })
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What follows the scheme and its colon, as written: passwords too.
    pub fn written(&self) -> &str {
        &self.rest
    }

    /// The path of a file database by SQLAlchemy's rule: three slashes are relative, four absolute. `None` is the
    /// in-memory database (`sqlite://` or `sqlite:///:memory:`).
    pub fn file_path(&self) -> Result<Option<PathBuf>> {
        let rest = self.rest.split('?').next().unwrap_or_default();
        let path = match rest.strip_prefix("//") {
            None => rest,
            Some("") => return Ok(None),
            Some(path) => path.strip_prefix('/').ok_or_else(|| {
                Error::new(Code::BadUrl, format!("{self} names a host, and a file has none")).help(format!(
                    "write {}:///{path} for a relative path, {}:////{path} for an absolute one",
                    self.scheme, self.scheme
                ))
            })?,
        };
        if path.is_empty() {
            return Ok(None);
        }
        Ok((path != ":memory:").then(|| PathBuf::from(path)))
    }

    /// Whether it is a database that lives no longer than the process that opens it.
    pub fn in_memory(&self) -> bool {
        matches!(self.scheme(), "sqlite" | "duckdb") && matches!(self.file_path(), Ok(None))
    }

    /// Whether it names a path on this machine.
    pub fn is_file(&self) -> bool {
        matches!(self.scheme(), "sqlite" | "duckdb") || LAKES.contains(&self.scheme())
    }

    /// Whether it names an object store or a web server.
    pub fn is_store(&self) -> bool {
        STORES.contains(&self.scheme())
    }

    /// As shown where it is part of a name: without a store's settings, which say how it is reached.
    pub fn name(&self) -> String {
        let shown = self.to_string();
        match self.is_store() || is_lake(&self.scheme) {
            true => shown.split('?').next().unwrap_or_default().trim_end_matches('/').to_owned(),
            false => shown,
        }
    }

    /// The place of a file below it, without its settings and secrets: what stands behind a question mark, or as a password
    /// before an `@`. Without one it is no secret of Azure's, but the name of a container.
    pub fn below(&self, file: &str) -> String {
        let rest = self.rest.split('?').next().unwrap_or_default();
        let (host, folder) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
            None => ("", rest),
        };
        let azure = matches!(self.scheme(), "az" | "azure" | "abfs" | "abfss" | "adl");
        let host = match host.rsplit_once('@') {
            Some((user, bare)) if user.contains(':') || !azure => bare,
            _ => host,
        };
        let folder = folder.trim_matches('/');
        let slash = if folder.is_empty() { "" } else { "/" };
        format!("{}://{host}/{folder}{slash}{}", self.scheme, file.trim_start_matches('/'))
    }

    /// The same URL with a relative file path resolved against `base`.
    #[must_use]
    pub fn resolved(&self, base: &std::path::Path) -> Self {
        let mut out = self.clone();
        if let (Ok(Some(path)), false) = (self.file_path(), base.as_os_str().is_empty())
            && path.is_relative()
        {
            let query = self.rest.split_once('?').map(|(_, q)| format!("?{q}")).unwrap_or_default();
            out.rest = format!("///{}{query}", base.join(path).display());
        }
        out
    }
}

/// Hides what stands between `user:` and `@`, and values of parameters that are called secret.
fn redact(text: &str) -> String {
    let mut out = text.to_owned();
    if let Some(start) = out.find("://").map(|i| i + 3) {
        // A password with a slash or a question mark in it, which should be written %2F and %3F, is hidden all the same.
        let question = out[start..].find('?').map_or(out.len(), |i| start + i);
        let at = out[start..question].rfind('@').or_else(|| out[start..].rfind('@'));
        if let Some(at) = at.map(|i| start + i)
            && let Some(colon) = out[start..at].find(':').map(|i| start + i)
        {
            out.replace_range(colon + 1..at, "***");
        }
    }
    let Some(question) = out.find('?') else { return out };
    let query: Vec<String> = out[question + 1..]
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((k, _))
                if ["password", "secret", "token", "key"].iter().any(|s| k.to_ascii_lowercase().contains(s)) =>
            {
                format!("{k}=***")
            }
            _ => pair.to_owned(),
        })
        .collect();
    out.replace_range(question + 1.., &query.join("&"));
    out
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&format!("{}:{}", self.scheme, self.rest)))
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_follow_sqlalchemy() {
        let path = |u: &str| ConnectionUrl::parse(u).unwrap().file_path();
        assert_eq!(path("sqlite:///a/b.db").unwrap(), Some("a/b.db".into()));
        assert_eq!(path("sqlite:////a/b.db").unwrap(), Some("/a/b.db".into()));
        assert_eq!(path("sqlite:b.db").unwrap(), Some("b.db".into()));
        assert_eq!(path("sqlite://").unwrap(), None);
        assert_eq!(path("sqlite:///:memory:").unwrap(), None);
        assert!(path("sqlite://b.db").is_err());
    }

    #[test]
    fn files_lie_below_a_store() {
        let below = |url: &str| ConnectionUrl::parse(url).unwrap().below("a/*.csv");
        assert_eq!(below("s3://shop?endpoint=http://x/y"), "s3://shop/a/*.csv");
        assert_eq!(below("s3://shop/2024/?region=eu"), "s3://shop/2024/a/*.csv");
        assert_eq!(below("https://me:geheim@host/x"), "https://host/x/a/*.csv");
        assert_eq!(below("abfss://c@account.host/x"), "abfss://c@account.host/x/a/*.csv");
        assert_eq!(below("abfss://c:geheim@account.host/x"), "abfss://account.host/x/a/*.csv");
        assert_eq!(below("s3:///x"), "s3:///x/a/*.csv");
        assert_eq!(below("s3:/shop/x"), "s3:///shop/x/a/*.csv");
    }

    #[test]
    fn passwords_are_never_printed() {
        let url = ConnectionUrl::parse("postgres://app:s3cr@t/x@db/shop?sslpassword=abc&a=b").unwrap();
        let printed = format!("{url} {url:?}");
        assert!(!["abc", "s3cr", "t/x"].iter().any(|part| printed.contains(part)), "{url}");
        assert_eq!(
            ConnectionUrl::parse("postgres://app:s3?cret@db/shop").unwrap().to_string(),
            "postgres://app:***@db/shop"
        );
        let url = ConnectionUrl::parse("postgres://app:s3cret@db/shop").unwrap();
        assert_eq!(url.to_string(), "postgres://app:***@db/shop");
    }

    #[test]
    fn settings_of_a_store_are_no_part_of_its_name() {
        let name = |url: &str| ConnectionUrl::parse(url).unwrap().name();
        assert_eq!(name("delta+s3://shop/lake/?endpoint=http://x&access_key_id=a"), "delta+s3://shop/lake");
        assert_eq!(name("delta:///lake"), "delta:///lake");
        assert_eq!(name("postgres://db?host=/tmp"), "postgres://db?host=/tmp");
    }

    #[test]
    fn relative_paths_follow_the_pipeline_file() {
        let url = ConnectionUrl::parse("sqlite:///w.db").unwrap();
        assert_eq!(url.resolved("/p".as_ref()).file_path().unwrap(), Some("/p/w.db".into()));
        assert_eq!(url.resolved("p".as_ref()).file_path().unwrap(), Some("p/w.db".into()));
    }
}
