//! A server that is asked.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const START: Duration = Duration::from_secs(20);
const NAME: &str = "FLOODMARK_API_TOKEN";
const SAYS: &str = "serving at http://";

/// It ends with this.
pub(crate) struct Served {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Served {
    pub(crate) fn start(program: &Path, folder: &Path, token: Option<&str>) -> Result<Served, String> {
        let log = folder.join("serve.log");
        let out = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder);
        if let Some(token) = token {
            command.args(["--token-env", NAME]).env(NAME, token);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let child = command.spawn().map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let mut served = Served { child, address: String::new(), log };
        let since = Instant::now();
        while since.elapsed() < START {
            let said = served.said();
            if let Some(at) = said.find(SAYS)
                && let Some((address, _)) = said[at + SAYS.len()..].split_once('\n')
            {
                address.trim().clone_into(&mut served.address);
                return Ok(served);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("it does not serve: {}", served.said()))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The id of a run there is.
    pub(crate) fn newest_run(&self, token: Option<&str>) -> Result<String, String> {
        let answer = self.get("/api/v1/runs?pipeline=orders&limit=1", token)?;
        let id = answer.split_once("\"run\":\"").and_then(|(_, rest)| rest.split('"').next());
        id.map(str::to_owned).ok_or_else(|| format!("there is no run: {answer}"))
    }

    /// The answer, head and body.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> Result<String, String> {
        let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{bearer}\r\n", self.address);
        let mut answer = String::new();
        TcpStream::connect(&self.address)
            .and_then(|mut stream| {
                stream.set_read_timeout(Some(START))?;
                stream.write_all(request.as_bytes())?;
                stream.read_to_string(&mut answer)
            })
            .map_err(|e| format!("{}: {e}", self.url(path)))?;
        Ok(answer)
    }

    /// It still answers, and nothing of it broke.
    pub(crate) fn end(self) -> Result<(), String> {
        let answer = self.get("/healthz", None)?;
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(format!("it is not well: {answer}"));
        }
        let said = self.said();
        if said.contains("panicked") { Err(said) } else { Ok(()) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
