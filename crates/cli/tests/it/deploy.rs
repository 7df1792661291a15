//! `examples/deploy`: what the files say is executed, but for the container itself.

#![cfg(target_os = "linux")]

use crate::{
    serve::{Served, large, project},
    support::Scratch,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/deploy").join(name);
    fs::read_to_string(path).unwrap()
}

/// What a file says behind a word at the beginning of a line.
fn said<'a>(text: &'a str, word: &str) -> &'a str {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(word));
    let found = lines.next().unwrap_or_else(|| panic!("there is no {word:?}"));
    assert_eq!(lines.next(), None, "{word:?} twice");
    found
}

/// A program that `cargo xtask test` installs.
fn ran(program: &str, arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("XDG_RUNTIME_DIR", folder);
    command.output().unwrap_or_else(|e| panic!("{program}: {e}: `cargo xtask test` installs it"))
}

/// A command of a file, with this program in the place of the installed one and an address of the test's own.
fn served(scratch: &Scratch, words: &[&str], address: &str, token: Option<&str>) -> Command {
    assert!(words[0] == "floodmark" || words[0] == "/usr/local/bin/floodmark", "{words:?}");
    assert!(words.contains(&address), "{words:?}");
    let words: Vec<&str> = words[1..].iter().map(|word| if *word == address { "127.0.0.1:0" } else { word }).collect();
    let mut command = scratch.command(&words);
    token.map(|token| command.env("FLOODMARK_TOKEN", token));
    command
}

#[test]
fn systemd_knows_the_unit_and_its_command_serves_and_stops_in_time() {
    let unit = text("floodmark.service");
    let scratch = project("commit_every: 20000");
    large(&scratch);
    let folder = scratch.path().to_str().unwrap();
    // Where the machine has no such program and no such folder.
    let here = unit.replace("/usr/local/bin/floodmark", env!("CARGO_BIN_EXE_floodmark")).replace("/srv/shop", folder);
    scratch.write("floodmark.service", &here);
    let path = scratch.path().join("floodmark.service");
    let verify = ["verify", "--man=no", path.to_str().unwrap()];
    let told = ran("systemd-analyze", &verify, scratch.path());
    // A key that it does not know is a warning alone.
    let about = String::from_utf8_lossy(&told.stderr);
    let about: Vec<&str> = about.lines().filter(|line| line.contains("floodmark.service")).collect();
    assert!(told.status.success() && about.is_empty(), "{told:?}");
    // It may write where it works, and nowhere else.
    assert_eq!(said(&unit, "ReadWritePaths="), said(&unit, "WorkingDirectory="));
    let words: Vec<&str> = said(&unit, "ExecStart=").split(' ').collect();
    let served = Served::by(served(&scratch, &words, "127.0.0.1:8765", None));
    served.order(r#"{"pipeline": "orders"}"#);
    served.until("orders", "the run", |orders| orders["jobs"][0]["progress"]["done"].as_u64() > Some(0));
    // `mixed`: the server alone is told, and tells its runs; systemd waits for longer than it does.
    assert_eq!(said(&unit, "KillMode="), "mixed");
    assert!(said(&unit, "TimeoutStopSec=").parse::<u64>().unwrap() > 30);
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn the_container_s_command_serves_its_health_check_finds_it_and_its_signal_stops_it() {
    let file = text("Containerfile");
    let list = |word: &str| -> Vec<String> { serde_json::from_str(said(&file, word)).unwrap() };
    let entry = list("ENTRYPOINT ");
    let check = said(&file, "HEALTHCHECK ").split_once(" CMD ").unwrap().1;
    let check: Vec<String> = serde_json::from_str(check).unwrap();
    let port = said(&file, "EXPOSE ");
    let address = format!("0.0.0.0:{port}");
    let words: Vec<&str> = entry.iter().map(String::as_str).collect();
    let scratch = project("");
    // Others reach it there, and so it does not start without a token.
    let open = scratch.run(&words[1..]);
    assert!(open.code == 2 && open.stderr.contains("FLOODMARK_TOKEN holds no token"), "{open:?}");
    let served = Served::by(served(&scratch, &words, &address, Some("a-token-that-nobody-guesses")));
    let at = format!("127.0.0.1:{port}");
    assert!(check.iter().any(|word| word.contains(&at)), "{check:?}");
    let check: Vec<String> = check.iter().map(|word| word.replace(&at, served.address())).collect();
    let words: Vec<&str> = check[1..].iter().map(String::as_str).collect();
    let healthy = ran(&check[0], &words, scratch.path());
    assert!(healthy.status.success() && healthy.stdout == b"ok\n", "{healthy:?}");
    served.signal(said(&file, "STOPSIGNAL SIG"));
    assert_eq!(served.end(), Some(0));
    assert!(!ran(&check[0], &words, scratch.path()).status.success());
}
