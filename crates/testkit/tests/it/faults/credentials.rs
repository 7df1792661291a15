//! Credentials that are wrong or missing: it is said so, and no secret with it; nothing is changed.

use super::{FIRST, UPSERT, project::Format};
use floodmark_testkit::{
    crash::Program,
    objects::{Bucket, Protocol},
    scratch,
};

/// What a run says that loads `in/*.csv` from one place into a table of another.
fn ran(source: &str, destination: &str, environment: &[(&str, &str)]) -> Program {
    let folder = scratch().unwrap();
    let text = format!(
        "version: 1\nconnections: {{ in: \"{source}\", out: \"{destination}\" }}\npipelines:\n  orders:\n    source: {{ connection: in, files: \"in/*.csv\" }}\n    destination: {{ connection: out, table: orders }}\n{UPSERT}"
    );
    std::fs::write(folder.path().join("floodmark.yaml"), text).unwrap();
    let mut command = Program::command(folder.path(), &["run".to_owned()], None).unwrap();
    command.envs(environment.iter().copied()).output().unwrap().into()
}

#[test]
fn credentials_that_give_no_access_are_told_and_not_repeated() {
    for protocol in Protocol::ALL {
        let bucket = Bucket::make(protocol).unwrap();
        bucket.put("in/a.csv", FIRST).unwrap();
        let (name, server) = (&bucket.name, format!("http://{}", bucket.server));
        for (settings, secret) in protocol.wrong_settings(&server) {
            let wrong = |below: &str| format!("{}://{name}{below}?{settings}", protocol.scheme());
            let mut all = vec![(wrong(""), "sqlite:///out.db".to_owned())];
            all.extend(Format::BOTH.map(|f| (bucket.url(""), format!("{}+{}", f.scheme(), wrong("/lake")))));
            for (source, destination) in all {
                let ran = ran(&source, &destination, &[]);
                assert_eq!(ran.exit, Some(1), "{settings}\n{}", ran.said);
                let told = ["does not know these credentials", "cannot be reached with the settings there are"];
                assert!(told.iter().any(|told| ran.said.contains(told)), "{settings}\n{}", ran.said);
                assert!(!ran.said.contains(secret) && !ran.said.contains("sig="), "{settings}\n{}", ran.said);
                assert!(ran.said.contains("nothing was written"), "{settings}\n{}", ran.said);
            }
        }
        let below: Vec<_> = bucket.list("").unwrap().into_iter().map(|object| object.key).collect();
        assert_eq!(below, ["in/a.csv"]);
    }
}

/// A token in place of the key, or Azurite's own account where its address is in the environment.
#[test]
fn other_credentials_give_the_same_access() {
    let protocol = Protocol::Azure;
    let server = protocol.url().unwrap();
    for settings in [protocol.token(&server), "emulator=true".to_owned()] {
        let bucket = Bucket::make(protocol).unwrap();
        bucket.put("in/a.csv", FIRST).unwrap();
        let place = |below: &str| format!("{}://{}{below}?{settings}", protocol.scheme(), bucket.name);
        for format in Format::BOTH {
            let lake = format!("{0}+{1}", format.scheme(), place(&format!("/{}", format.scheme())));
            for says in ["2 inserted", "nothing new"] {
                let ran = ran(&place(""), &lake, &[("AZURITE_BLOB_STORAGE_URL", &server)]);
                assert!(ran.exit == Some(0) && ran.said.contains(says), "{settings}\n{}", ran.said);
                assert!(!ran.said.contains("sig="), "{}", ran.said);
            }
        }
    }
}
