//! The digests that are computed while bytes pass by.

use holm_model::images::{DigestFunction, ExpectedDigest};
use sha2::Digest as _;

/// Hash states over the bytes so far: always BLAKE3, and another function only when a digest of it is expected.
#[derive(Clone)]
pub(crate) struct Hashes {
    blake3: blake3::Hasher,
    other: Option<Other>,
}

#[derive(Clone)]
enum Other {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hashes {
    pub(crate) fn new(expected: Option<&ExpectedDigest>) -> Self {
        let other = match expected.map(|e| e.function) {
            Some(DigestFunction::Md5) => Some(Other::Md5(md5::Md5::new())),
            Some(DigestFunction::Sha1) => Some(Other::Sha1(sha1::Sha1::new())),
            Some(DigestFunction::Sha256) => Some(Other::Sha256(sha2::Sha256::new())),
            Some(DigestFunction::Sha512) => Some(Other::Sha512(sha2::Sha512::new())),
            Some(DigestFunction::Blake3) | None => None,
        };
        Self { blake3: blake3::Hasher::new(), other }
    }

    /// Whether these are the states that this expectation needs.
    pub(crate) fn fit(&self, expected: Option<&ExpectedDigest>) -> bool {
        match expected.map(|e| e.function) {
            Some(DigestFunction::Md5) => matches!(self.other, Some(Other::Md5(_))),
            Some(DigestFunction::Sha1) => matches!(self.other, Some(Other::Sha1(_))),
            Some(DigestFunction::Sha256) => matches!(self.other, Some(Other::Sha256(_))),
            Some(DigestFunction::Sha512) => matches!(self.other, Some(Other::Sha512(_))),
            Some(DigestFunction::Blake3) | None => true,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        match &mut self.other {
            Some(Other::Md5(hasher)) => hasher.update(bytes),
            Some(Other::Sha1(hasher)) => hasher.update(bytes),
            Some(Other::Sha256(hasher)) => hasher.update(bytes),
            Some(Other::Sha512(hasher)) => hasher.update(bytes),
            None => {}
        }
    }

    /// BLAKE3 of the bytes so far, hex.
    pub(crate) fn blake3(&self) -> String {
        self.blake3.finalize().to_hex().to_string()
    }

    /// The digest by the expected function, with the function's name.
    pub(crate) fn by(&self, function: DigestFunction) -> (&'static str, Option<String>) {
        match (function, &self.other) {
            (DigestFunction::Blake3, _) => ("blake3", Some(self.blake3())),
            (DigestFunction::Md5, Some(Other::Md5(hasher))) => ("md5", Some(hex::encode(hasher.clone().finalize()))),
            (DigestFunction::Sha1, Some(Other::Sha1(hasher))) => ("sha1", Some(hex::encode(hasher.clone().finalize()))),
            (DigestFunction::Sha256, Some(Other::Sha256(hasher))) => {
                ("sha256", Some(hex::encode(hasher.clone().finalize())))
            }
            (DigestFunction::Sha512, Some(Other::Sha512(hasher))) => {
                ("sha512", Some(hex::encode(hasher.clone().finalize())))
            }
            (DigestFunction::Md5, _) => ("md5", None),
            (DigestFunction::Sha1, _) => ("sha1", None),
            (DigestFunction::Sha256, _) => ("sha256", None),
            (DigestFunction::Sha512, _) => ("sha512", None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_gives_the_published_digests() {
        for (function, name, hex) in [
            (DigestFunction::Md5, "md5", "900150983cd24fb0d6963f7d28e17f72"),
            (DigestFunction::Sha1, "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (DigestFunction::Sha256, "sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (DigestFunction::Blake3, "blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ] {
            let expected = ExpectedDigest { function, hex: hex.into() };
            let mut hashes = Hashes::new(Some(&expected));
            assert!(hashes.fit(Some(&expected)));
            for piece in [&b"a"[..], b"", b"bc"] {
                hashes.update(piece);
            }
            assert_eq!(hashes.by(function), (name, Some(hex.to_owned())));
            let other = ExpectedDigest { function: DigestFunction::Sha512, hex: String::new() };
            assert!(!hashes.fit(Some(&other)), "{name}");
        }
    }
}
