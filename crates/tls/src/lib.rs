//! TLS by rustls for connections to servers, with as much of the server's certificate checked as is asked for.

use floodmark_core::{Code, Error, Result};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// What of a server's certificate is checked. Authorities are a file of certificates, or `system` for those of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Nothing: listeners are kept out, and any server is trusted.
    Nothing,
    /// That one of the authorities signed it, whatever name it bears.
    Authority(String),
    /// That, and that it bears the server's name.
    Identity(String),
}

/// What connections are made with. `own`: the client's certificate and its key.
///
/// # Errors
/// Where a file cannot be read, or holds no certificate.
pub fn config(check: &Check, own: Option<(&Path, &Path)>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        Check::Identity(root) => verifier(root, &provider)?,
        Check::Authority(root) => Arc::new(AnyName(verifier(root, &provider)?)),
        Check::Nothing => Arc::new(Unverified(Arc::clone(&provider))),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("TLS cannot be set up").cause(e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match own {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, e))?;
            config.with_client_auth_cert(chain, secret).map_err(|e| unreadable(key, e))
        }
        None => Ok(config.with_no_client_auth()),
    }
}

/// The error where a certificate is to be checked, and no authority is named. `how`: how one is.
pub fn without_authority(how: &str) -> Error {
    refused("the server's certificate is to be verified, and there is no root certificate".into())
        .help(format!("name one: {how}"))
}

fn verifier(root: &str, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    if root == "system" {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    } else {
        let path = Path::new(root);
        for certificate in certificates(path)? {
            store.add(certificate).map_err(|e| unreadable(path, e))?;
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|e| refused(format!("the root certificates of {root:?} cannot be used")).cause(e))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    read.map_err(|e| unreadable(path, e))
}

fn refused(message: String) -> Error {
    Error::new(Code::DestinationOpen, message).state("nothing was done")
}

fn unreadable(path: &Path, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    refused(format!("{} cannot be read as a certificate or key in PEM form", path.display())).cause(cause)
}

type Verified<T> = std::result::Result<T, TlsError>;

/// [`Check::Nothing`]
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Verified<ServerCertVerified> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// [`Check::Authority`]
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Verified<ServerCertVerified> {
        // The chain is verified before the name is.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
