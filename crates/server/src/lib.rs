//! `floodmark serve`: schedules, an API and pages over the pipelines of a project.
//!
//! Runs are processes of the same program: one that dies takes no server with it. The ledgers in the destinations are the
//! truth, here they are read and shown; what is kept beside the project (`memory`) is no fact about data. What is decided is
//! decided without input or output: `ticks` (when a schedule fires), `due` (what is due now, whoever was started when),
//! `admit` (what may begin), `alert` (who is told what), `board` (all of it together). `scheduler` does what was decided, `sessions`
//! says how many read ledgers at a time, `http` tells and asks, `page` makes what people see. `sandbox` is where they try things, away from the project.

mod admit;
mod alert;
mod at;
mod board;
mod books;
mod child;
mod due;
mod facts;
mod http;
mod memory;
mod page;
mod sandbox;
mod scheduler;
mod sessions;
mod ticks;
mod traced;
mod work;

pub use board::Declared;
pub use child::{CRASH, EVENTS};

use board::Limits;
use floodmark_config::{Lint, Written};
use floodmark_core::{Code, Error, Result, clock::SharedClock, outlet::Channel};
use floodmark_trace::Traces;
use sandbox::Sandbox;
use scheduler::{News, Scheduler, Shared};
use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

/// Threads that answer and decide. Reading ledgers and rendering are quick, and the work is done elsewhere.
const THREADS: usize = 2;
/// Threads that wait for databases. Of one database there are few: these are there for several that do not answer, and those
/// that do beside them.
const WAITING: usize = 32;
/// One of these that has nothing to do goes after so long, and what it kept of memory with it.
const IDLE: Duration = Duration::from_millis(500);
/// What is still being answered when the server stops may take so long.
const LAST: Duration = Duration::from_secs(3);
/// How often what visitors left in the sandbox is looked for.
const ROUND: Duration = Duration::from_secs(60);

/// Whether the kernel may give this process, and those that it starts, memory in huge pages. They are for loads, which use whole
/// ones; a server holds a little here and there for long, and took half as much again with them.
pub fn huge_pages(wanted: bool) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(!wanted) {
        tracing::debug!(%error, "huge pages are as they were");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = wanted;
}

/// The program that is served, and starts itself.
pub trait Program: Send + Sync {
    /// The pipeline file.
    fn file(&self) -> &Path;
    /// What it declares now, families looked up; or what is wrong with the file.
    ///
    /// # Errors
    /// The text of its mistakes, with their places.
    fn declared(&self) -> Result<Declarations, String>;
    /// A pipeline, or the family it is of, as the file has it now, with its mistakes and these warnings beside their lines;
    /// `None` where it has none of that name.
    fn written(&self, _pipeline: &str, _lints: &[Lint]) -> Option<Written> {
        None
    }
    /// The program, about to do something with a pipeline file: the served one, or one of the sandbox.
    fn command(&self, file: &Path, arguments: &[String]) -> Command;
    /// The page of an error code, in Markdown.
    fn page(&self, code: Code) -> Option<&'static str>;
}

/// What a pipeline file declares.
pub struct Declarations {
    /// Its pipelines, in order.
    pub pipelines: Vec<Declared>,
    /// Whom to tell of what fails or is late.
    pub alerts: Vec<Channel>,
}

/// How it is served.
pub struct Options {
    /// The address.
    pub listen: SocketAddr,
    /// What a request must bring; `None` where everybody on this machine may do everything.
    pub token: Option<String>,
    /// Names of this machine that a browser may know it by, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// How many pieces of work go on at a time.
    pub jobs: usize,
    /// How long a process may take to end when it is told to.
    pub grace: Duration,
    /// Whether there is a page to try things on. There is none where others than who uses this machine may come.
    pub sandbox: bool,
    /// Where traces of its work go.
    pub traces: Option<Arc<Traces>>,
}

/// Serves until a signal. `ready` is told the address once requests are answered.
///
/// # Errors
/// Where the address cannot be listened on, or is open to others and there is no token.
pub fn serve(
    options: Options,
    program: Arc<dyn Program>,
    clock: SharedClock,
    ready: &dyn Fn(SocketAddr),
) -> Result<()> {
    let gate = http::Gate::new(&options)?;
    let unheard = |e| {
        Error::new(Code::Listen, format!("{} cannot be listened on", options.listen))
            .state("nothing was started")
            .help("choose another address with --listen 127.0.0.1:PORT, or stop what listens there")
            .cause(e)
    };
    let listener = TcpListener::bind(options.listen).map_err(unheard)?;
    listener.set_nonblocking(true).map_err(unheard)?;
    let address = listener.local_addr().map_err(unheard)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .max_blocking_threads(WAITING)
        .thread_keep_alive(IDLE)
        .enable_all()
        .build()
        .map_err(|e| Error::internal("the server cannot be started").cause(e))?;
    let sandbox = sandbox(&options, &program);
    let folder = program.file().parent().unwrap_or(Path::new("")).to_owned();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(unheard)?;
        let limits = Limits { jobs: options.jobs.max(1), grace: options.grace };
        let (shared, inbox) = Shared::new(program, limits, clock);
        watch(&shared)?;
        let opened = Scheduler::open(Arc::clone(&shared), inbox, &folder, options.traces.clone()).await;
        let scheduler = opened.map_err(|mistakes| {
            Error::new(Code::ConfigInvalid, mistakes.trim_end().to_owned()).state("nothing was started")
        })?;
        let (done, mut over) = tokio::sync::watch::channel(false);
        let answering = tokio::spawn(http::listen(listener, shared, gate, sandbox.clone(), async move {
            // An error is a scheduler that is gone, which is over as well.
            let _ = over.wait_for(|over| *over).await;
        }));
        if let Some(sandbox) = sandbox.clone() {
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(ROUND).await;
                    sandbox.expire(Instant::now());
                }
            });
        }
        ready(address);
        scheduler.run().await;
        let _ = done.send(true);
        // Whoever still listens then is left.
        let _ = tokio::time::timeout(LAST, answering).await;
        Ok::<(), Error>(())
    })?;
    runtime.shutdown_timeout(LAST);
    if let Some(traces) = &options.traces {
        traces.close();
    }
    if let Some(sandbox) = sandbox {
        sandbox.close();
    }
    Ok(())
}

/// Only for who uses this machine: where it has a name that others know it by, they come from elsewhere, through a proxy.
fn sandbox(options: &Options, program: &Arc<dyn Program>) -> Option<Arc<Sandbox>> {
    if !options.sandbox || !options.listen.ip().is_loopback() || !options.hosts.is_empty() {
        return None;
    }
    match Sandbox::open(Arc::clone(program), &std::env::temp_dir()) {
        Ok(sandbox) => Some(Arc::new(sandbox)),
        Err(error) => {
            tracing::warn!(%error, "there is no page to try things on: the temporary folder cannot be written to");
            None
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It arrived.
    Arrived,
    /// The channel is switched off, and nothing was sent.
    Off,
    /// It did not arrive, and why, in a sentence.
    Lost(String),
}

/// Sends a test to each channel, one after the other.
pub fn test_alerts(
    channels: &[Channel],
    project: &str,
    clock: &SharedClock,
) -> impl Iterator<Item = (String, Arrival)> {
    let message = alert::Message { items: vec![alert::Item::Test], project: project.to_owned(), at: clock.now() };
    channels.iter().map(move |channel| {
        let arrival = match alert::send(channel, &message) {
            _ if channel.is_off() => Arrival::Off,
            Ok(()) => Arrival::Arrived,
            Err(why) => Arrival::Lost(why),
        };
        (channel.name.clone(), arrival)
    })
}

/// From here on a signal stops the server, and a second one does not wait for what goes on.
fn watch(shared: &Arc<Shared>) -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let unwatched = |e| Error::internal("signals cannot be watched").cause(e);
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut signals = signal(kind).map_err(unwatched)?;
            let news = shared.news.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    // The loop is gone where this fails.
                    let _ = news.send(News::Stop).await;
                }
            });
        }
    }
    #[cfg(not(unix))]
    {
        let news = shared.news.clone();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let _ = news.send(News::Stop).await;
            }
        });
    }
    Ok(())
}
