//! A network that fails: it drops the connection, swallows what is on its way, closes one direction, takes its time. What must
//! follow is the same whichever server is at its other end.

use super::{Hosted, project::Project, said};
use floodmark_testkit::{
    crash::{Look, written},
    proxy::{Fault, Place, Proxy, Way},
};
use std::{
    process::{Child, Output},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What a run begins from, and what it leaves when nothing is in its way.
pub(crate) struct Scene<D> {
    name: &'static str,
    pub(crate) project: Project<D>,
    before: Look,
    after: Look,
    /// Bytes of the unbroken run, up and down.
    pub(crate) bytes: [u64; 2],
}

/// One project of a scene, and the network to its server.
pub(crate) struct Trial<'a, D> {
    scene: &'a Scene<D>,
    pub(crate) project: Project<D>,
    pub(crate) proxy: Proxy,
}

impl<D: Hosted> Scene<D> {
    /// The project as it is now, before a run.
    pub(crate) fn of(name: &'static str, project: Project<D>) -> Scene<D> {
        let before = project.look();
        let mut scene = Scene { name, project, after: before.clone(), before, bytes: [0; 2] };
        let unbroken = scene.begin("");
        unbroken.project.loads();
        let (after, bytes) = (unbroken.project.look(), [Way::Up, Way::Down].map(|way| unbroken.proxy.passed(way)));
        drop(unbroken);
        assert_ne!(after.content, scene.before.content, "{name}: there is nothing to load");
        (scene.after, scene.bytes) = (after, bytes);
        scene
    }

    pub(crate) fn begin(&self, more: &str) -> Trial<'_, D> {
        let mut project = self.project.copy();
        let proxy = Proxy::to(project.database.address()).unwrap();
        let url = project.database.url_at(proxy.address(), more);
        project.point_to(&url);
        Trial { scene: self, project, proxy }
    }

    /// Places all over the bytes of one way, from the first to nearly the last, which [`Scene::end`] is: how many bytes there
    /// are differs by a few, with the digits of process numbers and times.
    fn places(&self, way: Way, number: u64) -> Vec<Place> {
        let all = self.bytes[way as usize];
        let last = all - all / 20;
        (0..=number).map(|n| Place::Byte((last * n / number).max(1))).collect()
    }

    fn end(&self, way: Way) -> Place {
        Place::Byte(self.bytes[way as usize])
    }
}

impl<D: Hosted> Trial<'_, D> {
    /// Runs to the end; the fault must have struck.
    fn run(&self, what: &str) -> (Output, Duration) {
        let since = Instant::now();
        let ran = self.project.run();
        assert!(self.proxy.has_struck(), "{what}: the fault did not strike\n{}", said(&ran));
        (ran, since.elapsed())
    }

    /// The run that met the fault came to its end by itself.
    pub(crate) fn heals(&self, what: &str) -> Duration {
        let (ran, took) = self.run(what);
        assert!(ran.status.success(), "{what}: it ended with {:?}\n{}", ran.status, said(&ran));
        self.is_as_unbroken(what, &said(&ran));
        took
    }

    /// The same where the fault comes so late that it may meet nothing any more.
    pub(crate) fn heals_at_its_end(&self, what: &str) {
        let ran = self.project.run();
        assert!(ran.status.success(), "{what}: it ended with {:?}\n{}", ran.status, said(&ran));
        self.is_as_unbroken(what, &said(&ran));
    }

    /// The run that met the fault is killed, and the next one completes it.
    pub(crate) fn killed(&self, what: &str) {
        let mut child = self.project.start();
        let since = Instant::now();
        while !self.proxy.has_struck() {
            assert!(since.elapsed() < Duration::from_secs(60), "{what}: the fault did not strike");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(100));
        child.kill().unwrap();
        child.wait().unwrap();
        let ran = self.project.run();
        assert!(ran.status.success(), "{what}: the run after it ended with {:?}\n{}", ran.status, said(&ran));
        self.is_as_unbroken(what, &said(&ran));
    }

    pub(crate) fn is_as_unbroken(&self, what: &str, said: &str) {
        let look = self.project.look();
        let what = format!("{}, {what}", self.scene.name);
        for (table, rows) in &self.scene.after.content {
            assert!(look.content.get(table) == Some(rows), "{what}: {table} differs\n{said}");
        }
        assert_eq!(look.content.len(), self.scene.after.content.len(), "{what}: tables\n{said}");
        // A run that had nothing left to do read the table once more.
        let sums = |look: &Look| {
            let sums = look.since(&self.scene.before);
            if self.project.reads { written(&sums) } else { sums }
        };
        assert_eq!(sums(&look), sums(&self.scene.after), "{what}: receipts\n{said}");
    }
}

/// Most of a trial's time is waiting, so that many go at once.
pub(crate) fn all<T: Sync>(trials: &[T], try_it: impl Fn(&T) + Sync) {
    some(8, trials, try_it);
}

fn some<T: Sync>(at_once: usize, trials: &[T], try_it: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    try_it(trial);
                }
            });
        }
    });
}

/// What is expected of a run that is cut.
enum Expected {
    Heals,
    IsKilled,
    HealsAtItsEnd,
}

/// Cuts runs all over their bytes.
pub(crate) fn cut_anywhere<D: Hosted>(scenes: &[Scene<D>]) {
    let mut trials = Vec::new();
    for (number, scene) in scenes.iter().enumerate() {
        for way in [Way::Up, Way::Down] {
            let expected = |n: usize| if (n + number).is_multiple_of(2) { Expected::Heals } else { Expected::IsKilled };
            let places = scene.places(way, 6).into_iter().enumerate();
            trials.extend(places.map(|(n, place)| (scene, way, place, expected(n))));
            trials.push((scene, way, scene.end(way), Expected::HealsAtItsEnd));
        }
    }
    let at_once = if scenes.iter().any(|scene| scene.project.reads) { D::READERS } else { 8 };
    some(at_once, &trials, |(scene, way, place, expected)| {
        let trial = scene.begin("");
        trial.proxy.plan(*way, *place, Fault::Reset);
        let what = format!("cut at {place:?} {way:?}");
        match expected {
            Expected::Heals => drop(trial.heals(&what)),
            Expected::IsKilled => trial.killed(&what),
            Expected::HealsAtItsEnd => trial.heals_at_its_end(&what),
        }
    });
}

fn rows(ids: impl Iterator<Item = u32>, version: u32) -> String {
    let lines = ids.map(|id| format!("{id},{version},name {id} as of {version}\n"));
    std::iter::once("id,v,name\n".to_owned()).chain(lines).collect()
}

/// Files of a thousand rows, each a chunk where that is how many are committed.
fn files<D: Hosted>(project: &Project<D>, ids: std::ops::Range<u32>, version: u32) {
    for (number, first) in ids.clone().step_by(1000).enumerate() {
        project.file(&format!("{version}{number}.csv"), &rows(first..ids.end.min(first + 1000), version));
    }
}

pub(crate) fn first_load<D: Hosted>(database: D) -> Scene<D> {
    let project = Project::loading(database, "    load: upsert\n    key: id\n    version: v\n    commit_every: 1000\n");
    files(&project, 0..3000, 1);
    Scene::of("a first load", project)
}

pub(crate) fn delta<D: Hosted>(database: D) -> Scene<D> {
    let project =
        Project::loading(database, "    load: upsert\n    key: id\n    watermark: v\n    commit_every: 1000\n");
    files(&project, 0..3000, 1);
    project.loads();
    files(&project, 2000..4000, 2);
    Scene::of("a delta", project)
}

pub(crate) fn append<D: Hosted>(database: D) -> Scene<D> {
    let project = Project::loading(database, "    load: append\n    commit_every: 1000\n");
    files(&project, 0..1000, 1);
    project.loads();
    files(&project, 0..3000, 2);
    Scene::of("an append", project)
}

pub(crate) fn history<D: Hosted>(database: D) -> Scene<D> {
    let project = Project::loading(database, "    load: scd2\n    key: id\n    version: v\n");
    files(&project, 0..1000, 1);
    project.loads();
    files(&project, 500..2500, 2);
    Scene::of("a history", project)
}

/// A table of another database, of which some rows changed since it was read.
pub(crate) fn reading<D: Hosted>(database: D, load: &str) -> Scene<D> {
    let project = Project::reading(database, &format!("    {load}\n    watermark: v\n"));
    project.database.make_source(3000);
    project.loads();
    project.database.change_source(3001, 9000);
    Scene::of("a table that is read", project)
}

/// Cuts a run at the transactions of its load: its token, its chunks, with the last of them its position. The cut comes before
/// the server has read the whole word, or when it has done what it says and the answer is on its way.
pub(crate) fn cut_at_commits<D: Hosted>(scenes: &[Scene<D>]) {
    let mut trials = Vec::new();
    for scene in scenes {
        for number in 1..=4 {
            trials.push((scene, Place::Within(D::COMMIT, number), Fault::Reset));
            trials.push((scene, Place::Behind(D::COMMIT, number), Fault::Reset));
            trials.push((scene, Place::Behind(D::COMMIT, number), Fault::LoseAnswer));
        }
    }
    all(&trials, |(scene, place, fault)| {
        let trial = scene.begin("");
        trial.proxy.plan(Way::Up, *place, *fault);
        trial.heals(&format!("{fault:?} at {place:?}"));
    });
}

/// Cuts a run off while the server still works on its COMMIT, which nothing takes back any more and nobody sees yet. `begin`
/// starts such a run, and returns when it is there.
pub(crate) fn cut_while_it_commits<D: Hosted>(scenes: &[Scene<D>], begin: impl Fn(&Project<D>) -> Child) {
    for scene in scenes {
        let trial = scene.begin("");
        let child = begin(&trial.project);
        trial.proxy.strike(Fault::Reset);
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{}: {}", scene.name, said(&ran));
        trial.is_as_unbroken("cut off while it commits", &said(&ran));
    }
}

/// Has the network swallow everything. Neither end is told: the program gives up by its limits, which `more` says, and ends the
/// session that the server still believes in.
pub(crate) fn swallowed<D: Hosted>(scenes: &[Scene<D>], more: &str) {
    let mut trials = Vec::new();
    for scene in scenes {
        let [up, down] = scene.bytes;
        trials.push((scene, Way::Up, Place::Byte(up / 3)));
        trials.push((scene, Way::Up, Place::Byte(up * 2 / 3)));
        trials.push((scene, Way::Down, Place::Byte(down / 2)));
        // The receipt is written, and held by a session that the server believes in: the failed attempt writes it, too.
        trials.push((scene, Way::Up, Place::Within(D::COMMIT, 3)));
        trials.push((scene, Way::Up, Place::Behind(D::COMMIT, 3)));
    }
    all(&trials, |(scene, way, place)| {
        let trial = scene.begin(more);
        trial.proxy.plan(*way, *place, Fault::Swallow);
        let what = format!("swallowed from {place:?} {way:?} on");
        let took = trial.heals(&what);
        assert!(took < Duration::from_secs(30), "{}, {what}: it took {took:?}", scene.name);
    });
}

/// Closes connections in one direction.
pub(crate) fn half_closed<D: Hosted>(scenes: &[Scene<D>]) {
    let mut trials = Vec::new();
    for scene in scenes {
        for close in [Way::Up, Way::Down] {
            trials.extend([3, 2].map(|part| (scene, Place::Byte(scene.bytes[0] / part), close)));
            trials.push((scene, Place::Behind(D::COMMIT, 2), close));
        }
    }
    all(&trials, |(scene, place, close)| {
        let trial = scene.begin(D::SOON);
        trial.proxy.plan(Way::Up, *place, Fault::Close(*close));
        trial.heals(&format!("{close:?} closed at {place:?}"));
    });
}

/// Takes its time with every piece of bytes.
pub(crate) fn slow<D: Hosted>(scenes: &[Scene<D>]) {
    all(scenes, |scene| {
        let trial = scene.begin(D::SOON);
        trial.proxy.set_delay(Duration::from_millis(20));
        let ran = trial.project.run();
        assert!(ran.status.success() && !said(&ran).contains("trying again"), "{}", said(&ran));
        trial.is_as_unbroken("slowly", &said(&ran));
    });
}

/// A server that cannot be reached for longer than a run tries.
pub(crate) fn gone_for_good<D: Hosted>(scene: &Scene<D>) {
    let trial = scene.begin("");
    trial.proxy.plan(Way::Up, Place::Byte(scene.bytes[0] / 2), Fault::Reset);
    let child = trial.project.start();
    while !trial.proxy.has_struck() {
        thread::sleep(Duration::from_millis(2));
    }
    trial.proxy.set_down(true);
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert_eq!(said(&ran).matches("trying again in").count(), 4, "{}", said(&ran));
    assert!(said(&ran).contains("FM04"), "{}", said(&ran));
    trial.proxy.set_down(false);
    let ran = trial.project.run();
    assert!(ran.status.success(), "{}", said(&ran));
    trial.is_as_unbroken("after all of it", &said(&ran));
}

/// A source that falls silent, or says no more, amid its rows.
pub(crate) fn silent_source<D: Hosted>(scene: &Scene<D>) {
    let half = Place::Byte(scene.bytes[1] / 2);
    let faults = [Fault::Swallow, Fault::Close(Way::Down), Fault::Close(Way::Up)];
    all(&faults, |fault| {
        let trial = scene.begin(D::SOON);
        trial.proxy.plan(Way::Down, half, *fault);
        let took = trial.heals(&format!("{fault:?} amid its rows"));
        assert!(took < Duration::from_secs(30), "it took {took:?}");
    });
}

/// Something that takes connections and never says a word: a server that hangs, or no server at all.
pub(crate) fn never_answers<D: Hosted>() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for mut project in [Project::<D>::upsert(), Project::reading(D::empty(), "    key: id\n")] {
        project.file("a.csv", "id,v,name\n1,1,a\n");
        let url = project.database.url_at(silent.local_addr().unwrap(), D::AT_ONCE);
        project.point_to(&url);
        let since = Instant::now();
        let ran = project.run();
        assert!(since.elapsed() < Duration::from_secs(10), "it took {:?}", since.elapsed());
        assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
        let limit = D::AT_ONCE.trim_matches('&').trim_end_matches("=1");
        assert!(said(&ran).contains("no answer in 1 s") && said(&ran).contains(limit), "{}", said(&ran));
    }
}
