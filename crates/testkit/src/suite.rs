//! All cases of a folder, played on every core.

use crate::{
    case,
    play::{Style, play, suits},
    store::Destination,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What became of a folder's cases.
#[derive(Debug, Default)]
pub struct Report {
    /// How many were played; one that is played in two styles counts once in each report.
    pub played: usize,
    /// For each case that failed: its path and the step's line, the step's heading, and what differs.
    pub failures: Vec<String>,
}

/// Every `*.txt` under a folder, in order of path.
///
/// The error names what could not be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut out = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        if path.is_dir() {
            out.extend(files(&path)?);
        } else if path.extension().is_some_and(|e| e == "txt") {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// Plays each case of `folder` whose path holds `only`, as many at a time as there are cores.
///
/// A case that cannot be read is a failure. The error says that there was nothing to play: a suite of none proves
/// nothing.
pub fn play_folder(folder: &Path, only: Option<&str>, style: Style, on: Destination) -> Result<Report, String> {
    play_each(folder, only, 1, style, on)
}

/// The same with one case of every so many.
pub fn play_each(
    folder: &Path,
    only: Option<&str>,
    every: usize,
    style: Style,
    on: Destination,
) -> Result<Report, String> {
    let mut all = files(folder)?;
    if let Some(only) = only {
        all.retain(|path| path.strip_prefix(folder).unwrap_or(path).to_string_lossy().contains(only));
    }
    if all.is_empty() {
        return Err(format!("no case is in {}: a case is a file *.txt", folder.display()));
    }
    let all: Vec<PathBuf> = all.into_iter().step_by(every).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new((0, Vec::new()));
    let work = || {
        while let Some(path) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(failure) = play_file(path, style, on).transpose() else { continue };
            let mut done = done.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            done.0 += 1;
            done.1.extend(failure.err().map(|message| (path, message)));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (played, mut failures) = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    failures.sort();
    Ok(Report { played, failures: failures.into_iter().map(|(_, message)| message).collect() })
}

/// `Ok(None)`: the case makes no sense in this style, or is about another destination. The error is the whole message.
fn play_file(path: &Path, style: Style, on: Destination) -> Result<Option<()>, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))?;
    let case = case::parse(&text).map_err(|e| format!("{shown}: {e}"))?;
    if !suits(&case, style, on) {
        return Ok(None);
    }
    play(&case, None, style, on).map(Some).map_err(|failure| {
        let heading = text.lines().nth(failure.line.saturating_sub(1)).unwrap_or_default();
        let chunks = if style == Style::OneRowChunks { " (in chunks of one row)" } else { "" };
        let lines: Vec<String> = failure.message.trim_end().lines().map(|line| format!("    {line}")).collect();
        format!("{shown}:{}: {heading}{chunks}\n{}", failure.line, lines.join("\n"))
    })
}
