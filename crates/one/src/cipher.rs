//! What a service account sends in place of a password: AES-256-CBC (NIST SP 800-38A) with PKCS #7 padding, in Base64;
//! key and initialization vector are the first 32 and 16 characters of the SHA-256 of its password in hexadecimal.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use holm_desk::Secret;

/// The text inside; `None` when it was not encrypted with this key.
pub(crate) fn decrypt(key: &Secret, secret: &str) -> Option<String> {
    let key = key.0.as_bytes();
    let (aes, vector) = (key.get(..32)?, key.get(..16)?);
    let compact: String = secret.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let mut bytes = base64::engine::general_purpose::STANDARD.decode(compact).ok()?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, aes).ok()?).ok()?;
    let vector: [u8; 16] = vector.try_into().ok()?;
    let plain = cipher.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(vector))).ok()?;
    String::from_utf8(plain.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssl_encrypted_is_read() {
        // printf 'serveradmin:oneadmin:1900000000' | openssl enc -aes-256-cbc -K <32 characters as hex> -iv <16 as hex> -a
        let key = Secret("5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".into());
        let run = std::process::Command::new("sh")
            .arg("-c")
            .arg(
                "command -v openssl >/dev/null || exit 9; hex() { printf %s \"$1\" | od -An -tx1 | tr -d ' \\n'; }; \
                 printf %s 'serveradmin:oneadmin:1900000000' | openssl enc -aes-256-cbc -K \
                 $(hex 5e884898da28047151d0e56f8dc62927) -iv $(hex 5e884898da280471) -a -A",
            )
            .output()
            .expect("a shell runs");
        assert_ne!(run.status.code(), Some(9), "openssl is needed for this test: apt-get install openssl");
        let secret = String::from_utf8(run.stdout).expect("Base64 is text");
        assert_eq!(decrypt(&key, secret.trim()).as_deref(), Some("serveradmin:oneadmin:1900000000"));
        assert_eq!(decrypt(&Secret("0".repeat(64)), secret.trim()).as_deref(), None);
        assert_eq!(decrypt(&key, "not base64 !"), None);
        assert_eq!(decrypt(&Secret(String::new()), secret.trim()), None);
    }
}
