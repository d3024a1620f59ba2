//! The cloud's own certificate authority.
//!
//! It is made at first start and lives as long as the cloud. It signs two kinds of certificates: the front-end's own
//! server certificates, which exist in memory only and are renewed long before they expire, and the client certificate
//! of every host that joins. A host's certificate carries nothing the host chose except its public key. Whether a host
//! is still welcome is not a matter of its certificate's dates: the link compares the certificate with the fingerprint
//! recorded for the host, so deleting the host is what revokes it.

use holm_model::{Clock, HostId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(86_400);
/// How long the authority, and with it every host's certificate, is valid.
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 365 * 86_400);
/// How long a server certificate is valid.
const SERVER_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// A server certificate with less than this left is replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// Largest certificate request that is looked at, bytes.
const MAX_REQUEST: usize = 16 * 1024;

/// What goes wrong with certificates.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A file of the authority could not be read or written.
    #[error("cannot {attempt} {}", path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The authority's certificate is there, its key is not.
    #[error(
        "the authority's certificate {} has no key beside it: put ca.key back from a backup, or remove ca.pem to make a \
         new authority, after which every host has to join again",
        path.display()
    )]
    KeyMissing {
        /// The certificate.
        path: PathBuf,
    },
    /// A file of the authority holds something else than it should.
    #[error("{} {wrong}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, as the end of a sentence.
        wrong: String,
    },
    /// A name for the server's certificate is neither a host name nor an address.
    #[error("{name:?} is neither a host name nor an IP address; it cannot be put into the server's certificate")]
    Name {
        /// What was given.
        name: String,
    },
    /// A host's certificate request was refused.
    #[error("the certificate request is refused: {wrong}")]
    Request {
        /// Why.
        wrong: String,
    },
    /// A certificate or key could not be made.
    #[error("cannot make {what}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// What the library says.
        #[source]
        source: rcgen::Error,
    },
    /// The TLS library does not take the certificate or key.
    #[error("the TLS library does not accept {what}")]
    Tls {
        /// What it refused.
        what: &'static str,
        /// What it says.
        #[source]
        source: rustls::Error,
    },
}

/// A host's fresh certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCertificate {
    /// The certificate, PEM.
    pub pem: String,
    /// SHA-256 of its DER form, lower-case hex; recorded with the host.
    pub sha256: String,
}

/// The authority; cheap to share behind an `Arc`.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
    not_after: OffsetDateTime,
    names: Vec<String>,
    clock: Arc<dyn Clock>,
    server: RwLock<Server>,
}

/// The server certificate in use.
struct Server {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).field("names", &self.names).finish()
    }
}

impl Authority {
    /// Opens the authority kept in `dir`, making it when there is none. `names` are the host names and addresses
    /// under which the front-end is reached; loopback is added by itself.
    ///
    /// # Errors
    /// When files cannot be read or written, or hold something else than an authority of Holm.
    pub fn open(dir: &Path, names: &[String], clock: Arc<dyn Clock>) -> Result<Self, AuthorityError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(|source| AuthorityError::File {
            attempt: "make the directory",
            path: dir.into(),
            source,
        })?;
        let (key_path, certificate_path) = (dir.join("ca.key"), dir.join("ca.pem"));
        let (key, pem) = match (read(&key_path)?, read(&certificate_path)?) {
            (Some(key), Some(pem)) => {
                keep_private(&key_path)?;
                (key, pem)
            }
            (None, Some(_)) => return Err(AuthorityError::KeyMissing { path: certificate_path }),
            // A key without a certificate is left by a crash between the two writes below; nobody has seen either.
            (_, None) => {
                let (key, pem) = make(clock.now())?;
                write(&key_path, &key, 0o600)?;
                write(&certificate_path, &pem, 0o644)?;
                (key, pem)
            }
        };
        let wrong = |path: &Path, wrong: String| AuthorityError::Content { path: path.into(), wrong };
        let key = KeyPair::from_pem(&key).map_err(|e| wrong(&key_path, format!("holds no private key ({e})")))?;
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
            .map_err(|e| wrong(&certificate_path, format!("holds no certificate ({e})")))?;
        let der = CertificateDer::from(block.contents);
        let (_, certificate) = x509_parser::parse_x509_certificate(&der)
            .map_err(|e| wrong(&certificate_path, format!("holds no certificate ({e})")))?;
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(wrong(&certificate_path, format!("does not belong to the key {}", key_path.display())));
        }
        let not_after = certificate.validity().not_after.to_datetime();
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|e| wrong(&certificate_path, format!("cannot sign certificates ({e})")))?;
        let names = all_names(names)?;
        let server = server_certificate(&issuer, &names, &der, clock.now())?;
        Ok(Self { issuer, der, pem, not_after, names, clock, server: RwLock::new(server) })
    }

    /// SHA-256 of the authority's certificate (DER), lower-case hex: the middle part of join tokens.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        sha256_hex(&self.der)
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Signs a host's certificate request. Of the request only the public key is taken, after its signature proved
    /// that the host has the private key; subject, use and dates are the authority's.
    ///
    /// # Errors
    /// When the request is too large, is not a PKCS#10 request or its signature is wrong.
    pub fn sign_host(&self, host: HostId, request_pem: &str) -> Result<HostCertificate, AuthorityError> {
        let refuse = |wrong: String| AuthorityError::Request { wrong };
        if request_pem.len() > MAX_REQUEST {
            return Err(refuse(format!("it has {} bytes, more than {MAX_REQUEST}", request_pem.len())));
        }
        let request = CertificateSigningRequestParams::from_pem(request_pem).map_err(|e| refuse(e.to_string()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&format!("host-{host}"));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date(self.clock.now(), Duration::ZERO) - DAY;
        params.not_after = self.not_after;
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(|source| AuthorityError::Make { what: "a host's certificate", source })?;
        Ok(HostCertificate { pem: certificate.pem(), sha256: sha256_hex(certificate.der()) })
    }

    /// Replaces the server certificate when it has less than thirty days left. Says whether it did.
    ///
    /// # Errors
    /// When a new one cannot be made; the old one stays in use.
    pub fn renew_if_due(&self) -> Result<bool, AuthorityError> {
        let now = self.clock.now();
        if now < self.server.read().unwrap_or_else(std::sync::PoisonError::into_inner).renew_at {
            return Ok(false);
        }
        let fresh = server_certificate(&self.issuer, &self.names, &self.der, now)?;
        *self.server.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// The server certificate and key in use.
    #[must_use]
    pub fn server_key(&self) -> Arc<CertifiedKey> {
        self.server.read().unwrap_or_else(std::sync::PoisonError::into_inner).key.clone()
    }
}

/// Hands the newest server certificate of an [`Authority`] to every TLS handshake.
#[derive(Debug)]
pub struct ServerCertificates(pub Arc<Authority>);

impl ResolvesServerCert for ServerCertificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.server_key())
    }
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthorityError::File { attempt: "read", path: path.into(), source }),
    }
}

/// Takes away what others may do with the key; a restored backup often has the wrong mode.
fn keep_private(path: &Path) -> Result<(), AuthorityError> {
    let failed = |attempt| move |source| AuthorityError::File { attempt, path: path.into(), source };
    let mode = fs::metadata(path).map_err(failed("look at"))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the authority's key could be read by others; its mode is now 0600");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed("protect"))?;
    }
    Ok(())
}

/// Writes a file so that after a crash there is either all of it or none.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let fresh = path.with_extension("new");
    let failed = |source| AuthorityError::File { attempt: "write", path: path.into(), source };
    let write = || -> io::Result<()> {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        match path.parent() {
            Some(dir) => fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(failed)
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Holm");
    subject.push(DnType::CommonName, name);
    subject
}

fn date(from: Timestamp, after: Duration) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(from.plus(after).seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn make(now: Timestamp) -> Result<(String, String), AuthorityError> {
    let failed = |source| AuthorityError::Make { what: "the cloud's certificate authority", source };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    // The fingerprint tells authorities apart; the date in the name helps people who look at two of them.
    params.distinguished_name = subject(&format!("Holm authority of {now}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = date(now, Duration::ZERO) - DAY;
    params.not_after = date(now, AUTHORITY_LIFE);
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((key.serialize_pem(), certificate.pem()))
}

fn all_names(given: &[String]) -> Result<Vec<String>, AuthorityError> {
    let mut names: Vec<String> = vec![];
    for name in given.iter().map(String::as_str).chain(["localhost", "127.0.0.1", "::1"]) {
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        rustls::pki_types::ServerName::try_from(bare.as_str())
            .map_err(|_| AuthorityError::Name { name: name.to_owned() })?;
        if !names.contains(&bare) {
            names.push(bare);
        }
    }
    Ok(names)
}

fn server_certificate(
    issuer: &Issuer<'static, KeyPair>,
    names: &[String],
    authority: &CertificateDer<'static>,
    now: Timestamp,
) -> Result<Server, AuthorityError> {
    let failed = |source| AuthorityError::Make { what: "the front-end's server certificate", source };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = subject("Holm front-end");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date(now, Duration::ZERO) - DAY;
    params.not_after = date(now, SERVER_LIFE);
    let certificate = params.signed_by(&key, issuer).map_err(failed)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = CertifiedKey::from_der(
        vec![certificate.der().clone(), authority.clone()],
        key.into(),
        &rustls::crypto::aws_lc_rs::default_provider(),
    )
    .map_err(|source| AuthorityError::Tls { what: "the front-end's server certificate", source })?;
    Ok(Server { key: Arc::new(key), renew_at: now.plus(SERVER_LIFE - RENEW_BEFORE) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    fn clock() -> Arc<Hand> {
        Arc::new(Hand(AtomicI64::new(1_795_337_225_000)))
    }

    #[test]
    fn an_authority_is_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tls");
        let first = Authority::open(&path, &["front.example".into()], clock()).expect("is made");
        let mode = fs::metadata(path.join("ca.key")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(path.join("ca.key"), fs::Permissions::from_mode(0o644)).expect("loosens");
        let second = Authority::open(&path, &[], clock()).expect("is opened");
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.fingerprint().len(), 64);
        let mode = fs::metadata(path.join("ca.key")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "a loose mode is tightened");
    }

    #[test]
    fn broken_files_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let says =
            |names: &[String]| Authority::open(dir.path(), names, clock()).expect_err("must be refused").to_string();
        assert!(says(&["not a name!".into()]).contains("not a name!"));
        let key = fs::read_to_string(dir.path().join("ca.key")).expect("was made");
        fs::remove_file(dir.path().join("ca.key")).expect("goes");
        assert!(says(&[]).contains("every host has to join again"));
        fs::write(dir.path().join("ca.key"), "nonsense").expect("writes");
        assert!(says(&[]).contains("holds no private key"));
        let other = KeyPair::generate().expect("a key").serialize_pem();
        fs::write(dir.path().join("ca.key"), other).expect("writes");
        assert!(says(&[]).contains("does not belong to the key"));
        fs::write(dir.path().join("ca.key"), key).expect("writes");
        fs::write(dir.path().join("ca.pem"), "nonsense").expect("writes");
        assert!(says(&[]).contains("holds no certificate"));
    }

    #[test]
    fn the_server_certificate_is_renewed_in_time_and_names_the_front_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = clock();
        let names = ["front.example".into(), "192.0.2.7".into(), "[2001:db8::7]".into()];
        let authority = Authority::open(dir.path(), &names, clock.clone()).expect("opens");
        let first = authority.server_key();
        let (_, certificate) = X509Certificate::from_der(&first.cert[0]).expect("is a certificate");
        let san = certificate.subject_alternative_name().expect("reads").expect("has names");
        let shown = format!("{:?}", san.value.general_names);
        assert!(shown.contains("front.example") && shown.contains("localhost"), "{shown}");
        assert_eq!(san.value.general_names.len(), 6);
        assert!(!authority.renew_if_due().expect("is asked"));
        clock.0.fetch_add(61 * 86_400_000, Ordering::SeqCst);
        assert!(authority.renew_if_due().expect("renews"));
        assert_ne!(first.cert[0], authority.server_key().cert[0]);
        assert!(!authority.renew_if_due().expect("is asked"));
    }

    #[test]
    fn a_host_gets_a_client_certificate_and_nothing_it_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::open(dir.path(), &[], clock()).expect("opens");
        let key = KeyPair::generate().expect("a key");
        let mut wish = CertificateParams::new(vec!["front.example".into()]).expect("params");
        wish.distinguished_name = subject("host-1");
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let request = wish.serialize_request(&key).expect("a request").pem().expect("is PEM");
        let signed = authority.sign_host(HostId(7), &request).expect("signs");
        let (_, block) = x509_parser::pem::parse_x509_pem(signed.pem.as_bytes()).expect("is PEM");
        assert_eq!(signed.sha256, sha256_hex(&block.contents));
        let (_, certificate) = X509Certificate::from_der(&block.contents).expect("is a certificate");
        assert_eq!(certificate.subject().to_string(), "O=Holm, CN=host-7");
        assert!(!certificate.is_ca());
        assert!(certificate.subject_alternative_name().expect("reads").is_none());
        let usage = certificate.extended_key_usage().expect("reads").expect("has a use").value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
        let (_, parent) = X509Certificate::from_der(authority.der()).expect("is a certificate");
        certificate.verify_signature(Some(parent.public_key())).expect("is signed by the authority");
    }

    #[test]
    fn requests_that_prove_nothing_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::open(dir.path(), &[], clock()).expect("opens");
        let key = KeyPair::generate().expect("a key");
        let request = CertificateParams::default().serialize_request(&key).expect("a request");
        let mut der = request.der().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        let forged = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der)
        );
        for text in ["", "hello", &"x".repeat(20_000), &forged] {
            assert!(matches!(authority.sign_host(HostId(1), text), Err(AuthorityError::Request { .. })));
        }
    }
}
