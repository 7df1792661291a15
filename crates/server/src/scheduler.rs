//! The loop: what happened goes to the board, what the board decides is done. Everything that waits or fails is here.

use crate::{
    Declarations, Program, alert,
    board::{Board, Declared, Entry, Exit, Limits, Refusal, Step},
    books, child,
    facts::Known,
    memory::{Memory, Remembered},
    sessions::{PATIENCE, Sessions, Silent},
    traced::Traced,
    work::Task,
};
use chrono::{DateTime, Utc};
use floodmark_core::{Error, clock::SharedClock, url::ConnectionUrl};
use floodmark_trace::Traces;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime},
};
use tokio::sync::{broadcast, mpsc};

/// How long it sleeps at most: clocks are set, and machines are put to sleep.
const NAP: Duration = Duration::from_secs(20);
/// How often all ledgers are looked at for what others did.
const LOOK: Duration = Duration::from_secs(60);
/// How often those are that could not be read.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is decided what somebody is to be told.
const TELL: Duration = Duration::from_secs(1);
/// What is on its way to somebody when the server stops may take so long; what does not arrive is told by the next one.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often the pipeline file is looked at for changes, and what another server wrote down.
const GLANCE: Duration = Duration::from_secs(2);
/// Families are looked up anew so often, as their sources may have new tables; and so soon where a source did not say.
const FAMILIES: Duration = Duration::from_secs(600);
const UNASKED: Duration = Duration::from_secs(20);

/// What happens.
pub(crate) enum News {
    /// A process told something.
    Said(String, serde_json::Value),
    /// A process ended.
    Exited(String, Exit),
    /// Ledgers were read.
    Read(String, BTreeMap<String, Known>),
    /// They are being read, and their database says nothing.
    Silent(BTreeMap<String, Known>),
    /// The board was changed by somebody who asked.
    Asked,
    /// The project was read anew.
    Declared(Result<Declarations, String>),
    /// A message to a channel arrived, or did not.
    Sent(String, Result<(), String>),
    /// The server is to stop; told twice, at once.
    Stop,
}

/// What is sent to those who watch.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// A piece of work began, ended or waits for something else.
    Job(String),
    /// More is known of a pipeline.
    Pipeline(String),
    /// The pipeline file was read anew, or has mistakes, or other ones.
    Project,
    /// The server stops.
    Over,
}

/// What the loop and those who ask share.
pub(crate) struct Shared {
    board: Mutex<Board>,
    pub(crate) news: mpsc::Sender<News>,
    pub(crate) told: broadcast::Sender<Told>,
    /// Work that said something: a run does so many times, and only who reads that page wants to hear of it.
    pub(crate) said: broadcast::Sender<String>,
    pub(crate) clock: SharedClock,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) sessions: Sessions,
    /// When the loop went round last.
    pulse: Mutex<DateTime<Utc>>,
}

impl Shared {
    pub(crate) fn new(
        program: Arc<dyn Program>,
        limits: Limits,
        clock: SharedClock,
    ) -> (Arc<Shared>, mpsc::Receiver<News>) {
        let (news, inbox) = mpsc::channel(1024);
        let (told, _) = broadcast::channel(1024);
        let (said, _) = broadcast::channel(1024);
        let now = clock.now();
        let board = Mutex::new(Board::new(limits, now));
        let (sessions, pulse) = (Sessions::default(), Mutex::new(now));
        (Arc::new(Shared { board, news, told, said, clock, program, sessions, pulse }), inbox)
    }

    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the loop went round last.
    pub(crate) fn pulse(&self) -> DateTime<Utc> {
        *self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a test, to one channel or all. `false` where there is none.
    pub(crate) fn test_alerts(&self, channel: Option<&str>) -> bool {
        let any = self.board().desk.test(channel);
        self.nudge();
        any
    }

    fn nudge(&self) {
        // A full inbox wakes the loop anyway.
        let _ = self.news.try_send(News::Asked);
    }

    pub(crate) fn ask(&self, pipeline: &str, task: Task) -> Result<String, Refusal> {
        let id = self.board().ask(self.clock.run_id(), pipeline, task, self.clock.now())?;
        let _ = self.told.send(Told::Job(id.clone()));
        self.nudge();
        Ok(id)
    }

    pub(crate) fn retry(&self, id: &str) -> Result<String, Refusal> {
        let new = self.board().retry(self.clock.run_id(), id, self.clock.now())?;
        let _ = self.told.send(Told::Job(new.clone()));
        self.nudge();
        Ok(new)
    }

    pub(crate) fn cancel(&self, id: &str) -> Result<(), Refusal> {
        self.board().cancel(id, self.clock.now())?;
        let _ = self.told.send(Told::Job(id.to_owned()));
        self.nudge();
        Ok(())
    }

    pub(crate) fn pause(&self, pipeline: &str, paused: bool) -> Result<(), Refusal> {
        self.board().pause(pipeline, paused, self.clock.now())?;
        let _ = self.told.send(Told::Pipeline(pipeline.to_owned()));
        self.nudge();
        Ok(())
    }
}

/// A destination, the pipelines whose ledgers are to be read there, and the newest run that is known of each.
type Shelf = (ConnectionUrl, Vec<String>, BTreeMap<String, String>);

/// The loop's own.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<News>,
    memory: Memory,
    /// Numbers of processes, by work.
    processes: BTreeMap<String, u32>,
    traced: Traced,
    /// Destinations whose ledgers are being read.
    reading: BTreeSet<String>,
    /// Pipelines whose ledgers are to be read when that is done.
    stale: BTreeSet<String>,
    looked: Option<DateTime<Utc>>,
    /// When those were that could not be read.
    again: Option<DateTime<Utc>>,
    glanced: Option<DateTime<Utc>>,
    /// When the project was read, and how the file was then.
    declared: Option<(DateTime<Utc>, Option<SystemTime>)>,
    declaring: bool,
    /// Whether the source of a family could not be asked for its tables.
    unasked: bool,
    /// When it was decided last what somebody is to be told.
    told: Option<DateTime<Utc>>,
    /// Since when nothing goes on any more.
    over: Option<DateTime<Utc>>,
}

impl Scheduler {
    /// Reads what is kept, and the project for the first time: afterwards the board can be asked.
    ///
    /// # Errors
    /// The text of what is wrong with the pipeline file.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        inbox: mpsc::Receiver<News>,
        folder: &Path,
        traces: Option<Arc<Traces>>,
    ) -> Result<Scheduler, String> {
        let now = shared.clock.now();
        let mut memory = Memory::beside(folder);
        let remembered = memory.read().unwrap_or_else(|error| {
            tracing::warn!(error, "what was kept beside the project cannot be read, and is begun anew");
            Remembered::default()
        });
        memory.changed();
        // Before the file is read: a change meanwhile is read once more.
        let declared = Some((now, modified(&shared)));
        let program = Arc::clone(&shared.program);
        // Sources of families are asked for their tables, and a connection brings a runtime of its own.
        let first = tokio::task::spawn_blocking(move || program.declared());
        let first = first.await.map_err(|_| "the pipeline file could not be read".to_owned())??;
        let unasked = first.pipelines.iter().any(Declared::is_unasked);
        {
            let mut board = shared.board();
            board.desk = alert::Desk::of(shared.program.file().display().to_string());
            board.desk.declare(first.alerts);
            board.declare(first.pipelines, &remembered.kept, now);
            if memory.first() {
                board.resume_asked(remembered.asked);
            }
            board.jobs.extend(remembered.ended.into_iter().map(|job| (job.id.clone(), job)));
        }
        Ok(Scheduler {
            shared,
            inbox,
            memory,
            processes: BTreeMap::new(),
            traced: Traced::new(traces),
            reading: BTreeSet::new(),
            stale: BTreeSet::new(),
            looked: None,
            again: None,
            glanced: None,
            declared,
            declaring: false,
            unasked,
            told: None,
            over: None,
        })
    }

    /// Goes round until it is told to stop and all processes have ended.
    pub(crate) async fn run(mut self) {
        loop {
            let now = self.shared.clock.now();
            *self.shared.pulse.lock().unwrap_or_else(PoisonError::into_inner) = now;
            self.look(now);
            let step = self.step(now);
            self.tell(now);
            let (stopping, sends) = {
                let board = self.shared.board();
                (board.stopping, board.desk.sends())
            };
            if stopping && self.processes.is_empty() {
                let over = *self.over.get_or_insert(now);
                if !sends || (now - over).to_std().unwrap_or_default() >= FAREWELL {
                    break;
                }
            }
            let nap = step.wake.and_then(|at| (at - now).to_std().ok()).unwrap_or(NAP).min(NAP).min(GLANCE);
            let nap = nap.max(Duration::from_millis(if stopping { 200 } else { 5 }));
            if !self.wait(nap).await {
                break;
            }
        }
        self.write();
        let _ = self.shared.told.send(Told::Over);
    }

    /// Takes in what happens, until there is something to decide on or the time is over; `false` where nothing will happen any
    /// more.
    async fn wait(&mut self, nap: Duration) -> bool {
        let until = tokio::time::Instant::now() + nap;
        loop {
            let Ok(news) = tokio::time::timeout_at(until, self.inbox.recv()).await else { return true };
            let Some(news) = news else { return false };
            // How far a piece of work is decides nothing.
            let mut decides = !matches!(news, News::Said(..));
            self.take(news);
            // What came together is decided on together.
            while let Ok(news) = self.inbox.try_recv() {
                decides |= !matches!(news, News::Said(..));
                self.take(news);
            }
            if decides {
                return true;
            }
        }
    }

    fn take(&mut self, news: News) {
        let now = self.shared.clock.now();
        match news {
            News::Said(id, event) => {
                self.shared.board().said(&id, event, now);
                // Nobody need be watching.
                let _ = self.shared.said.send(id);
            }
            News::Exited(id, exit) => {
                self.processes.remove(&id);
                let pipeline = {
                    let mut board = self.shared.board();
                    board.exited(&id, exit, now);
                    self.traced.end(&id, board.jobs.get(&id));
                    board.jobs.get(&id).map(|job| job.pipeline.clone())
                };
                self.stale.extend(pipeline);
                let _ = self.shared.told.send(Told::Job(id));
            }
            News::Read(place, known) => {
                self.reading.remove(&place);
                self.learned(known, now);
            }
            News::Silent(known) => self.learned(known, now),
            News::Declared(read) => {
                self.declaring = false;
                let kept = self.memory.read().unwrap_or_default().kept;
                let mut board = self.shared.board();
                match read {
                    Ok(all) => {
                        self.unasked = all.pipelines.iter().any(Declared::is_unasked);
                        board.mistakes = None;
                        board.desk.declare(all.alerts);
                        board.declare(all.pipelines, &kept, now);
                        self.looked = None;
                    }
                    Err(mistakes) => board.mistakes = Some(mistakes),
                }
                drop(board);
                let _ = self.shared.told.send(Told::Project);
            }
            News::Sent(channel, result) => {
                if let Err(error) = &result {
                    tracing::warn!(channel, error, "an alert did not arrive, and is sent again later");
                }
                self.shared.board().desk.sent(&channel, result, now);
            }
            News::Asked => {}
            News::Stop => {
                let mut board = self.shared.board();
                if board.stopping {
                    drop(board);
                    self.processes.values().for_each(|number| child::signal(*number, true));
                } else {
                    board.stop(now);
                }
            }
        }
    }

    fn learned(&mut self, known: BTreeMap<String, Known>, now: DateTime<Utc>) {
        let names: Vec<String> = known.keys().cloned().collect();
        let (mut lost, mut back) = (BTreeSet::new(), false);
        {
            let mut board = self.shared.board();
            for (name, known) in known {
                let was = board.entry(&name).is_some_and(Entry::is_unread);
                match &known.error {
                    Some(error) if !was => drop(lost.insert(error.clone())),
                    None => back |= was,
                    Some(_) => {}
                }
                board.learned(&name, known, now);
            }
        }
        lost.iter().for_each(|error| tracing::warn!(error, "ledgers cannot be read, and are looked at again"));
        if back {
            tracing::info!(pipelines = names.len(), "ledgers can be read again");
        }
        for name in names {
            let _ = self.shared.told.send(Told::Pipeline(name));
        }
    }

    /// What is decided is done.
    fn step(&mut self, now: DateTime<Utc>) -> Step {
        let clock = Arc::clone(&self.shared.clock);
        let step = self.shared.board().step(&mut || clock.run_id(), now);
        for start in &step.start {
            let mut command = self.shared.program.command(self.shared.program.file(), &start.arguments);
            if let Some(job) = self.shared.board().jobs.get(&start.job) {
                self.traced.begin(job, &mut command);
            }
            match child::start(command, start.job.clone(), self.shared.news.clone()) {
                Ok(Some(number)) => drop(self.processes.insert(start.job.clone(), number)),
                Ok(None) => {}
                Err(error) => {
                    let said = format!("a process cannot be started: {error}");
                    let mut board = self.shared.board();
                    board.exited(&start.job, Exit { code: None, result: None, said }, now);
                    self.traced.end(&start.job, board.jobs.get(&start.job));
                }
            }
            let _ = self.shared.told.send(Told::Job(start.job.clone()));
        }
        for (ids, kill) in [(&step.terminate, false), (&step.kill, true)] {
            ids.iter().filter_map(|id| self.processes.get(id)).for_each(|number| child::signal(*number, kill));
        }
        self.write();
        step
    }

    /// Who is to be told something is, each on a thread of its own: nobody here waits for what others take to answer.
    fn tell(&mut self, now: DateTime<Utc>) {
        let soon = self.told.is_some_and(|told| (now - told).to_std().unwrap_or_default() < TELL);
        if soon && !self.shared.board().desk.is_tested() {
            return;
        }
        self.told = Some(now);
        for alert::Dispatch { channel, message } in self.shared.board().alerts(now) {
            let (name, news) = (channel.name.clone(), self.shared.news.clone());
            let send = move || {
                let result = alert::send(&channel, &message);
                // The other end is gone when the server is.
                let _ = news.blocking_send(News::Sent(channel.name, result));
            };
            if let Err(error) = thread::Builder::new().name(format!("alert {name}")).spawn(send) {
                let why = format!("there is no thread for it: {error}");
                self.shared.board().desk.sent(&name, Err(why), now);
            }
        }
        self.write();
    }

    fn write(&mut self) {
        let notes = self.shared.board().notes();
        if notes.is_empty() {
            return;
        }
        // The ledgers say where schedules go on; what is lost is who was paused.
        if let Err(error) = self.memory.write(&notes) {
            tracing::warn!(error, "what is kept beside the project cannot be written");
        }
    }

    /// Ledgers, the pipeline file, and what another server wrote down.
    fn look(&mut self, now: DateTime<Utc>) {
        let since = |at: Option<DateTime<Utc>>| at.map_or(Duration::MAX, |at| (now - at).to_std().unwrap_or_default());
        if since(self.glanced) >= GLANCE {
            self.glanced = Some(now);
            if let Some(kept) = self.memory.changed() {
                let unread = self.shared.board().remember(&kept, now);
                self.stale.extend(unread);
            }
            if !self.shared.board().desk.tells && self.memory.tells() {
                let told = self.memory.told().unwrap_or_else(|error| {
                    tracing::warn!(error, "what people were told is not known any more, and is told again");
                    Vec::new()
                });
                self.shared.board().desk.take_over(told);
            }
            self.declare(now);
        }
        let all = since(self.looked) >= LOOK;
        if all {
            self.looked = Some(now);
        }
        if since(self.again) >= AGAIN {
            self.again = Some(now);
            let board = self.shared.board();
            let unread = board.entries.iter().filter(|entry| entry.is_unread());
            self.stale.extend(unread.map(|entry| entry.declared.name.clone()));
        }
        if all || !self.stale.is_empty() {
            self.read(all, now);
        }
    }

    /// Reads the project anew when its file was changed, and now and then when it has families.
    fn declare(&mut self, now: DateTime<Utc>) {
        let Some((at, was)) = self.declared else { return };
        let is = modified(&self.shared);
        let families = self.shared.board().entries.iter().any(|entry| entry.declared.family.is_some());
        let limit = if self.unasked { UNASKED } else { FAMILIES };
        let old = families && (now - at).to_std().unwrap_or_default() >= limit;
        if self.declaring || (is == was && !old) {
            return;
        }
        self.declaring = true;
        self.declared = Some((now, is));
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            let read = shared.program.declared();
            let _ = shared.news.blocking_send(News::Declared(read));
        });
    }

    fn read(&mut self, all: bool, now: DateTime<Utc>) {
        let mut by_destination: BTreeMap<String, Shelf> = BTreeMap::new();
        {
            let board = self.shared.board();
            for entry in &board.entries {
                let Ok(pipeline) = &entry.declared.pipeline else { continue };
                let (name, url) = (&entry.declared.name, &pipeline.destination.url);
                let place = format!("{}:{}", url.scheme(), url.written());
                if self.reading.contains(&place) {
                    continue;
                }
                let stale = self.stale.contains(name);
                if !all && !stale {
                    continue;
                }
                let (_, names, seen) =
                    by_destination.entry(place).or_insert_with(|| (url.clone(), Vec::new(), BTreeMap::new()));
                names.push(name.clone());
                let known = entry.known.as_ref().filter(|known| known.error.is_none() && known.read_at.is_some());
                if let Some(newest) = known.filter(|_| !stale).and_then(Known::newest) {
                    seen.insert(name.clone(), newest);
                }
            }
        }
        for (place, (url, names, seen)) in by_destination {
            // One that is being loaded, and that one process at a time can open, is read when it is not.
            if !self.shared.board().open(&url) {
                self.stale.extend(names);
                continue;
            }
            for name in &names {
                self.stale.remove(name);
            }
            self.reading.insert(place.clone());
            let (shared, its) = (Arc::clone(&self.shared), self.shared.sessions.place(&url));
            let (at, of) = (url.clone(), names.clone());
            let reads = Arc::clone(&shared);
            let mut looking = its.look(move |look| {
                let known = books::read(&at, &of, &seen, now, look);
                reads.board().close(&at);
                known
            });
            tokio::spawn(async move {
                let mut told = false;
                let known = loop {
                    match tokio::time::timeout(PATIENCE, &mut looking).await {
                        Ok(known) => break known,
                        Err(_) if its.is_silent() && !told => {
                            told = true;
                            let known = books::unread(&names, &Silent.told(&url));
                            let _ = shared.news.send(News::Silent(known)).await;
                        }
                        Err(_) => {}
                    }
                };
                let ended = |_| books::unread(&names, &Error::internal("a ledger could not be read"));
                let _ = shared.news.send(News::Read(place, known.unwrap_or_else(ended))).await;
            });
        }
    }
}

fn modified(shared: &Shared) -> Option<SystemTime> {
    std::fs::metadata(shared.program.file()).and_then(|file| file.modified()).ok()
}
