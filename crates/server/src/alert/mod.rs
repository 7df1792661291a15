//! Alerts: who is told what of which pipeline. `facts` says how pipelines stand, `decide` what somebody is to hear of that,
//! `message` in which words, all without input or output. `Desk` keeps what was told and what is on its way; `send` gets it
//! there. What does not arrive is tried again, later and later, for as long as there is something to tell.

mod decide;
mod facts;
mod message;
mod send;

pub(crate) use decide::Told;
pub(crate) use facts::{Fact, all as facts};
pub(crate) use message::{Item, Message};
pub(crate) use send::send;

use chrono::{DateTime, TimeDelta, Utc};
use decide::{Rules, Standing, arrived, decide};
use floodmark_core::outlet::{Channel, Trouble};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody hears of nothing more often, but for the first time: what happens meanwhile is told together.
const PAUSE: TimeDelta = TimeDelta::seconds(10);
/// More is not told at once: webhooks refuse what is large, and commands have no room for it.
const MOST: usize = 100;
/// What did not arrive is tried again after this time, twice as long each further time, up to the other.
const FIRST: TimeDelta = TimeDelta::seconds(10);
const LONGEST: TimeDelta = TimeDelta::minutes(10);
/// What was told of a pipeline that is not in the file any more is forgotten after this time.
const GONE: TimeDelta = TimeDelta::days(30);

/// What was told of which trouble, to be written down; `None` where that is forgotten.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) channel: String,
    pub(crate) pipeline: String,
    pub(crate) trouble: Trouble,
    pub(crate) told: Option<Told>,
}

/// A message that is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    pub(crate) channel: Channel,
    pub(crate) message: Message,
}

/// Whom to tell, and what was told.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) stations: Vec<Station>,
    /// Whether this server is the one that tells: of several beside a project it is the first.
    pub(crate) tells: bool,
    project: String,
    /// As it was written down, of channels that are in the file.
    notes: Vec<Record>,
}

/// A channel, and how it fares.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) channel: Channel,
    pub(crate) told: BTreeMap<String, BTreeMap<Trouble, Told>>,
    /// What is on its way.
    sending: Option<(DateTime<Utc>, Vec<Item>)>,
    /// Why the last one did not arrive, how often in a row, and since when.
    pub(crate) failing: Option<Failing>,
    not_before: Option<DateTime<Utc>>,
    /// When one arrived last.
    pub(crate) last: Option<DateTime<Utc>>,
    pub(crate) arrived: u64,
    pub(crate) lost: u64,
    /// Somebody wants to see whether one arrives.
    test: bool,
}

/// That messages do not arrive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failing {
    pub(crate) since: DateTime<Utc>,
    pub(crate) times: u32,
    pub(crate) why: String,
}

impl Station {
    fn new(channel: Channel) -> Station {
        Station {
            channel,
            told: BTreeMap::new(),
            sending: None,
            failing: None,
            not_before: None,
            last: None,
            arrived: 0,
            lost: 0,
            test: false,
        }
    }

    fn rules(&self) -> Rules {
        let time = |time| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        Rules { remind: time(self.channel.remind), steady: time(self.channel.steady) }
    }

    fn standing(&self, fact: &Fact, trouble: Trouble) -> Standing {
        let named = |name: &String| *name == fact.pipeline || Some(name) == fact.family.as_ref();
        let asked = self.channel.pipelines.is_empty() || self.channel.pipelines.iter().any(named);
        if asked && self.channel.on.contains(&trouble) { fact.standing(trouble) } else { Standing::Moot }
    }

    fn set(&mut self, pipeline: &str, trouble: Trouble, told: Option<Told>, notes: &mut Vec<Record>) {
        let before = self.told.get(pipeline).and_then(|of| of.get(&trouble)).copied();
        if before == told {
            return;
        }
        let of = self.told.entry(pipeline.to_owned()).or_default();
        match told {
            Some(told) => drop(of.insert(trouble, told)),
            None => drop(of.remove(&trouble)),
        }
        if of.is_empty() {
            self.told.remove(pipeline);
        }
        let (channel, pipeline) = (self.channel.name.clone(), pipeline.to_owned());
        notes.push(Record { channel, pipeline, trouble, told });
    }

    /// What is to be told now; what is remembered meanwhile is noted.
    fn wanted(&mut self, facts: &[Fact], notes: &mut Vec<Record>, now: DateTime<Utc>) -> Vec<Item> {
        let rules = self.rules();
        let mut wanted = Vec::new();
        for fact in facts {
            for (_, trouble) in Trouble::NAMES {
                let told = self.told.get(&fact.pipeline).and_then(|of| of.get(trouble)).copied();
                let standing = self.standing(fact, *trouble);
                let verdict = decide(standing, told, fact.paused, rules, now);
                if verdict.told != told {
                    self.set(&fact.pipeline, *trouble, verdict.told, notes);
                }
                let Some(tell) = verdict.tell else { continue };
                let since = told.map(|told| told.since);
                let began = if let Standing::Wrong { since } = standing { since } else { None };
                wanted.push(Item::Of {
                    pipeline: fact.pipeline.clone(),
                    trouble: *trouble,
                    tell,
                    since: since.or(began).unwrap_or(now),
                    about: fact.about.clone(),
                });
            }
        }
        wanted
    }

    /// What was told of pipelines that have not been there for long.
    fn forget(&mut self, facts: &[Fact], notes: &mut Vec<Record>, now: DateTime<Utc>) {
        if self.told.is_empty() {
            return;
        }
        let there: BTreeSet<&str> = facts.iter().map(|fact| fact.pipeline.as_str()).collect();
        let of = self.told.iter().filter(|(name, _)| !there.contains(name.as_str()));
        let old = of.flat_map(|(name, of)| of.iter().map(move |(trouble, told)| (name.clone(), *trouble, told.told)));
        let old: Vec<(String, Trouble)> =
            old.filter(|(.., told)| now - *told > GONE).map(|(name, trouble, _)| (name, trouble)).collect();
        old.into_iter().for_each(|(name, trouble)| self.set(&name, trouble, None, notes));
    }
}

impl Desk {
    /// Of a project, by its pipeline file.
    pub(crate) fn of(project: String) -> Desk {
        Desk { project, ..Desk::default() }
    }

    /// Whether there is nobody to tell.
    pub(crate) fn is_idle(&self) -> bool {
        self.stations.is_empty()
    }

    /// The channels that the file has now. One that was changed fares anew, and what it was told stays told.
    pub(crate) fn declare(&mut self, channels: Vec<Channel>) {
        let mut before: BTreeMap<String, Station> =
            std::mem::take(&mut self.stations).into_iter().map(|s| (s.channel.name.clone(), s)).collect();
        for channel in channels {
            let station = match before.remove(&channel.name) {
                Some(station) if station.channel == channel => station,
                Some(Station { told, sending, arrived, lost, last, .. }) => {
                    Station { told, sending, arrived, lost, last, ..Station::new(channel) }
                }
                None => Station::new(channel),
            };
            self.stations.push(station);
        }
        // Were one of that name to come back, it would be another one.
        for station in before.into_values() {
            let name = station.channel.name;
            let all = station.told.into_iter().flat_map(|(pipeline, of)| {
                of.into_keys().map(move |trouble| (pipeline.clone(), trouble)).collect::<Vec<_>>()
            });
            self.notes.extend(all.map(|(pipeline, trouble)| Record {
                channel: name.clone(),
                pipeline,
                trouble,
                told: None,
            }));
        }
    }

    /// This server is the one that tells from now on. `told`: what servers before it wrote down.
    pub(crate) fn take_over(&mut self, told: Vec<Record>) {
        self.tells = true;
        for station in &mut self.stations {
            station.told.clear();
            for record in told.iter().filter(|record| record.channel == station.channel.name) {
                let Some(told) = record.told else { continue };
                station.told.entry(record.pipeline.clone()).or_default().insert(record.trouble, told);
            }
        }
    }

    /// What is to be written down since this was asked last.
    pub(crate) fn notes(&mut self) -> impl Iterator<Item = Record> + use<> {
        std::mem::take(&mut self.notes).into_iter()
    }

    /// Whether something is on its way.
    pub(crate) fn sends(&self) -> bool {
        self.stations.iter().any(|station| station.sending.is_some())
    }

    /// Whether somebody wants to see that.
    pub(crate) fn is_tested(&self) -> bool {
        self.stations.iter().any(|station| station.test && station.sending.is_none())
    }

    /// Somebody wants to see whether messages arrive: at one channel, or at all. `false` where there is none.
    pub(crate) fn test(&mut self, channel: Option<&str>) -> bool {
        let mut any = false;
        for station in &mut self.stations {
            if channel.is_none_or(|name| name == station.channel.name) {
                (station.test, any) = (true, true);
            }
        }
        any
    }

    /// What is to be sent now.
    pub(crate) fn step(&mut self, facts: &[Fact], now: DateTime<Utc>) -> Vec<Dispatch> {
        let mut out = Vec::new();
        for station in &mut self.stations {
            let mut items = Vec::new();
            if self.tells && !station.channel.is_off() {
                items = station.wanted(facts, &mut self.notes, now);
                items.truncate(MOST);
                station.forget(facts, &mut self.notes, now);
            }
            if station.sending.is_some() {
                continue;
            }
            if std::mem::take(&mut station.test) {
                items = vec![Item::Test];
            } else if items.is_empty() || station.not_before.is_some_and(|at| now < at) {
                continue;
            }
            station.sending = Some((now, items.clone()));
            let message = Message { items, project: self.project.clone(), at: now };
            out.push(Dispatch { channel: station.channel.clone(), message });
        }
        out
    }

    /// What became of what was sent.
    pub(crate) fn sent(&mut self, channel: &str, result: Result<(), String>, now: DateTime<Utc>) {
        let Some(station) = self.stations.iter_mut().find(|station| station.channel.name == channel) else { return };
        let Some((at, items)) = station.sending.take() else { return };
        match result {
            Ok(()) => {
                (station.failing, station.last, station.not_before) = (None, Some(now), Some(now + PAUSE));
                station.arrived += 1;
                for item in items {
                    let Item::Of { pipeline, trouble, tell, since, .. } = item else { continue };
                    let told = station.told.get(&pipeline).and_then(|of| of.get(&trouble)).copied();
                    station.set(&pipeline, trouble, arrived(tell, told, since, at), &mut self.notes);
                }
            }
            Err(why) => {
                station.lost += 1;
                let before = station.failing.take();
                let times = before.as_ref().map_or(0, |failing| failing.times) + 1;
                let since = before.map_or(now, |failing| failing.since);
                station.not_before = Some(now + (FIRST * (1 << (times - 1).min(10))).min(LONGEST));
                station.failing = Some(Failing { since, times, why });
            }
        }
    }
}

#[cfg(test)]
mod tests;
