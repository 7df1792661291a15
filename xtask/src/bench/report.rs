//! Figures as a table: medians, extremes, ratios.

use super::measure::Cost;
use crate::shell::{self, root};
use std::{fmt::Write, fs, path::Path, process::Command, thread};

/// One job on one side.
pub(crate) struct Series {
    /// The job.
    pub(crate) job: String,
    /// Who did it.
    pub(crate) side: &'static str,
    /// Every run.
    pub(crate) costs: Vec<Cost>,
}

/// The middle value; of an even number the mean of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Series {
    /// Median wall time.
    pub(crate) fn wall(&self) -> f64 {
        median(self.costs.iter().map(|c| c.wall).collect())
    }

    fn memory(&self) -> f64 {
        self.costs.iter().map(|c| c.memory).fold(0.0, f64::max)
    }
}

/// A Markdown table, with the ratio to the other side of the same job.
pub(crate) fn table(series: &[Series]) -> String {
    let mut out = "| job | side | wall, median | min | max | processor | peak memory | ratio |\n\
                   | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    // One that failed has nothing to show.
    for one in series.iter().filter(|one| !one.costs.is_empty()) {
        let walls: Vec<f64> = one.costs.iter().map(|c| c.wall).collect();
        let (low, high) = walls.iter().fold((f64::MAX, 0.0f64), |(l, h), w| (l.min(*w), h.max(*w)));
        let cpu = median(one.costs.iter().map(|c| c.cpu).collect());
        let other = series.iter().find(|s| s.job == one.job && s.side != one.side);
        let ratio = other.map_or_else(String::new, |s| format!("{:.2}", one.wall() / s.wall()));
        let (job, side, wall, memory) = (&one.job, one.side, one.wall(), one.memory());
        let _ = writeln!(
            out,
            "| {job} | {side} | {wall:.3} s | {low:.3} | {high:.3} | {cpu:.3} s | {memory:.0} MiB | {ratio} |"
        );
    }
    out
}

/// Adds a section with what was measured, where and how. `tools`: what Floodmark was measured beside.
pub(crate) fn append(
    series: &[Series],
    notes: &[String],
    program: &Path,
    command: &str,
    tools: &str,
) -> Result<(), String> {
    let said = |c: &mut Command| shell::read(c).map(|t| t.trim().to_owned()).unwrap_or_else(|_| "unknown".to_owned());
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':'));
        line.map_or_else(|| "unknown".to_owned(), |(_, v)| v.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let gib = memory.split(' ').next().and_then(|kb| kb.parse::<f64>().ok()).map_or(f64::NAN, |kb| kb / 1_048_576.0);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let changed = !said(Command::new("git").current_dir(root()).args(["status", "--porcelain"])).is_empty();
    let mut section = format!(
        "\n## {date} · {commit}{dirty}\n\n{cpu}, {cores} cores, {gib:.0} GiB, Linux {kernel}. {floodmark}; {tools}. `{command}`, {runs} runs \
         of each, alternating.\n\n{table}",
        date = said(Command::new("date").args(["-u", "+%Y-%m-%d"])),
        commit = said(Command::new("git").current_dir(root()).args(["rev-parse", "--short", "HEAD"])),
        dirty = if changed { " with changes" } else { "" },
        cpu = field(&read("/proc/cpuinfo"), "model name"),
        kernel = read("/proc/sys/kernel/osrelease").trim(),
        floodmark = said(Command::new(program).arg("--version")),
        runs = series.first().map_or(0, |s| s.costs.len()),
        table = table(series),
    );
    for note in notes {
        let _ = write!(section, "\n{note}\n");
    }
    let file = root().join("bench/RESULTS.md");
    let mut text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    text.push_str(&section);
    fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_medians_within_a_job() {
        let cost = |wall| Cost { wall, cpu: wall, memory: 10.0 };
        let series = |job: &str, side, walls: &[f64]| Series {
            job: job.into(),
            side,
            costs: walls.iter().map(|w| cost(*w)).collect(),
        };
        let text = table(&[series("a", "x", &[9.0, 1.0, 2.0]), series("a", "y", &[4.0]), series("b", "x", &[1.0])]);
        assert!(text.contains("| a | x | 2.000 s | 1.000 | 9.000 | 2.000 s | 10 MiB | 0.50 |"), "{text}");
        assert!(
            text.contains("| 2.00 |") && text.contains("| b | x | 1.000 s | 1.000 | 1.000 | 1.000 s | 10 MiB |  |")
        );
    }
}
