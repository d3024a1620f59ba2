//! The structure of the house, checked: which room may lean on which, how large a file may grow, which words do not
//! belong in the project.

use crate::run;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Floors of the house. Arrows run down only, except those of [`SAME_FLOOR`].
const FLOORS: &[(&str, u8)] = &[
    ("config", 1),
    ("model", 1),
    ("plan", 2),
    ("store", 2),
    ("wire", 2),
    ("driver", 2),
    ("blobs", 2),
    ("engine", 3),
    ("desk", 3),
    ("errands", 3),
    ("agent", 3),
    ("linux", 3),
    ("cli", 3),
    ("rest", 4),
    ("one", 4),
    ("daemon", 5),
    ("sim", 5),
];

/// Arrows along a floor that are meant: `errands` reports what it did through the desk.
const SAME_FLOOR: &[(&str, &str)] = &[("errands", "desk")];

/// Arrows that would run down and are still forbidden.
const NEVER: &[(&str, &str)] = &[
    ("rest", "store"),
    ("rest", "engine"),
    ("one", "store"),
    ("one", "engine"),
    ("one", "wire"),
    ("agent", "store"),
    ("agent", "desk"),
    ("linux", "wire"),
    ("linux", "store"),
    ("cli", "store"),
    ("cli", "plan"),
    ("cli", "driver"),
    ("engine", "wire"),
    ("desk", "wire"),
];

/// Libraries that must not be in the lock file, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl", "one TLS library is enough: rustls"),
    ("rustables", "its licence is GPL-3.0"),
    ("sqlx", "it cannot share a workspace with rusqlite"),
];

/// Most lines a source file may have.
const WALL: usize = 800;

/// Runs every check and lists all complaints.
pub fn check() -> Result<()> {
    let mut complaints = vec![];
    floors(&mut complaints)?;
    banned(&mut complaints)?;
    sources(Path::new("."), &mut complaints)?;
    for crate_name in FLOORS.iter().map(|(name, _)| name) {
        let head = fs::read_to_string(format!("crates/{crate_name}/src/lib.rs"))
            .with_context(|| format!("crate {crate_name} has no lib.rs"))?;
        if !head.starts_with("//!") {
            complaints.push(format!("crates/{crate_name}/src/lib.rs does not open with what the crate is (//!)"));
        }
    }
    if complaints.is_empty() {
        eprintln!("tidy: all is in its place");
        return Ok(());
    }
    bail!("tidy:\n  {}", complaints.join("\n  "))
}

fn floors(complaints: &mut Vec<String>) -> Result<()> {
    let floor: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    for entry in fs::read_dir("crates")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(own) = floor.get(name.as_str()) else {
            complaints.push(format!("crate {name} stands on no floor: add it to the table in xtask/src/tidy.rs"));
            continue;
        };
        let manifest: toml::Table = fs::read_to_string(format!("crates/{name}/Cargo.toml"))?.parse()?;
        let Some(dependencies) = manifest.get("dependencies").and_then(toml::Value::as_table) else { continue };
        for other in dependencies.keys().filter_map(|d| d.strip_prefix("holm-")) {
            let below = floor.get(other).copied().unwrap_or(u8::MAX);
            let pair = (name.as_str(), other);
            if (below >= *own && !SAME_FLOOR.contains(&pair)) || NEVER.contains(&pair) {
                complaints.push(format!("{name} (floor {own}) must not depend on {other} (floor {below})"));
            }
        }
    }
    Ok(())
}

fn banned(complaints: &mut Vec<String>) -> Result<()> {
    let lock: toml::Table = fs::read_to_string("Cargo.lock")?.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    for package in &packages {
        let name = package.get("name").and_then(toml::Value::as_str).unwrap_or_default();
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            complaints.push(format!("{name} is in Cargo.lock: {why}"));
        }
    }
    // A second crypto provider in one binary panics at run time, so `ring` may be locked but never built.
    let used =
        run::output(&run::cargo(), &["tree", "--workspace", "--edges", "normal", "--prefix", "none", "--locked"])?;
    if used.lines().any(|line| line.starts_with("ring ")) {
        complaints.push("ring is built into a binary: choose the aws-lc-rs feature of whatever brings it".into());
    }
    Ok(())
}

fn sources(dir: &Path, complaints: &mut Vec<String>) -> Result<()> {
    // Words are split so that this file does not find itself.
    let foreign =
        [concat!("/wo", "rk/main"), concat!("/tmp/", "holm/"), concat!("sub", "agent"), concat!("bash", "_jobs")];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git", "node_modules", "dist", "corpus", "artifacts"].contains(&name.as_str()) {
                sources(&path, complaints)?;
            }
            continue;
        }
        // In a second working tree of the same clone it is a file.
        if name == ".git" {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let shown = path.strip_prefix("./").unwrap_or(&path).display();
        if name.ends_with(".rs") && text.lines().count() > WALL {
            complaints
                .push(format!("{shown} has {} lines; {WALL} is the most: two rooms read better", text.lines().count()));
        }
        if name.ends_with(".rs") && !path.components().any(|c| c.as_os_str() == "tests") {
            for word in [concat!("to", "do!("), concat!("unimpl", "emented!(")] {
                if text.contains(word) {
                    complaints.push(format!("{shown} contains {word}...)"));
                }
            }
        }
        for word in foreign {
            if text.contains(word) {
                complaints.push(format!("{shown} speaks of {word}, which is not of the project"));
            }
        }
    }
    Ok(())
}
