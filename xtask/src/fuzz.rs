//! `cargo xtask fuzz`: the targets of `fuzz/`, each for a while, from the seeds checked in beside them.

use crate::shell::{self, complain, has, root, say};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

const USAGE: &str = "cargo xtask fuzz [TARGET] [--seconds N | --runs N]";

/// How far a target is run.
#[derive(Clone, Copy)]
enum Until {
    /// For so long, on from what earlier runs learnt.
    Seconds(u32),
    /// So many inputs, from the seeds alone: much the same each time. Hash tables, which are never alike, keep it from
    /// being exactly that.
    Runs(u32),
}

/// How long one input may take, in seconds. The smallest machine in use needs a hundredth of that.
const ONE_INPUT: u32 = 10;

/// The longest input, in bytes: what goes wrong in a file goes wrong in a short one.
const LONGEST: u32 = 4096;

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut only, mut until) = (None, Until::Seconds(30));
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" | "--runs" => {
                let number = words.next().and_then(|text| text.parse().ok()).ok_or(USAGE)?;
                until = if word == "--runs" { Until::Runs(number) } else { Until::Seconds(number) };
            }
            name if only.is_none() && !name.starts_with('-') => only = Some(name),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let all = targets()?;
    let chosen: Vec<&String> = all.iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        return Err(format!("there is no such fuzz target; there are: {}", all.join(", ")));
    }
    tools()?;
    let start = Instant::now();
    shell::run(&mut build(only))?;
    say(&format!("built in {:.0} s", start.elapsed().as_secs_f64()));
    let mut broken = Vec::new();
    for name in chosen {
        say(&format!("── {name}"));
        if let Err(message) = fuzz(name, until) {
            complain(&message);
            broken.push(name.as_str());
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("fuzzing found something in: {}", broken.join(", "))) }
}

/// The targets are the files there are.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let name = |path: PathBuf| path.file_name()?.to_str()?.strip_suffix(".rs").map(str::to_owned);
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| name(entry.path())).collect();
    names.sort();
    Ok(names)
}

/// Where tools that are no part of the build are kept: beside the ones `.ci/run` installs.
fn tool_folder() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("floodmark/tools")
}

/// The command `cargo-fuzz`, on the path or in our folder.
fn cargo_fuzz() -> PathBuf {
    if has("cargo-fuzz") { "cargo-fuzz".into() } else { tool_folder().join("bin/cargo-fuzz") }
}

/// libFuzzer is C++; `cargo-fuzz` is installed once.
fn tools() -> Result<(), String> {
    if !["c++", "g++", "clang++"].into_iter().any(has) {
        let install = || shell::run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", "g++"]));
        // A fresh machine has no package lists yet.
        let refresh = || shell::run(Command::new("apt-get").arg("update")).and_then(|()| install());
        install()
            .or_else(|_| refresh())
            .map_err(|e| format!("{e}\nfuzzing needs a C++ compiler: install g++ by hand"))?;
    }
    let program = cargo_fuzz();
    if program.is_file() || has("cargo-fuzz") {
        return Ok(());
    }
    let folder = tool_folder();
    let build = folder.join("target");
    let mut install = shell::cargo();
    install.args(["install", "cargo-fuzz", "--locked", "--quiet", "--root"]).arg(&folder);
    shell::run(install.arg("--target-dir").arg(&build))?;
    // Nothing builds there again; a folder that cannot be removed costs space alone.
    let _ = fs::remove_dir_all(build);
    Ok(())
}

/// `cargo fuzz` with the arguments every call has.
///
/// No sanitizer: an address sanitizer looks for what safe Rust rules out, wants a nightly compiler, and has everything
/// built twice as slowly. Coverage counters and debug assertions are what these targets live by, and stable Rust has them.
fn command(verb: &str) -> Command {
    let mut command = Command::new(cargo_fuzz());
    command.current_dir(root()).args([verb, "--fuzz-dir", "fuzz", "--sanitizer", "none"]);
    // Beside the project's own, whose flags and profile differ.
    command.env("CARGO_TARGET_DIR", target());
    command
}

/// Where the targets are built: outside the clone when cargo was told of such a place.
fn target() -> PathBuf {
    if env::var_os("CARGO_TARGET_DIR").is_some() { shell::target().join("fuzz") } else { root().join("fuzz/target") }
}

fn build(only: Option<&str>) -> Command {
    let mut build = command("build");
    build.args(only);
    build
}

/// Runs one target. What it learns in a timed run goes on in the next one; the seeds are never written to.
fn fuzz(name: &str, until: Until) -> Result<(), String> {
    let corpus = target().join(if matches!(until, Until::Runs(_)) { "corpus-of-one-run" } else { "corpus" }).join(name);
    if matches!(until, Until::Runs(_)) && corpus.exists() {
        fs::remove_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    }
    let found = target().join("artifacts").join(name);
    for folder in [&corpus, &found] {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let before = newest(&found);
    let mut run = command("run");
    run.arg(name).arg(&corpus).arg(Path::new("fuzz/seeds").join(name));
    run.args(["--", "-print_final_stats=1", "-print_funcs=0", "-rss_limit_mb=2048"]);
    match until {
        Until::Seconds(seconds) => run.arg(format!("-max_total_time={seconds}")),
        Until::Runs(runs) => run.args([format!("-runs={runs}"), "-seed=1".to_owned()]),
    };
    run.arg(format!("-timeout={ONE_INPUT}")).arg(format!("-max_len={LONGEST}"));
    run.arg(format!("-dict=fuzz/dictionaries/{name}.dict"));
    run.arg(format!("-artifact_prefix={}/", found.display()));
    shell::run(&mut run).map_err(|message| match newest(&found).filter(|path| Some(path) != before.as_ref()) {
        None => message,
        Some(path) => format!(
            "{message}\n\nthe input is kept: {0}\nreproduce it: {1} run {name} --fuzz-dir fuzz --sanitizer none {0}\nmake it \
             smaller: {1} tmin {name} --fuzz-dir fuzz --sanitizer none {0}\n(with CARGO_TARGET_DIR={2}, which saves \
             building anew)",
            path.display(),
            cargo_fuzz().display(),
            target().display(),
        ),
    })
}

/// The input that was written last.
fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))).max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_a_dictionary() {
        for name in targets().unwrap() {
            let fuzz = root().join("fuzz");
            assert!(fuzz.join(format!("dictionaries/{name}.dict")).is_file(), "{name}");
            assert!(fs::read_dir(fuzz.join("seeds").join(&name)).unwrap().next().is_some(), "{name}");
        }
    }
}
