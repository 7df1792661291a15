//! What a project with a PostgreSQL can be asked.

use super::Project;
use ::postgres::Client;
use std::{
    fs, thread,
    time::{Duration, Instant},
};

impl Project {
    /// Has so many sessions read the table.
    pub(crate) fn by(self, readers: usize) -> Self {
        let text = fs::read_to_string(self.yaml()).unwrap();
        fs::write(self.yaml(), text.replace("table: s }", &format!("table: s, readers: {readers} }}"))).unwrap();
        self
    }

    pub(crate) fn client(&self) -> Client {
        self.database.connect().unwrap()
    }

    pub(crate) fn rows(&self) -> Vec<(i64, String)> {
        let rows = self.client().query("SELECT id, name FROM t ORDER BY id", &[]).unwrap();
        rows.iter().map(|r| (r.get(0), r.get(1))).collect()
    }

    /// Holds every write of rows up for so long that nobody waits for it.
    pub(crate) fn hold_up(&self) {
        self.client()
            .batch_execute(
                "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(300); RETURN NULL; END $$;
                 CREATE TRIGGER hold BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION hold()",
            )
            .unwrap();
    }

    /// Waits until a run is held up, and returns the server's process.
    pub(crate) fn held(&self) -> i32 {
        self.held_by("PgSleep")
    }

    /// The same by what the server calls it.
    pub(crate) fn held_by(&self, event: &str) -> i32 {
        let mut client = self.client();
        let held = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1";
        let since = Instant::now();
        loop {
            if let Some(row) = client.query_opt(held, &[&event]).unwrap() {
                return row.get(0);
            }
            assert!(since.elapsed() < Duration::from_secs(60), "no run came so far");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
