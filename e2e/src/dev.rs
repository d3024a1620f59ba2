//! `holmd dev` as a program: a cloud of fake hosts with both interfaces on free ports of the loopback interface.

use crate::programs::binary;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running cloud of fake hosts; it ends when it is dropped.
pub struct Dev {
    child: Child,
    dir: tempfile::TempDir,
    /// `http://ADDRESS/RPC2`
    pub opennebula: String,
    /// The administrator's name.
    pub user: String,
    /// The administrator's password.
    pub password: String,
}

impl Dev {
    /// Starts a cloud with so many fake hosts, whose every effect takes `delay_ms`.
    ///
    /// # Errors
    /// When the program is not built, ends early, or does not say where it listens.
    pub fn start(hosts: u32, delay_ms: u64) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("hd").tempdir()?;
        let config = dir.path().join("holm.toml");
        fs::write(
            &config,
            "[front]\nlisten = \"127.0.0.1:0\"\nopennebula_listen = \"127.0.0.1:0\"\n[log]\nlevel = \"info\"\n",
        )?;
        let mut child = Command::new(binary("holmd")?)
            .args(["dev", "--hosts", &hosts.to_string(), "--delay-ms", &delay_ms.to_string(), "--config"])
            .arg(&config)
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("log"))?)
            .spawn()?;
        let said = child.stdout.take().context("no standard output")?;
        let mut dev = Self { child, dir, opennebula: String::new(), user: String::new(), password: String::new() };
        for line in BufReader::new(said).lines() {
            let line = line?;
            if let Some(address) = line.strip_prefix("OpenNebula ") {
                dev.opennebula = address.to_owned();
            }
            if let Some((user, rest)) = line.strip_prefix("user ").and_then(|rest| rest.split_once(", password ")) {
                dev.user = user.to_owned();
                dev.password = rest.split(' ').next().unwrap_or_default().to_owned();
            }
            if !dev.opennebula.is_empty() && !dev.password.is_empty() {
                fs::write(dev.auth(), format!("{}:{}\n", dev.user, dev.password))?;
                return Ok(dev);
            }
        }
        bail!("holmd dev ended early: {}", dev.log())
    }

    /// The file with the administrator's name and password, as OpenNebula's clients read it.
    #[must_use]
    pub fn auth(&self) -> PathBuf {
        self.dir.path().join("one_auth")
    }

    /// A directory for this cloud's clients.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Fails when the program has ended, or has reported a panic.
    ///
    /// # Errors
    /// When it did, with the log.
    pub fn healthy(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("holmd dev ended with {status}: {}", self.log());
        }
        let log = self.log();
        match log.lines().find(|line| line.contains("panicked")) {
            Some(line) => bail!("holmd dev panicked: {line}\n{log}"),
            None => Ok(()),
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
