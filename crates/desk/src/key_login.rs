//! Logging in with an SSH key: the account's public key verifies a signature over a challenge, made by
//! `ssh-keygen -Y sign -n holm-login` (the format is OpenSSH's `PROTOCOL.sshsig`).
//!
//! A challenge is not stored: it carries the time, a random number and a keyed hash of both and the name, so that only
//! this process's own ones are accepted. Each is accepted once and for a minute.

use crate::sessions::IssuedToken;
use crate::{Desk, Error, ErrorKind, Intent};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use holm_model::Timestamp;
use holm_model::users::{Proof, User};
use sha2::{Digest, Sha256, Sha512};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What signatures are made for; a signature for anything else says nothing here.
pub const SIGNATURE_NAMESPACE: &str = "holm-login";
/// How long a challenge may be answered.
const VALID: Duration = Duration::from_secs(60);
/// Most answered challenges remembered; they are forgotten when they would not be accepted any more.
const MOST_USED: usize = 100_000;
/// Longest signature looked at, bytes of text.
const LONGEST: usize = 16 * 1024;

/// Makes challenges and recognizes them.
pub(crate) struct Challenges {
    key: [u8; 32],
    used: Mutex<HashMap<[u8; 16], Timestamp>>,
}

impl Challenges {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key, used: Mutex::default() }
    }

    fn mac(&self, name: &str, at: i64, nonce: &[u8; 16]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"challenge");
        hasher.update(&at.to_le_bytes());
        hasher.update(nonce);
        hasher.update(name.as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn make(&self, name: &str, nonce: [u8; 16], now: Timestamp) -> String {
        let mut bytes = now.0.to_le_bytes().to_vec();
        bytes.extend(nonce);
        bytes.extend(self.mac(name, now.0, &nonce));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Takes a challenge that is this process's own, is for this name, is fresh and was not taken before.
    fn take(&self, name: &str, challenge: &str, now: Timestamp) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(challenge) else { return false };
        let Ok(bytes) = <[u8; 56]>::try_from(bytes) else { return false };
        let (mut at, mut nonce, mut mac) = ([0; 8], [0; 16], [0; 32]);
        at.copy_from_slice(&bytes[..8]);
        nonce.copy_from_slice(&bytes[8..24]);
        mac.copy_from_slice(&bytes[24..]);
        let at = i64::from_le_bytes(at);
        let right: bool = subtle::ConstantTimeEq::ct_eq(&mac[..], &self.mac(name, at, &nonce)[..]).into();
        let until = Timestamp(at).plus(VALID);
        if !right || until <= now || at > now.0 {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MOST_USED {
            used.retain(|_, until| *until > now);
        }
        used.len() < MOST_USED && used.insert(nonce, until).is_none()
    }
}

/// Reads the length-prefixed fields that SSH formats are made of.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.bytes(count)
    }

    /// A number without the zero byte that says it is positive.
    fn positive(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(&bytes[zeros..])
    }
}

/// The key's bytes, from a line of a `.pub` file or the Base64 part of it alone.
fn key_bytes(line: &str) -> Option<Vec<u8>> {
    line.split_whitespace().take(2).find_map(|word| {
        let bytes = STANDARD.decode(word).ok()?;
        Fields(&bytes).string()?;
        Some(bytes)
    })
}

/// Refuses what is no public key that can log in.
pub(crate) fn check_key(field: &str, line: &str) -> Result<(), Error> {
    const KINDS: [&[u8]; 4] = [b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp384"];
    let known = key_bytes(line).is_some_and(|bytes| Fields(&bytes).string().is_some_and(|kind| KINDS.contains(&kind)));
    if known && line.len() <= LONGEST && !line.trim().contains(['\n', '\r']) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, format!("{field}: it is no public key of kind Ed25519, ECDSA or RSA"))
        .hint("Give one line as in a .pub file: ssh-ed25519 AAAA... name.")
        .field(field))
}

fn string(text: &[u8]) -> Vec<u8> {
    // Every text here is shorter than the input it was read from, which is bounded.
    let count = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&count.to_be_bytes(), text].concat()
}

fn fixed(number: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size.checked_sub(number.len())?];
    bytes.extend(number);
    Some(bytes)
}

/// Whether `armored` is a signature by this key over the message, made for logging in; `None` when it is no signature.
fn verifies(key_line: &str, message: &[u8], armored: &str) -> Option<bool> {
    if armored.len() > LONGEST {
        return None;
    }
    let body = armored.trim().strip_prefix("-----BEGIN SSH SIGNATURE-----")?;
    let body: String = body.strip_suffix("-----END SSH SIGNATURE-----")?.split_whitespace().collect();
    let blob = STANDARD.decode(body).ok()?;
    let mut fields = Fields(&blob);
    if fields.bytes(6)? != b"SSHSIG" || fields.number()? != 1 {
        return None;
    }
    let key = fields.string()?;
    let namespace = fields.string()?;
    let reserved = fields.string()?;
    let function = fields.string()?;
    let mut signature = Fields(fields.string()?);
    if namespace != SIGNATURE_NAMESPACE.as_bytes() || key_bytes(key_line)? != key {
        return Some(false);
    }
    let digest = match function {
        b"sha256" => Sha256::digest(message).to_vec(),
        b"sha512" => Sha512::digest(message).to_vec(),
        _ => return None,
    };
    let signed = [b"SSHSIG".to_vec(), string(namespace), string(reserved), string(function), string(&digest)].concat();
    let (format, bytes) = (signature.string()?, signature.string()?);
    let mut key = Fields(key);
    let right = match (key.string()?, format) {
        (b"ssh-ed25519", b"ssh-ed25519") => UnparsedPublicKey::new(&ED25519, key.string()?).verify(&signed, bytes),
        (b"ssh-rsa", b"rsa-sha2-256" | b"rsa-sha2-512") => {
            let (e, n) = (key.positive()?, key.positive()?);
            let how = if format == b"rsa-sha2-256" { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA512 };
            RsaPublicKeyComponents { n, e }.verify(how, &signed, bytes)
        }
        (b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp256") | (b"ecdsa-sha2-nistp384", b"ecdsa-sha2-nistp384") => {
            let (how, size) = if format == b"ecdsa-sha2-nistp256" {
                (&ECDSA_P256_SHA256_FIXED, 32)
            } else {
                (&ECDSA_P384_SHA384_FIXED, 48)
            };
            let mut pair = Fields(bytes);
            let both = [fixed(pair.positive()?, size)?, fixed(pair.positive()?, size)?].concat();
            key.string()?;
            UnparsedPublicKey::new(how, key.string()?).verify(&signed, &both)
        }
        _ => return None,
    };
    Some(right.is_ok())
}

impl Desk {
    /// A text to be signed by whoever wants to log in under this name, whether or not there is such an account.
    #[must_use]
    pub fn login_challenge(&self, name: &str) -> String {
        let mut nonce = [0; 16];
        self.0.entropy.fill(&mut nonce);
        self.0.challenges.make(name, nonce, self.now())
    }

    /// Logs in an account that proves itself with an SSH key (Ed25519, ECDSA P-256 and P-384, RSA), with a signature
    /// over a challenge; where the account has a second factor, with its code as well.
    ///
    /// # Errors
    /// `Unauthenticated` when anything of it is wrong (not what); `RateLimited` after too many attempts.
    pub async fn key_login(
        &self,
        name: &str,
        challenge: &str,
        signature: &str,
        code: Option<&str>,
        intent: &Intent,
    ) -> Result<IssuedToken, Error> {
        let attempt = self.begin_attempt(name, &intent.peer)?;
        let wrong = || {
            Error::new(ErrorKind::Unauthenticated, "the user name, the challenge or the signature is wrong")
                .hint("Sign a fresh challenge: ssh-keygen -Y sign -n holm-login -f KEY.")
        };
        let view = self.view();
        let ids = view.0.named::<User>(name);
        let known = ids.first().and_then(|id| view.0.get::<User>(*id));
        let known = known.filter(|user| user.value.proof == Proof::PublicKey && user.value.enabled);
        let known = known.ok_or_else(wrong)?;
        let right = verifies(&known.value.service_key.0, challenge.as_bytes(), signature).unwrap_or(false);
        if !right || !self.0.challenges.take(name, challenge, self.now()) {
            tracing::info!(peer = intent.peer, "a login with a wrong signature");
            return Err(wrong());
        }
        self.check_second_factor(&known.value, code)?;
        self.0.throttle.succeeded(&attempt);
        let caller = self.caller(&view, known, None, None);
        self.issue_session(&caller, intent).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_accepted_once_for_its_name_and_for_a_while() {
        let challenges = Challenges::new([7; 32]);
        let now = Timestamp(1_800_000_000_000);
        let text = challenges.make("lena", [1; 16], now);
        assert!(!challenges.take("max", &text, now));
        assert!(!challenges.take("lena", &text[1..], now));
        assert!(!challenges.take("lena", "", now));
        assert!(!challenges.take("lena", &text, now.plus(VALID)));
        assert!(!challenges.take("lena", &text, Timestamp(now.0 - 1)));
        assert!(!Challenges::new([8; 32]).take("lena", &text, now), "another process's");
        assert!(challenges.take("lena", &text, now));
        assert!(!challenges.take("lena", &text, now), "twice");
    }

    #[test]
    fn what_is_no_signature_is_refused_whatever_it_is() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJJgHGpn4Z0d8rI3e0W1Zr1D3bq0mC0v8mJQ0m0qk0mY x";
        let armor = |bytes: &[u8]| {
            format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----", STANDARD.encode(bytes))
        };
        let mut bytes = b"SSHSIG\0\0\0\x01".to_vec();
        for text in ["", "x", &armor(b""), &armor(b"SSHSIG"), &armor(&bytes)] {
            assert_eq!(verifies(key, b"text", text), None, "{text}");
        }
        for _ in 0..5 {
            bytes.extend([0xff, 0xff, 0xff, 0xff]);
            assert_eq!(verifies(key, b"text", &armor(&bytes)), None);
        }
        assert_eq!(key_bytes("ssh-ed25519"), None);
        assert!(key_bytes(key).is_some());
    }
}
