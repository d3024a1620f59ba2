//! The second factor of logins on the web: one-time passwords from the time (RFC 6238 over RFC 4226, SHA-1, six
//! digits, 30 seconds), which every authenticator application makes.

use crate::{Caller, Desk, Error, ErrorKind, Intent};
use holm_model::users::{Secret, User};
use holm_model::{Timestamp, UserId};
use sha1::{Digest, Sha1};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Seconds a code is shown.
const STEP_S: i64 = 30;
/// Bytes of a new key, as RFC 4226 recommends.
const KEY_BYTES: usize = 20;
/// The alphabet of RFC 4648 that authenticator applications read.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A key that is to become somebody's second factor.
#[derive(Clone, Debug)]
pub struct SecondFactorOffer {
    /// The key in base32, to be typed.
    pub key: Secret,
    /// The same as an `otpauth` URI, to be shown as a QR code.
    pub uri: Secret,
}

/// The last step whose code each user has used: no code is accepted twice.
#[derive(Default)]
pub(crate) struct UsedCodes(Mutex<HashMap<UserId, i64>>);

impl UsedCodes {
    /// Whether the step is newer than all before it; it then counts as used.
    fn take(&self, user: UserId, step: i64) -> bool {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get(&user) {
            Some(last) if *last >= step => false,
            _ => {
                used.insert(user, step);
                true
            }
        }
    }
}

fn to_base32(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    bits.chunks(5)
        .map(|five| {
            let value = five.iter().fold(0_usize, |sum, bit| sum << 1 | usize::from(*bit)) << (5 - five.len());
            char::from(BASE32[value & 31])
        })
        .collect()
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for c in text.bytes().filter(|c| !matches!(c, b' ' | b'-' | b'=')) {
        let value = BASE32.iter().position(|known| *known == c.to_ascii_uppercase())?;
        bits.extend((0..5).rev().map(|at| value >> at & 1 == 1));
    }
    Some(bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect())
}

/// HMAC (RFC 2104) with SHA-1, whose block is 64 bytes.
fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let keyed = |pad: u8, message: &[u8]| -> [u8; 20] {
        let mut hasher = Sha1::new();
        hasher.update(block.map(|byte| byte ^ pad));
        hasher.update(message);
        hasher.finalize().into()
    };
    keyed(0x5c, &keyed(0x36, message))
}

fn code(key: &[u8], step: i64) -> String {
    let digest = hmac_sha1(key, &step.to_be_bytes());
    let at = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes([digest[at] & 0x7f, digest[at + 1], digest[at + 2], digest[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// The step whose code this is: the present one, the one before or the one after, for clocks are never quite right.
fn step_of(key: &Secret, given: &str, now: Timestamp) -> Option<i64> {
    let key = from_base32(&key.0)?;
    let present = now.seconds().div_euclid(STEP_S);
    let given: String = given.chars().filter(|c| !c.is_whitespace()).collect();
    [present, present - 1, present + 1]
        .into_iter()
        .find(|step| bool::from(code(&key, *step).as_bytes().ct_eq(given.as_bytes())))
}

fn refused() -> Error {
    Error::new(ErrorKind::Unauthenticated, "the code of the second factor is missing, wrong or was used before")
        .hint("Type the code that the authenticator application shows now.")
        .field("code")
}

impl Desk {
    /// Checks the second factor of an account that has one.
    pub(crate) fn check_second_factor(&self, user: &User, given: Option<&str>) -> Result<(), Error> {
        if user.second_factor.0.is_empty() {
            return Ok(());
        }
        let step = given.and_then(|given| step_of(&user.second_factor, given, self.now())).ok_or_else(refused)?;
        if self.0.used_codes.take(user.id, step) { Ok(()) } else { Err(refused()) }
    }

    /// Offers the caller a key for a second factor. Nothing is changed until a code made with it is confirmed.
    #[must_use]
    pub fn second_factor_offer(&self, caller: &Caller) -> SecondFactorOffer {
        let mut bytes = [0; KEY_BYTES];
        self.0.entropy.fill(&mut bytes);
        let key = to_base32(&bytes);
        let name: String = caller
            .user()
            .name
            .as_str()
            .bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect();
        let uri = format!("otpauth://totp/Holm:{name}?secret={key}&issuer=Holm");
        SecondFactorOffer { key: Secret(key), uri: Secret(uri) }
    }

    /// Makes an offered key the caller's second factor, given a code made with it. From then on logins on the web ask
    /// for one.
    ///
    /// # Errors
    /// `Invalid` when the key is none; `Unauthenticated` when the code is wrong (counted like a login).
    pub async fn second_factor_confirm(
        &self,
        caller: &Caller,
        intent: &Intent,
        key: Secret,
        given: &str,
    ) -> Result<(), Error> {
        let bytes = from_base32(&key.0).filter(|bytes| (16..=64).contains(&bytes.len()));
        let Some(bytes) = bytes else {
            return Err(Error::new(ErrorKind::Invalid, "key: it is no key in base32 of 16 to 64 bytes")
                .hint("Send the key that was offered.")
                .field("key"));
        };
        let attempt = self.begin_attempt(caller.user().name.as_str(), &intent.peer)?;
        let key = Secret(to_base32(&bytes));
        let step = step_of(&key, given, self.now()).ok_or_else(refused)?;
        self.0.throttle.succeeded(&attempt);
        let user = caller.user_id();
        self.user_edit(caller, intent, user, ("user.second_factor", holm_model::Access::Use), move |_, _, user| {
            if !user.second_factor.0.is_empty() {
                return Err(Error::new(ErrorKind::Conflict, format!("user {} has a second factor already", user.name))
                    .hint("Remove it first, with a code made with it."));
            }
            user.second_factor = key;
            Ok(())
        })
        .await?;
        self.0.used_codes.take(user, step);
        Ok(())
    }

    /// Takes an account's second factor away: one's own with a code made with it, somebody else's with access admin.
    ///
    /// # Errors
    /// When there is no such user, the caller may not, or the code is wrong.
    pub async fn second_factor_remove(
        &self,
        caller: &Caller,
        intent: &Intent,
        user: UserId,
        given: Option<&str>,
    ) -> Result<(), Error> {
        if user == caller.user_id() {
            let attempt = self.begin_attempt(caller.user().name.as_str(), &intent.peer)?;
            let own = self.own_account(caller)?;
            self.check_second_factor(&own.value, given)?;
            self.0.throttle.succeeded(&attempt);
        }
        let own = user == caller.user_id();
        let access = if own { holm_model::Access::Use } else { holm_model::Access::Admin };
        self.user_edit(caller, intent, user, ("user.second_factor", access), move |_, _, user| {
            user.second_factor = Secret(String::new());
            Ok(())
        })
        .await
        .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, the last six of eight digits.
        let key = b"12345678901234567890";
        for (seconds, wanted) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(key, seconds / 30), wanted, "at {seconds}");
        }
        // RFC 2202, cases 1, 2 and 6.
        let hex = |key: &[u8], message: &[u8]| hex::encode(hmac_sha1(key, message));
        assert_eq!(hex(&[0x0b; 20], b"Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00");
        assert_eq!(hex(b"Jefe", b"what do ya want for nothing?"), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hex(&[0xaa; 80], long), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        for (plain, coded) in [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(to_base32(plain.as_bytes()), coded);
            assert_eq!(from_base32(coded).as_deref(), Some(plain.as_bytes()), "{coded}");
        }
        assert_eq!(from_base32("mzxw 6ytb-oi======").as_deref(), Some(&b"foobar"[..]));
        assert_eq!(from_base32("M1"), None);
    }

    #[test]
    fn neighbors_of_the_present_step_are_accepted_once() {
        let key = Secret(to_base32(b"12345678901234567890"));
        let now = Timestamp(1_111_111_111_000);
        assert_eq!(step_of(&key, "050471", now), Some(1_111_111_111 / 30));
        assert_eq!(step_of(&key, "050 471", now), Some(1_111_111_111 / 30));
        assert_eq!(step_of(&key, "081804", now), Some(1_111_111_109 / 30));
        assert_eq!(step_of(&key, "081804", Timestamp(now.0 + 61_000)), None);
        assert_eq!(step_of(&key, "", now), None);
        let used = UsedCodes::default();
        assert!(used.take(UserId(2), 7) && !used.take(UserId(2), 7) && !used.take(UserId(2), 6));
        assert!(used.take(UserId(3), 7) && used.take(UserId(2), 8));
    }
}
