//! Where secrets come from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Gives random bytes. Only the interface matters here: a simulation gives its own.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with bytes nobody can guess.
    fn fill(&self, buffer: &mut [u8]);
}

/// The random numbers of the operating system's generator, stretched by a cipher within the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        rand::fill(buffer);
    }
}

/// A fresh secret of 256 bits as text, and its SHA-256 in hex.
pub(crate) fn secret(entropy: &dyn Entropy, prefix: &str) -> (String, String) {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest = sha256_hex(&text);
    (text, digest)
}

/// SHA-256 of a text, lower-case hex.
pub(crate) fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
