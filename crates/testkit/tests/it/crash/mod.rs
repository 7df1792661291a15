//! P2: killed at any point, any number of times, then run to its end, a load leaves what the unbroken run leaves.

#[cfg(unix)]
mod change;
mod data;
#[cfg(unix)]
mod disk;
#[cfg(target_os = "linux")]
mod fire;
#[cfg(unix)]
mod project;
mod scan;
mod scenarios;

use floodmark_connect::crash::Point;
use floodmark_testkit::crash::{Depth, Destination, Mysql, Postgres, Report, Scenario, Sqlite, run};

fn show(report: &Report) -> String {
    let faults: Vec<String> = report.experiments.iter().map(|(fault, n)| format!("{fault}: {n}")).collect();
    format!(
        "{} scenarios in {} stages, {} points and sides met, {} experiments ({})",
        report.scenarios,
        report.stages,
        report.points.len(),
        report.experiments.values().sum::<usize>(),
        faults.join(", ")
    )
}

/// `CRASH=chunks` keeps to the scenarios whose name has it.
fn only(scenarios: Vec<Scenario>) -> Vec<Scenario> {
    let only = std::env::var("CRASH").unwrap_or_default();
    scenarios.into_iter().filter(|scenario| scenario.name.contains(&only)).collect()
}

fn none_broken(report: &Report) {
    let broken: Vec<String> = report.breakages.iter().map(|b| format!("{}\n{}", b.what, b.how)).collect();
    assert!(broken.is_empty(), "{} experiments broke a promise:\n{}", broken.len(), broken.join("\n"));
}

/// Points that are met where rows lie in files.
const LAKES: [Point; 4] = [Point::DataFile, Point::PutState, Point::PutPointer, Point::Sweep];

fn every_point(report: &Report) {
    all_of(report, Point::ALL.iter().filter(|point| !LAKES.contains(point)));
}

fn all_of<'a>(report: &Report, points: impl Iterator<Item = &'a Point>) {
    if std::env::var_os("CRASH").is_some() {
        return;
    }
    let missed: Vec<&str> = points
        .map(|point| point.name())
        .filter(|name| !report.points.contains_key(&format!("{name}:before")))
        .collect();
    assert!(missed.is_empty(), "no scenario meets these points: {missed:?}");
}

/// Runs scenarios on a destination; none may break a promise.
#[expect(clippy::print_stdout, reason = "how large the matrix was is for whoever runs it")]
fn tried(on: &dyn Destination, scenarios: Vec<Scenario>, depth: Depth) -> Report {
    let report = run(&[on], &only(scenarios), depth).unwrap();
    println!("{}", show(&report));
    none_broken(&report);
    report
}

#[test]
fn p2_every_point_of_every_strategy() {
    every_point(&tried(&Sqlite, scenarios::sample(), Depth::Sample));
}

/// A few of them on the server, where every project has a database of its own and takes its time.
#[test]
fn p2_some_strategies_on_postgres() {
    tried(&Postgres, scenarios::sample().into_iter().step_by(5).collect(), Depth::Sample);
}

#[test]
#[ignore = "all of it on the server: `cargo xtask crash --postgres`"]
fn p2_every_strategy_on_postgres() {
    tried(&Postgres, scenarios::sample(), Depth::Sample);
}

#[test]
fn p2_some_strategies_on_mysql() {
    tried(&Mysql, scenarios::sample().into_iter().skip(2).step_by(12).collect(), Depth::Sample);
}

#[test]
#[ignore = "all of it on the server: `cargo xtask crash --mysql`"]
fn p2_every_strategy_on_mysql() {
    tried(&Mysql, scenarios::sample(), Depth::Sample);
}

#[cfg(feature = "lake")]
#[test]
fn p2_some_strategies_on_delta() {
    use floodmark_testkit::crash::Delta;
    let report = tried(&Delta, without_sql().into_iter().step_by(8).collect(), Depth::Sample);
    all_of(&report, LAKES.iter());
}

#[cfg(feature = "lake")]
#[test]
#[ignore = "all of it: `cargo xtask crash --delta`"]
fn p2_every_strategy_on_delta() {
    use floodmark_testkit::crash::Delta;
    tried(&Delta, without_sql(), Depth::Sample);
}

/// Nobody else changes a table of a lake by statements.
#[cfg(feature = "lake")]
fn without_sql() -> Vec<Scenario> {
    let plain = |scenario: &Scenario| scenario.stages.iter().all(|stage| stage.sql.is_empty());
    scenarios::sample().into_iter().filter(plain).collect()
}

#[cfg(feature = "duckdb")]
#[test]
fn p2_some_strategies_on_duckdb() {
    use floodmark_testkit::crash::Duckdb;
    tried(&Duckdb, scenarios::sample().into_iter().skip(1).step_by(20).collect(), Depth::Sample);
}

#[cfg(feature = "duckdb")]
#[test]
#[ignore = "all of it: `cargo xtask crash --duckdb`"]
fn p2_every_strategy_on_duckdb() {
    use floodmark_testkit::crash::Duckdb;
    tried(&Duckdb, scenarios::sample(), Depth::Sample);
}

#[test]
#[ignore = "the whole matrix: `cargo xtask crash`"]
fn p2_the_whole_matrix() {
    every_point(&tried(&Sqlite, scenarios::whole(), Depth::Whole));
}
