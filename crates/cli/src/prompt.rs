//! Asking for secrets: without echo, and never as arguments.

use crate::config;
use crate::errors::{Error, Exit, Result};
use crate::output::visible;
use crate::terminal::RawMode;
use crate::wait::Interrupted;
use std::io::{IsTerminal, Read, Write};

/// A secret from the first line of a file, or asked for on the terminal.
///
/// # Errors
/// When the file cannot be read, or there is no terminal to ask on.
pub async fn secret(flag: &str, file: Option<&str>, question: &str) -> Result<String> {
    match file {
        Some(file) => config::first_line(flag, file),
        None => ask(question, Some(flag)).await,
    }
}

/// A new secret: as [`secret`], asked for twice.
///
/// # Errors
/// As [`secret`], and when the two are not the same.
pub async fn new_secret(flag: &str, file: Option<&str>, question: &str) -> Result<String> {
    if let Some(file) = file {
        return config::first_line(flag, file);
    }
    let first = ask(question, Some(flag)).await?;
    if ask("The same again", Some(flag)).await? == first {
        return Ok(first);
    }
    Err(Error::usage("the two passwords are not the same").hint("Type it again."))
}

/// Asks for a secret on the terminal. `flag` is what could be given instead, where there is something.
///
/// # Errors
/// When there is no terminal, or nothing was typed.
pub async fn ask(question: &str, flag: Option<&str>) -> Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let error = Error::usage("there is no terminal to ask for a secret on");
        return Err(match flag {
            Some(flag) => error.hint(format!("Give {flag} FILE, or {flag} - to read it from standard input.")),
            None => error.hint("Run it on a terminal."),
        });
    }
    let refuse = |error: std::io::Error| Error::io("ask for a secret", &error);
    let interrupted = || Error::new(Exit::Interrupted, "nothing was typed");
    let mut signals = Interrupted::new()?;
    // In raw mode nothing typed is shown and no key ends the process; signals are waited for, so that every way out of
    // here gives the terminal back.
    let raw = RawMode::enter(&stdin)?;
    let asked = write!(std::io::stderr(), "{}: ", visible(question));
    let (give, take) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || give.send(read_secret(std::io::stdin().lock().bytes())));
    let typed = tokio::select! {
        typed = take => typed.unwrap_or(Ok(None)),
        () = signals.wait() => Ok(None),
    };
    let _ = write!(std::io::stderr(), "\r\n");
    drop(raw);
    asked.map_err(refuse)?;
    match typed.map_err(refuse)? {
        Some(password) if !password.is_empty() => Ok(password),
        _ => Err(interrupted()),
    }
}

/// Reads a line typed in raw mode. `None` when it was given up with Ctrl-C or Ctrl-D.
fn read_secret(typed: impl Iterator<Item = std::io::Result<u8>>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    for byte in typed {
        match byte? {
            b'\r' | b'\n' => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            0x03 => return Ok(None),
            0x04 if line.is_empty() => return Ok(None),
            // Ctrl-U forgets the line, backspace a character, which may be several bytes.
            0x15 => line.clear(),
            0x08 | 0x7f => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            byte => line.push(byte),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> Option<String> {
        read_secret(keys.bytes().map(Ok)).expect("keys can be read")
    }

    #[test]
    fn a_password_is_typed_as_people_type() {
        assert_eq!(typed("secret\r"), Some("secret".into()));
        assert_eq!(typed("sev\u{7f}cré\u{7f}et\n"), Some("secret".into()));
        assert_eq!(typed("wrong\u{15}right\r"), Some("right".into()));
        assert_eq!(typed("\u{7f}\r"), Some(String::new()));
        assert_eq!(typed("half\u{3}"), None);
        assert_eq!(typed("\u{4}"), None);
        assert_eq!(typed("no end"), None);
    }
}
