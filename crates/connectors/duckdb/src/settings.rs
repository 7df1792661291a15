//! DuckDB's own settings, from the URL.

use floodmark_core::{Code, Error, Result, url::ConnectionUrl};

/// What may be set. Everything else is either Floodmark's business or a way to make results differ.
const KNOWN: [&str; 4] = ["memory_limit", "threads", "temp_directory", "max_temp_directory_size"];

/// Unless the URL says otherwise: what DuckDB takes by itself is most of the machine's memory. This is the least at which a chunk of a
/// million everyday rows need not be put aside (docs/destinations/duckdb.md has the figures).
const MEMORY: &str = "512MB";

/// Settings with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings(Vec<(&'static str, String)>);

impl Settings {
    pub(crate) fn of(url: &ConnectionUrl) -> Result<Settings> {
        let mut out = Settings(Vec::new());
        let query = url.written().split_once('?').map_or("", |(_, query)| query);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name));
            let Some(known) = known.filter(|_| !value.is_empty()) else {
                return Err(Error::new(
                    Code::BadUrl,
                    format!("{url} says {pair:?}, which is no setting of a DuckDB database here"),
                )
                .state("nothing was read or written")
                .help(format!("settings it knows: {}, each with a value", KNOWN.join(", "))));
            };
            out.0.push((known, decoded(value)));
        }
        if !out.0.iter().any(|(name, _)| *name == "memory_limit") {
            out.0.push(("memory_limit", MEMORY.to_owned()));
        }
        Ok(out)
    }

    pub(crate) fn all(&self) -> Vec<(&'static str, String)> {
        // Everything that could be fetched from elsewhere is part of the program, or not used.
        let own = [("autoinstall_known_extensions", "false"), ("autoload_known_extensions", "false")];
        let own = own.into_iter().map(|(name, value)| (name, value.to_owned()));
        self.0.iter().cloned().chain(own).collect()
    }
}

/// `%41` is A.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_behind_the_question_mark() {
        let of = |url: &str| Settings::of(&ConnectionUrl::parse(url).unwrap()).map(|settings| settings.0);
        let own = |name, value: &str| (name, value.to_owned());
        assert_eq!(of("duckdb:///a.duckdb").unwrap(), [own("memory_limit", MEMORY)]);
        let asked = of("duckdb:///a.duckdb?memory_limit=1GB&temp_directory=%2Ffast%20disk").unwrap();
        assert_eq!(asked, [own("memory_limit", "1GB"), own("temp_directory", "/fast disk")]);
        assert_eq!(of("duckdb:///a.duckdb?access_mode=read_only").unwrap_err().code(), Code::BadUrl);
        assert_eq!(of("duckdb:///a.duckdb?threads=").unwrap_err().code(), Code::BadUrl);
    }
}
