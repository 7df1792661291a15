//! Gets events out: into a file at once, to an address of the web behind the back of the run.

use floodmark_core::outlet::{Given, LineageSpec, Secret, WebUrl};
use serde_json::Value;
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How long after it failed an event is posted again, each time.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
/// How long what is not posted when all runs are over may take still.
const LAST: Duration = Duration::from_secs(5);
/// Events that wait.
const WAITING: usize = 1000;

/// Somebody who is told what does not arrive: of which pipeline, and why.
pub(crate) type Warn = Box<dyn Fn(&str, String) + Send + Sync>;

/// An event, and the pipeline it is of.
type Sent = (String, Value);

/// Where events go.
pub(crate) struct Outlet {
    file: Option<PathBuf>,
    posting: Option<Posting>,
    warn: Warn,
    /// A file that cannot be written is told of once.
    told: Mutex<bool>,
}

/// A thread that posts.
struct Posting {
    events: SyncSender<Sent>,
    /// What did not arrive, when all is done.
    over: Mutex<Receiver<Lost>>,
    /// When that is to be.
    by: Arc<OnceLock<Instant>>,
}

/// What did not arrive.
#[derive(Debug, Default)]
struct Lost {
    events: u64,
    first: Option<(String, String)>,
}

impl Lost {
    fn add(&mut self, pipeline: String, why: String) {
        self.events += 1;
        self.first.get_or_insert((pipeline, why));
    }
}

impl Outlet {
    pub(crate) fn new(spec: &LineageSpec, warn: Warn) -> Outlet {
        let endpoint = spec.endpoint.as_ref().and_then(|endpoint| match endpoint.ready() {
            Ok(ready) => ready.map(|(url, token)| (url.clone(), token.cloned())),
            Err(why) => {
                warn("", format!("runs are not told of by `lineage`: {why}"));
                None
            }
        });
        let posting = endpoint.map(|(url, token)| post(url, token));
        Outlet { file: spec.file.clone(), posting, warn, told: Mutex::new(false) }
    }

    pub(crate) fn send(&self, pipeline: &str, event: Value) {
        if let Some(file) = &self.file
            && let Err(error) = append(file, &event)
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::replace(&mut *told, true) {
                (self.warn)(pipeline, format!("{}: lineage cannot be written: {error}", file.display()));
            }
        }
        let Some(posting) = &self.posting else { return };
        if let Err(TrySendError::Full(_)) = posting.events.try_send((pipeline.to_owned(), event)) {
            (self.warn)(pipeline, format!("an event of lineage is lost: {WAITING} others wait to be posted"));
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let Some(Posting { events, over, by }) = self.posting.take() else { return };
        by.get_or_init(|| Instant::now() + LAST);
        drop(events);
        let over = over.into_inner().unwrap_or_else(PoisonError::into_inner);
        let lost = match over.recv_timeout(LAST + ANSWER) {
            Ok(lost) => lost,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let mut lost = Lost::default();
                lost.add(String::new(), "its thread does not end".into());
                lost
            }
        };
        if let Some((pipeline, why)) = lost.first {
            let events = floodmark_core::wording::agree(lost.events, "event", "was", "were");
            (self.warn)(&pipeline, format!("{events} not posted to `lineage`; the load is not touched by it: {why}"));
        }
    }
}

/// One line, written at once: several processes may add to the file.
fn append(file: &Path, event: &Value) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).open(file)?.write_all(format!("{event}\n").as_bytes())
}

fn post(url: WebUrl, token: Option<Secret>) -> Posting {
    let (events, waiting) = sync_channel::<Sent>(WAITING);
    let (done, over) = channel();
    let by = Arc::new(OnceLock::new());
    let limit = Arc::clone(&by);
    let work = move || {
        let mut lost = Lost::default();
        // Whoever did not answer is asked once for each further event.
        let mut silent = false;
        for (pipeline, event) in waiting {
            let result = attempts(&url, token.as_ref(), &event, silent, &limit);
            silent = result.is_err();
            if let Err(why) = result {
                lost.add(pipeline, why);
            }
        }
        // Nobody may be waiting any more.
        let _ = done.send(lost);
    };
    // Without a thread nothing is posted, which the end of `over` says.
    drop(thread::Builder::new().name("lineage".into()).spawn(work));
    Posting { events, over: Mutex::new(over), by }
}

/// Posts an event, a few times. `by`: what is not begun by then is given up, once that is known.
fn attempts(
    url: &WebUrl,
    token: Option<&Secret>,
    event: &Value,
    once: bool,
    by: &OnceLock<Instant>,
) -> Result<(), String> {
    let mut pauses = PAUSES.iter();
    let mut why = format!("{url}: time was up");
    while by.get().is_none_or(|by| Instant::now() < *by) {
        let Err(error) = floodmark_post::post(url, token, event, ANSWER) else { return Ok(()) };
        why = error.to_string();
        match pauses.next().filter(|_| !once) {
            Some(pause) => thread::sleep(*pause),
            None => break,
        }
    }
    Err(why)
}

/// Whether nothing would be sent: what is named is switched off.
pub(crate) fn is_off(spec: &LineageSpec) -> bool {
    spec.file.is_none() && spec.endpoint.as_ref().is_none_or(|endpoint| endpoint.url == Given::Empty)
}
