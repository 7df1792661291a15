//! What `ssl-mode` asks of the server's certificate.

use crate::address::{Address, SslMode};
use floodmark_core::Result;
use floodmark_tls::Check;
use rustls::ClientConfig;

/// What a connection to a server that speaks TLS is made with.
pub(crate) fn config(address: &Address) -> Result<ClientConfig> {
    let check = match (address.mode, &address.root_certificate) {
        (SslMode::VerifyIdentity, Some(root)) => Check::Identity(root.clone()),
        (SslMode::VerifyCa, Some(root)) => Check::Authority(root.clone()),
        (SslMode::VerifyIdentity | SslMode::VerifyCa, None) => {
            let how = "ssl-ca=/path/ca.pem, or ssl-ca=system for those of this machine";
            return Err(floodmark_tls::without_authority(how));
        }
        _ => Check::Nothing,
    };
    floodmark_tls::config(&check, address.certificate.as_deref().zip(address.key.as_deref()))
}
