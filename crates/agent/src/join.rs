//! Enrolling a host: from a one-line token to a certificate of its own.
//!
//! The token carries the fingerprint of the front-end's authority, so the very first connection is already one to the
//! right machine. The key is made here and never leaves. What was learned is stored whole or not at all.

use crate::renew::{PAIR, with_pair};
use crate::websocket::{FrontEnd, innermost};
use holm_model::HostId;
use holm_wire::host::{JOIN_PATH, JoinAnswer, JoinRequest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MAX_ANSWER: usize = 256 << 10;

/// Who this host is, as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The cloud it belongs to.
    pub cloud: Uuid,
    /// Its id there.
    pub host: HostId,
    /// Its name there.
    pub name: String,
    /// The front-end's address for agents.
    pub url: String,
    /// Its private key, PEM.
    pub key_pem: String,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// The authority it trusts, PEM.
    pub authority_pem: String,
}

impl std::fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        write!(
            f,
            "Enrolled {{ cloud: {}, host: {}, name: {:?}, url: {:?} }}",
            self.cloud, self.host, self.name, self.url
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Card {
    cloud: Uuid,
    host: HostId,
    name: String,
    url: String,
}

/// Why a host did not join.
#[derive(Debug, Error)]
pub enum JoinError {
    /// It has joined before.
    #[error("this host is already joined, as host {host} ({name}) of {url}; nothing was changed")]
    AlreadyJoined {
        /// Its id.
        host: HostId,
        /// Its name.
        name: String,
        /// The front-end.
        url: String,
    },
    /// The token is no join token.
    #[error("the join token is garbled: {0}; copy the whole line that `holm host join-token` printed")]
    Token(String),
    /// The address is none.
    #[error("{0}")]
    Url(String),
    /// The front-end is not there.
    #[error(
        "the front-end at {address} cannot be reached: {why}; check the address and that port {address} is open from here"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        why: String,
    },
    /// Something else answers there.
    #[error(
        "{address} does not show the certificate authority the token names: {why}; the token is for another front-end, or somebody is in between"
    )]
    Fingerprint {
        /// Host and port.
        address: String,
        /// What the check says.
        why: String,
    },
    /// The front-end refused.
    #[error("the front-end refused the token: {0}; make a new one with `holm host join-token`")]
    Refused(String),
    /// The front-end's answer makes no sense.
    #[error("the front-end's answer cannot be used: {0}; check that both run versions that fit together")]
    Answer(String),
    /// The key or the request could not be made.
    #[error("a key for this host could not be made: {0}")]
    Key(String),
    /// The disk does not take it.
    #[error("{path} cannot be used: {source}")]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is stored is not whole.
    #[error("the identity stored in {path} cannot be used: {why}; remove that directory and join again")]
    Stored {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A join token's parts.
#[derive(Clone, PartialEq, Eq)]
struct Token {
    fingerprint: [u8; 32],
    secret: String,
}

impl Token {
    fn parse(text: &str) -> Result<Self, JoinError> {
        let refuse = |why: &str| JoinError::Token(why.to_owned());
        let mut parts = text.trim().split('.');
        let (Some("holm-join"), Some(hex), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse("it does not have the form holm-join.FINGERPRINT.SECRET"));
        };
        let mut fingerprint = [0; 32];
        hex::decode_to_slice(hex, &mut fingerprint).map_err(|_| refuse("its fingerprint is not 64 hex digits"))?;
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(16..=512).contains(&secret.len()) || !secret.bytes().all(fine) {
            return Err(refuse("its secret is cut off or has foreign characters"));
        }
        Ok(Self { fingerprint, secret: secret.to_owned() })
    }
}

/// Accepts exactly the servers whose certificate is signed by the authority with one fingerprint, for their name.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = chain
            .iter()
            .find(|c| Sha256::digest(c.as_ref()).as_slice() == self.fingerprint)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        // The authority is the only root: everything else about the leaf is checked as for any other.
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?
            .verify_server_cert(leaf, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> JoinError {
    let path = path.to_owned();
    move |source| JoinError::Disk { path, source }
}

/// Where the identity lies under an agent's data directory.
#[must_use]
pub fn identity_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("identity")
}

/// Reads the stored identity; `None` when this host has not joined.
///
/// # Errors
/// When something is stored and is not whole.
pub fn load(data_dir: &Path) -> Result<Option<Enrolled>, JoinError> {
    let path = identity_dir(data_dir);
    if !path.try_exists().map_err(disk(&path))? {
        return Ok(None);
    }
    let read = |name: &str| {
        fs::read_to_string(path.join(name))
            .map_err(|e| JoinError::Stored { path: path.clone(), why: format!("{name}: {e}") })
    };
    let card: Card = serde_json::from_str(&read("identity.json")?)
        .map_err(|e| JoinError::Stored { path: path.clone(), why: format!("identity.json: {e}") })?;
    let mut enrolled = Enrolled {
        cloud: card.cloud,
        host: card.host,
        name: card.name,
        url: card.url,
        key_pem: String::new(),
        certificate_pem: String::new(),
        authority_pem: read("authority.pem")?,
    };
    if path.join(PAIR).try_exists().map_err(disk(&path))? {
        enrolled = with_pair(&enrolled, &read(PAIR)?)
            .map_err(|why| JoinError::Stored { path: path.clone(), why: format!("{PAIR}: {why}") })?;
    } else {
        enrolled.key_pem = read("key.pem")?;
        enrolled.certificate_pem = read("certificate.pem")?;
    }
    Ok(Some(enrolled))
}

/// Writes a new file that only we can read, durably.
pub(crate) fn private_file(path: &Path, text: &str) -> Result<(), JoinError> {
    write_new(path, text, 0o600).map_err(disk(path))
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

/// Stores an identity: written aside, then moved into place in one step.
///
/// # Errors
/// When there is one already, or the disk does not take it.
pub fn store(data_dir: &Path, enrolled: &Enrolled) -> Result<(), JoinError> {
    let (path, aside) = (identity_dir(data_dir), data_dir.join("identity.new"));
    fs::create_dir_all(data_dir).map_err(disk(data_dir))?;
    match fs::remove_dir_all(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(disk(&aside)(e)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&aside).map_err(disk(&aside))?;
    let card =
        Card { cloud: enrolled.cloud, host: enrolled.host, name: enrolled.name.clone(), url: enrolled.url.clone() };
    let card = serde_json::to_string_pretty(&card).map_err(|e| JoinError::Answer(e.to_string()))?;
    for (name, mode, text) in [
        ("identity.json", 0o644, &card),
        ("key.pem", 0o600, &enrolled.key_pem),
        ("certificate.pem", 0o644, &enrolled.certificate_pem),
        ("authority.pem", 0o644, &enrolled.authority_pem),
    ] {
        let file = aside.join(name);
        write_new(&file, text, mode).map_err(disk(&file))?;
    }
    // Renaming a directory onto one that is there and not empty fails, so an identity is never replaced.
    fs::rename(&aside, &path).map_err(disk(&path))?;
    File::open(data_dir).and_then(|d| d.sync_all()).map_err(disk(data_dir))
}

/// Enrols this host at the front-end `url` with `token` and stores who it is under `data_dir`.
///
/// # Errors
/// See [`JoinError`]; unless it is `Refused`, the token can be used again.
pub async fn join(url: &str, token: &str, data_dir: &Path) -> Result<Enrolled, JoinError> {
    if let Some(known) = load(data_dir)? {
        return Err(JoinError::AlreadyJoined { host: known.host, name: known.name, url: known.url });
    }
    let token = Token::parse(token)?;
    let front = FrontEnd::parse(url).map_err(JoinError::Url)?;
    // Found out before the token is used up.
    fs::create_dir_all(data_dir).map_err(disk(data_dir))?;
    let probe = data_dir.join("identity.probe");
    File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(disk(data_dir))?;

    let key = rcgen::KeyPair::generate().map_err(|e| JoinError::Key(e.to_string()))?;
    let hostname = hostname();
    let csr_pem = rcgen::CertificateParams::new(Vec::new())
        .and_then(|mut params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, hostname.as_str());
            params.serialize_request(&key)
        })
        .and_then(|request| request.pem())
        .map_err(|e| JoinError::Key(e.to_string()))?;
    let request =
        JoinRequest { secret: token.secret.clone(), csr_pem, hostname, version: env!("CARGO_PKG_VERSION").into() };
    let answer = ask(&front, &token, &request).await?;
    let enrolled = Enrolled {
        cloud: answer.cloud,
        host: answer.host,
        name: answer.name,
        url: format!("https://{}", front.authority()),
        key_pem: key.serialize_pem(),
        certificate_pem: answer.certificate_pem,
        authority_pem: answer.authority_pem,
    };
    check(&enrolled, &token, &key)?;
    store(data_dir, &enrolled)?;
    Ok(enrolled)
}

/// What comes back must be what was asked for: the pinned authority, and a certificate for this key.
fn check(enrolled: &Enrolled, token: &Token, key: &rcgen::KeyPair) -> Result<(), JoinError> {
    let wrong = |what: &str| JoinError::Answer(what.to_owned());
    let authority = CertificateDer::from_pem_slice(enrolled.authority_pem.as_bytes())
        .map_err(|_| wrong("its authority is no certificate"))?;
    if Sha256::digest(authority.as_ref()).as_slice() != token.fingerprint {
        return Err(wrong("its authority is not the one the token names"));
    }
    let certificate = CertificateDer::from_pem_slice(enrolled.certificate_pem.as_bytes())
        .map_err(|_| wrong("the host's certificate is none"))?;
    let (_, parsed) =
        x509_parser::parse_x509_certificate(&certificate).map_err(|_| wrong("the host's certificate is none"))?;
    let public = rcgen::PublicKeyData::subject_public_key_info(key);
    if parsed.public_key().raw != public.as_slice() {
        return Err(wrong("the certificate is for another key"));
    }
    crate::websocket::tls_config(enrolled).map(drop).map_err(JoinError::Answer)
}

async fn ask(front: &FrontEnd, token: &Token, request: &JoinRequest) -> Result<JoinAnswer, JoinError> {
    let address = front.authority();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pinned = Pinned { fingerprint: token.fingerprint, provider: provider.clone() };
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| JoinError::Key(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .map_err(|e| JoinError::Key(innermost(&e)))?;
    let unreachable = |e: reqwest::Error| {
        let why = if e.is_timeout() { format!("no answer within {} s", LIMIT.as_secs()) } else { innermost(&e) };
        if refused_certificate(&e) {
            return JoinError::Fingerprint { address: address.clone(), why };
        }
        JoinError::Unreachable { address: address.clone(), why }
    };
    let body = serde_json::to_vec(request).map_err(|e| JoinError::Key(e.to_string()))?;
    let mut answer = client
        .post(format!("https://{}{JOIN_PATH}", front.authority()))
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .body(body)
        .send()
        .await
        .map_err(unreachable)?;
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| JoinError::Answer(innermost(&e)))? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(JoinError::Answer(format!("it is larger than {MAX_ANSWER} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return serde_json::from_slice(&bytes).map_err(|e| JoinError::Answer(e.to_string()));
    }
    // The front-end's own sentence, where it is one (RFC 9457).
    let detail = serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|problem| {
        ["detail", "title"].iter().find_map(|field| {
            problem
                .get(field)?
                .as_str()
                .map(|text| text.chars().filter(|c| !c.is_control()).take(500).collect::<String>())
        })
    });
    let says = detail.unwrap_or_else(|| format!("it answered {status}"));
    Err(if status.is_client_error() { JoinError::Refused(says) } else { JoinError::Answer(says) })
}

/// Whether the TLS check said no. It hides in an `io::Error`, which does not list its content among its sources.
fn refused_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
        return true;
    }
    let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inside.is_some_and(|e| refused_certificate(e)) || error.source().is_some_and(refused_certificate)
}

fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(128).collect();
    if name.is_empty() { "host".into() } else { name }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
