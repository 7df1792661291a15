//! Chromium and its DevTools protocol: messages of JSON, each ended by a zero byte, over two pipes. A crate for it would bring a
//! typed copy of the whole protocol, which is compiled for long and stumbles over what a newer browser says beyond it; here a
//! dozen methods are called.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What the browser does within this on a busy machine, or not at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it is called where.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Nothing of its own is asked of any network; the pages are ours, and so it needs no sandbox, which is not to be had everywhere.
const FLAGS: [&str; 13] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--lang=en",
];

/// A browser with one tab, which ends with its test.
pub(super) struct Chromium {
    child: Child,
    to: Option<ChildStdin>,
    from: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    /// What happened in the tab and was not asked for yet.
    pub(super) events: Vec<Value>,
    _profile: TempDir,
}

impl Chromium {
    pub(super) fn start() -> Chromium {
        let profile = tempfile::tempdir().unwrap();
        // The pipes it speaks through are its third and fourth file.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#]).arg(program()).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        // What it caches of fonts and of its own is in its profile, and gone with it.
        command.env("HOME", profile.path()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let (to, from) = mpsc::channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while said.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).unwrap();
                message.clear();
                if to.send(value).is_err() {
                    return;
                }
            }
        });
        let to = child.stdin.take();
        let mut chromium = Chromium { child, to, from, session: None, sent: 0, events: Vec::new(), _profile: profile };
        let tab = chromium.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = chromium.call("Target.attachToTarget", json!({ "targetId": tab["targetId"], "flatten": true }));
        chromium.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Audits", "Accessibility"] {
            chromium.call(&format!("{domain}.enable"), json!({}));
        }
        chromium
    }

    /// Asks for something; what happens meanwhile is kept.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let id = self.sent;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let to = self.to.as_mut().unwrap();
        to.write_all(message.to_string().as_bytes()).and_then(|()| to.write_all(&[0])).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let message = self.next(until, method);
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// Waits for something to happen, and takes it.
    pub(super) fn wait(&mut self, what: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.events.iter().position(|event| event["method"] == what) {
                return self.events.remove(at)["params"].clone();
            }
            let message = self.next(until, what);
            self.events.push(message);
        }
    }

    fn next(&self, until: Instant, what: &str) -> Value {
        let rest = until.saturating_duration_since(Instant::now());
        self.from.recv_timeout(rest).unwrap_or_else(|e| panic!("the browser does not answer {what}: {e}"))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Nobody speaks to it any more: it ends, with all of its processes. One that does not is ended.
        self.to = None;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The browser of this machine. Without one there is nothing to be held of pages, and no test that passes.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("FLOODMARK_TEST_CHROMIUM") {
        return named.into();
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let all = NAMES.iter().flat_map(|name| std::env::split_paths(&paths).map(move |folder| folder.join(name)));
    all.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!(
            "there is no Chromium: `cargo xtask services up` installs it, FLOODMARK_TEST_CHROMIUM names one of your own"
        )
    })
}
