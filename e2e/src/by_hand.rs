//! A guest started by hand, exactly as Holm starts it, to compare with.

use crate::lab::Lab;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a guest may take for anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one try to reach a guest may take.
const ONE_TRY: Duration = Duration::from_millis(50);

/// The command line of a guest that Holm started, changed so that it runs without Holm: its files are copies in a
/// directory of their own, and its control socket is one that QEMU makes itself.
#[derive(Clone, Debug)]
pub struct ByHand {
    netns: String,
    argv: Vec<String>,
    dir: PathBuf,
    /// Where each of the guest's directories is copied from.
    copied: Vec<PathBuf>,
}

/// A guest that was started by hand; it is killed when it is dropped.
pub struct Hand {
    child: Child,
    control: PathBuf,
    /// When it was started.
    pub begun: Instant,
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ByHand {
    /// Learns the command line of process `pid` on the host `netns`. `own` are the directories with files of this guest
    /// alone; they are replaced by `dir`.
    ///
    /// # Errors
    /// When the process is gone, or its command line is not the one of a guest.
    pub fn learn(pid: u32, netns: &str, own: &[PathBuf], dir: &Path) -> Result<Self> {
        let line = fs::read(format!("/proc/{pid}/cmdline"))?;
        let mut argv = vec![];
        for word in line.split(|b| *b == 0).filter(|w| !w.is_empty()) {
            let mut word = String::from_utf8(word.to_vec())?;
            if word.starts_with("socket,id=qmp,fd=") {
                word = format!("socket,id=qmp,path={},server=on,wait=off", dir.join("control").display());
            }
            for own in own {
                word = word.replace(&own.display().to_string(), &dir.display().to_string());
            }
            argv.push(word);
        }
        if !argv.iter().any(|word| word.starts_with("socket,id=qmp,path=")) {
            bail!("process {pid} has no control socket: {argv:?}");
        }
        Ok(Self { netns: netns.to_owned(), argv, dir: dir.to_owned(), copied: own.to_vec() })
    }

    /// Starts the guest on fresh copies of its files.
    ///
    /// # Errors
    /// When the files cannot be copied or QEMU cannot be started.
    pub fn start(&self) -> Result<Hand> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)?;
        }
        fs::create_dir(&self.dir)?;
        for from in self.copied.iter().filter(|from| from.is_dir()) {
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    fs::copy(entry.path(), self.dir.join(entry.file_name()))?;
                }
            }
        }
        let (argv, log) = (self.argv.clone(), fs::File::create(self.dir.join("complaints"))?);
        let (child, begun) = Lab::inside(&self.netns, move || {
            let (program, arguments) = argv.split_first().context("an empty command line")?;
            let begun = Instant::now();
            let child = Command::new(program)
                .args(arguments)
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?;
            Ok((child, begun))
        })?;
        Ok(Hand { child, control: self.dir.join("control"), begun })
    }
}

impl Hand {
    /// Waits until QEMU says on its control socket that the guest runs; the time since its start.
    ///
    /// # Errors
    /// When it does not in time, or ends.
    pub fn running(&mut self) -> Result<Duration> {
        let stream = loop {
            match UnixStream::connect(&self.control) {
                Ok(stream) => break stream,
                Err(_) if self.begun.elapsed() < PATIENCE && self.child.try_wait()?.is_none() => {
                    std::thread::sleep(Duration::from_micros(500));
                }
                Err(error) => return Err(error).context("QEMU opens no control socket"),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        (&stream).write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-status\"}\n")?;
        for line in BufReader::new(stream).lines() {
            if line?.contains("\"running\": true") {
                return Ok(self.begun.elapsed());
            }
        }
        bail!("QEMU ended before the guest ran")
    }
}

/// Waits on the host `netns` until the guest at `address` serves its page; when that was.
///
/// # Errors
/// When it does not in time.
pub fn served(netns: &str, address: &str) -> Result<Instant> {
    let address: SocketAddr = format!("{address}:80").parse()?;
    Lab::inside(netns, move || {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < PATIENCE {
            match page(address) {
                Ok(true) => return Ok(Instant::now()),
                Ok(false) => {}
                Err(error) => last = Some(error),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{address} serves no page: {last:?}")
    })
}

fn page(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ONE_TRY)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.") && answer.get(9..12) == Some(b"200"))
}
