//! Prints what is made from the table of fields: `reference schema` or `reference reference`. `cargo xtask gen-docs`
//! keeps the files under `docs/reference` equal to it.

use std::{
    env,
    error::Error,
    io::{self, Write},
};

fn main() -> Result<(), Box<dyn Error>> {
    let text = match env::args().nth(1).as_deref() {
        Some("schema") => serde_json::to_string_pretty(&floodmark_config::json_schema())? + "\n",
        Some("reference") => floodmark_config::reference(),
        _ => return Err("schema or reference?".into()),
    };
    Ok(io::stdout().write_all(text.as_bytes())?)
}
