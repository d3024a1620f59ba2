//! Release packages.

use crate::run::{self, cargo, command};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

const MUSL: &str = "x86_64-unknown-linux-musl";

/// Builds the .deb into `target/packages`, with static binaries where the musl target is installed.
pub fn build() -> Result<()> {
    let has_musl = run::output("rustc", &["--print", "target-libdir", "--target", MUSL])
        .is_ok_and(|dir| Path::new(dir.trim()).exists());
    let mut arguments = vec!["build", "--release", "--locked", "--package", "holm-daemon", "--package", "holm-cli"];
    let mut built = run::target_dir().join("release");
    if has_musl {
        arguments.extend(["--target", MUSL]);
        built = run::target_dir().join(MUSL).join("release");
    } else {
        eprintln!(
            "The target {MUSL} is not installed (`rustup target add {MUSL}`): the binaries link glibc dynamically."
        );
    }
    command(&cargo(), &arguments)?;
    let dist = run::target_dir().join("packages");
    let package = package(&built, &dist, has_musl)?;
    command("dpkg-deb", &["--info", &package])?;
    command("dpkg-deb", &["--contents", &package])
}

/// Lays the files out and lets dpkg-deb pack them: a package this simple needs no more machinery.
fn package(built: &Path, dist: &Path, is_static: bool) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let arch = run::output("dpkg", &["--print-architecture"])?.trim().to_owned();
    let name = format!("holm_{version}_{arch}");
    let tree = dist.join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    for (from, to) in [(built.join("holmd"), "usr/sbin/holmd"), (built.join("holm"), "usr/bin/holm")] {
        let size = fs::metadata(&from).with_context(|| format!("{} was not built", from.display()))?.len();
        println!("{to}: {:.1} MB", size as f64 / 1e6);
        copy(&from, &tree.join(to))?;
    }
    for unit in ["holm-front.service", "holm-agent.service"] {
        copy(Path::new("packaging").join(unit).as_path(), &tree.join("lib/systemd/system").join(unit))?;
    }
    for doc in ["README.md", "LICENSE", "CHANGELOG.md"] {
        copy(Path::new(doc), &tree.join("usr/share/doc/holm").join(doc))?;
    }
    let holm = built.join("holm").display().to_string();
    let holmd = built.join("holmd").display().to_string();
    let man = tree.join("usr/share/man/man1");
    fs::create_dir_all(&man)?;
    let man = man.display().to_string();
    command(&holm, &["man", "--dir", &man])?;
    command(&holmd, &["man", "--dir", &man])?;
    for (shell, to) in [
        ("bash", "usr/share/bash-completion/completions/holm"),
        ("zsh", "usr/share/zsh/vendor-completions/_holm"),
        ("fish", "usr/share/fish/vendor_completions.d/holm.fish"),
    ] {
        let to = tree.join(to);
        fs::create_dir_all(to.parent().context("has a parent")?)?;
        fs::write(to, run::output(&holm, &["completion", shell])?)?;
    }
    let libc = if is_static { "" } else { "libc6 (>= 2.36), " };
    fs::create_dir_all(tree.join("DEBIAN"))?;
    fs::write(
        tree.join("DEBIAN/control"),
        format!(
            "Package: holm\nVersion: {version}\nArchitecture: {arch}\nSection: admin\nPriority: optional\n\
             Maintainer: The Holm project <holm@localhost>\n\
             Depends: {libc}iproute2, nftables\n\
             Recommends: qemu-system-x86, qemu-utils, dnsmasq-base, ovmf\n\
             Description: edge cloud platform\n One front-end orchestrates many small autonomous edge clusters that run\n \
             virtual machines. This package holds the server (holmd) and the command line (holm).\n"
        ),
    )?;
    let out = dist.join(format!("{name}.deb")).display().to_string();
    command("dpkg-deb", &["--root-owner-group", "--build", &tree.display().to_string(), &out])?;
    if !Path::new(&out).exists() {
        bail!("dpkg-deb made no {out}");
    }
    Ok(out)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
