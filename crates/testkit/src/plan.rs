//! Every run of every case is planned first: the plan says what the run then does, and leaves no trace.

use crate::program;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What of a pipeline's object a plan must say as the run does.
const SAID: [&str; 4] = ["status", "load", "rows", "watermark"];

/// Plans what `run` with these arguments would do, and checks that it changes nothing. Without objects where the
/// arguments are not a plan's.
pub(crate) fn plan(root: &Path, arguments: &[String], input: Option<&str>) -> Result<Vec<Value>, String> {
    if arguments.iter().any(|argument| argument.starts_with('-')) {
        return Ok(Vec::new());
    }
    let before = files(root)?;
    let planned = program::run(root, "plan", arguments, input)?;
    let after = files(root)?;
    match before.iter().chain(&after).find(|(path, _)| before.get(*path) != after.get(*path)) {
        Some((path, _)) => Err(format!("the plan changed {}\n{}", path.display(), planned.said)),
        None => Ok(planned.objects),
    }
}

/// Compares a plan with the run it was of. Of several pipelines a plan knows each alone, so that one which depends on
/// another may differ: those are left out.
pub(crate) fn compare(planned: &[Value], ran: &[Value]) -> Result<(), String> {
    let ([planned], [ran]) = (planned, ran) else { return Ok(()) };
    let mut keys: Vec<(&Value, &Value, &str)> = SAID.map(|key| (&planned[key], &ran[key], key)).to_vec();
    for key in ["code", "message", "place"] {
        keys.push((&planned["error"][key], &ran["error"][key], key));
    }
    let differ = keys.iter().filter(|(planned, ran, _)| planned != ran);
    let lines: Vec<String> = differ.map(|(planned, ran, key)| format!("- {key} {planned}\n+ {key} {ran}")).collect();
    if lines.is_empty() { Ok(()) } else { Err(format!("the run is not what the plan said\n{}", lines.join("\n"))) }
}

type Files = BTreeMap<PathBuf, (SystemTime, Vec<u8>)>;

/// All files below a folder. Who held a lock last is written into its file, and is no one's business.
fn files(root: &Path) -> Result<Files, String> {
    fn collect(folder: &Path, out: &mut Files) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                out.insert(path.clone(), (SystemTime::UNIX_EPOCH, Vec::new()));
                collect(&path, out)?;
            } else if path.to_string_lossy().ends_with(".lock") {
                out.insert(path, (SystemTime::UNIX_EPOCH, Vec::new()));
            } else {
                let modified = fs::metadata(&path)?.modified()?;
                out.insert(path.clone(), (modified, fs::read(&path)?));
            }
        }
        Ok(())
    }
    let mut out = Files::new();
    collect(root, &mut out).map_err(|e| format!("{}: {e}", root.display()))?;
    Ok(out)
}
