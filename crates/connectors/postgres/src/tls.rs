//! What libpq's `sslmode` asks of the server's certificate.

use crate::address::{Address, SslMode};
use floodmark_core::Result;
use floodmark_tls::Check;
use std::path::PathBuf;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What to greet a server with that speaks TLS.
pub(crate) fn connector(address: &Address) -> Result<MakeRustlsConnect> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let own = |name: &str| home.as_ref().map(|h| h.join(".postgresql").join(name)).filter(|path| path.exists());
    let root = address.root_certificate.clone().or_else(|| own("root.crt").map(|p| p.display().to_string()));
    let check = match (address.mode, root) {
        (SslMode::VerifyFull, Some(root)) => Check::Identity(root),
        // Where there is a root certificate, `require` means `verify-ca` (PostgreSQL, "SSL Support").
        (SslMode::VerifyCa | SslMode::Require, Some(root)) => Check::Authority(root),
        (SslMode::VerifyFull | SslMode::VerifyCa, None) => {
            let how = "sslrootcert=/path/ca.crt, or sslrootcert=system for those of this machine";
            return Err(floodmark_tls::without_authority(how));
        }
        _ => Check::Nothing,
    };
    let certificate = address.certificate.clone().or_else(|| own("postgresql.crt"));
    let key = address.key.clone().or_else(|| own("postgresql.key"));
    let own = certificate.as_deref().zip(key.as_deref());
    floodmark_tls::config(&check, own).map(MakeRustlsConnect::new)
}
