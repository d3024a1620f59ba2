//! Running other programs, with every command line shown first.

use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where the build puts things.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command and fails when it does.
pub fn command(program: &str, arguments: &[&str]) -> Result<()> {
    with_env(program, arguments, &[])
}

/// Runs a command with more environment and fails when it does.
pub fn with_env(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let shown: Vec<String> = environment.iter().map(|(k, v)| format!("{k}={v} ")).collect();
    eprintln!("> {}{program} {}", shown.concat(), arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Runs a command and gives what it printed.
pub fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let done = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    if !done.status.success() {
        bail!(
            "`{program} {}` ended with {}: {}",
            arguments.join(" "),
            done.status,
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The cargo that runs us.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Builds the two binaries in release and runs `holmd ROLE`.
pub fn up(role: &str, rest: &[String]) -> Result<()> {
    let built = target_dir().join("release/holmd");
    // `down` must work when the sources no longer build.
    if role != "down" || !built.exists() {
        eprintln!("Building Holm (release)...");
        command(&cargo(), &["build", "--release", "--locked", "--package", "holm-daemon", "--package", "holm-cli"])?;
    }
    let built = built.display().to_string();
    let mut arguments = vec![role];
    arguments.extend(rest.iter().map(String::as_str));
    command(&built, &arguments)
}
