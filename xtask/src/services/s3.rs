//! A server that speaks S3's protocol: moto, from PyPI.

use super::{Kind, Use, process};
use crate::python;
use std::{path::Path, process::Command};

pub(super) const KIND: Kind =
    Kind { name: "s3", variable: "FLOODMARK_TEST_S3", tools, start, answers, stop: process::stop };

fn tools() -> Result<(), String> {
    python::moto().map(drop)
}

fn start(folder: &Path, _: Use) -> Result<String, String> {
    let home = python::moto()?;
    process::start("moto", folder, answers, |port| {
        let mut server = Command::new(home.join("bin/moto_server"));
        server.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        server
    })
}

fn answers(folder: &Path) -> bool {
    process::head(folder, "/moto-api/").is_some_and(|head| head.split(' ').nth(1) == Some("200"))
}
