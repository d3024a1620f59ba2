//! Signatures made with SSH keys, by OpenSSH's own `ssh-keygen`: keys stay where they are, also in an agent or on a
//! token.

use crate::errors::{Error, Result};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Signs a text with the private key in a file, or with the one in the agent whose public half is in the file.
///
/// # Errors
/// When there is no `ssh-keygen`, or it cannot use the key.
pub fn sign(key: &Path, namespace: &str, text: &str) -> Result<String> {
    let shown = key.display();
    if !key.is_file() {
        return Err(Error::usage(format!("--key: there is no file {shown}"))
            .hint("Give the private key's file, or the public one's when the agent has the private key."));
    }
    let refuse = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::failed("there is no ssh-keygen").hint("Install OpenSSH's client, or log in with a password.")
        }
        _ => Error::io("run ssh-keygen", &error),
    };
    // A passphrase is asked for by ssh-keygen itself, on the terminal.
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(refuse)?;
    if let Some(mut stdin) = child.stdin.take() {
        // When it ends without reading, its own words say why.
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(refuse)?;
    let signature = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && signature.contains("-----BEGIN SSH SIGNATURE-----") {
        return Ok(signature);
    }
    let says = String::from_utf8_lossy(&output.stderr);
    let why = says.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing").to_owned();
    Err(Error::failed(format!("ssh-keygen cannot sign with {shown}: {why}"))
        .hint("Check that the key is yours and that its passphrase is right or the agent has it."))
}
