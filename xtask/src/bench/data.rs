//! TPC-H's tables, and what changes in `orders`.

use crate::shell::{run, say};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// `tpchgen-cli` numbers orders up to this at scale 1, three of four numbers being unused.
const LAST_KEY: u64 = 6_000_000;

/// The generator, from PyPI in a virtual environment of its own.
fn generator(work: &Path) -> Result<PathBuf, String> {
    let program = work.join("venv/bin/tpchgen-cli");
    if !program.is_file() {
        say("installing tpchgen-cli");
        run(Command::new("python3").args(["-m", "venv"]).arg(work.join("venv")))?;
        run(Command::new(work.join("venv/bin/pip")).args(["install", "--quiet", "tpchgen-cli==4.0.0"]))?;
    }
    Ok(program)
}

/// A table of TPC-H at scale 1 as CSV with a header, sorted by key: `orders` has 1.5 million rows in 173 MB, `lineitem` 6
/// million.
pub(crate) fn table(work: &Path, name: &str) -> Result<PathBuf, String> {
    let file = work.join(format!("{name}.csv"));
    if !file.is_file() {
        let generator = generator(work)?;
        say(&format!("making TPC-H {name} at scale 1"));
        let mut command = Command::new(generator);
        command.args(["csv", "--scale-factor", "1", "--tables", name, "--overwrite", "--output-dir"]).arg(work);
        run(&mut command)?;
    }
    Ok(file)
}

/// An order's line with another key and date, and a price that is different.
fn changed(line: &str, key: u64, date: &str) -> Result<String, String> {
    let fields: Vec<&str> = line.splitn(6, ',').collect();
    let [_, customer, status, _, _, rest] = fields.as_slice() else { return Err(format!("not an order: {line}")) };
    Ok(format!("{key},{customer},{status},1.25,{date},{rest}\n"))
}

fn key(line: &str) -> Result<u64, String> {
    line.split(',').next().and_then(|k| k.parse().ok()).ok_or_else(|| format!("not an order: {line}"))
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |e| format!("{}: {e}", path.display())
}

/// Copies the header and hands each line to `write`.
fn rewrite(
    from: &Path,
    to: &Path,
    mut write: impl FnMut(usize, &str, &mut dyn Write) -> Result<(), String>,
) -> Result<(), String> {
    let part = to.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&part).map_err(at(&part))?);
    let lines = BufReader::with_capacity(1 << 20, File::open(from).map_err(at(from))?).lines();
    for (number, line) in lines.enumerate() {
        let line = line.map_err(at(from))?;
        if number == 0 {
            writeln!(out, "{line}").map_err(at(&part))?;
        } else {
            write(number - 1, &line, &mut out)?;
        }
    }
    out.into_inner().map_err(|e| e.to_string())?.sync_all().map_err(at(&part))?;
    fs::rename(&part, to).map_err(at(to))
}

/// 30,000 rows: every 100th order with a newer date, and as many new ones.
pub(crate) fn delta(work: &Path, orders: &Path) -> Result<PathBuf, String> {
    let file = work.join("delta.csv");
    if !file.is_file() {
        let mut new = LAST_KEY;
        rewrite(orders, &file, |number, line, out| {
            if number % 100 != 0 {
                return Ok(());
            }
            new += 1;
            let rows = changed(line, key(line)?, "1999-01-01")? + &changed(line, new, "1999-01-02")?;
            out.write_all(rows.as_bytes()).map_err(|e| e.to_string())
        })?;
    }
    Ok(file)
}

/// Every order once more, newer and with another price.
pub(crate) fn newer(work: &Path, orders: &Path) -> Result<PathBuf, String> {
    let file = work.join("newer.csv");
    if !file.is_file() {
        rewrite(orders, &file, |_, line, out| {
            let row = changed(line, key(line)?, "1999-03-01")?;
            out.write_all(row.as_bytes()).map_err(|e| e.to_string())
        })?;
    }
    Ok(file)
}

/// The first `rows` of endless orders: at the end they begin again with higher keys.
pub(crate) fn endless(work: &Path, orders: &Path, rows: usize) -> Result<PathBuf, String> {
    let file = work.join(format!("orders-{rows}.csv"));
    if file.is_file() {
        return Ok(file);
    }
    say(&format!("making {rows} orders"));
    let mut lines: Vec<String> = Vec::new();
    let mut header = String::new();
    for line in BufReader::new(File::open(orders).map_err(|e| e.to_string())?).lines() {
        let line = line.map_err(|e| e.to_string())?;
        if header.is_empty() {
            header = line
        } else {
            lines.push(line)
        }
        if lines.len() == rows {
            break;
        }
    }
    let part = file.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&part).map_err(|e| e.to_string())?);
    writeln!(out, "{header}").map_err(|e| e.to_string())?;
    for number in 0..rows {
        let (round, line) = ((number / lines.len()) as u64, &lines[number % lines.len()]);
        let rest = line.split_once(',').map_or("", |(_, rest)| rest);
        writeln!(out, "{},{rest}", key(line)? + round * LAST_KEY).map_err(|e| e.to_string())?;
    }
    out.flush().map_err(|e| e.to_string())?;
    fs::rename(&part, &file).map_err(|e| e.to_string())?;
    Ok(file)
}

/// 10,000 orders with keys no table has, newer than all.
pub(crate) fn arrivals(work: &Path, orders: &Path) -> Result<PathBuf, String> {
    let file = work.join("arrivals.csv");
    if !file.is_file() {
        rewrite(orders, &file, |number, line, out| {
            if number >= 10_000 {
                return Ok(());
            }
            let row = changed(line, 1_000_000_000 + number as u64, "1999-02-01")?;
            out.write_all(row.as_bytes()).map_err(|e| e.to_string())
        })?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_order_keeps_what_it_is_not_told_to_change() {
        let line = "1,36901,O,173665.47,1996-01-02,5-LOW,Clerk#000000951,0,\"a, b\"";
        let expected = "7,36901,O,1.25,1999-01-01,5-LOW,Clerk#000000951,0,\"a, b\"\n";
        assert_eq!(changed(line, 7, "1999-01-01").unwrap(), expected);
        assert!(changed("1,2", 7, "1999-01-01").is_err());
    }
}
