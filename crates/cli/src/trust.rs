//! Whom to believe over TLS: the system's authorities, a given authority, or a pinned fingerprint.

use crate::errors::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Which server certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those an authority of the operating system vouches for.
    System,
    /// Those this authority (PEM, one or more certificates) vouches for.
    Authority(String),
    /// Those the certificate with this SHA-256 (of its DER) vouches for, which the server must send along, or is.
    Fingerprint([u8; 32]),
}

/// Reads `sha256:HEX` or only the digits, with or without colons between them.
///
/// # Errors
/// When there are not 64 hexadecimal digits.
pub fn fingerprint(text: &str) -> std::result::Result<[u8; 32], String> {
    let digits: String = text.trim().trim_start_matches("sha256:").chars().filter(|c| *c != ':').collect();
    let mut bytes = [0u8; 32];
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("a fingerprint is sha256: and 64 hexadecimal digits".into());
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).map_err(|e| e.to_string())?;
    }
    Ok(bytes)
}

/// A fingerprint as people read it.
#[must_use]
pub fn show_fingerprint(bytes: &[u8]) -> String {
    bytes.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// How to speak TLS with the front-end. `secure` says whether TLS is used at all: without it nothing is loaded, which
/// keeps the start fast.
///
/// # Errors
/// When the authority's PEM is none or the system's authorities cannot be read.
pub fn client_config(trust: &Trust, secure: bool) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let refuse = |error: &dyn std::fmt::Display| Error::failed(format!("cannot prepare TLS: {error}"));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| refuse(&e))?;
    let mut config = match trust {
        _ if !secure => builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
        Trust::System => builder.with_platform_verifier().map_err(|e| refuse(&e))?.with_no_client_auth(),
        Trust::Authority(pem) => builder.with_root_certificates(authority(pem)?).with_no_client_auth(),
        Trust::Fingerprint(pin) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { pin: *pin, provider }))
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates of a PEM file as roots.
///
/// # Errors
/// When it holds none or a broken one.
pub fn authority(pem: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|e| Error::usage(format!("--ca: not a PEM certificate: {e:?}")))?;
        roots.add(certificate).map_err(|e| Error::usage(format!("--ca: not usable as an authority: {e}")))?;
    }
    if roots.is_empty() {
        return Err(Error::usage("--ca: the file holds no certificate").hint("Give a PEM file (BEGIN CERTIFICATE)."));
    }
    Ok(roots)
}

/// Accepts chains that end in, or consist of, the pinned certificate.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        Sha256::digest(certificate.as_ref()).as_slice() == self.pin
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if self.is_pinned(end_entity) {
            // The very certificate was named; the handshake proves that the server holds its key.
            return Ok(ServerCertVerified::assertion());
        }
        let Some(authority) = intermediates.iter().find(|certificate| self.is_pinned(certificate)) else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_round_trip() {
        let text = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(show_fingerprint(&fingerprint(&text).expect("a fingerprint")), text);
        assert_eq!(fingerprint(&["0A"; 32].join(":")), fingerprint(&text));
        for bad in ["", "sha256:", "sha256:zz", "sha1:00", &"é".repeat(32)] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_authority_without_certificates_is_refused() {
        assert_eq!(authority("nothing").expect_err("no certificate").exit as u8, 2);
    }
}
