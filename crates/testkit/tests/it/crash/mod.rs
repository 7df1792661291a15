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
use floodmark_testkit::crash::{Depth, Destination, Report, Scenario, Sqlite, run};

const DESTINATIONS: &[&dyn Destination] = &[&Sqlite];

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

fn check(report: &Report) {
    let broken: Vec<String> = report.breakages.iter().map(|b| format!("{}\n{}", b.what, b.how)).collect();
    assert!(broken.is_empty(), "{} experiments broke a promise:\n{}", broken.len(), broken.join("\n"));
    if std::env::var_os("CRASH").is_some() {
        return;
    }
    let missed: Vec<&str> = Point::ALL
        .iter()
        .map(|point| point.name())
        .filter(|name| !report.points.contains_key(&format!("{name}:before")))
        .collect();
    assert!(missed.is_empty(), "no scenario meets these points: {missed:?}");
}

#[test]
fn p2_every_point_of_every_strategy() {
    let report = run(DESTINATIONS, &only(scenarios::sample()), Depth::Sample).unwrap();
    println!("{}", show(&report));
    check(&report);
}

#[test]
#[ignore = "the whole matrix: `cargo xtask crash`"]
fn p2_the_whole_matrix() {
    let report = run(DESTINATIONS, &only(scenarios::whole()), Depth::Whole).unwrap();
    println!("{}", show(&report));
    check(&report);
}
