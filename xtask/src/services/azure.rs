//! A server that speaks the protocol of Azure Blob Storage: Azurite, from npm. Its account and that account's key are the
//! well-known ones (`devstoreaccount1`).

use super::{Kind, Use, process};
use crate::node;
use std::{path::Path, process::Command};

pub(super) const KIND: Kind =
    Kind { name: "azure", variable: "FLOODMARK_TEST_AZURE", tools, start, answers, stop: process::stop };

fn tools() -> Result<(), String> {
    node::azurite().map(drop)
}

fn start(folder: &Path, _: Use) -> Result<String, String> {
    let program = node::azurite()?;
    process::start("Azurite", folder, answers, |port| {
        let mut server = Command::new("node");
        server
            .arg(&program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--location"])
            .arg(folder.join("data"))
            // It would tell others of each start. Of versions of the protocol it knows those of its own time.
            .args(["--disableTelemetry", "--skipApiVersionCheck", "--silent"]);
        server
    })
}

/// Who asks for nothing that there is gets an error, with its name.
fn answers(folder: &Path) -> bool {
    process::head(folder, "/").is_some_and(|head| head.contains("Server: Azurite-Blob/"))
}
