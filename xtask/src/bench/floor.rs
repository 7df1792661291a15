//! What the disk alone takes for a delta: the least that any update in place must write to survive a crash.
//!
//! Pages that change are written twice, once to a log and once to their places, and the log must be on the disk before
//! its pages are overwritten. No reading, parsing or merging: what a load takes beyond this is the load's own.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::Path,
    time::Instant,
};

const PAGE: usize = 4096;
/// Pages go to the log this many at a time.
const AT_ONCE: usize = 256;

/// A page's place in the file, and its new content.
type Page = (u64, Vec<u8>);

/// The pages of `after` that `before` does not have at the same place.
pub(crate) fn changed(before: &Path, after: &Path) -> io::Result<Vec<Page>> {
    let (mut old, mut new) = (File::open(before)?, File::open(after)?);
    let (mut a, mut b) = ([0; PAGE], [0; PAGE]);
    let mut pages = Vec::new();
    let mut place = 0;
    loop {
        let held = fill(&mut new, &mut b)?;
        if held == 0 {
            return Ok(pages);
        }
        let had = fill(&mut old, &mut a)?;
        if a[..had] != b[..held] {
            pages.push((place, b[..held].to_vec()));
        }
        place += PAGE as u64;
    }
}

fn fill(file: &mut File, page: &mut [u8; PAGE]) -> io::Result<usize> {
    let mut held = 0;
    while held < PAGE {
        match file.read(&mut page[held..])? {
            0 => break,
            n => held += n,
        }
    }
    Ok(held)
}

/// Writes the pages to a log and into `file`, each durably, and removes the log; in seconds.
pub(crate) fn write_twice(file: &Path, pages: &[Page]) -> io::Result<f64> {
    let log = file.with_extension("log");
    nix::unistd::sync();
    let start = Instant::now();
    let mut out = File::create(&log)?;
    let mut block = Vec::with_capacity(PAGE * AT_ONCE);
    for some in pages.chunks(AT_ONCE) {
        block.clear();
        some.iter().for_each(|(_, page)| block.extend_from_slice(page));
        out.write_all(&block)?;
    }
    out.sync_data()?;
    let place = File::options().write(true).open(file)?;
    for (at, page) in pages {
        place.write_all_at(page, *at)?;
    }
    place.sync_all()?;
    drop(out);
    fs::remove_file(&log)?;
    Ok(start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_differ_are_written_and_the_file_is_then_equal() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) = (folder.path().join("before"), folder.path().join("after"));
        let mut bytes = vec![1; PAGE * 5 + 10];
        fs::write(&before, &bytes).unwrap();
        bytes[PAGE * 2 + 7] = 2;
        bytes.extend_from_slice(&[3; PAGE]);
        fs::write(&after, &bytes).unwrap();
        let pages = changed(&before, &after).unwrap();
        assert_eq!(pages.iter().map(|(at, _)| at / PAGE as u64).collect::<Vec<_>>(), [2, 5, 6]);
        write_twice(&before, &pages).unwrap();
        assert_eq!(fs::read(&before).unwrap(), bytes);
        assert!(!before.with_extension("log").exists());
    }
}
