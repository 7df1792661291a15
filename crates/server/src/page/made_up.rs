//! A made-up project, for tests and for the eye.

use super::view::*;
use crate::sandbox::{self, Attempt, Held, How, Known as Tried, Moment, Recipe, Side, Table};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::{
    Counts, DataType,
    coverage::{Grid, Known},
    interval::{Axis, Interval},
    state::IntervalEntry,
};
use std::time::Duration;

/// Whatever is shown is shown at this moment.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-03-04T12:07:12Z".parse().unwrap()
}

pub(crate) fn before(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

pub(crate) fn frame() -> Frame {
    Frame {
        project: "warehouse".into(),
        form: "f0f1".into(),
        can_log_out: true,
        can_try: false,
        now: now(),
        notice: None,
        mistakes: None,
        unsent: Vec::new(),
    }
}

/// One at whom messages arrive, one at whom they do not, one that is off.
pub(crate) fn alerts() -> Alerts {
    let told = ToldLine { pipeline: "orders".into(), trouble: "failed", since: before(7200), told: before(7100) };
    let ops = ChannelLine {
        name: "ops".into(),
        to: "https://hooks.example.com/…".into(),
        reach: Reach::Ok,
        message: None,
        since: None,
        last: Some(before(7100)),
        on: vec!["failed", "late"],
        pipelines: Vec::new(),
        told: vec![told],
    };
    let pager = ChannelLine {
        name: "pager".into(),
        to: "./page.sh".into(),
        reach: Reach::Failing,
        message: Some("./page.sh ended with exit code 1: no route to host".into()),
        since: Some(before(600)),
        last: None,
        on: vec!["late"],
        pipelines: vec!["orders".into(), "stock".into()],
        told: Vec::new(),
    };
    let off = ChannelLine { name: "dev".into(), to: "webhook".into(), reach: Reach::Off, last: None, ..ops.clone() };
    Alerts { tells: true, channels: vec![ops, pager, ChannelLine { told: Vec::new(), ..off }] }
}

/// Names that are no names anybody means well with.
pub(crate) fn hostile() -> Vec<String> {
    vec![
        "<script>alert(1)</script>".into(),
        "a\" onmouseover=\"alert(1)' x='".into(),
        "\u{202e}gnp.sredro مرحبا".into(),
        "é/../%2e?x=1#y&amp;".into(),
        "x".repeat(200),
    ]
}

/// Rows of a run; the same for the same number.
fn rows(n: u64, first: bool) -> Counts {
    let inserted = if first { 1_204_311 } else { 900 + n * 7_919 % 2_600 };
    let updated = if first { 0 } else { n * 104_729 % 700 };
    let unchanged = if first { 0 } else { 40 + n * 31 % 90 };
    let stale = if n.is_multiple_of(5) { 12 } else { 0 };
    let rejected = if n.is_multiple_of(11) { 3 } else { 0 };
    let read = inserted + updated + unchanged + stale + rejected;
    Counts { read, inserted, updated, unchanged, stale, rejected, ..Counts::default() }
}

/// So many runs, newest first, five minutes apart; now and then one with nothing new, or one that failed.
pub(crate) fn runs(n: usize) -> Vec<RunLine> {
    let run = |at: usize| {
        let began = before(180 + at as i64 * 300);
        let number = (n - at) as u64;
        let ended = match number {
            1 => Ended::Ok,
            number if number.is_multiple_of(13) => Ended::Failed,
            number if number.is_multiple_of(4) => Ended::NothingNew,
            _ => Ended::Ok,
        };
        let mark = began - TimeDelta::seconds(if number.is_multiple_of(4) { 300 } else { 20 });
        RunLine {
            id: format!("0195a3b2-7c1e-7000-8000-{number:012x}"),
            ended,
            load: "upsert".into(),
            began,
            over: Some(began + TimeDelta::milliseconds(820 + (number as i64 * 977) % 1_400)),
            rows: if ended == Ended::Ok { rows(number, number == 1) } else { Counts::default() },
            mark: (ended == Ended::Ok).then(|| mark.format("%Y-%m-%d %H:%M:%S").to_string()),
            trouble: (ended == Ended::Failed)
                .then(|| Trouble::told("FM0402 the server closed the connection unexpectedly")),
        }
    };
    (0..n).map(run).collect()
}

fn past(runs: &[RunLine]) -> Vec<Past> {
    let past = |run: &RunLine| Past {
        ended: run.ended,
        rows: run.rows.inserted + run.rows.updated + run.rows.deleted,
        seconds: run.over.map_or(0.0, |over| (over - run.began).as_seconds_f64()),
    };
    runs.iter().rev().map(past).collect()
}

fn change(column: &str, ago: i64, became: Became) -> ColumnChange {
    let run = "0195a3b2-7c1e-7000-8000-000000000007".into();
    ColumnChange { at: before(ago), run, column: column.into(), became }
}

/// A pipeline that is as it should be.
pub(crate) fn card(name: &str) -> Card {
    let runs = runs(40);
    Card {
        name: name.into(),
        family: None,
        standing: Standing::Ok,
        source: Some(format!("table public.{name} of postgres://app@shop.internal/shop")),
        table: Some(name.into()),
        mark: Some(Mark {
            column: "updated_at".into(),
            value: "2026-03-04 12:03:52.118204".into(),
            until: Some(before(200)),
        }),
        freshness: Some(Duration::from_secs(7_200)),
        late: false,
        last: runs.first().cloned(),
        last_good: Some(before(179)),
        next: Next::At(now() + TimeDelta::seconds(168)),
        past: past(&runs),
        rejects: 0,
        trouble: None,
        jobs: Vec::new(),
        undone: None,
    }
}

/// A backfill that failed.
fn undone() -> Undone {
    Undone {
        id: "0195a3b2-bbbb-7000-8000-000000000001".into(),
        task: "backfill from 2025-12-18 to 2025-12-23 by 1d".into(),
        how: "failed",
        trouble: trouble(),
    }
}

/// Work that goes on.
pub(crate) fn job() -> Job {
    Job {
        id: "0195a3b2-aaaa-7000-8000-000000000001".into(),
        task: "run".into(),
        runs: true,
        ending: false,
        waits: None,
        began: Some(before(41)),
        phase: "loading".into(),
        done: 812_400,
        all: Some(1_500_000),
        unit: "rows".into(),
    }
}

/// What failed, told in full.
pub(crate) fn trouble() -> Trouble {
    Trouble {
        code: Some("FM0301".into()),
        what: "data/refunds-2026-03.csv:1207, column \"amount\": \"12,40 €\" is not a decimal(10,2)".into(),
        state: Some("the table is as the run before left it; nothing of this file was loaded".into()),
        help: vec![
            "mend the line in the file, and run again".into(),
            "or keep such rows aside: on_bad_row: reject".into(),
        ],
        since: Some(before(11_700)),
        again: Some(now() + TimeDelta::seconds(240)),
    }
}

/// A project in which something of everything goes on.
pub(crate) fn overview() -> Overview {
    let ok = ["orders", "order_lines", "customers", "products", "stock", "prices"];
    let mut cards: Vec<Card> = ok.iter().map(|name| card(name)).collect();
    let mut quiet = card("countries");
    quiet.mark = None;
    quiet.freshness = None;
    quiet.source = Some("data/countries.csv".into());
    if let Some(last) = &mut quiet.last {
        (last.ended, last.rows) = (Ended::NothingNew, Counts::default());
    }
    quiet.next = Next::After(vec!["customers".into()]);
    cards[4].rejects = 12;
    cards[5].undone = Some(undone());
    let mut numbered = card("events");
    numbered.mark = Some(Mark { column: "id".into(), value: "88120455".into(), until: None });
    let mut failed = card("refunds");
    failed.standing = Standing::Failed;
    failed.source = Some("data/refunds-*.csv".into());
    failed.trouble = Some(trouble());
    failed.mark = Some(Mark {
        column: "refunded_on".into(),
        value: "2026-03-03".into(),
        until: Some("2026-03-04T00:00:00Z".parse().unwrap()),
    });
    failed.freshness = Some(Duration::from_secs(86_400));
    failed.last = Some(RunLine {
        ended: Ended::Failed,
        rows: Counts { read: 1_207, ..Counts::default() },
        trouble: Some(trouble()),
        ..runs(1).remove(0)
    });
    if let Some(last) = failed.past.last_mut() {
        (last.ended, last.rows) = (Ended::Failed, 0);
    }
    failed.last_good = Some(before(98_000));
    let mut late = card("payments");
    late.standing = Standing::Late;
    late.late = true;
    late.mark = Some(Mark {
        column: "booked_at".into(),
        value: "2026-03-03 09:58:00".into(),
        until: Some("2026-03-03T09:58:00Z".parse().unwrap()),
    });
    if let Some(last) = &mut late.last {
        (last.ended, last.rows) = (Ended::NothingNew, Counts::default());
    }
    let mut running = card("shipments");
    running.standing = Standing::Running;
    running.jobs.push(job());
    let mut waiting = card("invoices");
    waiting.standing = Standing::Waiting;
    let waits = Some("customers comes first, and is being loaded".into());
    waiting.jobs.push(Job { runs: false, began: None, waits, ..job() });
    let mut paused = card("legacy_ledger");
    paused.standing = Standing::Paused;
    paused.next = Next::Paused(before(360_000));
    paused.freshness = None;
    paused.mark = Some(Mark { column: "id".into(), value: "4411".into(), until: None });
    let mut new = card("returns");
    (new.standing, new.mark, new.last, new.last_good) = (Standing::New, None, None, None);
    new.past.clear();
    new.next = Next::Asked;
    let mut broken = card("margins");
    broken.standing = Standing::Broken;
    broken.source = None;
    broken.table = None;
    broken.trouble = Some(Trouble {
        code: Some("FM0103".into()),
        what: "floodmark.yaml:48: there is no field `watermak`; `watermark` is near".into(),
        state: Some("the table is as the last run left it".into()),
        help: vec!["mend the line; the file is read again by itself".into()],
        ..Trouble::default()
    });
    cards.extend([quiet, numbered, failed, late, running, waiting, paused, new, broken]);
    Overview { cards, search: String::new(), filter: String::new() }
}

/// What is in of a history with gaps.
pub(crate) fn coverage() -> Coverage {
    let axis = Axis::new("day", DataType::Date, chrono_tz::Tz::UTC).unwrap();
    let day = |text: &str| axis.parse(text).unwrap();
    let entry = |from: &str, until: &str, settled| IntervalEntry {
        column: "ordered_on".into(),
        data_type: DataType::Date,
        interval: Interval::new(day(from), day(until)).unwrap(),
        run: String::new(),
        rows: 1_200,
        highest: None,
        settled,
        loaded_at: now(),
    };
    let entries = [
        entry("2025-11-10", "2025-12-18", true),
        entry("2025-12-23", "2026-01-12", true),
        entry("2026-03-04", "2026-03-05", false),
    ];
    let mark = day("2026-03-04");
    let known = Known { axis: &axis, entries: &entries, start: Some("2026-01-12"), watermark: Some(&mark) };
    Coverage { column: "ordered_on".into(), grid: Grid::new(known, None, None).unwrap().unwrap() }
}

/// A pipeline with all there can be of it.
pub(crate) fn pipeline() -> Pipeline {
    let column =
        |name: &str, data_type: &str| Column { name: name.into(), data_type: data_type.into(), undecided: false };
    let mut card = card("orders");
    card.rejects = 12;
    card.undone = Some(undone());
    let reject = |n: i64, reason: &str, raw: &str| Reject {
        id: n,
        place: format!("data/orders-2026-03.csv:{}", n * 41),
        column: Some("amount".into()),
        reason: reason.into(),
        raw: raw.into(),
        doubtful: n == 3,
    };
    Pipeline {
        card,
        load: Some("upsert".into()),
        key: vec!["id".into()],
        destination: Some("sqlite:///warehouse.db".into()),
        schedule: Some("*/5 * * * *".into()),
        timezone: Some("Europe/Berlin".into()),
        after: Vec::new(),
        runs: runs(60),
        older: true,
        coverage: Some(coverage()),
        columns: vec![
            column("id", "bigint"),
            column("customer_id", "bigint"),
            column("amount", "decimal(10,2)"),
            column("note", "text"),
            column("updated_at", "timestamp"),
            Column { undecided: true, ..column("coupon", "text") },
        ],
        reshaped: Some(before(90_000)),
        changes: vec![
            change("discount", 90_000, Became::Added("decimal(5,2)".into())),
            change("amount", 800_000, Became::Retyped("decimal(8,2)".into(), "decimal(10,2)".into())),
            change("coupon", 800_000, Became::Decided("bigint".into())),
            change("legacy_id", 9_000_000, Became::Removed),
        ],
        rejects: vec![
            reject(1, "FM0301 \"12,40 €\" is not a decimal(10,2)", "1207;88;12,40 €;;2026-03-03 08:11:00"),
            reject(3, "FM0302 the key is NULL", ";88;12.40;\"<b>bold</b>\";2026-03-03 08:11:09"),
        ],
        lints: vec![Lint {
            name: "no-lookback".into(),
            message: "rows that arrive with an earlier `updated_at` are not read".into(),
            reason: "the source's clocks may differ by some seconds".into(),
            remedy: "give a `lookback`, such as 15m".into(),
        }],
        lines: lines(),
    }
}

/// Of a file with a mistake and a warning.
fn lines() -> Vec<FileLine> {
    let text = [
        "  orders:",
        "    source: { url: \"postgres://app:${SHOP_PASSWORD}@shop.internal/shop\", table: public.orders }",
        "    destination: { connection: warehouse, table: orders }",
        "    kee: id",
        "    watermark: { column: updated_at, boundary: exclusive }",
    ];
    let line = |(at, text): (usize, &str)| FileLine { number: at + 7, text: text.into(), notes: Vec::new() };
    let mut lines: Vec<FileLine> = text.into_iter().enumerate().map(line).collect();
    lines[3].notes.push(LineNote {
        mistake: true,
        name: "FM0102".into(),
        message: "there is no field `kee` here".into(),
        reason: None,
        help: vec!["did you mean `key`?".into()],
    });
    lines[4].notes.push(LineNote {
        mistake: false,
        name: "exclusive-boundary".into(),
        message: "rows with the same cursor as the last one loaded are never read".into(),
        reason: Some("two rows written in the same instant may arrive in different runs; the second is lost".into()),
        help: vec!["take out `boundary: exclusive`; rows at the boundary are recognised and not loaded twice".into()],
    });
    lines
}

/// A run that went well, in several commits.
pub(crate) fn run() -> Run {
    let mut line = runs(40).remove(0);
    line.rows = Counts {
        read: 1_000_000,
        transformed: Some(998_000),
        inserted: 640_200,
        updated: 120_100,
        deleted: 900,
        unchanged: 231_700,
        superseded: 4_900,
        stale: 188,
        rejected: 12,
        ..Counts::default()
    };
    line.ended = Ended::Ok;
    line.over = Some(line.began + TimeDelta::milliseconds(12_340));
    let commit = |n: i64| Commit {
        commits: if n == 3 { 4 } else { 1 },
        at: line.began + TimeDelta::seconds(n * 3),
        rows: Counts { read: 250_000, inserted: 240_000, unchanged: 10_000, ..Counts::default() },
        mark: (n == 3).then(|| "2026-03-04 12:03:52.118204".into()),
        bytes: Some(12_400_000),
    };
    let event = |seconds: i64, kind: &str, text: &str| Event {
        at: line.began + TimeDelta::seconds(seconds),
        kind: kind.into(),
        text: text.into(),
    };
    Run {
        pipeline: "orders".into(),
        deed: Deed::Load,
        cause: Some("its schedule was due at 12:00".into()),
        attempt: 2,
        mark: Some(MarkMove {
            column: "updated_at".into(),
            before: Some("2026-03-04 11:58:41".into()),
            after: Some("2026-03-04 12:03:52.118204".into()),
        }),
        bytes: Some(49_800_000),
        job: None,
        printed: None,
        commits: (1..=3).map(commit).collect(),
        slices: vec![Slice {
            name: "public.orders".into(),
            from: Some("2026-03-04 11:43:41".into()),
            to: Some("2026-03-04 12:03:52.118204".into()),
            read: 1_000_000,
            skipped: 0,
            rejected: 12,
        }],
        events: vec![
            event(0, "started", "looking for what is new"),
            event(1, "planned", "1 slice, about 1,000,000 rows"),
            event(3, "committed", "240,000 inserted, 10,000 unchanged"),
            event(
                5,
                "warning",
                "12 rows were rejected, the first at public.orders:492: \"12,40 €\" is not a decimal(10,2)",
            ),
            event(12, "finished", "760,300 rows changed"),
        ],
        older: Some("0195a3b2-7c1e-7000-8000-000000000026".into()),
        newer: None,
        again: None,
        line,
    }
}

/// One that goes on.
pub(crate) fn running() -> Run {
    let mut run = run();
    run.line.ended = Ended::Running;
    run.line.over = None;
    run.line.began = before(41);
    run.line.rows = Counts { read: 750_000, inserted: 720_000, unchanged: 30_000, ..Counts::default() };
    run.commits.clear();
    run.events.truncate(3);
    run.job = Some(job());
    run
}

/// One that failed.
pub(crate) fn failed() -> Run {
    let mut run = run();
    run.pipeline = "refunds".into();
    run.line.ended = Ended::Failed;
    run.line.rows = Counts::default();
    run.line.trouble = Some(trouble());
    run.commits.clear();
    run.slices.clear();
    run.mark = Some(MarkMove {
        column: "refunded_on".into(),
        before: Some("2026-03-03".into()),
        after: Some("2026-03-03".into()),
    });
    run.events.truncate(2);
    run
}

/// A comparison that found something.
pub(crate) fn compared() -> Run {
    let mut run = run();
    run.deed = Deed::Verify;
    run.line.ended = Ended::Differences;
    run.line.load = "verify".into();
    run.line.rows = Counts::default();
    (run.mark, run.bytes, run.printed) = (None, None, Some("{\n  \"missing\": 3\n}".into()));
    run.commits.clear();
    run.slices.clear();
    run.events.clear();
    run
}

/// Work that has not begun.
pub(crate) fn waiting() -> Run {
    let mut run = compared();
    run.deed = Deed::Replay;
    run.line.ended = Ended::Waiting;
    (run.line.over, run.printed) = (None, None);
    let waits = Some("a run of this pipeline goes on".into());
    run.job = Some(Job { runs: false, began: None, task: "replay of rejects".into(), waits, ..job() });
    run
}

/// Runs of all pipelines.
pub(crate) fn all_runs() -> Runs {
    let named = |name: &str| {
        let name = name.to_owned();
        move |run: RunLine| (name.clone(), run)
    };
    Runs {
        jobs: vec![("shipments".into(), job()), ("orders".into(), Job { runs: false, began: None, ..job() })],
        runs: runs(30).into_iter().map(named("orders")).collect(),
    }
}

/// What somebody tried: a run, a kill, an edit that cannot be loaded.
pub(crate) fn trial() -> Trial {
    let held = |rows: u64| Some(Held { rows, fingerprint: format!("fm1-{rows}-1a10b3909069a91a14cf997fbc345612") });
    let side = |how: How, read: u64, holds: u64| Side {
        how,
        rows: Counts { read, inserted: read, ..Counts::default() },
        error: None,
        holds: held(holds),
    };
    let attempt =
        |number: usize, deed: sandbox::Deed, sides: Option<[Side; 2]>| Attempt { number, deed, edited: false, sides };
    let error = serde_json::json!({
        "code": "FM0301",
        "message": "the value is not a bigint",
        "place": { "file": "data/orders-1.csv", "line": 3 },
        "state": "nothing was written to the table",
        "help": ["`on_bad_row: reject` sets such rows aside"],
    });
    let failed = Side { error: Some(error), ..side(How::Failed, 0, 7) };
    let attempts = vec![
        attempt(1, sandbox::Deed::Run, Some([side(How::Ok, 7, 7), side(How::Ok, 9, 9)])),
        attempt(2, sandbox::Deed::Run, Some([side(How::NothingNew, 0, 7), side(How::Ok, 9, 18)])),
        attempt(3, sandbox::Deed::Anew, None),
        attempt(4, sandbox::Deed::Kill(Moment::Middle), Some([side(How::Killed, 5, 5), side(How::Killed, 5, 5)])),
        attempt(5, sandbox::Deed::Run, Some([side(How::Ok, 4, 7), side(How::Ok, 9, 14)])),
        attempt(6, sandbox::Deed::Kill(Moment::First), Some([side(How::NothingNew, 0, 7), side(How::Killed, 0, 14)])),
        Attempt { edited: true, ..attempt(7, sandbox::Deed::Run, Some([failed, side(How::TooLong, 0, 14)])) },
    ];
    let table = Table {
        columns: vec!["id".into(), "customer".into()],
        rows: vec![vec![Some("1".into()), Some("ada".into())], vec![Some("2".into()), None]],
    };
    let known = Tried { recipe: Recipe::example(), attempts, table: Some(table) };
    Trial { id: Some("0123456789abcdef0123456789abcdef".into()), known }
}
