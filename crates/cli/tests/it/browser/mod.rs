//! The pages of `serve` in a real browser: each of them in both themes, on a telephone, by the keyboard alone and without a
//! script. Pictures of all are left in `tmp/pages` of the target folder.

#![cfg(unix)]

mod chromium;
mod tab;

use crate::{
    serve::{Served, large, project},
    support::Scratch,
};
use tab::{Look, Tab};

/// A project in which there is something of everything: gaps, rejects, failures, a pipeline that was never run, long names.
fn shop() -> Scratch {
    let scratch = Scratch::new();
    let mut rows = String::from("id,customer,amount,updated_at\n");
    (1..=40).for_each(|id| rows.push_str(&format!("{id},customer {id},{id}.50,2026-01-{:02}\n", 1 + id % 20)));
    scratch.write("data/orders-1.csv", &rows);
    scratch.write("data/payments.csv", "id,amount\n1,<b>many</b>\n");
    scratch.write("data/customers.csv", "id,name\n1,ada\n");
    let long = "a_table_with_a_name_that_somebody_must_have_thought_about_for_quite_some_time";
    scratch.write(
        "floodmark.yaml",
        &format!(
            r#"version: 1
connections: {{ shop: "sqlite:///shop.db" }}
pipelines:
  orders:
    source: {{ files: "data/orders-*.csv" }}
    destination: {{ connection: shop, table: orders }}
    key: id
    watermark: {{ column: updated_at, start: 2026-01-01 }}
    columns: {{ amount: "decimal(10,2)" }}
    on_bad_row: reject
    schedule: "0 3 1 1 *"
    timezone: Europe/Berlin
    freshness: 2h
  payments:
    source: {{ files: "data/payments.csv" }}
    destination: {{ connection: shop, table: payments }}
    key: id
    columns: {{ amount: bigint }}
    after: [orders]
  customers:
    source: {{ files: "data/customers.csv" }}
    destination: {{ connection: shop, table: customers }}
    load: append
  {long}:
    source: {{ files: "data/customers.csv" }}
    destination: {{ connection: shop, table: {long} }}
    key: id
"#
        ),
    );
    scratch.ok(&["run", "orders"]);
    scratch
        .write("data/orders-2.csv", "id,customer,amount,updated_at\n41,bob,12.00,2026-01-21\n42,cyd,much,2026-01-22\n");
    scratch.ok(&["run", "orders"]);
    scratch.ok(&["run", "orders"]);
    for (from, to) in [("2025-11-01", "2025-11-02"), ("2025-11-04", "2025-11-05")] {
        scratch.ok(&["backfill", "orders", "--from", from, "--to", to]);
    }
    assert_eq!(scratch.run(&["run", "payments"]).code, 1);
    scratch.ok(&["run", long]);
    scratch
}

/// Every kind of page there is, by a name, with how it is answered.
fn pages(served: &Served) -> Vec<(&'static str, String, u16)> {
    let run = |pipeline: &str| {
        let runs = served.get(&format!("/api/v1/runs?pipeline={pipeline}"));
        let runs = runs["items"].as_array().unwrap().iter();
        let last = runs.max_by_key(|run| run["rows"]["read"].as_u64()).unwrap();
        format!("/runs/{}", last["run"].as_str().unwrap())
    };
    let job = |body: &str| {
        let id = served.order(body);
        served.ended(&id);
        format!("/jobs/{id}")
    };
    let plan = job(r#"{"pipeline": "customers", "task": {"kind": "plan"}}"#);
    let verify = job(r#"{"pipeline": "orders", "task": {"kind": "verify"}}"#);
    let failed = job(r#"{"pipeline": "payments"}"#);
    let long = "/pipelines/a_table_with_a_name_that_somebody_must_have_thought_about_for_quite_some_time";
    vec![
        ("overview", "/".into(), 200),
        ("overview-failed", "/?is=failed".into(), 200),
        ("overview-nothing", "/?q=nothing+of+the+kind&is=late".into(), 200),
        ("pipeline", "/pipelines/orders".into(), 200),
        ("pipeline-failed", "/pipelines/payments".into(), 200),
        ("pipeline-new", "/pipelines/customers".into(), 200),
        ("pipeline-long", long.into(), 200),
        ("runs", "/runs".into(), 200),
        ("run", run("orders"), 200),
        ("run-failed", failed, 200),
        ("run-plan", plan, 200),
        ("run-verify", verify, 200),
        ("error-code", "/errors/FM0301".into(), 200),
        ("help", "/help".into(), 200),
        ("login", "/login".into(), 200),
        ("try", "/try".into(), 200),
        ("not-found", "/pipelines/nothing".into(), 404),
        ("not-found-at-all", "/nowhere".into(), 404),
    ]
}

fn look_at(tab: &mut Tab, pages: &[(&'static str, String, u16)], look: Look) {
    tab.look(look);
    for (name, path, status) in pages {
        let name = format!("{name}-{}", look.name());
        tab.open(path, *status);
        tab.picture(&name);
        tab.check(&name);
    }
}

#[test]
fn every_page_is_whole_in_both_themes_and_on_a_telephone() {
    let scratch = shop();
    let served = Served::start(&scratch, &[]);
    let pages = pages(&served);
    let mut tab = Tab::of(served.address());
    for dark in [false, true] {
        for narrow in [false, true] {
            look_at(&mut tab, &pages, Look { dark, narrow, script: true });
        }
    }
}

#[test]
fn every_page_is_whole_without_a_script_and_its_buttons_do_what_they_say() {
    let scratch = shop();
    let served = Served::start(&scratch, &[]);
    let pages = pages(&served);
    let mut tab = Tab::of(served.address());
    for narrow in [false, true] {
        look_at(&mut tab, &pages, Look { narrow, script: false, ..Look::PLAIN });
    }
    tab.open("/", 200);
    assert!(!tab.text("body").contains('◐'), "a button that needs a script is shown without one");
    scratch.write("data/payments.csv", "id,amount\n1,100\n");
    tab.tab_to("[action='/pipelines/payments/run'] button");
    tab.key("Enter");
    tab.loaded();
    assert!(tab.path().starts_with("/jobs/"), "{}", tab.path());
    tab.reload_until("inserted");
    tab.check("after a button, without a script");
    // Searching is a form as well.
    tab.open("/", 200);
    tab.tab_to("#q");
    tab.write("custom");
    tab.key("Enter");
    tab.loaded();
    let shown = tab.text(".list");
    assert!(shown.contains("customers") && !shown.contains("payments"), "{shown}");
    tab.check("after a search, without a script");
}

#[test]
fn everything_is_reached_by_the_keyboard_alone() {
    let scratch = shop();
    let served = Served::start(&scratch, &[]);
    let mut tab = Tab::of(served.address());
    for (name, path, status) in pages(&served) {
        tab.open(&path, status);
        tab.tour(name);
    }
    // The first thing leads past the header.
    tab.open("/pipelines/orders", 200);
    tab.key("Tab");
    tab.key("Enter");
    tab.key("Tab");
    assert_eq!(tab.value("document.querySelector('main').contains(document.activeElement)"), true);
    // Keys of one letter, as the help has them.
    tab.open("/", 200);
    tab.key("j");
    tab.key("j");
    tab.key("k");
    let first = tab.text("[data-row].at .name");
    assert_eq!(first, "payments", "what failed comes first");
    tab.key("Enter");
    tab.loaded();
    assert_eq!(tab.path(), "/pipelines/payments");
    tab.key("u");
    tab.loaded();
    assert_eq!(tab.path(), "/");
    tab.key("/");
    tab.write("custom");
    tab.key("Enter");
    tab.loaded();
    let list = tab.text(".list");
    assert!(list.contains("customers") && !list.contains("payments"), "{list}");
    tab.key("?");
    tab.loaded();
    assert_eq!(tab.path(), "/help");
    // What somebody chose by hand stays, whatever the system has.
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = tab.value(ground);
    tab.key("t");
    let dark = tab.value(ground);
    assert_ne!(light, dark);
    tab.open("/runs", 200);
    assert_eq!(tab.value(ground), dark);
    tab.complaints("after keys");
}

#[test]
fn a_button_leaves_the_page_where_it_is_and_its_work_is_followed() {
    let scratch = project("commit_every: 20000");
    large(&scratch);
    let served = Served::start(&scratch, &[]);
    let mut tab = Tab::of(served.address());
    tab.open("/", 200);
    tab.until("followed live");
    tab.value("window.same = true");
    tab.click("[action='/pipelines/orders/run'] button");
    tab.until("asked for");
    tab.until("running");
    tab.picture("overview-running");
    tab.until("up to date");
    tab.until("2026-02-01");
    assert_eq!(tab.value("window.same"), true, "the page was loaded anew");
    tab.check("overview, after a run");
    // What forgets is asked about first, and who says no has done nothing.
    tab.open("/pipelines/orders", 200);
    tab.value("setTimeout(() => document.querySelector('[action$=refresh] button').click())");
    let asked = tab.answer(false);
    assert!(asked.contains("loaded again"), "{asked}");
    assert_eq!(served.get("/api/v1/jobs")["items"].as_array().unwrap().len(), 1);
    tab.complaints("after a question");
}

#[test]
fn a_person_logs_in_and_out() {
    let scratch = shop();
    let token = "a-token-that-nobody-guesses";
    let mut command = scratch.command(&["serve", "--listen", "127.0.0.1:0", "--token-env", "TOKEN"]);
    command.env("TOKEN", token);
    let served = Served::by(command);
    let mut tab = Tab::of(served.address());
    for script in [true, false] {
        tab.look(Look { script, ..Look::PLAIN });
        // The cursor is where the token goes.
        tab.open("/pipelines/orders", 200);
        assert_eq!(tab.path(), "/login");
        tab.check("login");
        tab.expect(401);
        tab.write("another-token-altogether");
        tab.key("Enter");
        tab.loaded();
        assert!(tab.text("main").contains("That is not the token"), "{}", tab.text("main"));
        tab.picture(if script { "login-refused" } else { "login-refused-without-script" });
        tab.check("login, refused");
        tab.write(token);
        tab.key("Enter");
        tab.loaded();
        assert_eq!(tab.path(), "/pipelines/orders");
        tab.check("after a login");
        tab.tab_to("[action='/logout'] button");
        tab.key("Enter");
        tab.loaded();
        assert_eq!(tab.path(), "/login");
        tab.complaints("after a logout");
    }
}

#[test]
fn who_tries_it_sees_the_table_stay_the_same() {
    let scratch = project("");
    let served = Served::start(&scratch, &[]);
    let mut tab = Tab::of(served.address());
    for (script, narrow) in [(true, false), (false, true)] {
        let look = Look { script, narrow, ..Look::PLAIN };
        tab.look(look);
        tab.open("/", 200);
        tab.tab_to("a[href='/try']");
        tab.key("Enter");
        tab.loaded();
        tab.tab_to("[value='run']");
        tab.key("Enter");
        tab.loaded();
        assert!(tab.path().starts_with("/try/"), "{}", tab.path());
        tab.value("window.same = true");
        let print = |tab: &mut Tab| tab.text("#table h2 .note");
        let first = print(&mut tab);
        // With a script the page stays where it is; without one it is another copy of itself.
        let press = |tab: &mut Tab, button: &str, number: usize| {
            tab.tab_to(&format!("[value='{button}']"));
            tab.key("Enter");
            if !script {
                tab.loaded();
            }
            tab.until_is("#tried tbody td", &number.to_string());
        };
        press(&mut tab, "run", 2);
        assert!(print(&mut tab) == first && tab.text("#tried .lead").contains("18 rows"), "{}", tab.text("#tried"));
        press(&mut tab, "anew", 3);
        assert!(print(&mut tab).contains("none yet"));
        press(&mut tab, "kill", 4);
        assert!(tab.text("#tried tbody tr").contains("killed") && print(&mut tab) != first, "{}", tab.text("#tried"));
        press(&mut tab, "run", 5);
        assert_eq!(print(&mut tab), first);
        // What is typed is kept, and what cannot be is told.
        tab.value("document.querySelector('[name=first]').value = 'id,updated_at\\n1,2026-01-01\\n'");
        press(&mut tab, "run", 6);
        assert!(tab.text("#tried tbody tr").contains("after an edit"));
        assert_eq!(tab.value("document.querySelector('[name=first]').value.length"), 27);
        assert_eq!(tab.value("window.same === true"), script, "whether the page was loaded anew");
        tab.picture(&format!("tried-{}", look.name()));
        tab.check("after trying");
        if script {
            tab.tour("after trying");
        }
        tab.expect(422);
        tab.value("document.querySelector('[name=key]').value = '${HOME}'");
        tab.tab_to("[value='run']");
        tab.key("Enter");
        if !script {
            tab.loaded();
        }
        tab.until("a key is here at most");
        tab.complaints("after what cannot be");
    }
    tab.look(Look { dark: true, ..Look::PLAIN });
    tab.open("/try", 200);
    tab.tab_to("[value='run']");
    tab.key("Enter");
    tab.loaded();
    tab.picture("tried-dark");
    tab.check("after trying, dark");
}
