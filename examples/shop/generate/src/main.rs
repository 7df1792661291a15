//! Writes the shop's exports into a directory: `floodmark-shop-data DIRECTORY`. Equal on every machine.

mod events;
mod moment;
mod people;
mod random;
mod trade;

use random::Random;
use std::{env, error::Error, fs, path::PathBuf};

const SEED: u64 = 2024;

/// A file's name and bytes.
type Export = (String, Vec<u8>);

/// Every file, by name. Each has a random sequence of its own, so that a change of one leaves the others alone.
fn exports() -> Result<Vec<Export>, Box<dyn Error>> {
    let random = |salt: u64| Random::new(SEED ^ (salt << 32));
    let mut files = vec![
        ("customers.csv".to_owned(), people::customers(&mut random(1))),
        ("customer_tiers.csv".to_owned(), people::tiers(&mut random(2))),
        ("products.csv".to_owned(), trade::products(&mut random(3))),
        ("order_lines.jsonl.gz".to_owned(), trade::order_lines(&mut random(5))?),
        ("stock-2024-06.csv".to_owned(), trade::stock(&mut random(6))),
        ("events.parquet".to_owned(), events::events(&mut random(7))?),
    ];
    files.extend(trade::orders(&mut random(4)));
    Ok(files)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory: PathBuf = env::args_os().nth(1).ok_or("which directory?")?.into();
    fs::create_dir_all(&directory)?;
    for (name, bytes) in exports()? {
        fs::write(directory.join(name), bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, path::Path};

    fn plain(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if name.ends_with(".gz") {
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        } else {
            out.extend_from_slice(bytes);
        }
        out
    }

    /// The README's counts are of the files as checked in. A Parquet file names the library that wrote it, so that one
    /// is compared by size only, roughly.
    #[test]
    fn the_exports_are_the_ones_checked_in() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
        for (name, bytes) in exports().unwrap() {
            let kept = fs::read(data.join(&name)).unwrap();
            if name.ends_with(".parquet") {
                assert!(kept.len().abs_diff(bytes.len()) < 4_096, "{name}");
            } else {
                assert!(plain(&name, &kept) == plain(&name, &bytes), "{name} differs: run `cargo xtask gen-shop`");
            }
        }
    }
}
