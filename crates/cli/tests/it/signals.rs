//! SIGINT and SIGTERM.

#![cfg(unix)]

use crate::support::Scratch;
use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Whatever was kept, the next run ends with the whole.
#[test]
fn an_interrupted_load_exits_with_its_signal_and_is_taken_up_again() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let scratch = Scratch::new();
        let mut rows = String::from("id,n\n");
        (0..300_000).for_each(|id| rows.push_str(&format!("{id},{id}\n")));
        scratch.write("big.csv", &rows);
        let args = ["load", "big.csv", "sqlite:///shop.db", "--key", "id", "--version", "none"];
        let child = scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(400));
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let ran = scratch.ran(&child.wait_with_output().unwrap());
        // On a quick machine it may have been done already; then there was nothing to interrupt.
        if ran.code != 0 {
            assert_eq!(ran.code, code, "{ran:?}");
            assert!(ran.stderr.starts_with("error[FM0602]"), "{}", ran.stderr);
        }
        let value = scratch.one(&args);
        assert_eq!(value["rows"]["rejected"], 0);
        assert!(scratch.fingerprint("sqlite:///shop.db", "big").starts_with("fm1-300000-"), "{value}");
    }
}

/// A pipe that was closed early does not stop a load either.
#[test]
fn a_closed_output_does_not_stop_a_run() {
    let scratch = Scratch::project();
    let mut child = scratch.command(&["run"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(scratch.fingerprint("sqlite:///shop.db", "orders").starts_with("fm1-6-"));
}
