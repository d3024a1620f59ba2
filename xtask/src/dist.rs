//! Release packages: a .deb, an archive of the same binaries, and their checksums.

use crate::run::{self, cargo, command};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The files of a package and where they belong.
const FILES: &[(&str, &str)] = &[
    ("packaging/holm-front.service", "usr/lib/systemd/system/holm-front.service"),
    ("packaging/holm-agent.service", "usr/lib/systemd/system/holm-agent.service"),
    ("packaging/copyright", "usr/share/doc/holm/copyright"),
    ("README.md", "usr/share/doc/holm/README.md"),
    ("CHANGELOG.md", "usr/share/doc/holm/CHANGELOG.md"),
];
/// What dpkg runs around an installation.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];
/// Where each shell looks for completions; `{}` is the program's name.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/{}"),
    ("zsh", "usr/share/zsh/vendor-completions/_{}"),
    ("fish", "usr/share/fish/vendor_completions.d/{}.fish"),
];

/// Builds the packages into `target/packages`. The binaries are static where this machine can link static ones.
pub fn build() -> Result<()> {
    let musl = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut arguments =
        vec!["build", "--profile", "dist", "--locked", "--package", "holm-daemon", "--package", "holm-cli"];
    let mut built = run::target_dir().join("dist");
    let missing = missing_for_static(&musl);
    match &missing {
        None => {
            eprintln!("The binaries are linked statically ({musl}) and run on any Linux of this architecture.");
            arguments.extend(["--target", &musl]);
            built = run::target_dir().join(&musl).join("dist");
        }
        Some(mend) => {
            eprintln!("The binaries need this machine's C library or a newer one; for static ones: {mend}.");
        }
    }
    command(&cargo(), &arguments)?;
    for program in ["holmd", "holm"] {
        if missing.is_none() && needs_a_loader(&built.join(program))? {
            bail!("{program} was built for {musl} and is still linked dynamically: that is a mistake of the build");
        }
    }
    let dist = run::target_dir().join("packages");
    fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    let mut made = vec![debian(&built, &dist, missing.is_none())?];
    if missing.is_none() {
        made.push(archive(&built, &dist)?);
    }
    let names: Vec<String> =
        made.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    let mut sums = String::new();
    for (path, name) in made.iter().zip(&names) {
        let line = run::output("sha256sum", &[&path.display().to_string()])?;
        let sum = line.split_whitespace().next().context("sha256sum printed nothing")?;
        sums.push_str(&format!("{sum}  {name}\n"));
    }
    fs::write(dist.join("SHA256SUMS"), &sums)?;
    let deb = made[0].display().to_string();
    command("dpkg-deb", &["--info", &deb])?;
    command("dpkg-deb", &["--contents", &deb])?;
    println!("Made in {}:\n{sums}", dist.display());
    Ok(())
}

/// What keeps this machine from linking static binaries, as the command that mends it; `None` when nothing does.
fn missing_for_static(musl: &str) -> Option<String> {
    let has_target = run::output("rustc", &["--print", "target-libdir", "--target", musl])
        .is_ok_and(|dir| Path::new(dir.trim()).exists());
    if !has_target {
        return Some(format!("rustup target add {musl}"));
    }
    // SQLite and the cryptography are C, which wants the C library's headers.
    let has_compiler = run::output("musl-gcc", &["--version"]).is_ok();
    (!has_compiler).then(|| "apt-get install -y musl-tools".to_owned())
}

/// Whether a program names a dynamic loader (an ELF program header of type PT_INTERP).
fn needs_a_loader(program: &Path) -> Result<bool> {
    let shown = program.display().to_string();
    let headers = run::output("readelf", &["--wide", "--program-headers", &shown])?;
    Ok(headers.lines().any(|line| line.trim_start().starts_with("INTERP")))
}

fn version_and_architecture() -> Result<(&'static str, String)> {
    Ok((env!("CARGO_PKG_VERSION"), run::output("dpkg", &["--print-architecture"])?.trim().to_owned()))
}

/// Lays the files out and lets dpkg-deb pack them: a package this simple needs no more machinery.
fn debian(built: &Path, dist: &Path, is_static: bool) -> Result<PathBuf> {
    let (version, arch) = version_and_architecture()?;
    let name = format!("holm_{version}_{arch}");
    let tree = dist.join(&name);
    fresh(&tree)?;
    let man = tree.join("usr/share/man/man1");
    fs::create_dir_all(&man)?;
    for (program, to) in [("holmd", "usr/sbin/holmd"), ("holm", "usr/bin/holm")] {
        let from = built.join(program);
        let size = fs::metadata(&from).with_context(|| format!("{} was not built", from.display()))?.len();
        println!("{to}: {:.1} MB", size as f64 / 1e6);
        copy(&from, &tree.join(to))?;
        let program_path = from.display().to_string();
        command(&program_path, &["man", "--dir", &man.display().to_string()])?;
        for (shell, to) in COMPLETIONS {
            let to = tree.join(to.replace("{}", program));
            fs::create_dir_all(to.parent().context("has a parent")?)?;
            fs::write(to, run::output(&program_path, &["completion", shell])?)?;
        }
    }
    command("gzip", &["--recursive", "-9", "--no-name", &man.display().to_string()])?;
    for (from, to) in FILES {
        copy(Path::new(from), &tree.join(to))?;
    }
    let installed = run::output("du", &["--summarize", "--block-size=1024", &tree.display().to_string()])?;
    let installed = installed.split_whitespace().next().context("du printed nothing")?;
    for script in SCRIPTS {
        copy(&Path::new("packaging").join(script), &tree.join("DEBIAN").join(script))?;
    }
    let libc = if is_static { "" } else { "libc6 (>= 2.36), libgcc-s1, " };
    fs::write(
        tree.join("DEBIAN/control"),
        format!(
            "Package: holm\nVersion: {version}\nArchitecture: {arch}\nSection: admin\nPriority: optional\n\
             Installed-Size: {installed}\n\
             Maintainer: The Holm project <holm@localhost>\n\
             Depends: {libc}iproute2, nftables\n\
             Recommends: qemu-system-x86, qemu-utils, dnsmasq-base, ovmf\n\
             Description: edge cloud platform\n One front-end orchestrates many small autonomous edge clusters that run\n \
             virtual machines. This package holds the server (holmd) and the command line (holm).\n"
        ),
    )?;
    // Modes are those of the package, whatever the umask and the checkout say.
    command("chmod", &["--recursive", "u=rwX,go=rX", &tree.display().to_string()])?;
    for script in SCRIPTS {
        fs::set_permissions(tree.join("DEBIAN").join(script), fs::Permissions::from_mode(0o755))?;
    }
    let out = dist.join(format!("{name}.deb"));
    let (from, to) = (tree.display().to_string(), out.display().to_string());
    command("dpkg-deb", &["--root-owner-group", "--build", &from, &to])?;
    fs::remove_dir_all(&tree)?;
    Ok(out)
}

/// The two static binaries for machines that are not Debian.
fn archive(built: &Path, dist: &Path) -> Result<PathBuf> {
    let (version, arch) = version_and_architecture()?;
    let name = format!("holm-{version}-linux-{arch}");
    let tree = dist.join(&name);
    fresh(&tree)?;
    for program in ["holmd", "holm"] {
        copy(&built.join(program), &tree.join(program))?;
    }
    for (from, to) in [
        ("LICENSE", "LICENSE"),
        ("README.md", "README.md"),
        ("packaging/holm-front.service", "holm-front.service"),
        ("packaging/holm-agent.service", "holm-agent.service"),
    ] {
        copy(Path::new(from), &tree.join(to))?;
    }
    let out = dist.join(format!("{name}.tar.gz"));
    let (out_path, dir) = (out.display().to_string(), dist.display().to_string());
    command("tar", &["--create", "--gzip", "--owner=0", "--group=0", "--file", &out_path, "--directory", &dir, &name])?;
    fs::remove_dir_all(&tree)?;
    Ok(out)
}

fn fresh(tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| format!("cannot empty {}", tree.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
