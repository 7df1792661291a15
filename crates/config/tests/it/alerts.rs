//! Whom to tell: what is missing there keeps nobody from loading.

use super::{env, parse, pipeline};
use floodmark_config::Project;
use floodmark_core::outlet::{Given, Trouble, Way};
use std::{path::Path, time::Duration};

/// A file with a pipeline `orders`, and this behind it.
fn with(lines: &str) -> String {
    format!("{}{lines}\n", pipeline("key: id"))
}

fn told(lines: &str) -> Project {
    parse(&with(lines)).unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn refused(lines: &str, message: &str) {
    let mistakes = parse(&with(lines)).map(|p| format!("{p:?}")).unwrap_err();
    assert_eq!(mistakes.iter().count(), 1, "{mistakes}");
    let mistake = mistakes.iter().next().unwrap();
    assert!(mistake.message().contains(message) && !mistake.advice().is_empty(), "{mistakes}");
}

#[test]
fn channels_come_out_with_every_default() {
    let project = told(
        "alerts:\n  ops: { webhook: \"https://hooks.example.com/T0/${SHOP_PASSWORD}\" }\n  pager:\n    command: [./page.sh, --key, \"${SHOP_PASSWORD}\"]\n    on: late\n    pipelines: [orders]\n    remind: 2h\n    steady: 1s",
    );
    let [ops, pager] = &project.alerts[..] else { panic!("two channels") };
    assert_eq!((ops.remind, ops.steady), (Duration::from_secs(86_400), Duration::from_secs(300)));
    assert_eq!((&ops.on[..], &ops.pipelines[..]), (&[Trouble::Failed, Trouble::Late][..], &[][..]));
    let Way::Webhook(endpoint) = &ops.way else { panic!("a webhook") };
    assert_eq!(endpoint.ready().unwrap().unwrap().0.written(), "https://hooks.example.com/T0/hunter2");
    let Way::Command { line: Given::Is(line), folder } = &pager.way else { panic!("a command") };
    assert_eq!((line.program.as_str(), &line.words[..]), ("./page.sh", &["--key".to_owned(), "hunter2".into()][..]));
    assert_eq!(folder, Path::new("shop"));
    assert_eq!((pager.on[0], pager.pipelines[0].as_str()), (Trouble::Late, "orders"));
    assert!(!format!("{project:?}").contains("hunter2"));
}

/// Whoever loads need not have what is needed to tell somebody.
#[test]
fn what_is_missing_for_alerts_and_lineage_is_no_mistake_of_the_file() {
    let project = told(
        "alerts:\n  a: { webhook: \"${NOT_SET}\" }\n  b: { webhook: \"${NOT_SET:-}\" }\n  c: { command: [./c.sh, \"${NOT_SET}\"] }\n  d: { webhook: \"${BROKEN_URL}\" }\n  e: { webhook: \"https://a.example\", token: \"${NOT_SET}\" }\nlineage: { namespace: shop, url: \"${NOT_SET}\", file: l.ndjson }",
    );
    let ways: Vec<String> = project
        .alerts
        .iter()
        .map(|channel| match &channel.way {
            Way::Webhook(endpoint) => format!("{:?}", endpoint.ready().map(|there| there.is_some())),
            Way::Command { line, .. } => format!("{line:?}"),
        })
        .collect();
    assert_eq!(ways[0], "Err(\"`${NOT_SET}` is not set\")");
    assert_eq!(ways[1], "Ok(false)");
    assert_eq!(ways[2], "Unset(\"`${NOT_SET}` is not set\")");
    assert_eq!(ways[3], "Err(\"what `${BROKEN_URL}` stands for is no address of the web\")");
    assert_eq!(ways[4], "Err(\"`${NOT_SET}` is not set\")");
    let lineage = project.lineage.unwrap();
    assert_eq!(lineage.file.as_deref(), Some(Path::new("shop/l.ndjson")));
    assert!(lineage.endpoint.unwrap().ready().is_err());
    assert_eq!(env("NOT_SET"), None);
}

#[test]
fn what_nobody_could_be_told_by_is_refused() {
    refused("alerts:\n  a: { on: failed }", "neither `webhook` nor `command`");
    refused("alerts:\n  a: { webhook: \"https://a.example\", command: ./a.sh }", "both say how");
    refused("alerts:\n  a: { webhook: \"ftp://a.example\" }", "no address of the web");
    refused("alerts:\n  a: { command: \"./a.sh --now\" }", "read by no shell");
    refused("alerts:\n  a: { command: ./a.sh, token: t }", "`token` is about a webhook");
    refused("alerts:\n  a: { command: ./a.sh, on: [failed, recovered] }", "is nothing that is told");
    refused("alerts:\n  a: { command: ./a.sh, pipelines: ordres }", "there is no pipeline `ordres`");
    refused("alerts:\n  a: { command: ./a.sh, remind: 0s }", "for `remind`");
    refused("lineage: { namespace: shop }", "neither `url` nor `file`");
    refused("lineage: { file: a.ndjson }", "`namespace` is missing");
}
