//! Tests and everything else that says yes or no.

use crate::run::{self, cargo, command, with_env};
use anyhow::{Context as _, Result, bail};
use std::fs;

/// Files that are made from code, and the command line that prints each.
const GENERATED: &[(&str, &[&str])] = &[
    ("docs/openapi.json", &["run", "--quiet", "--package", "holm-rest", "--example", "openapi"]),
    ("docs/reference/configuration.md", &["run", "--quiet", "--package", "holm-daemon", "--", "config-reference"]),
];

/// Everything CI runs.
pub fn ci() -> Result<()> {
    command(&cargo(), &["fmt", "--all", "--check"])?;
    crate::tidy::check()?;
    command(&cargo(), &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"])?;
    with_env(
        &cargo(),
        &["doc", "--workspace", "--no-deps", "--locked", "--quiet"],
        &[("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links")],
    )?;
    for (file, arguments) in GENERATED {
        let made = run::output(&cargo(), arguments)?;
        let kept = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        if made.trim_end() != kept.trim_end() {
            bail!("{file} is not what the code generates: run `cargo xtask openapi` and commit it");
        }
    }
    deny()?;
    test()
}

/// Checks licences and known vulnerabilities, where cargo-deny and its data are there.
fn deny() -> Result<()> {
    if run::output(&cargo(), &["deny", "--version"]).is_err() {
        eprintln!(
            "cargo-deny is not installed: licences and bans are checked where it is (`cargo install cargo-deny`)."
        );
        return Ok(());
    }
    command(&cargo(), &["deny", "--offline", "check", "licenses", "bans", "sources"])
}

/// Writes every generated file.
pub fn generate() -> Result<()> {
    for (file, arguments) in GENERATED {
        let made = run::output(&cargo(), arguments)?;
        if let Some(parent) = std::path::Path::new(file).parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, format!("{}\n", made.trim_end()))?;
        eprintln!("wrote {file}");
    }
    Ok(())
}

/// Installs what the tests need and runs them all.
pub fn test() -> Result<()> {
    command(&cargo(), &["build", "--locked", "--package", "holm-daemon", "--package", "holm-cli"])?;
    let bin = run::target_dir().join("debug");
    let holmd = bin.join("holmd").display().to_string();
    // The tests make network namespaces, bridges and virtual machines, so they need root and some Debian packages.
    command(&holmd, &["setup", "--tests"])?;
    let guest = run::target_dir().join("guest").display().to_string();
    command(&holmd, &["image", "--out", &guest])?;
    let bin = bin.display().to_string();
    let environment = [("HOLM_BIN_DIR", bin.as_str()), ("HOLM_GUEST_DIR", guest.as_str())];
    with_env(&cargo(), &["test", "--workspace", "--locked", "--exclude", "holm-e2e"], &environment)?;
    // Guests are heavy under emulation: one end-to-end test at a time, and nothing beside it.
    with_env(&cargo(), &["test", "--locked", "--package", "holm-e2e", "--", "--test-threads=1"], &environment)
}

/// Runs a fuzz target, or lists them.
pub fn fuzz(target: Option<&str>, seconds: u64) -> Result<()> {
    let Some(target) = target else {
        for entry in fs::read_dir("fuzz/fuzz_targets").context("no fuzz targets here")? {
            println!("{}", entry?.path().file_stem().unwrap_or_default().to_string_lossy());
        }
        return Ok(());
    };
    if run::output(&cargo(), &["fuzz", "--version"]).is_err() {
        bail!("cargo-fuzz is not installed: `cargo install cargo-fuzz`");
    }
    // The stable compiler builds sanitizer coverage when it is told that it may.
    let limit = format!("-max_total_time={seconds}");
    with_env(&cargo(), &["fuzz", "run", "--sanitizer", "none", target, "--", &limit], &[("RUSTC_BOOTSTRAP", "1")])
}
