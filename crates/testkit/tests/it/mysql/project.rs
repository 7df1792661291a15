//! What a project with a MariaDB can be asked.

use super::Project;
use floodmark_testkit::mysql::Client;
use std::{
    thread,
    time::{Duration, Instant},
};

impl Project {
    pub(crate) fn client(&self) -> Client {
        self.database.client()
    }

    pub(crate) fn rows(&self) -> Vec<(i64, String)> {
        let rows = self.client().run("SELECT id, name FROM t ORDER BY id");
        rows.into_iter().map(|row| (row[0].parse().unwrap(), row[1].clone())).collect()
    }

    /// Holds such statements (`INSERT`, `UPDATE`, `DELETE`) up for so long that nobody waits for them.
    pub(crate) fn hold_up(&self, statement: &str) {
        self.client().run(&format!("CREATE TRIGGER hold BEFORE {statement} ON t FOR EACH ROW DO SLEEP(300)"));
    }

    pub(crate) fn let_go(&self) {
        self.client().run("SET lock_wait_timeout = 5; DROP TRIGGER hold");
    }

    /// Waits until a session is in that state (`LIKE`), and returns its number.
    pub(crate) fn found(&self, state: &str) -> u64 {
        let mut client = self.client();
        let sql = format!(
            "SELECT id FROM information_schema.processlist
             WHERE db = DATABASE() AND id <> CONNECTION_ID() AND {state}"
        );
        let since = Instant::now();
        loop {
            if let Some(row) = client.run(&sql).first() {
                return row[0].parse().unwrap();
            }
            assert!(since.elapsed() < Duration::from_secs(60), "no session is in the state: {state}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a run is held up, and returns its session.
    pub(crate) fn held(&self) -> u64 {
        self.found("state = 'User sleep'")
    }
}
