//! The page of `serve` on which people try things: the real program, killed by a real signal; and visitors who mean no good.

#![cfg(unix)]

use crate::{
    serve::{Answer, FORM, Served, form, project},
    support::Scratch,
};
use std::{collections::BTreeMap, fs, path::Path, thread};

const FIRST: &str = "id,customer,amount,updated_at\r\n1,ada,10.50,2026-01-01\r\n2,bob,20.00,2026-01-01\r\n";
const SECOND: &str = "id,customer,amount,updated_at\r\n3,cyd,30.25,2026-01-02\r\n2,bob,25.00,2026-01-03\r\n";

/// What a form of the page sends.
struct Visitor<'a> {
    served: &'a Served,
    fields: BTreeMap<&'static str, String>,
    path: String,
}

impl<'a> Visitor<'a> {
    fn new(served: &'a Served) -> Visitor<'a> {
        let page = served.ask("GET", "/try", &[], "");
        assert_eq!(page.status, 200, "{}", page.body);
        let form = form(&page.body);
        let fields = [
            ("form", form.as_str()),
            ("load", "upsert"),
            ("key", "id"),
            ("watermark", "updated_at"),
            ("first", FIRST),
            ("second", SECOND),
        ];
        let fields = fields.map(|(name, value)| (name, value.to_owned()));
        Visitor { served, fields: fields.into(), path: "/try".into() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Visitor<'a> {
        self.fields.insert(name, value.to_owned());
        self
    }

    /// Presses a button; `at` says when a run is killed.
    fn presses(&mut self, button: &str, at: &str) -> Answer {
        self.fields.insert("do", button.to_owned());
        self.fields.insert("at", at.to_owned());
        let body: Vec<String> = self.fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let answer = self.served.ask("POST", &self.path, &[FORM], &body.join("&"));
        if answer.status == 303 {
            let location = answer.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
            location.clone_into(&mut self.path);
        }
        answer
    }

    /// The page after a button was pressed, as it is read.
    fn sees(&mut self, button: &str, at: &str) -> String {
        let answer = self.presses(button, at);
        assert_eq!(answer.status, 303, "{button}: {}", answer.body);
        self.served.ask("GET", &self.path, &[], "").body
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The fingerprint of the table.
fn fingerprint(page: &str) -> String {
    let at = page.find("id=\"table\"").unwrap();
    let at = at + page[at..].find("fm1-").unwrap_or_else(|| panic!("no table: {page}"));
    page[at..].split('<').next().unwrap().to_owned()
}

/// What the table and the loader beside it hold, as the sentence has it.
fn both(page: &str) -> (String, String) {
    let sentence = page.split("The table holds <b>").nth(1).unwrap_or_else(|| panic!("no table: {page}"));
    let mut held = sentence.split("<b>").map(|part| part.split("</b>").next().unwrap().to_owned());
    (held.next().unwrap(), held.next().unwrap())
}

#[test]
fn a_table_is_the_same_whatever_happened_and_one_that_only_adds_is_not() {
    let scratch = project("");
    let served = Served::start(&scratch, &[]);
    let mut visitor = Visitor::new(&served);
    let page = visitor.sees("run", "");
    let right = fingerprint(&page);
    assert_eq!(both(&page), ("3 rows".into(), "4 rows".into()));
    assert!(page.contains("4 read: 3 inserted, 1 superseded"), "{page}");
    let page = visitor.sees("run", "");
    assert_eq!((fingerprint(&page), both(&page)), (right.clone(), ("3 rows".into(), "8 rows".into())));
    assert!(page.contains("nothing new") && page.contains("as in 1"), "{page}");
    // Killed at each moment, from nothing, and run again.
    for (at, rows, naive) in
        [("first", "no table", "no table"), ("middle", "2 rows", "2 rows"), ("end", "3 rows", "4 rows")]
    {
        visitor.sees("anew", "");
        let page = visitor.sees("kill", at);
        assert_eq!(both(&page), (rows.into(), naive.into()), "{at}");
        assert!(page.contains("killed"), "{at}: {page}");
        let page = visitor.sees("run", "");
        assert_eq!(fingerprint(&page), right, "{at}");
    }
    // Nothing is written any more: there is no middle to be killed in.
    let page = visitor.sees("kill", "middle");
    assert!(page.contains("it was over before that moment came") && fingerprint(&page) == right, "{page}");
    // A row is changed, and only that.
    let page = visitor.with("second", &SECOND.replace("25.00", "26.00")).sees("run", "");
    assert!(page.contains("after an edit") && page.contains("1 updated") && fingerprint(&page) != right, "{page}");
    // The project has seen nothing of it.
    assert!(!scratch.path().join("shop.db").exists());
    assert_eq!(served.get("/api/v1/jobs")["items"].as_array().unwrap().len(), 0);
}

#[test]
fn what_cannot_be_loaded_is_told_with_its_place_and_what_to_do() {
    let scratch = project("");
    let served = Served::start(&scratch, &[]);
    let page = Visitor::new(&served).with("load", "overwrite").sees("run", "");
    assert!(page.contains("FM0106") && page.contains("take out the watermark"), "{page}");
    let page = Visitor::new(&served).with("key", "nothing").sees("run", "");
    assert!(page.contains("floodmark.yaml") && page.contains("What to do"), "{page}");
    let page = Visitor::new(&served).with("first", "").with("second", " ").sees("run", "");
    assert!(page.contains("failed"), "{page}");
}

/// A server with secrets around it, and the folder in which visitors' folders are.
fn guarded(scratch: &Scratch, args: &[&str]) -> Served {
    let mut command = scratch.command(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
    fs::create_dir_all(scratch.path().join("tmp")).unwrap();
    command.env("TMPDIR", scratch.path().join("tmp")).env("SECRET", "hunter2");
    Served::by(command)
}

/// Folders of servers in which visitors have theirs.
fn tried(scratch: &Scratch) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(scratch.path().join("tmp")).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).collect()
}

#[test]
fn a_visitor_gets_at_nothing_but_the_rows_they_typed() {
    let scratch = project("");
    scratch.write("secret.csv", "id,updated_at\n1,hunter2\n");
    let before = crate::support::files(scratch.path());
    let served = guarded(&scratch, &[]);
    // What would name a file, a database, a variable or a command is no name of a column.
    let secret = scratch.path().join("secret.csv");
    let secret = secret.to_string_lossy();
    let hostile = [
        "id\n    transform: SELECT 1",
        "id\r\n    source: { files: ../../secret.csv }",
        "id\"]\n    delete_when: \"1=1",
        "${SECRET}",
        "${file:../secret.csv}",
        "id'); DROP TABLE orders; --",
        "../orders",
        &secret,
        "<script>alert(1)</script>",
    ];
    for text in hostile {
        for field in ["key", "watermark", "load"] {
            let answer = Visitor::new(&served).with(field, text).presses("run", "");
            assert_eq!(answer.status, 422, "{field} {text}: {}", answer.body);
            assert!(!answer.body.contains("<script>alert") && !answer.body.contains("hunter2"), "{}", answer.body);
        }
    }
    for (button, at) in
        [("", ""), ("drop", ""), ("kill", ""), ("kill", "load-commit:before:1=abort"), ("kill", "trace=/tmp/x")]
    {
        assert_eq!(Visitor::new(&served).presses(button, at).status, 422, "{button} {at}");
    }
    assert_eq!(
        tried(&scratch).iter().map(|folder| fs::read_dir(folder).unwrap().count()).sum::<usize>(),
        1,
        "only its lock"
    );
    // In rows and in names of columns everything may be, and is only text.
    let nasty = [
        "id,<script>alert(1)</script>,updated_at\n1,\"<img src=x onerror=alert(1)>\",2026-01-01\n",
        "id,\"a\"\"); DROP TABLE orders; --\",updated_at\n1,'); DROP TABLE orders; --,2026-01-01\n",
        "id,${SECRET},updated_at\n1,${SECRET},2026-01-01\n",
        "id,\"${file:../../../secret.csv}\",updated_at\n1,${file:../../../secret.csv},2026-01-01\n",
        "id,\"x: [\ny\",updated_at\n1,\"- a\n- b: {\",2026-01-01\n",
        "id,_floodmark_seen,updated_at\n1,x,2026-01-01\n",
        "id,\u{0}\u{1b}[31m,updated_at\n1,\u{0},2026-01-01\n",
    ];
    for text in nasty {
        let page = Visitor::new(&served).with("first", text).with("second", "").sees("run", "");
        assert!(!page.contains("<script>alert") && !page.contains("<img"), "{text}: {page}");
        assert!(!page.contains("hunter2"), "{text}: {page}");
        // The table that was there is, and is read; or it is said why it cannot be.
        assert!(page.contains("1 row") || page.contains("failed"), "{text}: {page}");
    }
    // A place is known by its name alone.
    for id in ["..", "..%2F..%2Fetc", "%00", "0123456789abcdef0123456789abcdef", "lock", "%2e%2e", "%3Cscript%3E"] {
        let path = format!("/try/{id}");
        assert_eq!(served.ask("GET", &path, &[], "").status, 404, "{path}");
        let mut visitor = Visitor::new(&served);
        visitor.path = path;
        assert_eq!(visitor.presses("run", "").status, 404, "{id}");
    }
    // Nothing of the project was touched.
    drop(served);
    let after = crate::support::files(scratch.path());
    let ours = |path: &&Path| {
        !path.starts_with(scratch.path().join("tmp")) && !path.starts_with(scratch.path().join(".floodmark"))
    };
    let kept = |files: &BTreeMap<std::path::PathBuf, Vec<u8>>| -> Vec<(std::path::PathBuf, Vec<u8>)> {
        files
            .iter()
            .filter(|(path, _)| ours(&path.as_path()))
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect()
    };
    assert_eq!(kept(&before), kept(&after));
}

#[test]
fn what_is_too_large_too_much_or_from_elsewhere_is_refused() {
    let scratch = project("");
    let served = guarded(&scratch, &[]);
    let large = format!("id,updated_at\n1,{}\n", "x".repeat(9000));
    let long = format!("id,updated_at\n{}", "1,2026-01-01\n".repeat(300));
    for text in [&large, &long] {
        let answer = Visitor::new(&served).with("second", text).presses("run", "");
        assert!(answer.status == 422 && answer.body.contains("at most 8 KiB and 200 lines"), "{}", answer.body);
    }
    for bytes in [100_000, 1_000_000] {
        assert_eq!(Visitor::new(&served).with("first", &"x".repeat(bytes)).presses("run", "").status, 413);
    }
    // A form of another site, and one of nowhere.
    assert_eq!(Visitor::new(&served).with("form", "0").presses("run", "").status, 403);
    let body = format!(
        "form={}&load=upsert&key=id&watermark=&first=&second=&do=run",
        form(&served.ask("GET", "/try", &[], "").body)
    );
    for from in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(served.ask("POST", "/try", &[FORM, from], &body).status, 403, "{from:?}");
    }
    // Many at once: each is answered, with its table or with that there is no room, and few places are left.
    let answers: Vec<u16> = thread::scope(|scope| {
        let press = || Visitor::new(&served).presses("run", "").status;
        let threads: Vec<_> = (0..40).map(|_| scope.spawn(press)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|status| [303, 503].contains(status)) && answers.contains(&303), "{answers:?}");
    let folders: Vec<_> = tried(&scratch).iter().flat_map(|folder| fs::read_dir(folder).unwrap()).flatten().collect();
    assert!(folders.iter().filter(|entry| entry.path().is_dir()).count() <= 16, "{folders:?}");
    // The server does what it is there for.
    let job = served.order(r#"{"pipeline": "orders"}"#);
    assert_eq!(served.ended(&job)["status"], "ok");
}

#[test]
fn where_others_may_come_there_is_nothing_to_try() {
    let scratch = project("");
    let token = "a-token-that-nobody-guesses";
    let open = ["serve", "--listen", "0.0.0.0:0", "--token-env", "TOKEN"];
    let proxied = ["serve", "--listen", "127.0.0.1:0", "--token-env", "TOKEN", "--host", "warehouse.internal"];
    let left_out = ["serve", "--listen", "127.0.0.1:0", "--token-env", "TOKEN", "--no-try"];
    let bearer = format!("Bearer {token}");
    let well = ("authorization", bearer.as_str());
    for args in [&open[..], &proxied, &left_out] {
        let mut command = scratch.command(args);
        command.env("TOKEN", token);
        let served = Served::by(command);
        assert_eq!(served.ask("GET", "/try", &[well], "").status, 404, "{args:?}");
        let page = served.ask("GET", "/", &[well], "").body;
        assert!(!page.contains("/try"), "{args:?}: {page}");
        let body = format!("form={}&load=upsert&key=id&watermark=&first=&second=&do=run", form(&page));
        for path in ["/try", "/try/0123456789abcdef0123456789abcdef"] {
            assert_eq!(served.ask("POST", path, &[FORM, well], &body).status, 404, "{args:?} {path}");
        }
    }
    // On this machine alone, whoever has not logged in tries nothing either.
    let mut command = scratch.command(&["serve", "--listen", "127.0.0.1:0", "--token-env", "TOKEN"]);
    command.env("TOKEN", token);
    let served = Served::by(command);
    assert_eq!(served.ask("GET", "/try", &[], "").status, 401);
    assert_eq!(served.ask("POST", "/try", &[FORM], "do=run").status, 401);
    assert_eq!(served.ask("GET", "/try", &[well], "").status, 200);
}

#[test]
fn what_was_tried_goes_with_the_server_or_with_the_next_one() {
    let scratch = project("");
    let served = guarded(&scratch, &[]);
    Visitor::new(&served).sees("run", "");
    let inside = |scratch: &Scratch| tried(scratch).iter().any(|folder| fs::read_dir(folder).unwrap().count() > 1);
    assert!(tried(&scratch).len() == 1 && inside(&scratch));
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    assert_eq!(tried(&scratch).len(), 0);
    let served = guarded(&scratch, &[]);
    Visitor::new(&served).sees("run", "");
    served.signal("KILL");
    served.end();
    assert!(tried(&scratch).len() == 1 && inside(&scratch));
    let served = guarded(&scratch, &[]);
    assert!(tried(&scratch).len() == 1 && !inside(&scratch));
    // It takes nothing from one that lives.
    Visitor::new(&served).sees("run", "");
    let _other = guarded(&scratch, &[]);
    assert!(tried(&scratch).len() == 2 && inside(&scratch));
}
