//! Each fault at each kind of request: the run ends well, or says what happened and has changed nothing; and the next one puts
//! everything right.

use super::{
    BOTH, FIRST, SECOND, UPSERT,
    project::{Format, Project},
    read::{by_others, rows},
};
use floodmark_testkit::{
    crash::Look,
    objects::{Bucket, Fault, Kind, Protocol, Seen},
};
use std::{collections::BTreeSet, sync::Mutex, thread, time::Duration};

/// A kind, and a part of the key.
type Request = (Kind, String);

/// A status, a code, and what is to be said of it.
type Refusal = (u16, &'static str, &'static str);

/// What an unbroken run asks for, by the place in the lake or the bucket.
fn requests(protocol: Protocol, format: Format) -> Vec<Request> {
    let log = format.log().to_owned();
    let name = |text: &str| text.to_owned();
    let mut all = vec![
        (Kind::List, name("in/")),
        (Kind::Range, name("in/b.csv")),
        (Kind::List, log.clone()),
        (Kind::List, name("/runs/")),
        (Kind::List, name("/state/")),
        (Kind::Get, name("/table.json")),
        (Kind::Get, log.clone()),
        (Kind::Get, name("/state/")),
        (Kind::Range, name("/part-")),
        (Kind::Begin, name("/part-")),
        (Kind::Part, name("/part-")),
        (Kind::Complete, name("/part-")),
        (Kind::PutNew, name("/state/")),
        (Kind::PutNew, log),
    ];
    // Parts of an object of Azure belong to no upload that would have been begun.
    if protocol == Protocol::Azure {
        all.retain(|(kind, _)| *kind != Kind::Begin);
    }
    // Who reads the folder alone is not to find what was replaced.
    if format == Format::Parquet {
        all.push((Kind::Delete, name("/part-")));
    }
    all
}

/// A bucket with a lake that has the first file, and the second one beside it.
fn begun(protocol: Protocol, format: Format) -> (Bucket, Look) {
    let bucket = Bucket::make(protocol).unwrap();
    bucket.put("in/a.csv", FIRST).unwrap();
    Project::new(&bucket, format, "begun", UPSERT).well();
    bucket.put("in/b.csv", SECOND).unwrap();
    bucket.copy("begun/", "clean/").unwrap();
    let clean = Project::new(&bucket, format, "clean", UPSERT);
    clean.well();
    let seen: BTreeSet<Kind> = clean.net.seen().into_iter().map(|seen| seen.kind).collect();
    let listed: BTreeSet<Kind> =
        requests(protocol, format).into_iter().map(|(kind, _)| kind).chain([Kind::Head]).collect();
    assert!(seen.is_subset(&listed), "a run asks for what no fault strikes: {seen:?}");
    assert_eq!(by_others(&[&clean]), [rows(&BOTH)]);
    (bucket, if format == Format::Delta { clean.look() } else { Look::default() })
}

/// Does it with each of these at the same time, a few at once: they mostly wait.
fn each<T: Sync, U: Send>(of: &[T], work: impl Fn(usize, &T) -> U + Sync) -> Vec<U> {
    let (next, done) = (Mutex::new(0..of.len()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(at) = { next.lock().unwrap().next() } {
                    let out = work(at, &of[at]);
                    done.lock().unwrap().push((at, out));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, out)| out).collect()
}

fn struck(project: &Project) -> Vec<Seen> {
    project.net.seen().into_iter().filter(|seen| seen.struck).collect()
}

/// The run after it ends well, with one run's table.
fn put_right(project: &Project, format: Format, clean: &Look, what: &str) {
    project.well();
    if format == Format::Delta {
        assert_eq!(project.look().content, clean.content, "{what}");
    }
}

/// What passes by itself: asked once more, the store does it.
fn once(protocol: Protocol, format: Format) {
    let (bucket, clean) = begun(protocol, format);
    let faults = [
        Fault::Refused(503, "SlowDown"),
        Fault::DoneThen500,
        Fault::DoneThenClosed,
        Fault::Closed,
        Fault::Cut,
        Fault::Late(Duration::from_millis(300)),
    ];
    // The requests of both formats are the same but for the log's.
    let some = if format == Format::Delta { &faults[..] } else { &faults[1..3] };
    let projects = each(some, |at, fault| {
        let lake = format!("once-{at}");
        bucket.copy("begun/", &format!("{lake}/")).unwrap();
        let project = Project::new(&bucket, format, &lake, UPSERT);
        // All of them in one run: each request has its own answer lost.
        for (kind, key) in requests(protocol, format) {
            project.strike(kind, &key, 1, fault.clone());
        }
        let ran = project.run();
        assert_eq!(ran.exit, Some(0), "{fault:?}\n{}\n{:#?}", ran.said, struck(&project));
        assert_eq!(struck(&project).len(), requests(protocol, format).len(), "{fault:?}");
        if format == Format::Delta {
            assert_eq!(project.look().content, clean.content, "{fault:?}");
        }
        let versions = bucket.list(&format!("{lake}{}", format.log())).unwrap();
        assert_eq!(versions.len(), 2, "{fault:?}: {versions:?}");
        put_right(&project, format, &clean, &format!("{fault:?}"));
        project
    });
    let wanted = vec![rows(&BOTH); projects.len()];
    assert_eq!(by_others(&projects.iter().collect::<Vec<_>>()), wanted);
}

#[test]
fn what_fails_once_is_done_once_in_a_delta_table() {
    once(Protocol::S3, Format::Delta);
}

#[test]
fn what_fails_once_is_done_once_in_a_parquet_dataset() {
    once(Protocol::S3, Format::Parquet);
}

#[test]
fn what_fails_once_is_done_once_in_a_delta_table_of_a_container() {
    once(Protocol::Azure, Format::Delta);
}

#[test]
fn what_fails_once_is_done_once_in_a_parquet_dataset_of_a_container() {
    once(Protocol::Azure, Format::Parquet);
}

/// How a store refuses for good.
fn refusals(protocol: Protocol) -> &'static [Refusal] {
    match protocol {
        Protocol::S3 => &[
            (403, "ExpiredToken", "credentials are expired"),
            (400, "ExpiredToken", "credentials are expired"),
            (403, "RequestTimeTooSkewed", "clock of this machine"),
            (403, "AccessDenied", "does not let these credentials"),
        ],
        Protocol::Azure => &[
            (403, "AuthorizationPermissionMismatch", "does not let these credentials"),
            (401, "NoAuthenticationInformation", "does not know these credentials"),
        ],
    }
}

/// What a store refuses for good, at each request of a run: nothing is changed, and it is said why.
fn refused(protocol: Protocol, format: Format) {
    let (bucket, clean) = begun(protocol, format);
    let own = |(kind, key): &Request| *kind == Kind::Delete || *key == format.log();
    let all: Vec<(Request, Refusal)> = requests(protocol, format)
        .into_iter()
        .filter(|request| format == Format::Delta || own(request))
        .zip(refusals(protocol).iter().copied().cycle())
        .collect();
    let projects = each(&all, |at, ((kind, key), (status, code, says))| {
        let lake = format!("refused-{at}");
        let what = format!("{kind:?} {key} {status} {code}");
        bucket.copy("begun/", &format!("{lake}/")).unwrap();
        let project = Project::new(&bucket, format, &lake, UPSERT);
        project.strike(*kind, key, u32::MAX, Fault::Refused(*status, code));
        let ran = project.run();
        assert!(!struck(&project).is_empty(), "{what}");
        // What is not swept now goes another time.
        if *kind == Kind::Delete || (*kind, key.as_str()) == (Kind::List, "/state/") {
            assert_eq!(ran.exit, Some(0), "{what}\n{}", ran.said);
        } else {
            assert_eq!(ran.exit, Some(1), "{what}\n{}", ran.said);
            assert!(ran.said.contains(says), "{what}\n{}", ran.said);
            assert!(ran.said.contains("nothing was written"), "{what}\n{}", ran.said);
            assert_eq!(bucket.list(&format!("{lake}{}", format.log())).unwrap().len(), 1, "{what}");
        }
        put_right(&project, format, &clean, &what);
        project
    });
    let wanted = vec![rows(&BOTH); projects.len()];
    assert_eq!(by_others(&projects.iter().collect::<Vec<_>>()), wanted);
}

#[test]
fn what_is_refused_changes_nothing_in_a_delta_table() {
    refused(Protocol::S3, Format::Delta);
}

#[test]
fn what_is_refused_changes_nothing_in_a_parquet_dataset() {
    refused(Protocol::S3, Format::Parquet);
}

#[test]
fn what_is_refused_changes_nothing_in_a_delta_table_of_a_container() {
    refused(Protocol::Azure, Format::Delta);
}

#[test]
fn what_is_refused_changes_nothing_in_a_parquet_dataset_of_a_container() {
    refused(Protocol::Azure, Format::Parquet);
}

/// Objects as a source alone: rows are whole, or there are none.
fn whole_or_not_at_all(protocol: Protocol) {
    let bucket = Bucket::make(protocol).unwrap();
    let text: String = (0..20_000).map(|n| format!("{n},2024-01-01,row {n}\n")).collect();
    bucket.put("in/a.csv", format!("id,at,name\n{text}").as_bytes()).unwrap();
    let mut faults = vec![
        (Fault::Refused(503, "SlowDown"), 2, None),
        (Fault::Closed, 2, None),
        (Fault::Cut, 2, None),
        (Fault::Late(Duration::from_millis(300)), 2, None),
    ];
    let refusals = refusals(protocol).iter();
    faults.extend(refusals.map(|(status, code, says)| (Fault::Refused(*status, code), u32::MAX, Some(*says))));
    let cases: Vec<_> =
        [Kind::List, Kind::Range].into_iter().flat_map(|kind| faults.iter().map(move |f| (kind, f))).collect();
    each(&cases, |_, (kind, (fault, times, says))| {
        let project = Project::into_file(&bucket, UPSERT);
        project.strike(*kind, "in/", *times, fault.clone());
        let ran = project.run();
        let what = format!("{kind:?} {fault:?}\n{}", ran.said);
        assert!(!struck(&project).is_empty(), "{what}");
        match says {
            None => assert_eq!(ran.exit, Some(0), "{what}"),
            Some(says) => assert!(ran.exit == Some(1) && ran.said.contains(says), "{what}"),
        }
        project.well();
        let table = floodmark_testkit::dump(&project.folder().join("out.db")).unwrap();
        assert_eq!(table["orders"].len(), 20_001, "{what}");
    });
}

#[test]
fn objects_whose_store_fails_are_loaded_whole_or_not_at_all() {
    Protocol::ALL.into_iter().for_each(whole_or_not_at_all);
}

/// An object is known by its tag: it is not opened again, and what takes its place is, though its size is the same.
#[test]
fn objects_are_known_by_their_tags() {
    for protocol in Protocol::ALL {
        let bucket = Bucket::make(protocol).unwrap();
        bucket.put("in/a.csv", FIRST).unwrap();
        let project = Project::into_file(&bucket, UPSERT);
        let opened = || {
            project.net.seen();
            project.well();
            let asked = project.net.seen();
            asked.iter().filter(|seen| [Kind::Get, Kind::Range].contains(&seen.kind)).count()
        };
        assert_ne!(opened(), 0, "{protocol:?}");
        assert_eq!(opened(), 0, "{protocol:?}");
        let other = String::from_utf8(FIRST.to_vec()).unwrap().replace("01-02,two", "01-03,new");
        assert_eq!(other.len(), FIRST.len());
        bucket.put("in/a.csv", other.as_bytes()).unwrap();
        assert_ne!(opened(), 0, "{protocol:?}");
        let table = floodmark_testkit::dump(&project.folder().join("out.db")).unwrap();
        assert!(format!("{:?}", table["orders"]).contains("new"), "{protocol:?}: {table:?}");
    }
}
