//! `alerts:` → whom to tell.

use crate::{
    diagnostics::{Findings, nearest, quoted},
    family::Family,
    record::{Item, Named, Record, Value},
};
use floodmark_core::{
    Code,
    outlet::{Channel, Endpoint, REMIND, STEADY, Trouble, Way},
};
use std::path::Path;

/// The channels of the file. `pipelines`: what stands under `pipelines:`, whose names may be told apart.
pub(crate) fn channels(
    given: &[Named],
    pipelines: &[Named],
    families: &[Family],
    base: &Path,
    out: &mut Findings,
) -> Vec<Channel> {
    let mut all = Vec::new();
    for named in given {
        let Some(Value::Record(record)) = &named.value else { continue };
        if named.name.trim() != named.name || named.name.is_empty() || named.name.chars().any(char::is_control) {
            let message = format!("{} cannot be the name of who is told", quoted(&named.name));
            out.add(Code::ConfigInvalid, named.at, message).help("use letters, digits and underscores");
        }
        let names = pipelines.iter().map(|named| named.name.as_str());
        for item in record.items("pipelines") {
            let known = names.clone().any(|name| name == item.text) || families.iter().any(|f| f.owns(&item.text));
            if !known {
                let message = format!("there is no pipeline {} to tell of", quoted(&item.written));
                let d = out.add(Code::ConfigInvalid, item.at, message);
                if let Some(near) = nearest(&item.written, names.clone()) {
                    d.help(format!("did you mean `{near}`?"));
                }
            }
        }
        let on: Vec<Trouble> = record.items("on").iter().filter_map(|item| trouble(item, out)).collect();
        let Some(way) = way(named, record, base, out) else { continue };
        all.push(Channel {
            name: named.name.clone(),
            way,
            on: if on.is_empty() { Trouble::NAMES.iter().map(|(_, trouble)| *trouble).collect() } else { on },
            pipelines: record.list("pipelines"),
            remind: record.time("remind").unwrap_or(REMIND),
            steady: record.time("steady").unwrap_or(STEADY),
        });
    }
    all
}

fn trouble(item: &Item, out: &mut Findings) -> Option<Trouble> {
    let found = Trouble::NAMES.iter().find(|(name, _)| *name == item.text).map(|(_, trouble)| *trouble);
    if found.is_none() {
        let message = format!("{} is nothing that is told", quoted(&item.written));
        let d = out.add(Code::ConfigInvalid, item.at, message);
        if ["recovered", "recovery", "ok"].contains(&item.text.as_str()) {
            d.help("that it is over is told of whatever was told; take it out");
        }
        let names: Vec<&str> = Trouble::NAMES.iter().map(|(name, _)| *name).collect();
        d.help(format!("it takes {}", names.join(", ")));
    }
    found
}

/// How an alert gets there; what is missing or said twice is reported.
fn way(named: &Named, record: &Record, base: &Path, out: &mut Findings) -> Option<Way> {
    match (record.get("webhook"), record.get("command")) {
        (Some(webhook), Some(command)) => {
            out.add(Code::ConfigInvalid, command.key, "`command` and `webhook` both say how an alert gets there")
                .related(webhook.key, "and so does this")
                .help("give each a name of its own");
            None
        }
        (None, None) => {
            out.add(
                Code::ConfigInvalid,
                named.at,
                format!("{} has neither `webhook` nor `command`", quoted(&named.name)),
            )
            .label("needed here")
            .help("give `webhook:` with an address as `${VAR}`, or `command:` with a program");
            None
        }
        (Some(_), None) => {
            Some(Way::Webhook(Endpoint { url: record.web("webhook")?.clone(), token: record.secret("token").cloned() }))
        }
        (None, Some(command)) => {
            if record.has("token") {
                out.add(Code::ConfigInvalid, command.key, "`token` is about a webhook, and this is a command")
                    .help("give it to the command among its words");
            }
            Some(Way::Command { line: record.command("command")?.clone(), folder: base.to_owned() })
        }
    }
}
