//! Where a lake is, and the names of its tables.

use crate::{failure, log::Snapshot, store::Place};
use floodmark_core::{Code, Error, Result, url::ConnectionUrl};
use object_store::{ObjectMeta, ObjectStore, local::LocalFileSystem, path::Path, prefix::PrefixStore};
use std::{
    path::{Component, Path as Local, PathBuf, absolute},
    sync::Arc,
};

/// A folder under which tables are folders.
#[derive(Debug, Clone)]
pub struct Lake {
    place: Place,
    /// As a person would write it, without secrets.
    name: String,
    kind: Kind,
}

/// What says which files are a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Delta log.
    Delta,
    /// A manifest of our own, beside files that others read as a folder.
    Dataset,
}

/// A table of a lake, which need not be there yet.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) place: Place,
    pub(crate) folder: Path,
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The folders of a lake or a table that are no tables.
pub(crate) const RESERVED: [&str; 2] = ["_floodmark", "_delta_log"];

impl Lake {
    /// `delta:///folder` (relative), `delta:////folder`, or `delta+s3://bucket/folder?…` and the like. Nothing is asked or
    /// made.
    pub fn open(url: &ConnectionUrl) -> Result<Lake> {
        let name = url.name();
        let (format, scheme) = url.scheme().split_once('+').map_or((url.scheme(), None), |(f, s)| (f, Some(s)));
        let kind = match format {
            "delta" => Kind::Delta,
            "parquet" => Kind::Dataset,
            _ => {
                return Err(
                    Error::new(Code::BadUrl, format!("{url} is no lake")).help("write delta:///… or parquet:///…")
                );
            }
        };
        if let Some(scheme) = scheme {
            let there = ConnectionUrl::parse(&format!("{scheme}:{}", url.written()))?;
            let (store, folder) = floodmark_objects::open_root(&there)?;
            return Ok(Lake { place: Place { store: prefixed(store, folder), local: None }, name, kind });
        }
        let folder = url.file_path()?.ok_or_else(|| {
            Error::new(Code::BadUrl, format!("{url} names no folder")).help(format!(
                "write {0}:///lake for a relative path, {0}:////data/lake for an absolute one",
                url.scheme()
            ))
        })?;
        let folder = absolute(&folder).map_err(|e| {
            Error::new(Code::BadUrl, format!("{url} is no folder that can be used")).cause(e.to_string())
        })?;
        Lake::folder(without_dots(&folder), name, kind)
    }

    fn folder(folder: PathBuf, name: String, kind: Kind) -> Result<Lake> {
        if folder.exists() && !folder.is_dir() {
            return Err(Error::new(Code::DestinationOpen, "the lake is a file, where it should be a folder")
                .in_file(folder)
                .help("name the folder under which tables are folders"));
        }
        let inside = Path::from_absolute_path(&folder).map_err(|e| {
            Error::new(Code::BadUrl, "the folder's name cannot be used")
                .in_file(&folder)
                .state("nothing was read or written")
                .help("name another folder, of text in UTF-8")
                .cause(e.to_string())
        })?;
        let store = prefixed(Arc::new(LocalFileSystem::new()), inside);
        Ok(Lake { place: Place { store, local: Some(folder) }, name, kind })
    }

    /// A lake of Delta tables in a store that is open already.
    pub fn in_store(store: Arc<dyn ObjectStore>, name: impl Into<String>) -> Lake {
        Lake { place: Place { store, local: None }, name: name.into(), kind: Kind::Delta }
    }

    /// Where it is on this machine.
    pub fn path(&self) -> Option<&Local> {
        self.place.local.as_deref()
    }

    /// The store with the lake as its root.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.place.store
    }

    /// Puts a file of the lake that is never changed: `false` where one of that name is there. It lasts when this returns.
    pub fn put_new(&self, path: &Path, bytes: impl Into<bytes::Bytes>) -> Result<bool> {
        let put = self.place.put_once(path, &bytes.into());
        put.map(|put| put == crate::store::Put::Done)
            .map_err(|not| self.failed(Code::DestinationWrite, "write", path, &not.error))
    }

    /// A file of the lake, where it is there.
    pub fn get(&self, path: &Path) -> Result<Option<bytes::Bytes>> {
        let got = self.place.get(path);
        got.map_err(|e| failure::store(Code::DestinationOpen, "read", &format!("{}/{path}", self.name), &e))
    }

    /// Puts a file of the lake in the place of one that is there.
    pub(crate) fn put(&self, path: &Path, bytes: impl Into<bytes::Bytes>) -> Result<()> {
        self.place.put(path, bytes.into()).map_err(|e| self.failed(Code::DestinationWrite, "write", path, &e))
    }

    /// All files below a folder.
    pub(crate) fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        self.place.list(Some(folder)).map_err(|e| self.failed(Code::DestinationOpen, "list", folder, &e))
    }

    /// The names of the folders in a folder.
    pub(crate) fn folders(&self, folder: &Path) -> Result<Vec<String>> {
        self.place.folders(folder).map_err(|e| self.failed(Code::DestinationOpen, "list", folder, &e))
    }

    /// Drops a file, if it is there.
    pub(crate) fn delete(&self, path: &Path) -> Result<()> {
        self.place.delete(path).map_err(|e| self.failed(Code::DestinationWrite, "delete", path, &e))
    }

    /// Whether a folder is a table: it has a log. One with a `_floodmark` alone may be a lake.
    pub(crate) fn is_table(&self, folder: &Path) -> Result<bool> {
        let (within, log) = match self.kind {
            Kind::Delta => (folder.clone(), "_delta_log"),
            Kind::Dataset => (folder.clone().join("_floodmark"), "manifest"),
        };
        Ok(self.folders(&within)?.iter().any(|inside| inside == log))
    }

    /// A table in the folder of another one would be taken for what that one has no use for any more.
    pub(crate) fn refuse_within(&self, name: &str) -> Result<()> {
        let mut folder = Path::default();
        for part in name.split('/') {
            if !folder.as_ref().is_empty() && self.is_table(&folder)? {
                let what = format!("{name:?} would lie in the folder of another table, {folder}");
                return Err(Error::new(Code::TableShape, what)
                    .state("nothing was written")
                    .help("choose a name that does not begin with that of a table, or another folder for the lake"));
            }
            folder = folder.join(part);
        }
        Ok(())
    }

    /// The same of all its tables, where the lake's folder is a table itself.
    pub(crate) fn refuse_in_table(&self) -> Result<()> {
        if self.path().is_some_and(|folder| !folder.exists()) || !self.is_table(&Path::default())? {
            return Ok(());
        }
        let what = format!("tables would lie in the folder of another table, {}", self.name);
        Err(Error::new(Code::TableShape, what)
            .state("nothing was written")
            .help("a lake's URL names the folder above its tables: name the one above, and the table beside it"))
    }

    /// Whether it can be reached, without changing anything.
    pub(crate) fn probe(&self) -> Result<()> {
        match &self.place.local {
            Some(folder) if !folder.exists() => {
                let above = folder.ancestors().skip(1).find(|above| above.exists());
                match above.is_some_and(Local::is_dir) {
                    true => Ok(()),
                    false => Err(Error::new(Code::DestinationOpen, "the lake cannot be made there").in_file(folder)),
                }
            }
            Some(_) => Ok(()),
            None => {
                let found = self.place.folders(&Path::default());
                found.map(|_| ()).map_err(|e| self.failed(Code::DestinationOpen, "list", &Path::default(), &e))
            }
        }
    }

    /// The scheme of such a lake on this machine.
    pub(crate) fn format(&self) -> &'static str {
        match self.kind {
            Kind::Delta => "delta",
            Kind::Dataset => "parquet",
        }
    }

    /// As a person would write it, without secrets.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where a file or folder of it is, as a person would find it.
    pub(crate) fn shown(&self, path: &str) -> String {
        match self.path() {
            Some(folder) => folder.join(path).display().to_string(),
            None => format!("{}/{path}", self.name.split_once('+').map_or(self.name.as_str(), |(_, store)| store)),
        }
    }

    fn failed(&self, code: Code, doing: &str, path: &Path, error: &object_store::Error) -> Error {
        failure::store(code, doing, format!("{}/{path}", self.name).trim_end_matches('/'), error)
    }

    /// A table by its name: one folder, or several with slashes.
    pub fn table(&self, name: &str) -> Result<Table> {
        let bad = |what: &str| {
            Error::new(Code::BadArgument, format!("{name:?} cannot be the name of a table in a lake: {what}"))
                .help("a table is a folder: `orders`, or `sales/orders`")
        };
        for part in name.split('/') {
            if part.is_empty() || part == "." || part == ".." {
                return Err(bad("it has an empty part, or one that is `.` or `..`"));
            }
            if RESERVED.contains(&part) {
                return Err(bad(&format!("`{part}` is kept for what belongs to the lake")));
            }
            if let Some(c) = part.chars().find(|c| c.is_control() || "\\:*?\"<>|%#~[]{}^`".contains(*c)) {
                return Err(bad(&format!("{c:?} means something else in stores or file systems")));
            }
            if part.len() > 200 {
                return Err(bad("it is longer than file systems take"));
            }
        }
        let folder = Path::parse(name).map_err(|e| bad(&e.to_string()))?;
        let local = self.place.local.as_ref().map(|root| root.join(name));
        let store = prefixed(Arc::clone(&self.place.store), folder.clone());
        let name = format!("{}/{name}", self.name);
        Ok(Table { place: Place { store, local }, folder, name, kind: self.kind })
    }
}

/// The same folder without `..`, of which stores know nothing: above a link is what is above the folder that it names.
fn without_dots(folder: &Local) -> PathBuf {
    let mut out = PathBuf::new();
    for part in folder.components() {
        if part == Component::ParentDir {
            out = out.canonicalize().unwrap_or(out);
            out.pop();
        } else {
            out.push(part);
        }
    }
    out
}

fn prefixed(store: Arc<dyn ObjectStore>, folder: Path) -> Arc<dyn ObjectStore> {
    if folder.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, folder)) }
}

impl Table {
    /// As shown in messages: the lake's URL, and the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table as it is now; `None` where nothing is there. A folder with something else in it is an error.
    pub fn snapshot(&self) -> Result<Option<Snapshot>> {
        Snapshot::newest(self)
    }

    /// Whether other programs know it as a folder of files and not by its log.
    pub(crate) fn is_folder(&self) -> bool {
        self.kind == Kind::Dataset
    }

    /// Where it lies in the lake.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn read_failed(&self, path: &Path, error: &object_store::Error) -> Error {
        failure::store(Code::DestinationOpen, "read", &format!("{}/{path}", self.name), error)
    }

    pub(crate) fn delete_failed(&self, path: &Path, error: &object_store::Error) -> Error {
        failure::store(Code::DestinationWrite, "delete", &format!("{}/{path}", self.name), error)
    }

    pub(crate) fn write_failed(&self, path: &Path, error: &object_store::Error) -> Error {
        failure::store(Code::DestinationWrite, "write", &format!("{}/{path}", self.name), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_folders_are_refused() {
        let lake = Lake::open(&ConnectionUrl::parse("delta:///nowhere").unwrap()).unwrap();
        for name in
            ["", "/a", "a/", "a//b", ".", "a/../b", "_floodmark", "a/_delta_log", "a\\b", "a\0", "a%2Fb", "a\nb"]
        {
            assert_eq!(lake.table(name).unwrap_err().code(), Code::BadArgument, "{name:?}");
        }
        for name in ["orders", "sales/orders", "Größe", "a b", "it's", "_x", "day=1"] {
            lake.table(name).unwrap();
        }
        assert!(!Local::new("nowhere").exists(), "looking makes nothing");
    }

    #[test]
    fn a_lake_may_lie_above_or_beside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("far/deep")).unwrap();
        let at = |below: &str| {
            let url = format!("delta:///{}/{below}", root.display());
            let lake = Lake::open(&ConnectionUrl::parse(&url).unwrap()).unwrap();
            lake.put_new(&Path::from("x"), "x").unwrap();
            lake.path().unwrap().join("x")
        };
        assert_eq!(at("far/../beside"), root.join("beside/x"));
        assert_eq!(at("nowhere/../there/./../other"), root.join("other/x"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("far/deep"), root.join("link")).unwrap();
            assert_eq!(at("link/../lake"), root.join("far/lake/x"));
        }
        assert_eq!(without_dots("/../../a".as_ref()), Local::new("/a"));
    }
}
