//! Tests and everything else that says yes or no.

use crate::run::{self, cargo, command, with_env};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::PathBuf;

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
    fuzz_targets_compile()?;
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

/// Fuzz targets are a workspace of their own, which nothing else here would look at.
fn fuzz_targets_compile() -> Result<()> {
    if run::output("c++", &["--version"]).is_err() {
        eprintln!("There is no C++ compiler, which the fuzzer needs: the fuzz targets are not checked.");
        return Ok(());
    }
    let into = run::target_dir().display().to_string();
    let arguments = ["check", "--manifest-path", "fuzz/Cargo.toml", "--locked", "--quiet", "--target-dir", &into];
    command(&cargo(), &arguments)
}

/// Checks licences, bans and sources where cargo-deny is installed, and known vulnerabilities where their database was
/// fetched before (`cargo deny fetch`): a check that needs the network would fail for reasons that are not ours.
fn deny() -> Result<()> {
    if run::output(&cargo(), &["deny", "--version"]).is_err() {
        eprintln!("cargo-deny is not installed: licenses and bans are not checked (`cargo install cargo-deny`).");
        return Ok(());
    }
    command(&cargo(), &["deny", "--offline", "check", "licenses", "bans", "sources"])?;
    if !has_advisories() {
        eprintln!("The advisory database is not here: known vulnerabilities are not checked (`cargo deny fetch`).");
        return Ok(());
    }
    command(&cargo(), &["deny", "--offline", "check", "advisories"])
}

/// Whether cargo-deny has ever fetched an advisory database on this machine.
fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(home) = home else { return false };
    ["advisory-dbs", "advisory-db"]
        .iter()
        .any(|dir| fs::read_dir(home.join(dir)).is_ok_and(|mut entries| entries.next().is_some()))
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
    let clients = crate::clients::install()?.display().to_string();
    let bin = bin.display().to_string();
    let environment =
        [("HOLM_BIN_DIR", bin.as_str()), ("HOLM_GUEST_DIR", guest.as_str()), ("HOLM_CLIENTS_DIR", clients.as_str())];
    with_env(&cargo(), &["test", "--workspace", "--locked", "--exclude", "holm-e2e"], &environment)?;
    // Guests are heavy under emulation: one end-to-end test at a time, and nothing beside it.
    with_env(&cargo(), &["test", "--locked", "--package", "holm-e2e", "--", "--test-threads=1"], &environment)
}

/// Runs a fuzz target or, named `all`, each of them; without a name they are listed.
pub fn fuzz(target: Option<&str>, seconds: u64) -> Result<()> {
    let targets = fuzz_targets()?;
    let chosen: Vec<&str> = match target {
        None => {
            println!("{}", targets.join("\n"));
            return Ok(());
        }
        Some("all") => targets.iter().map(String::as_str).collect(),
        Some(name) if targets.iter().any(|known| known == name) => vec![name],
        Some(name) => bail!("there is no fuzz target {name}: there are {} and all", targets.join(", ")),
    };
    let cargo_fuzz = cargo_fuzz()?.display().to_string();
    let into = run::target_dir().join("fuzz").display().to_string();
    let limit = format!("-max_total_time={seconds}");
    // Nothing of Holm takes long over an input, or much memory: more of either is a finding.
    let limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"];
    for target in chosen {
        let mut arguments = vec!["fuzz", "run", "--sanitizer", "none", "--target-dir", &into, target, "--", &limit];
        arguments.extend(limits);
        // The stable compiler builds coverage for the fuzzer when it is told that it may.
        with_env(&cargo_fuzz, &arguments, &[("RUSTC_BOOTSTRAP", "1")])?;
    }
    Ok(())
}

fn fuzz_targets() -> Result<Vec<String>> {
    let mut names = vec![];
    for entry in fs::read_dir("fuzz/fuzz_targets").context("no fuzz targets here")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// The program cargo-fuzz: the installed one, else one built into the target directory.
fn cargo_fuzz() -> Result<PathBuf> {
    if run::output("cargo-fuzz", &["--version"]).is_ok() {
        return Ok("cargo-fuzz".into());
    }
    let tools = run::target_dir().join("tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.exists() {
        eprintln!("cargo-fuzz is not installed; it is built into {}.", tools.display());
        command(&cargo(), &["install", "--locked", "cargo-fuzz", "--root", &tools.display().to_string()])?;
    }
    if run::output("c++", &["--version"]).is_err() {
        bail!("the fuzzer is C++ and there is no compiler for it: apt-get install -y g++");
    }
    Ok(program)
}
