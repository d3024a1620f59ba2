//! Installs the clients of other projects that the end-to-end tests run: from PyPI and from npm, in the versions that
//! `e2e/clients` fixes, into `target/clients`. Nothing is installed twice: what is there is marked with what it was
//! made from.

use crate::run::{self, command};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the lists of versions are.
const LISTS: &str = "e2e/clients";
/// The file that says what an installation was made from; it is written last.
const MARK: &str = ".made-from";

/// Installs what is missing and gives the directory.
pub fn install() -> Result<PathBuf> {
    let top = run::target_dir().join("clients");
    fs::create_dir_all(&top)?;
    let python = run::output("python3", &["-c", "import sys; print(sys.version, sys.base_prefix)"])
        .context("the Python clients need python3 (3.11 or newer)")?;
    once(&top.join("python"), &format!("{python}{}", list("requirements.txt")?), |dir| {
        packages(dir, &format!("{LISTS}/requirements.txt"))
    })?;
    once(&top.join("collections"), &list("collections.txt")?, |dir| collection(dir, &top.join("python")))?;
    if run::output("npm", &["--version"]).is_err() {
        command("apt-get", &["install", "-y", "--no-install-recommends", "nodejs", "npm"])
            .context("the npm client needs node and npm, which are not installed: apt-get install -y nodejs npm")?;
    }
    let node = run::output("node", &["--version"])?;
    let made_from = format!("{node}{}{}", list("node/package.json")?, list("node/package-lock.json")?);
    once(&top.join("node"), &made_from, modules)?;
    Ok(top)
}

fn list(name: &str) -> Result<String> {
    let path = Path::new(LISTS).join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Runs `make` on an empty directory unless it was made from the same before.
fn once(dir: &Path, made_from: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if fs::read_to_string(dir.join(MARK)).is_ok_and(|mark| mark == made_from) {
        return Ok(());
    }
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    make(dir)?;
    fs::write(dir.join(MARK), made_from)?;
    Ok(())
}

/// A virtual environment with the packages of the list.
fn packages(dir: &Path, list: &str) -> Result<()> {
    let shown = dir.display().to_string();
    command("python3", &["-m", "venv", &shown])
        .context("python3 makes no virtual environment; on Debian: apt-get install -y python3-venv")?;
    pip(dir, &["install", "--quiet", "--no-deps", "--requirement", list])
}

fn pip(environment: &Path, arguments: &[&str]) -> Result<()> {
    let pip = environment.join("bin/python").display().to_string();
    let all: Vec<&str> = ["-m", "pip", "--disable-pip-version-check"].iter().chain(arguments).copied().collect();
    command(&pip, &all).context(
        "the Python clients could not be fetched; check that this machine reaches https://pypi.org, or name a mirror in \
         PIP_INDEX_URL, and run this again",
    )
}

/// The Ansible collection with OpenNebula's modules.
fn collection(dir: &Path, environment: &Path) -> Result<()> {
    let wheels = dir.join("wheels");
    let (shown, list) = (wheels.display().to_string(), format!("{LISTS}/collections.txt"));
    pip(
        environment,
        &["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", &shown, "--requirement", &list],
    )?;
    let (script, into) = (format!("{LISTS}/collection.py"), dir.display().to_string());
    command("python3", &[&script, &shown, "community/general", &into])?;
    fs::remove_dir_all(wheels)?;
    Ok(())
}

/// The npm packages of the lock file; none of their scripts is run.
fn modules(dir: &Path) -> Result<()> {
    for name in ["package.json", "package-lock.json"] {
        fs::copy(Path::new(LISTS).join("node").join(name), dir.join(name))?;
    }
    let shown = dir.display().to_string();
    let arguments = ["ci", "--prefix", &shown, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    if command("npm", &arguments).is_err() {
        bail!(
            "the npm client could not be fetched; check that this machine reaches https://registry.npmjs.org, or name a \
             mirror with `npm config set registry`, and run this again"
        );
    }
    Ok(())
}
