//! `serve`.

use clap::Args;
use std::{net::SocketAddr, time::Duration};

/// `floodmark serve`
#[derive(Debug, Args)]
#[command(
    after_help = "Pages are at the address that is printed, the API is below /api/v1. SIGINT and SIGTERM stop the server: what goes on is rolled back or \
finished to its chunk, and goes on when it is started again. A second signal does not wait."
)]
pub(crate) struct ServeArgs {
    /// The address and port; one that others can reach needs a token
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:8765")]
    pub(crate) listen: SocketAddr,
    /// The environment variable that holds the token which requests must bring
    #[arg(long, value_name = "NAME")]
    pub(crate) token_env: Option<String>,
    /// Send a test to everybody under `alerts:`, say whether it arrived, and end
    #[arg(long, conflicts_with_all = ["listen", "token_env", "host", "jobs", "grace", "no_try"])]
    pub(crate) test_alert: bool,
    /// A name that browsers know this machine by, beside localhost and its addresses; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// How many pipelines run at a time
    #[arg(short, long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,
    /// How long a run may take to end when it is cancelled or the server stops; then it is killed, which is safe as well
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = floodmark_config::lasting)]
    pub(crate) grace: Duration,
    /// Leave out the page on which people try things in a folder of their own; it is never there where others may come
    #[arg(long)]
    pub(crate) no_try: bool,
}
