//! Pages of a made-up project.

use super::{made_up, view::*, *};
use std::time::Instant;

/// The page without what changes with each change of a file.
fn fixed(html: &str) -> String {
    assets::all().iter().fold(html.to_owned(), |html, asset| html.replace(&asset.path, "/assets/…"))
}

/// All pages there are.
fn pages() -> Vec<(&'static str, String)> {
    let frame = made_up::frame();
    let empty = Overview { cards: Vec::new(), search: String::new(), filter: String::new() };
    let good = Overview { cards: ["orders", "customers"].map(made_up::card).to_vec(), ..empty.clone() };
    let sought = Overview { search: "zzz".into(), filter: "late".into(), ..made_up::overview() };
    let many = Overview { cards: many(200), ..empty.clone() };
    let late = Pipeline {
        card: made_up::overview().cards.into_iter().find(|card| card.standing == Standing::Late).unwrap(),
        coverage: None,
        rejects: Vec::new(),
        ..made_up::pipeline()
    };
    let new = Pipeline {
        card: made_up::overview().cards.into_iter().find(|card| card.standing == Standing::New).unwrap(),
        coverage: None,
        runs: Vec::new(),
        older: false,
        columns: Vec::new(),
        reshaped: None,
        changes: Vec::new(),
        lines: Vec::new(),
        rejects: Vec::new(),
        ..made_up::pipeline()
    };
    let torn = Frame { mistakes: Some("floodmark.yaml:12:5: expected a mapping\n  orders: [".into()), ..frame.clone() };
    let unsent = Frame { unsent: vec![("pager".into(), "./page.sh ended with exit code 1".into())], ..frame.clone() };
    let outside = Frame { project: String::new(), form: String::new(), can_log_out: false, ..frame.clone() };
    let text = include_str!("../../../../docs/errors/FM0301.md");
    vec![
        ("overview", overview(&frame, &made_up::overview())),
        ("overview-empty", overview(&frame, &empty)),
        ("overview-good", overview(&torn, &good)),
        ("overview-sought", overview(&frame, &sought)),
        ("overview-200", overview(&frame, &many)),
        ("overview-hostile", overview(&frame, &Overview { cards: hostile_cards(), ..empty })),
        ("pipeline", pipeline(&frame, &made_up::pipeline())),
        ("pipeline-late", pipeline(&frame, &late)),
        ("pipeline-new", pipeline(&frame, &new)),
        ("run", run(&frame, &made_up::run())),
        ("run-running", run(&frame, &made_up::running())),
        ("run-failed", run(&frame, &made_up::failed())),
        ("run-compared", run(&frame, &made_up::compared())),
        ("run-waiting", run(&frame, &made_up::waiting())),
        ("runs", runs(&frame, &made_up::all_runs())),
        ("alerts", alerts(&unsent, &made_up::alerts())),
        ("alerts-none", alerts(&frame, &Alerts { tells: false, channels: Vec::new() })),
        ("alerts-hostile", alerts(&frame, &Alerts { tells: false, channels: hostile_channels() })),
        ("login", login(&outside, "/pipelines/a", true)),
        ("problem-404", problem(&frame, 404, "there is no pipeline \"ordres\"")),
        ("problem-500", problem(&frame, 500, "the ledger could not be read")),
        ("help", help(&frame)),
        ("error-code", error_code(&frame, "FM0301", text)),
        ("trial", trial(&Frame { can_try: true, ..frame.clone() }, &made_up::trial())),
        ("trial-nothing", trial(&frame, &Trial { id: None, known: crate::sandbox::Known::nothing() })),
    ]
}

fn hostile_channels() -> Vec<ChannelLine> {
    let channel = |name: String| ChannelLine {
        message: Some(name.clone()),
        to: name.clone(),
        pipelines: vec![name.clone()],
        told: vec![ToldLine { pipeline: name.clone(), ..made_up::alerts().channels[0].told[0].clone() }],
        name,
        ..made_up::alerts().channels[1].clone()
    };
    made_up::hostile().into_iter().map(channel).collect()
}

fn many(n: usize) -> Vec<Card> {
    let kinds = made_up::overview().cards;
    let named = |at: usize| Card {
        name: format!("shop_{at:03}"),
        family: Some("shop".into()),
        ..kinds[at % kinds.len()].clone()
    };
    (0..n).map(named).collect()
}

fn hostile_cards() -> Vec<Card> {
    let card = |name: String| {
        let mut card = made_up::card("orders");
        card.source = Some(format!("{name}.csv"));
        card.table = Some(name.clone());
        card.standing = Standing::Failed;
        card.trouble = Some(Trouble { what: name.clone(), help: vec![name.clone()], ..Trouble::told(&name) });
        card.next = Next::After(vec![name.clone()]);
        card.mark = Some(Mark { column: name.clone(), value: name.clone(), until: None });
        card.name = name;
        card
    };
    made_up::hostile().into_iter().map(card).collect()
}

/// Elements that have no end.
const VOID: [&str; 6] = ["meta", "link", "input", "br", "hr", "img"];

/// Holds that a page is well formed, has nothing inline, and no number twice.
fn check(name: &str, html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    let mut rest = html.strip_prefix("<!doctype html>").unwrap_or_else(|| panic!("{name}: no doctype"));
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        // A `>` inside quotes is none.
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                *c == '>' && !quoted
            })
            .map(|(at, _)| at)
            .unwrap_or_else(|| panic!("{name}: a tag does not end: {rest:.80}"));
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{name}: closed {closed}, open {open:?}");
            continue;
        }
        let element = tag.split([' ', '/']).next().unwrap();
        let mut inside = false;
        let attributes = tag[element.len()..].split(|c| {
            inside ^= c == '"';
            c == ' ' && !inside
        });
        for attribute in attributes {
            assert!(!attribute.starts_with("style="), "{name}: {tag}");
            assert!(!(attribute.starts_with("on") && attribute.contains('=')), "{name}: {tag}");
            if let Some(id) = attribute.strip_prefix("id=\"") {
                assert!(ids.insert(id.to_owned()), "{name}: {id} twice");
            }
        }
        assert!(element != "script" || tag.contains("src="), "{name}: a script of its own");
        assert!(element != "style", "{name}: a style of its own");
        if !VOID.contains(&element) && !tag.ends_with('/') {
            open.push(element);
        }
    }
    assert!(open.is_empty(), "{name}: {open:?}");
}

#[test]
fn every_page_is_well_formed_and_has_nothing_inline() {
    let folder = std::env::var_os("FLOODMARK_PAGES").map(std::path::PathBuf::from);
    for (name, html) in pages() {
        check(name, &html);
        // For the eye: files that a browser opens as they are.
        if let Some(folder) = &folder {
            let html = html.replace("\"/assets/", "\"assets/");
            std::fs::create_dir_all(folder.join("assets")).unwrap();
            std::fs::write(folder.join(format!("{name}.html")), html).unwrap();
        }
    }
    for asset in assets::all() {
        if let Some(folder) = &folder {
            std::fs::write(folder.join(asset.path.trim_start_matches('/')), asset.body).unwrap();
        }
    }
}

#[test]
fn names_are_text_wherever_they_stand() {
    for name in made_up::hostile() {
        let mut of = made_up::pipeline();
        of.card.name = name.clone();
        of.card.family = Some(name.clone());
        of.key = vec![name.clone()];
        of.destination = Some(name.clone());
        of.schedule = Some(name.clone());
        of.columns.iter_mut().for_each(|column| (column.name, column.data_type) = (name.clone(), name.clone()));
        for reject in &mut of.rejects {
            (reject.place, reject.column) = (name.clone(), Some(name.clone()));
            (reject.reason, reject.raw) = (name.clone(), name.clone());
        }
        of.lints.iter_mut().for_each(|lint| (lint.message, lint.reason) = (name.clone(), name.clone()));
        if let Some(covered) = &mut of.coverage {
            covered.column.clone_from(&name);
            covered.grid.rows.iter_mut().for_each(|(head, _)| head.clone_from(&name));
        }
        of.runs.iter_mut().for_each(|run| (run.load, run.id) = (name.clone(), name.clone()));
        let mut one = made_up::running();
        one.pipeline.clone_from(&name);
        one.line.trouble = Some(Trouble { code: Some("FM0301".into()), what: name.clone(), ..Trouble::default() });
        one.events.iter_mut().for_each(|event| (event.kind, event.text) = (name.clone(), name.clone()));
        one.slices.iter_mut().for_each(|slice| slice.name.clone_from(&name));
        one.mark = Some(MarkMove { column: name.clone(), before: Some(name.clone()), after: None });
        one.printed = Some(name.clone());
        let line = Runs {
            jobs: vec![(name.clone(), Job { runs: false, waits: Some(name.clone()), ..made_up::job() })],
            runs: vec![(name.clone(), one.line.clone())],
        };
        let frame = Frame { project: name.clone(), notice: Some(name.clone()), form: name.clone(), ..made_up::frame() };
        let all = Overview { cards: hostile_cards(), search: name.clone(), filter: name.clone() };
        let mut tried = made_up::trial();
        tried.id = Some(name.clone());
        if let Some(table) = &mut tried.known.table {
            table.columns.push(name.clone());
            table.rows.iter_mut().for_each(|row| row.push(Some(name.clone())));
        }
        if let Some([ours, _]) = tried.known.attempts.last_mut().and_then(|last| last.sides.as_mut()) {
            ours.error =
                Some(serde_json::json!({ "code": name, "message": name, "place": { "file": name }, "help": [name] }));
        }
        let pages = [
            ("trial", trial(&frame, &tried)),
            ("overview", overview(&frame, &all)),
            ("pipeline", pipeline(&frame, &of)),
            ("run", run(&frame, &one)),
            ("runs", runs(&frame, &line)),
            ("login", login(&frame, &name, true)),
            ("problem", problem(&frame, 404, &name)),
            ("code", error_code(&frame, "FM0301", &format!("# {name}\n\n{name}\n\n- `{name}`\n\n```\n{name}\n```\n"))),
        ];
        for (page, html) in pages {
            check(page, &html);
            assert!(!html.contains("<script>alert"), "{page}");
            assert!(!html.contains("\" onmouseover"), "{page}");
        }
    }
}

#[test]
fn a_path_of_a_hostile_name_is_one_path() {
    let html =
        overview(&made_up::frame(), &Overview { cards: hostile_cards(), search: String::new(), filter: String::new() });
    assert!(html.contains("href=\"/pipelines/%3Cscript%3Ealert%281%29%3C%2Fscript%3E\""));
    assert!(html.contains("href=\"/pipelines/%C3%A9%2F..%2F%252e%3Fx%3D1%23y%26amp%3B\""));
}

#[test]
fn after_a_login_one_stays_on_this_server() {
    for (next, leads) in [
        ("/pipelines/a", "/pipelines/a"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\n/evil.example", "/"),
        ("", "/"),
    ] {
        let html = login(&made_up::frame(), next, false);
        assert!(html.contains(&format!("name=\"next\" value=\"{leads}\"")), "{next}");
    }
}

#[test]
fn the_sentence_says_all_and_what_failed_is_first() {
    let html = overview(&made_up::frame(), &made_up::overview());
    let text = text(&html);
    assert!(
        text.contains(
            "11 of 15 tables are up to date; 1 failed: refunds, 1 cannot run: margins, 1 is late: payments, 1 was never run: returns, 1 has a backfill that is not done: prices."
        ),
        "{text}"
    );
    let at = |name: &str| html.find(&format!("data-pipeline=\"{name}\"")).unwrap();
    assert!(at("refunds") < at("margins") && at("margins") < at("payments") && at("payments") < at("prices"));
    assert!(at("prices") < at("orders"), "what is left of a history needs somebody, too");
    assert!(at("orders") < at("order_lines"), "all else stays as in the file");
    for said in
        ["12,40 €", "the table is as the run before left it", "mend the line in the file", "tried again in 4 min"]
    {
        assert!(text.contains(said), "{said}");
    }
}

#[test]
fn what_is_late_right_after_a_run_is_not_put_right_by_another_one() {
    let says = |last_good: i64, words: &str| {
        let mut card = made_up::card("orders");
        (card.standing, card.late) = (Standing::Late, true);
        card.last_good = Some(made_up::before(last_good));
        if let Some(last) = &mut card.last {
            (last.ended, last.rows.inserted) = (Ended::Ok, 7);
        }
        let html =
            overview(&made_up::frame(), &Overview { cards: vec![card], search: String::new(), filter: String::new() });
        assert!(text(&html).contains(words), "{last_good}: {html}");
    };
    says(60, "look whether the source still gets new rows");
    says(9_000, "a run loads what has come since");
}

#[test]
fn each_state_has_the_button_that_puts_it_right() {
    let frame = made_up::frame();
    let mut card = made_up::card("orders");
    card.jobs.push(made_up::job());
    let mut labels = Vec::new();
    for standing in [
        Standing::Failed,
        Standing::Broken,
        Standing::Unknown,
        Standing::Late,
        Standing::Running,
        Standing::Waiting,
        Standing::New,
        Standing::Paused,
        Standing::Ok,
    ] {
        card.standing = standing;
        let button = remedy::button(&frame, &card).map(|button| askama::Template::render(&button).unwrap());
        let label = button.map(|html| text(&html)).unwrap_or_else(|| "none".into());
        labels.push(format!("{}: {}", standing.word(), label.trim()));
    }
    insta::assert_snapshot!(labels.join("\n"));
    card.rejects = 3;
    assert!(
        remedy::button(&frame, &card)
            .is_some_and(|button| askama::Template::render(&button).unwrap().contains("Replay 3 rejects"))
    );
    // What is left of its history comes before another run, and after what failed.
    card.undone = made_up::pipeline().card.undone;
    for (standing, label) in
        [(Standing::Ok, "Retry backfill"), (Standing::Failed, "Retry"), (Standing::Late, "Run now")]
    {
        card.standing = standing;
        let button = remedy::first(&frame, &card).map(|button| askama::Template::render(&button).unwrap());
        assert_eq!(button.map(|html| text(&html).trim().to_owned()).as_deref(), Some(label));
    }
}

/// What of a page is read.
fn text(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let plain = out.replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&");
    plain.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn searches_and_filters_are_links_and_need_no_script() {
    let frame = made_up::frame();
    let found = |search: &str, filter: &str| {
        let html = overview(&frame, &Overview { search: search.into(), filter: filter.into(), ..made_up::overview() });
        let names =
            html.split("data-row data-pipeline=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(found("REFUNDS csv", ""), ["refunds"]);
    assert_eq!(found("", "failed"), ["refunds", "margins"]);
    assert_eq!(found("order", "ok"), ["orders", "order_lines"]);
    assert!(found("order", "late").is_empty());
    assert_eq!(found("", "no such filter").len(), 15);
}

#[test]
fn what_is_done_to_be_read_leads_there() {
    let html = pipeline(&made_up::frame(), &made_up::pipeline());
    let forms: Vec<&str> = html.split("<form ").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    let leads = |what: &str| forms.iter().any(|form| form.contains(what) && form.contains("data-goes"));
    for what in ["/plan\"", "/verify\"", "/repair\""] {
        assert!(leads(what), "{what}: {forms:?}");
    }
    for what in ["/replay\"", "/refresh\"", "/backfill\"", "/pause\""] {
        assert!(forms.iter().any(|form| form.contains(what)) && !leads(what), "{what}: {forms:?}");
    }
}

#[test]
fn who_has_not_logged_in_is_told_nothing_of_the_project() {
    let (_, html) = pages().into_iter().find(|(name, _)| *name == "login").unwrap();
    for secret in ["warehouse", "f0f1", "/logout", "name=\"form\""] {
        assert!(!html.contains(secret), "{secret}: {html}");
    }
}

#[test]
fn assets_are_known_by_what_is_in_them() {
    let html = overview(&made_up::frame(), &made_up::overview());
    for one in assets::all() {
        assert!(html.contains(&one.path), "{}", one.path);
        assert!(asset(&one.path).is_some_and(|found| found.body == one.body && !found.content_type.is_empty()));
    }
    assert!(asset("/assets/app.css").is_none() && asset("/assets/../lib.rs").is_none());
    assert!(KEPT.contains("immutable"));
}

#[test]
fn two_hundred_pipelines_are_drawn_quickly() {
    let view = Overview { cards: many(200), search: String::new(), filter: String::new() };
    let frame = made_up::frame();
    let times = (0..5).map(|_| {
        let began = Instant::now();
        assert!(overview(&frame, &view).len() > 100_000);
        began.elapsed()
    });
    let best = times.min().unwrap();
    // Unoptimised and beside other tests; the goal of 50 ms is for the program as it is given away.
    assert!(best.as_millis() < 250, "{best:?}");
}

#[test]
fn pages_are_as_they_were() {
    for (name, html) in pages() {
        if matches!(name, "overview-good" | "run-failed" | "login" | "problem-404") {
            insta::assert_snapshot!(name, fixed(&html));
        }
        if matches!(
            name,
            "overview" | "pipeline" | "run" | "run-compared" | "run-waiting" | "runs" | "error-code" | "trial"
        ) {
            insta::assert_snapshot!(format!("{name}-text"), text(&html));
        }
    }
}
