//! URLs of objects.

use floodmark_core::{Code, Error, Result};
use object_store::path::Path;

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    S3,
    Google,
    Azure,
    /// A web server: what it has is not listed.
    Web,
}

/// A bucket, a container, or a web server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Root {
    pub(crate) kind: Kind,
    /// With the scheme as the store's own tools write it, and without a slash at its end.
    pub(crate) url: String,
}

/// An object, or a pattern of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) root: Root,
    pub(crate) key: String,
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Place> {
        let refused = |what: String| Error::new(Code::BadUrl, what).state("nothing was read or written");
        let bad =
            |what: &str| refused(what.to_owned()).help("write it as s3://BUCKET/KEY, with `*` and `**/` in the key");
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("this is no URL"))?;
        let (kind, scheme) = match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => (Kind::S3, "s3"),
            "gs" | "gcs" => (Kind::Google, "gs"),
            "az" | "azure" | "abfs" | "abfss" | "adl" => (Kind::Azure, "az"),
            "http" => (Kind::Web, "http"),
            "https" => (Kind::Web, "https"),
            other => return Err(bad(&format!("{other}:// is no object store that is known here"))),
        };
        let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            let what = match kind {
                Kind::Azure => "container",
                Kind::Web => "host",
                _ => "bucket",
            };
            return Err(refused(format!("{scheme}://{rest} names no {what}"))
                .help(format!("its name follows two slashes: {scheme}://{}/…", what.to_uppercase())));
        }
        // What stands before it may be a secret, which has no business in a name that is kept; with Azure's own tools it is the
        // container, and what follows names the account.
        if let Some((user, host)) = host.rsplit_once('@') {
            if kind == Kind::Azure && !user.contains(':') {
                let account = host.split('.').next().unwrap_or_default();
                let whole = format!("az://{user}/{}", key.trim_end_matches('/'));
                return Err(refused(format!("{user}@{host} has the account in it, which is a setting here"))
                    .help(format!("write {whole}?account={account} for a connection or a lake"))
                    .help(format!(
                        "for a source without a connection write {whole}, and AZURE_STORAGE_ACCOUNT_NAME={account} in the \
                         environment"
                    )));
            }
            return Err(refused(format!("the URL for {host} has a user or a password in it"))
                .help("give credentials as the store's own tools take them, or in the URL of a connection"));
        }
        if kind == Kind::Web && key.contains(['*', '[']) {
            return Err(refused("a web server does not tell what files it has".to_owned())
                .help("name each file by its whole URL"));
        }
        // A query is often what gives access: it has no business in a name that is kept either.
        if kind == Kind::Web && key.contains('?') {
            let file = key.split('?').next().unwrap_or_default();
            return Err(refused(format!("the URL of {scheme}://{host}/{file} has a query, which is not sent")).help(
                "name a file of a web server without `?` and what follows; where it needs that, fetch the file first",
            ));
        }
        Ok(Place { root: Root { kind, url: format!("{scheme}://{host}") }, key: key.to_owned() })
    }

    /// As it stands in the ledger.
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}/{key}", self.root.url)
    }

    /// The key as the store takes it.
    pub(crate) fn path(&self) -> Result<Path> {
        Path::parse(&self.key).map_err(|e| {
            Error::new(Code::BadUrl, format!("{:?} cannot be the key of an object", self.key))
                .help("keys have no empty parts and no `.` or `..` between slashes")
                .cause(e)
        })
    }

    /// Whether it looks as if settings were written behind it.
    pub(crate) fn has_settings(&self) -> bool {
        self.key.split_once('?').is_some_and(|(_, behind)| behind.contains('='))
    }

    pub(crate) fn is_pattern(&self) -> bool {
        self.root.kind != Kind::Web && self.key.contains(['*', '?', '['])
    }

    /// The folders before the first wildcard.
    pub(crate) fn prefix(&self) -> Option<Path> {
        let wild = self.key.find(['*', '?', '['])?;
        let folder = &self.key[..self.key[..wild].rfind('/')?];
        Path::parse(folder).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_name_and_a_password_none() {
        let place = Place::parse("S3A://shop/a/b*.csv").unwrap();
        assert_eq!(place.name(&place.key), "s3://shop/a/b*.csv");
        assert_eq!(place.prefix(), Some(Path::parse("a").unwrap()));
        assert!(place.is_pattern());
        for bad in ["s3://", "https://host/*.csv", "ftp://x/y", "a/b"] {
            assert_eq!(Place::parse(bad).unwrap_err().code(), Code::BadUrl, "{bad}");
        }
        let error = Place::parse("https://me:geheim@host/a.csv").unwrap_err();
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        let error = Place::parse("https://host/a.csv?X-Amz-Signature=geheim").unwrap_err();
        assert!(!format!("{error:?}").contains("geheim") && error.message().contains("has a query"), "{error:?}");
        assert_eq!(Place::parse("s3://b/a/../c").unwrap().path().unwrap_err().code(), Code::BadUrl);
    }

    #[test]
    fn a_url_of_azures_own_tools_is_told_as_one_of_here() {
        let error = Place::parse("abfss://c@acct.dfs.core.windows.net/l/*.csv").unwrap_err();
        assert_eq!(error.code(), Code::BadUrl);
        assert!(error.message().starts_with("c@acct.dfs.core.windows.net has the account in it"), "{error:?}");
        assert!(error.advice()[0].contains("write az://c/l/*.csv?account=acct "), "{error:?}");
        assert!(error.advice()[1].contains("AZURE_STORAGE_ACCOUNT_NAME=acct"), "{error:?}");
        let error = Place::parse("abfss://acct:geheim@host/l").unwrap_err();
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
    }
}
