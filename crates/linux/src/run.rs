//! Runs another program and says in one line what went wrong with it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use thiserror::Error;

/// A program that could not be run or said no.
#[derive(Debug, Error)]
pub enum RunError {
    /// It could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// What was to be run.
        program: String,
        /// Why it was not.
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("{command} failed ({status}): {says}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines it wrote to its standard error, joined.
        says: String,
    },
}

impl RunError {
    /// Whether the program is not installed.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Start { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// The last lines of what a program wrote, as one line of bounded length.
pub(crate) fn last_words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let from = lines.len().saturating_sub(4);
    let mut words: String = lines.split_off(from).join("; ").chars().take(600).collect();
    if words.is_empty() {
        words.push_str("it gave no reason");
    }
    words
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text.chars().take(300).collect()
}

/// Runs the command to its end and gives what it wrote, whatever its exit status.
pub(crate) fn output(command: &mut Command, stdin: Option<&[u8]>) -> Result<Output, RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let start = |source| RunError::Start { program: program.clone(), source };
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(start)?;
    if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // A program that does not read to the end closes the pipe; its exit status tells more than that.
        let _ = pipe.write_all(bytes);
    }
    child.wait_with_output().map_err(start)
}

/// Runs the command, which must succeed, and gives what it wrote to its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, RunError> {
    run_with(command, None)
}

/// As [`run`], with bytes for its standard input.
pub(crate) fn run_with(command: &mut Command, stdin: Option<&[u8]>) -> Result<String, RunError> {
    let output = output(command, stdin)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let says = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(RunError::Failed { command: shown(command), status: output.status.to_string(), says: last_words(says) })
}

/// Finds a program by its name in `PATH` and in the directories for administrators, which `PATH` often lacks.
#[must_use]
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(std::path::PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// A command for a program found by [`find_program`], with a fixed language for its messages.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(find_program(name).unwrap_or_else(|| name.into()));
    command.env("LC_ALL", "C.UTF-8");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_last_words() {
        let error = run(command("sh").args(["-c", "echo one >&2; echo two >&2; exit 3"])).expect_err("fails");
        let text = error.to_string();
        assert!(text.contains("one; two") && text.contains('3'), "{text}");
        assert!(!error.is_missing());
    }

    #[test]
    fn a_missing_program_is_told_from_a_failing_one() {
        assert!(run(&mut command("no-such-program-as-this")).expect_err("is missing").is_missing());
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(run_with(&mut command("cat"), Some(b"abc")).expect("cat runs"), "abc");
    }
}
