//! What somebody reads, and what their programs do. What comes together is told together.

use super::{decide::Tell, facts::About};
use crate::at::At;
use chrono::{DateTime, SecondsFormat, Utc};
use floodmark_core::{
    outlet::Trouble,
    wording::{agree, count},
};
use serde_json::{Value, json};
use std::time::Duration;

/// So many are named one by one where there are more.
const NAMED: usize = 20;
/// Longer reasons are cut.
const REASON: usize = 500;

/// Something that is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// Of a pipeline.
    Of {
        pipeline: String,
        trouble: Trouble,
        tell: Tell,
        /// When the trouble began.
        since: DateTime<Utc>,
        about: About,
    },
    /// Nothing but whether it arrives.
    Test,
}

/// All that is told at once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) items: Vec<Item>,
    /// The pipeline file.
    pub(crate) project: String,
    pub(crate) at: DateTime<Utc>,
}

impl Item {
    /// `failed`, `late`, `recovered` or `test`.
    fn event(&self) -> &'static str {
        match self {
            Item::Of { tell: Tell::Recovery, .. } => "recovered",
            Item::Of { trouble, .. } => trouble.name(),
            Item::Test => "test",
        }
    }

    fn sentence(&self) -> String {
        let Item::Of { pipeline, trouble, tell, since, about } = self else {
            return "This is a test. Failures, late pipelines and their ends are told here.".to_owned();
        };
        let (since, still) = (moment(*since), if *tell == Tell::Reminder { "still " } else { "" });
        let why = about.message.as_deref().map(cut).unwrap_or_else(|| "nothing is known of why".into());
        match (trouble, tell) {
            (Trouble::Failed, Tell::Recovery) => format!("{pipeline} is well again. It had failed since {since}."),
            (Trouble::Late, Tell::Recovery) => format!("{pipeline} is fresh again. It was late since {since}."),
            (Trouble::Failed, _) if about.broken => format!("{pipeline} {still}cannot be run: {why}"),
            (Trouble::Failed, Tell::Reminder) => format!("{pipeline} fails still, since {since}: {why}"),
            (Trouble::Failed, _) if about.failures > 1 => {
                format!("{pipeline} failed {} times in a row, since {since}: {why}", about.failures)
            }
            (Trouble::Failed, _) => format!("{pipeline} failed at {since}: {why}"),
            (Trouble::Late, _) => {
                let until = about.loaded_until.map_or_else(|| "nothing".into(), moment);
                let limit = about.freshness.map(limit).unwrap_or_default();
                format!(
                    "{pipeline} is {still}late, since {since}: it is loaded up to {until}, and its limit is {limit}."
                )
            }
        }
    }

    fn object(&self) -> Value {
        let Item::Of { pipeline, trouble, tell, since, about } = self else { return json!({ "event": "test" }) };
        let started = At(*since);
        let code = about.message.as_deref().and_then(|message| message.split(' ').next());
        let code = code.filter(|code| crate::page::view::is_code(code));
        json!({
            "id": format!("{pipeline}/{}/{}", trouble.name(), since.to_rfc3339_opts(SecondsFormat::Millis, true)),
            "event": self.event(),
            "pipeline": pipeline,
            "trouble": trouble.name(),
            "reminder": *tell == Tell::Reminder,
            "since": started,
            "code": code,
            "message": about.message.as_deref().map(cut),
            "run": about.run,
            "failures": about.failures,
            "loaded_until": about.loaded_until.map(At),
            "freshness_seconds": about.freshness.map(|limit| limit.as_secs_f64()),
            "page": crate::http::link(pipeline),
        })
    }
}

impl Message {
    /// The gravest of its events.
    pub(crate) fn event(&self) -> &'static str {
        let events: Vec<&str> = self.items.iter().map(Item::event).collect();
        ["failed", "late", "recovered"].into_iter().find(|event| events.contains(event)).unwrap_or("test")
    }

    /// Pipelines it tells of, each once.
    pub(crate) fn pipelines(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for item in &self.items {
            if let Item::Of { pipeline, .. } = item
                && !names.contains(&pipeline.as_str())
            {
                names.push(pipeline);
            }
        }
        names
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let project = format!("({})", self.project);
        if let [item] = &self.items[..] {
            return format!("{} {project}", item.sentence());
        }
        let many = |event: &str| self.items.iter().filter(|item| item.event() == event).count() as u64;
        let parts: Vec<String> = [("failed", "failed", "failed"), ("late", "is late", "are late")]
            .into_iter()
            .filter(|(event, ..)| many(event) > 0)
            .map(|(event, one, all)| agree(many(event), "pipeline", one, all))
            .chain((many("recovered") > 0).then(|| agree(many("recovered"), "trouble", "is over", "are over")))
            .collect();
        let mut lines = vec![format!("{} {project}", parts.join(", "))];
        lines.extend(self.items.iter().take(NAMED).map(|item| format!("• {}", item.sentence())));
        let more = self.items.len().saturating_sub(NAMED);
        if more > 0 {
            lines.push(format!("• and {more} more"));
        }
        lines.join("\n")
    }

    /// For programs. `slack`: signs that Slack takes for markup, or for somebody to call, are written so that it does not.
    pub(crate) fn object(&self, slack: bool) -> Value {
        let text = self.text();
        let text = if slack { text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;") } else { text };
        let alerts: Vec<Value> = self.items.iter().map(Item::object).collect();
        json!({ "text": text, "alerts": alerts, "project": self.project, "at": At(self.at) })
    }
}

fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    match line.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn limit(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        s if s >= 86_400 && s % 86_400 == 0 => count(s / 86_400, "day"),
        s if s >= 3600 && s % 3600 == 0 => count(s / 3600, "hour"),
        s if s >= 60 && s % 60 == 0 => count(s / 60, "minute"),
        _ => format!("{} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_020 + minute * 60, 0).unwrap()
    }

    fn item(pipeline: &str, trouble: Trouble, tell: Tell) -> Item {
        let about = About {
            message: Some("FM0301 a value does not fit <!channel> & more".into()),
            run: Some("r1".into()),
            failures: 1,
            broken: false,
            loaded_until: Some(at(-200)),
            freshness: Some(Duration::from_secs(7200)),
        };
        Item::Of { pipeline: pipeline.into(), trouble, tell, since: at(0), about }
    }

    fn message(items: Vec<Item>) -> Message {
        Message { items, project: "/srv/shop/floodmark.yaml".into(), at: at(1) }
    }

    #[test]
    fn one_is_a_sentence() {
        let text = |trouble, tell| message(vec![item("orders", trouble, tell)]).text();
        insta::assert_snapshot!(
            [
                text(Trouble::Failed, Tell::Trouble),
                text(Trouble::Failed, Tell::Reminder),
                text(Trouble::Failed, Tell::Recovery),
                text(Trouble::Late, Tell::Trouble),
                text(Trouble::Late, Tell::Reminder),
                text(Trouble::Late, Tell::Recovery),
                message(vec![Item::Test]).text(),
            ]
            .join("\n"),
            @r"
        orders failed at 2026-05-28 20:27 UTC: FM0301 a value does not fit <!channel> & more (/srv/shop/floodmark.yaml)
        orders fails still, since 2026-05-28 20:27 UTC: FM0301 a value does not fit <!channel> & more (/srv/shop/floodmark.yaml)
        orders is well again. It had failed since 2026-05-28 20:27 UTC. (/srv/shop/floodmark.yaml)
        orders is late, since 2026-05-28 20:27 UTC: it is loaded up to 2026-05-28 17:07 UTC, and its limit is 2 hours. (/srv/shop/floodmark.yaml)
        orders is still late, since 2026-05-28 20:27 UTC: it is loaded up to 2026-05-28 17:07 UTC, and its limit is 2 hours. (/srv/shop/floodmark.yaml)
        orders is fresh again. It was late since 2026-05-28 20:27 UTC. (/srv/shop/floodmark.yaml)
        This is a test. Failures, late pipelines and their ends are told here. (/srv/shop/floodmark.yaml)
        "
        );
    }

    #[test]
    fn many_are_one_message_that_names_the_first_of_them() {
        let mut items: Vec<Item> = (0..30).map(|n| item(&format!("p{n}"), Trouble::Failed, Tell::Trouble)).collect();
        items.push(item("p0", Trouble::Late, Tell::Trouble));
        items.push(item("q", Trouble::Late, Tell::Recovery));
        let all = message(items);
        let text = all.text();
        assert!(text.starts_with("30 pipelines failed, 1 pipeline is late, 1 trouble is over ("), "{text}");
        assert_eq!(text.lines().count(), 22);
        assert!(text.ends_with("• and 12 more"));
        assert_eq!((all.event(), all.pipelines().len()), ("failed", 31));
        assert_eq!(all.object(true)["alerts"].as_array().unwrap().len(), 32);
    }

    #[test]
    fn nobody_is_called_by_what_stands_in_a_row() {
        let told = message(vec![item("orders", Trouble::Failed, Tell::Trouble)]);
        let text = told.object(true)["text"].as_str().unwrap().to_owned();
        assert!(text.contains("&lt;!channel&gt; &amp; more") && !text.contains('<'), "{text}");
        assert!(told.object(false)["text"].as_str().unwrap().contains("<!channel>"));
    }

    #[test]
    fn programs_are_told_what_people_are() {
        let told = message(vec![item("a/b", Trouble::Failed, Tell::Trouble)]).object(true);
        let alert = &told["alerts"][0];
        assert_eq!(alert["code"], "FM0301");
        assert_eq!(alert["event"], "failed");
        assert_eq!(alert["page"], "/pipelines/a%2Fb");
        let over = message(vec![item("a/b", Trouble::Failed, Tell::Recovery)]).object(true);
        assert_eq!((&over["alerts"][0]["event"], &over["alerts"][0]["id"]), (&"recovered".into(), &alert["id"]));
    }
}
