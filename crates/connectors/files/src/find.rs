//! From patterns to files.

use crate::{bytes::is_remote, open};
use floodmark_connect::{Slice, Stop, store::Store};
use floodmark_core::{Code, Error, Result};
use glob::{MatchOptions, Pattern};
use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf, absolute},
};

/// Files that match any of the patterns, by name. Standard input is not looked for here.
pub(crate) fn find(patterns: &[String], base: &Path, store: Option<&dyn Store>, stop: &Stop) -> Result<Vec<Slice>> {
    // Of a store these may be very many.
    let mut found: Vec<Slice> = Vec::new();
    for pattern in patterns {
        if is_remote(pattern) {
            found.append(&mut store.ok_or_else(|| unreachable(pattern))?.find(pattern, stop)?);
            continue;
        }
        let paths = if is_wild(pattern) && !base.join(pattern).exists() {
            wild(pattern, base)?
        } else {
            vec![literal(pattern, base)?]
        };
        let mut tables = Tables::default();
        for path in paths {
            let name = name(&path, base, Path::new(pattern).is_absolute())?;
            tables.refuse(&path, &name)?;
            let (size, modified) = open::stat(&path, &name)?;
            found.push(Slice { name, path, size, modified, tag: None });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|later, kept| {
        let same = later.name == kept.name;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    Ok(found)
}

/// Whether folders are in a Delta table: files stay there after their rows went, and its log alone says which are the table.
#[derive(Default)]
struct Tables(HashMap<PathBuf, Option<PathBuf>>);

impl Tables {
    /// `name`: the file's name as it is shown.
    fn refuse(&mut self, path: &Path, name: &str) -> Result<()> {
        let parquet = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet"));
        let Some(folder) = path.parent().filter(|_| parquet) else { return Ok(()) };
        let table = self.0.entry(folder.to_owned()).or_insert_with(|| table_above(folder));
        let Some(table) = table else { return Ok(()) };
        let below = path.components().count() - table.components().count();
        // As the file is shown, unless that begins in the table.
        let shown = Path::new(name).ancestors().nth(below).filter(|table| !table.as_os_str().is_empty());
        let table = shown.map_or_else(|| absolute(Path::new(".").join(table)).unwrap_or_default(), Path::to_owned);
        let lake = table.parent().filter(|lake| !lake.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (lake, table) = (lake.display(), table.file_name().unwrap_or_default().display());
        Err(Error::new(Code::SourceRead, "this is a file of a Delta table, whose log alone says which rows are in it")
            .in_file(name)
            .state("nothing was written")
            .help(format!(
                "load it as a table: delta:///{lake} with --source-table {table}; in a pipeline file, source: \
                 {{url: delta:///{lake}, table: {table}}}"
            ))
            .help("to load the file as it is all the same, copy it out of the table's folder"))
    }
}

/// The nearest folder from here upwards that has a log. What lies in a log is no file of the table.
fn table_above(folder: &Path) -> Option<PathBuf> {
    const LOG: &str = "_delta_log";
    let outside = |above: &&Path| above.file_name().is_none_or(|name| name != LOG);
    folder.ancestors().take_while(outside).find(|above| above.join(LOG).is_dir()).map(Path::to_owned)
}

fn unreachable(pattern: &str) -> Error {
    let scheme = pattern.split("://").next().unwrap_or_default();
    Error::new(Code::BadUrl, format!("this floodmark is built without object stores, and so without {scheme}://"))
        .help("build it with `--features objects`, or copy the files to this machine and name their path")
}

fn is_wild(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn literal(pattern: &str, base: &Path) -> Result<PathBuf> {
    let path = base.join(pattern);
    if path.is_dir() {
        return Err(Error::new(Code::SourceRead, format!("{pattern:?} is a directory")).help(format!(
            "name the files in it: {0}/*.csv, or {0}/**/*.csv for all levels",
            pattern.trim_end_matches('/')
        )));
    }
    if !path.exists() {
        return Err(missing(pattern, base, &path));
    }
    // A pipe gives its bytes once, and files are read twice: for their types, then for their rows.
    if !path.is_file() {
        return Err(Error::new(Code::SourceRead, format!("{pattern:?} is not a regular file"))
            .help("to read from a pipe, connect it to standard input and give `-` as the file"));
    }
    Ok(path)
}

fn wild(pattern: &str, base: &Path) -> Result<Vec<PathBuf>> {
    // The base is a path, not a pattern, whatever characters it holds.
    let full = if Path::new(pattern).is_absolute() || base.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        let base = base.to_str().ok_or_else(|| not_utf8(base))?;
        format!("{}/{pattern}", Pattern::escape(base.trim_end_matches('/')))
    };
    let options =
        MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let matches = glob::glob_with(&full, options).map_err(|e| {
        Error::new(Code::BadArgument, format!("{pattern:?} is not a pattern: {}", e.msg))
            .help("`*` and `?` match within a name, `**/` any directories, `[ab]` one of these characters")
    })?;
    let mut paths = Vec::new();
    for path in matches {
        let path = path.map_err(|e| {
            let shown = e.path().display().to_string();
            open::read_error(&shown, e.into()).help("check the permissions of the directory")
        })?;
        if path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(missing(pattern, base, &base.join(pattern)));
    }
    Ok(paths)
}

fn missing(pattern: &str, base: &Path, path: &Path) -> Error {
    // The deepest directory that exists is where the search came to its end.
    let literal = path.ancestors().skip(1).find(|dir| dir.is_dir() && !is_wild(&dir.to_string_lossy()));
    let dir = literal.unwrap_or(base);
    let shown = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let error = Error::new(
        Code::SourceMissing,
        format!("no file matches {pattern:?}, looked in {:?}", shown.display().to_string()),
    );
    let wanted = path.strip_prefix(dir).ok().and_then(|rest| rest.components().next());
    let wanted = wanted.map(|c| c.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
    match near(&wanted, shown) {
        Some(near) => error.help(format!("there is {near:?} there")),
        None if Path::new(pattern).is_absolute() => error.help("check the path"),
        // Without a base there is no pipeline file, or it is here.
        None if base.as_os_str().is_empty() => {
            error.help("check the path; a relative one starts at the current directory")
        }
        None => {
            let from = base.display();
            error.help(format!("check the path; a relative one starts at the pipeline file's directory, {from}"))
        }
    }
}

/// The entry of a directory whose name is nearest, where it is near enough for a slip.
fn near(wanted: &str, dir: &Path) -> Option<String> {
    let names = std::fs::read_dir(dir).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // Enough to find a slip; a directory of millions need not be read for it.
    let (distance, name) = (names.take(10_000))
        .map(|name| (strsim::osa_distance(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .min()?;
    (distance <= 1 + wanted.chars().count() / 4).then_some(name)
}

/// The name in the ledger, with `/` between parts: relative to the base, unless the file is elsewhere and was named by
/// an absolute path.
fn name(path: &Path, base: &Path, absolute: bool) -> Result<String> {
    let (path, base) = (tidy(path), tidy(base));
    let relative = match path.strip_prefix(&base) {
        Ok(below) => below.to_path_buf(),
        Err(_) if absolute => path.clone(),
        Err(_) => {
            let shared = path.components().zip(base.components()).take_while(|(a, b)| a == b).count();
            let up = base.components().skip(shared).map(|_| Component::ParentDir);
            up.chain(path.components().skip(shared)).collect()
        }
    };
    let relative = relative.to_str().ok_or_else(|| not_utf8(&relative))?;
    Ok(if std::path::MAIN_SEPARATOR == '/' {
        relative.to_owned()
    } else {
        relative.replace(std::path::MAIN_SEPARATOR, "/")
    })
}

/// A path without `.` and without `..` behind a name.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

fn not_utf8(path: &Path) -> Error {
    Error::new(Code::SourceRead, format!("the name of {} is not UTF-8", path.display()))
        .help("rename it: the file ledger keeps names as text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(patterns: &[&str], base: &Path) -> Result<Vec<String>> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Ok(find(&patterns, base, None, &Stop::default())?.into_iter().map(|s| s.name).collect())
    }

    #[test]
    fn files_are_found_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("a[1]*");
        std::fs::create_dir_all(base.join("sub/deep")).unwrap();
        for file in ["b.csv", "a.csv", ".hidden.csv", "sub/c.csv", "sub/deep/d.csv", "odd[x].csv"] {
            std::fs::write(base.join(file), "x").unwrap();
        }
        assert_eq!(names(&["*.csv"], &base).unwrap(), ["a.csv", "b.csv", "odd[x].csv"]);
        assert_eq!(
            names(&["./b.csv", "a.csv", "*.csv", "sub/../b.csv"], &base).unwrap(),
            ["a.csv", "b.csv", "odd[x].csv"]
        );
        assert_eq!(names(&["sub/**/*.csv"], &base).unwrap(), ["sub/c.csv", "sub/deep/d.csv"]);
        assert_eq!(names(&["odd[x].csv"], &base).unwrap(), ["odd[x].csv"]);
        let absolute = base.join("a.csv");
        assert_eq!(names(&[absolute.to_str().unwrap()], &base).unwrap(), ["a.csv"]);
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_near() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("orders.csv"), "x").unwrap();
        let error = names(&["order.csv"], dir.path()).unwrap_err();
        assert_eq!(error.code(), Code::SourceMissing);
        assert!(error.advice()[0].contains("orders.csv"), "{error:?}");
        assert_eq!(names(&["*.parquet"], dir.path()).unwrap_err().code(), Code::SourceMissing);
        let error = names(&["*.parquet"], dir.path()).unwrap_err();
        assert!(
            error.advice()[0].ends_with(&format!("pipeline file's directory, {}", dir.path().display())),
            "{error:?}"
        );
        let absolute = dir.path().join("*.parquet");
        assert_eq!(names(&[absolute.to_str().unwrap()], dir.path()).unwrap_err().advice(), ["check the path"]);
        let error = names(&["."], dir.path()).unwrap_err();
        assert!(error.message().contains("directory") && error.advice()[0].contains("*.csv"), "{error:?}");
    }

    #[test]
    fn files_of_a_table_are_not_loaded_without_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        std::fs::create_dir_all(base.join("lake/ev/day=1")).unwrap();
        std::fs::create_dir_all(base.join("lake/ev/_delta_log")).unwrap();
        for file in
            ["lake/ev/p.parquet", "lake/ev/day=1/q.parquet", "lake/ev/_delta_log/1.checkpoint.parquet", "o.parquet"]
        {
            std::fs::write(base.join(file), "x").unwrap();
        }
        for pattern in ["lake/ev/*.parquet", "lake/ev/p.parquet", "lake/*/*/q.parquet", "**/*.parquet"] {
            let error = names(&[pattern], base).unwrap_err();
            assert!(error.message().contains("a file of a Delta table"), "{pattern}: {error:?}");
            assert!(error.advice()[0].contains("delta:///lake with --source-table ev"), "{pattern}: {error:?}");
        }
        let error = names(&["*.parquet"], &base.join("lake/ev")).unwrap_err();
        let there = format!("delta:///{}/lake with --source-table ev", base.display());
        assert!(error.advice()[0].contains(&there), "{error:?}");
        assert_eq!(names(&["*.parquet"], base).unwrap(), ["o.parquet"]);
        assert_eq!(
            names(&["lake/ev/_delta_log/*.parquet"], base).unwrap(),
            ["lake/ev/_delta_log/1.checkpoint.parquet"]
        );
    }
}
