//! The password file, `~/.pgpass` unless told otherwise (PostgreSQL, "The Password File").

use crate::address::Environment;
use std::{fs, path::PathBuf};

/// Its text; nothing where there is none, or where others may read it: libpq passes over such a file, too.
pub(crate) fn read(named: Option<PathBuf>, environment: Environment<'_>) -> String {
    let path = named.or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".pgpass")));
    let Some(path) = path else { return String::new() };
    if !fs::metadata(&path).is_ok_and(|m| m.is_file() && private(&m)) {
        return String::new();
    }
    fs::read_to_string(&path).unwrap_or_default()
}

#[cfg(unix)]
fn private(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 == 0
}

#[cfg(not(unix))]
fn private(_metadata: &fs::Metadata) -> bool {
    true
}

/// The password of the first line that fits.
pub(crate) fn find(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
    let port = port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [h, p, d, u, password] = fields.as_slice() else { return None };
        let fits = |field: &String, value: &str| field == "*" || field == value;
        (fits(h, host) && fits(p, &port) && fits(d, database) && fits(u, user)).then(|| password.clone())
    })
}

/// Fields between colons; a backslash takes the meaning from the character behind it.
fn fields(line: &str) -> Vec<String> {
    let (mut out, mut field, mut characters) = (Vec::new(), String::new(), line.chars());
    while let Some(c) = characters.next() {
        match c {
            '\\' => field.extend(characters.next()),
            ':' if out.len() < 4 => out.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    out.push(field);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# mine\nh:5432:d:ann:one\nh:*:*:*:t\\:w\\\\o:\n";
        assert_eq!(find(text, "h", 5432, "d", "ann").as_deref(), Some("one"));
        assert_eq!(find(text, "h", 1, "d", "bob").as_deref(), Some("t:w\\o:"));
        assert_eq!(find(text, "other", 5432, "d", "ann"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_passed_over() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "*:*:*:*:pw").unwrap();
        let read = |mode| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            read(Some(file.path().into()), &|_| None)
        };
        assert_eq!((read(0o644).as_str(), read(0o600).as_str()), ("", "*:*:*:*:pw"));
    }
}
