//! Profiles of the AWS command line: `~/.aws/credentials` and `~/.aws/config`.

use floodmark_core::{Code, Error, Result};
use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
};

/// What is looked for in a profile.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<String>,
    pub(super) session_token: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

/// The profile of that name, or `default`, where there is one. A name that was given must be found.
pub(super) fn find(name: Option<&str>) -> Result<Option<Profile>> {
    let home = env::home_dir().unwrap_or_default();
    let file = |variable, place| env::var_os(variable).map_or_else(|| home.join(".aws").join(place), PathBuf::from);
    let files = [file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config")];
    in_files(name, &files)
}

fn in_files(name: Option<&str>, files: &[PathBuf; 2]) -> Result<Option<Profile>> {
    let wanted = name.unwrap_or("default");
    let mut values = HashMap::new();
    let mut found = false;
    for (file, heading) in files.iter().zip([wanted.to_owned(), config_heading(wanted)]) {
        let Some(section) = section(file, &heading)? else { continue };
        found = true;
        for (key, value) in section {
            values.entry(key).or_insert(value);
        }
    }
    if !found && let Some(name) = name {
        let shown: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(Error::new(Code::SourceRead, format!("there is no AWS profile {name:?}")).help(format!(
            "it was looked for in {}; `aws configure --profile {name}` makes one",
            shown.join(" and ")
        )));
    }
    let mut take = |key: &str| values.remove(key);
    Ok(found.then(|| Profile {
        access_key_id: take("aws_access_key_id"),
        secret_access_key: take("aws_secret_access_key"),
        session_token: take("aws_session_token"),
        region: take("region"),
        endpoint: take("endpoint_url"),
    }))
}

fn config_heading(name: &str) -> String {
    if name == "default" { name.to_owned() } else { format!("profile {name}") }
}

/// The lines below a heading: `key = value`.
fn section(file: &Path, heading: &str) -> Result<Option<Vec<(String, String)>>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            return Err(Error::new(Code::SourceRead, "the file with AWS profiles cannot be read")
                .in_file(file)
                .help("check its permissions, or name another one with AWS_SHARED_CREDENTIALS_FILE")
                .cause(e));
        }
    };
    let mut lines = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            if lines.is_some() {
                break;
            }
            lines = (name.split_whitespace().collect::<Vec<_>>().join(" ") == heading).then(Vec::new);
        } else if let (Some(lines), Some((key, value))) = (&mut lines, line.split_once('=')) {
            lines.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_put_together_from_both_files() {
        let dir = tempfile::tempdir().unwrap();
        let files = [dir.path().join("credentials"), dir.path().join("config")];
        fs::write(
            &files[0],
            "[default]\naws_access_key_id=A\n# [x]\n[ shop ]\naws_access_key_id = B\naws_secret_access_key = b=/\n",
        )
        .unwrap();
        fs::write(&files[1], "[profile shop]\nregion = eu-west-1\nendpoint_url = http://here\n[default]\nregion = x\n")
            .unwrap();
        let shop = in_files(Some("shop"), &files).unwrap().unwrap();
        assert_eq!(shop.access_key_id.as_deref(), Some("B"));
        assert_eq!(shop.secret_access_key.as_deref(), Some("b=/"));
        assert_eq!(shop.region.as_deref(), Some("eu-west-1"));
        assert_eq!(shop.endpoint.as_deref(), Some("http://here"));
        assert_eq!(in_files(None, &files).unwrap().unwrap().region.as_deref(), Some("x"));
        let Err(error) = in_files(Some("none"), &files) else { panic!("found") };
        assert!(error.advice()[0].contains("credentials"), "{error:?}");
        assert!(in_files(None, &[dir.path().join("a"), dir.path().join("b")]).unwrap().is_none());
    }
}
