//! Renewing a host's certificate, with a new key, long before anything expires.
//!
//! Nothing may lock a host out, whatever breaks when. So the old certificate stays good until the host has stored the
//! new one and said so over a connection that shows it:
//!
//! ```text
//!   request ──old certificate──> signed      pair.next.pem is written
//!   stored  ──new certificate──> in force    pair.next.pem becomes pair.pem
//! ```
//!
//! A crash leaves `pair.next.pem` behind, and [`settle`] finds out which of the two the front-end means.

use crate::join::{Enrolled, JoinError, identity_dir, private_file};
use crate::websocket::{FrontEnd, HttpsFetch, TlsDial, innermost, tls_config};
use holm_model::{Clock, Timestamp};
use holm_wire::host::{RENEW_PATH, RENEWED_PATH, RenewAnswer, RenewRequest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Where the certificate and key in force are kept once they were renewed.
pub(crate) const PAIR: &str = "pair.pem";
/// Where those are kept that may not be in force yet.
const NEXT: &str = "pair.next.pem";
/// A certificate older than this is renewed, and so is one of which half its life is over.
const OLD: Duration = Duration::from_secs(365 * 86_400);
/// How often the age is looked at.
const LOOK: Duration = Duration::from_secs(6 * 3600);
/// How soon a renewal that did not come to its end is tried again.
const AGAIN: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// Why a certificate was not renewed. The one before stays in use.
#[derive(Debug, Error)]
pub enum RenewError {
    /// The front-end is not there.
    #[error("the front-end at {address} cannot be reached to renew this host's certificate: {why}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system says.
        why: String,
    },
    /// The front-end refused.
    #[error("the front-end does not renew this host's certificate: it answered {0}")]
    Refused(u16),
    /// What came or is stored cannot be used.
    #[error("the renewed certificate cannot be used: {0}")]
    Content(String),
    /// The disk does not take it.
    #[error(transparent)]
    Disk(#[from] JoinError),
}

/// Whether a certificate is to be renewed at a time: when it is a year old, or half its life is over.
///
/// # Errors
/// One sentence when it is no certificate.
pub fn is_due(certificate_pem: &str, now: Timestamp) -> Result<bool, String> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
        .map_err(|e| format!("the stored certificate cannot be read: {e}"))?;
    let (_, parsed) =
        x509_parser::parse_x509_certificate(&der).map_err(|e| format!("the stored certificate is none: {e}"))?;
    let (from, to) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let half = to.saturating_sub(from) / 2;
    let age = now.seconds().saturating_sub(from);
    Ok(age >= half.min(i64::try_from(OLD.as_secs()).unwrap_or(i64::MAX)))
}

/// Ends a renewal that was interrupted: asks the front-end whether the newer certificate is in force. `None` when none
/// was under way, or when the older one stays.
///
/// # Errors
/// When the front-end cannot be asked: then either may be in force, and this is to be called again.
pub async fn settle(data_dir: &Path, enrolled: &Enrolled) -> Result<Option<Enrolled>, RenewError> {
    let next = identity_dir(data_dir).join(NEXT);
    let text = match fs::read_to_string(&next) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(disk(&next)(e)),
    };
    // A file that is not whole was never announced to the front-end.
    let Ok(renewed) = with_pair(enrolled, &text).and_then(|e| tls_config(&e).map(|_| e)) else {
        remove(&next)?;
        return Ok(None);
    };
    match announce(data_dir, &renewed).await {
        Ok(()) => Ok(Some(renewed)),
        Err(RenewError::Refused(status)) if (400..500).contains(&status) => {
            tracing::info!(status, "an interrupted renewal of the certificate is forgotten; the old one is in force");
            remove(&next)?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Gets a certificate for a new key and puts it in force.
///
/// # Errors
/// See [`RenewError`]; the certificate before stays in use unless [`settle`] says otherwise.
pub async fn renew(data_dir: &Path, enrolled: &Enrolled) -> Result<Enrolled, RenewError> {
    let content = |e: rcgen::Error| RenewError::Content(e.to_string());
    let key = rcgen::KeyPair::generate().map_err(content)?;
    let request = rcgen::CertificateParams::new(Vec::new())
        .and_then(|params| params.serialize_request(&key))
        .and_then(|request| request.pem())
        .map_err(content)?;
    let body =
        serde_json::to_vec(&RenewRequest { csr_pem: request }).map_err(|e| RenewError::Content(e.to_string()))?;
    let answer = post(enrolled, RENEW_PATH, body).await?;
    let RenewAnswer { certificate_pem } =
        serde_json::from_slice(&answer).map_err(|e| RenewError::Content(e.to_string()))?;
    let pair = format!("{}\n{}", certificate_pem.trim_end(), key.serialize_pem());
    let renewed = with_pair(enrolled, &pair).map_err(RenewError::Content)?;
    // Certificate and key have to fit together before the old ones are given up.
    tls_config(&renewed).map_err(RenewError::Content)?;
    let dir = identity_dir(data_dir);
    let next = dir.join(NEXT);
    remove(&next)?;
    private_file(&next, &pair)?;
    File::open(&dir).and_then(|d| d.sync_all()).map_err(disk(&dir))?;
    announce(data_dir, &renewed).await?;
    Ok(renewed)
}

/// Tells the front-end, with the new certificate, that it is stored; then makes it the one in force here.
async fn announce(data_dir: &Path, renewed: &Enrolled) -> Result<(), RenewError> {
    post(renewed, RENEWED_PATH, Vec::new()).await?;
    let dir = identity_dir(data_dir);
    let (next, pair) = (dir.join(NEXT), dir.join(PAIR));
    fs::rename(&next, &pair).map_err(disk(&pair))?;
    File::open(&dir).and_then(|d| d.sync_all()).map_err(disk(&dir))?;
    // The first pair is worthless from now on. Left behind it would do no harm.
    for old in ["key.pem", "certificate.pem"] {
        let _ = fs::remove_file(dir.join(old));
    }
    Ok(())
}

/// Keeps the certificate of a running agent fresh, for ever. Links that are open stay open; whatever is opened later
/// shows the new certificate.
pub async fn keep_fresh(
    data_dir: PathBuf,
    mut enrolled: Enrolled,
    clock: &dyn Clock,
    dial: &TlsDial,
    fetch: &HttpsFetch,
) {
    loop {
        let pause = match step(&data_dir, &enrolled, clock.now()).await {
            Ok(None) => LOOK,
            Ok(Some(renewed)) => {
                match dial.adopt(&renewed).and_then(|()| fetch.adopt(&renewed)) {
                    Ok(()) => tracing::info!("this host's certificate was renewed"),
                    Err(why) => tracing::error!(%why, "the renewed certificate is used from the next start only"),
                }
                enrolled = renewed;
                LOOK
            }
            Err(error @ RenewError::Unreachable { .. }) => {
                tracing::debug!(%error, "trying again in a minute");
                AGAIN
            }
            Err(error) => {
                tracing::warn!(%error, "trying again in some hours; until then the certificate of before is shown");
                LOOK
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn step(data_dir: &Path, enrolled: &Enrolled, now: Timestamp) -> Result<Option<Enrolled>, RenewError> {
    if let Some(renewed) = settle(data_dir, enrolled).await? {
        return Ok(Some(renewed));
    }
    if is_due(&enrolled.certificate_pem, now).map_err(RenewError::Content)? {
        return renew(data_dir, enrolled).await.map(Some);
    }
    Ok(None)
}

/// The same host with the certificate and key of a pair's file.
pub(crate) fn with_pair(enrolled: &Enrolled, text: &str) -> Result<Enrolled, String> {
    let key = text.find("-----BEGIN PRIVATE KEY-----").ok_or("it holds no private key")?;
    let (certificate, key) = text.split_at(key);
    Ok(Enrolled { certificate_pem: certificate.to_owned(), key_pem: key.to_owned(), ..enrolled.clone() })
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> RenewError {
    let path = path.to_owned();
    move |source| RenewError::Disk(JoinError::Disk { path, source })
}

fn remove(path: &Path) -> Result<(), RenewError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk(path)(e)),
        _ => Ok(()),
    }
}

async fn post(as_whom: &Enrolled, path: &str, body: Vec<u8>) -> Result<Vec<u8>, RenewError> {
    let front = FrontEnd::parse(&as_whom.url).map_err(RenewError::Content)?;
    let address = front.authority();
    let unreachable = |e: reqwest::Error| RenewError::Unreachable { address: address.clone(), why: innermost(&e) };
    let mut answer = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config(as_whom).map_err(RenewError::Content)?)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .map_err(unreachable)?
        .post(format!("https://{address}{path}"))
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .body(body)
        .send()
        .await
        .map_err(unreachable)?;
    if !answer.status().is_success() {
        return Err(RenewError::Refused(answer.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(RenewError::Content(format!("the answer is larger than {MAX_ANSWER} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_after_a_year_or_half_its_life() {
        let day = 86_400;
        let certificate = |days: i64| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
            // 2026-01-01 00:00:00 UTC, as the calendar has it.
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = params.not_before + Duration::from_secs((days * day).unsigned_abs());
            params.self_signed(&key).expect("a certificate").pem()
        };
        let start = 1_767_225_600;
        for (life, age, due) in
            [(3650, 364, false), (3650, 365, true), (100, 49, false), (100, 50, true), (100, 500, true)]
        {
            let now = Timestamp((start + age * day) * 1000);
            assert_eq!(is_due(&certificate(life), now), Ok(due), "{age} of {life} days");
        }
        assert!(is_due("nonsense", Timestamp(0)).is_err());
    }
}
