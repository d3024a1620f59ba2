//! A front-end and agents on a lab, driven with the command `holm` as a user drives it.

use crate::lab::{Lab, sh};
use crate::programs::{Guest, binary, guest};
use crate::traces::processes;
use crate::wait::until;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long anything may take on a busy machine with emulated guests.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running cloud.
pub struct Cloud {
    /// The wires.
    pub lab: Lab,
    dir: TempDir,
    front: Option<Child>,
    agents: BTreeMap<u32, Child>,
}

/// What the command `holm` did.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained about.
    pub err: String,
}

impl Cloud {
    /// Starts a front-end and logs in; hosts join with [`Self::join`].
    ///
    /// # Errors
    /// When anything does not start; the logs are in the message.
    pub fn start(hosts: u32) -> Result<Self> {
        let lab = Lab::new(hosts)?;
        let dir = tempfile::Builder::new().prefix("he").tempdir_in("/tmp")?;
        let mut cloud = Self { lab, dir, front: None, agents: BTreeMap::new() };
        fs::create_dir(cloud.path("cli"))?;
        cloud.write_config("")?;
        cloud.start_front()?;
        cloud.login()?;
        Ok(cloud)
    }

    /// Starts a front-end and lets every host join.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with_hosts(hosts: u32) -> Result<Self> {
        let mut cloud = Self::start(hosts)?;
        for i in 1..=hosts {
            cloud.join(i)?;
        }
        for i in 1..=hosts {
            cloud.wait_host(i, "ready")?;
        }
        Ok(cloud)
    }

    /// A path below the cloud's own directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_config(&self, extra: &str) -> Result<()> {
        let top = self.dir.path().display();
        fs::write(
            self.path("front.toml"),
            format!(
                "[machine]\ninstance = \"{}\"\n[front]\ndata_dir = \"{top}/front\"\nlisten = \"127.0.0.1:2616\"\n\
                 link_listen = \"10.98.0.254:2617\"\nlink_url = \"https://10.98.0.254:2617\"\nhost_lease_s = 10\n\
                 allow_private_image_urls = true\n{extra}",
                self.instance(0)
            ),
        )?;
        Ok(())
    }

    /// The instance name of host `i`.
    #[must_use]
    pub fn instance(&self, i: u32) -> String {
        format!("e{}h{i}", std::process::id())
    }

    fn log(&self, name: &str) -> Result<File> {
        Ok(File::options().create(true).append(true).open(self.path(name))?)
    }

    /// Starts the front-end and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_front(&mut self) -> Result<()> {
        let log = self.log("front.log")?;
        let child = Lab::command(&self.lab.switch(), &binary("holmd")?.display().to_string())
            .args(["front", "--config"])
            .arg(self.path("front.toml"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.front = Some(child);
        let switch = self.lab.switch();
        let ready = until("the front-end", PATIENCE, || {
            if let Some(status) = self.front.as_mut().context("was started")?.try_wait()? {
                return Ok(Some(Err(status)));
            }
            Lab::http(&switch, "http://127.0.0.1:2616/readyz").map(|_| Some(Ok(())))
        });
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => bail!("the front-end ended with {status}:\n{}", self.read("front.log")),
            Err(error) => Err(error.context(self.read("front.log"))),
        }
    }

    /// Kills the front-end as a power cut would.
    pub fn kill_front(&mut self) {
        kill(self.front.take());
    }

    fn login(&self) -> Result<()> {
        // The credentials file holds `user:password` on one line.
        let credentials = fs::read_to_string(self.path("front/admin-credentials"))?;
        let (user, password) = credentials.trim().split_once(':').context("no colon in the credentials")?;
        fs::write(self.path("password"), password)?;
        let file = self.path("password").display().to_string();
        self.ok(&["login", "http://127.0.0.1:2616", "--user", user, "--password-file", &file]).map(drop)
    }

    /// Lets host `i` join and starts its agent.
    ///
    /// # Errors
    /// When it is refused.
    pub fn join(&mut self, i: u32) -> Result<()> {
        let top = self.dir.path().display();
        fs::write(
            self.path(&format!("agent{i}.toml")),
            format!(
                "[machine]\ninstance = \"{}\"\n[agent]\ndata_dir = \"{top}/a{i}\"\nrun_dir = \"{top}/r{i}\"\nstop_grace_s = 20\n",
                self.instance(i)
            ),
        )?;
        let token = self.json(&["host", "join-token", "--name", &format!("edge-{i}")])?;
        let (url, token) = (token["url"].as_str().context("url")?, token["token"].as_str().context("token")?);
        let done = Lab::command(&self.lab.host(i), &binary("holmd")?.display().to_string())
            .args(["agent", "join", url, token, "--config"])
            .arg(self.path(&format!("agent{i}.toml")))
            .output()?;
        if !done.status.success() {
            bail!("join of host {i}: {}", String::from_utf8_lossy(&done.stderr));
        }
        self.start_agent(i)
    }

    /// Starts the agent of host `i`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_agent(&mut self, i: u32) -> Result<()> {
        let log = self.log(&format!("agent{i}.log"))?;
        let child = self.agent_command(i)?.stdout(log.try_clone()?).stderr(log).spawn()?;
        self.agents.insert(i, child);
        Ok(())
    }

    /// The agent of host `i`, ready to be started.
    ///
    /// # Errors
    /// When it is not built.
    pub fn agent_command(&self, i: u32) -> Result<Command> {
        let mut command = Lab::command(&self.lab.host(i), &binary("holmd")?.display().to_string());
        command.args(["agent", "run", "--config"]).arg(self.path(&format!("agent{i}.toml")));
        Ok(command)
    }

    /// Kills the agent of host `i`; its guests go on.
    pub fn kill_agent(&mut self, i: u32) {
        kill(self.agents.remove(&i));
    }

    /// Process id of the front-end.
    #[must_use]
    pub fn front_pid(&self) -> Option<u32> {
        self.front.as_ref().map(Child::id)
    }

    /// Process id of the agent of host `i`.
    #[must_use]
    pub fn agent_pid(&self, i: u32) -> Option<u32> {
        self.agents.get(&i).map(Child::id)
    }

    /// Whether the agent process of host `i` is still there.
    pub fn agent_lives(&mut self, i: u32) -> bool {
        self.agents.get_mut(&i).is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Cuts the power of host `i`: agent, guests and helpers die at once, runtime files and links are gone as after
    /// a reboot, disks stay.
    ///
    /// # Errors
    /// When the remains cannot be cleared.
    pub fn power_cut(&mut self, i: u32) -> Result<()> {
        self.kill_agent(i);
        for word in [format!("/r{i}/"), format!("/a{i}/")] {
            kill_all(&format!("{}{word}", self.dir.path().display()))?;
        }
        let netns = self.lab.host(i);
        sh(&format!(
            "rm -rf {}; ip -n {netns} -j link | grep -o '\"ifname\":\"h[bt][^\"]*\"' | cut -d'\"' -f4 \
             | while read l; do ip -n {netns} link del $l 2>/dev/null || true; done; \
             nsenter --net=/run/netns/{netns} nft flush ruleset",
            self.path(&format!("r{i}")).display()
        ))?;
        Ok(())
    }

    /// QEMU processes of host `i`: process id and command line.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn guests(&self, i: u32) -> Result<Vec<(u32, String)>> {
        let mut all = processes(&format!("{}/r{i}/", self.dir.path().display()))?;
        all.retain(|(_, line)| line.split_whitespace().next().is_some_and(|p| p.contains("qemu-system")));
        Ok(all)
    }

    /// Runs `holm` with these arguments.
    ///
    /// # Errors
    /// When it cannot be run at all.
    pub fn holm(&self, arguments: &[&str]) -> Result<Outcome> {
        let done = self.command(arguments)?.output()?;
        Ok(Outcome {
            code: done.status.code().unwrap_or_else(|| 128 + done.status.signal().unwrap_or(0)),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        })
    }

    /// The command `holm`, ready to be run.
    ///
    /// # Errors
    /// When it is not built.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Lab::command(&self.lab.switch(), &binary("holm")?.display().to_string());
        command
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.path("cli"))
            .env("HOME", self.path("cli"))
            .env_remove("HOLM_URL");
        Ok(command)
    }

    /// Runs `holm`, expects success and gives what it printed.
    ///
    /// # Errors
    /// When it fails; with what it complained about.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.holm(arguments)?;
        if outcome.code != 0 {
            bail!("holm {} ended with {}: {}{}", arguments.join(" "), outcome.code, outcome.out, outcome.err);
        }
        Ok(outcome.out)
    }

    /// Runs `holm ... -o json`, expects success and reads the answer.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let out = self.ok(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&out).with_context(|| format!("holm {} printed {out:?}", arguments.join(" ")))
    }

    /// Waits until host `i` is in this state.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_host(&self, i: u32, state: &str) -> Result<Value> {
        until(&format!("host {i} to be {state}"), PATIENCE, || {
            let host = self.json(&["host", "show", &format!("edge-{i}")])?;
            if host["state"] == state { Ok(Some(host)) } else { bail!("{}: {}", host["state"], host["why"]) }
        })
        .with_context(|| self.read(&format!("agent{i}.log")))
    }

    /// Waits until the VM is in this state.
    ///
    /// # Errors
    /// When it is not in time; with the reason it gives.
    pub fn wait_vm(&self, vm: &str, state: &str) -> Result<Value> {
        until(&format!("VM {vm} to be {state}"), PATIENCE, || {
            let vm = self.json(&["vm", "show", vm])?;
            if vm["state"] == state { Ok(Some(vm)) } else { bail!("{}: {}", vm["state"], vm["why"]) }
        })
    }

    /// The first IPv4 address of a VM.
    ///
    /// # Errors
    /// When it has none.
    pub fn address(&self, vm: &str) -> Result<String> {
        let vm = self.json(&["vm", "show", vm])?;
        Ok(vm["nics"][0]["ip4"].as_str().with_context(|| format!("no address: {vm}"))?.to_owned())
    }

    /// Waits until the web page of a VM on host `i` answers, and gives it.
    ///
    /// # Errors
    /// When it does not in time; with the end of the serial log.
    pub fn page(&self, i: u32, vm: &str, path: &str) -> Result<String> {
        let url = format!("http://{}/{path}", self.address(vm)?);
        let netns = self.lab.host(i);
        until(&url, PATIENCE, || Lab::http(&netns, &url).map(Some)).with_context(|| {
            let log = self.holm(&["vm", "log", vm]).map(|o| o.out).unwrap_or_default();
            format!("serial log of {vm}:\n{}\n{}", log, self.read(&format!("agent{i}.log")))
        })
    }

    /// Imports the first guest image's disk as `tiny`, its kernel and initial RAM disk as `kernel` and `initrd`.
    ///
    /// # Errors
    /// When they cannot be built or imported.
    pub fn import_guest(&self) -> Result<Guest> {
        let guest = guest()?;
        for (name, kind, file) in
            [("tiny", "disk", &guest.disk), ("kernel", "kernel", &guest.kernel), ("initrd", "initrd", &guest.initrd)]
        {
            self.ok(&["image", "import", name, &file.display().to_string(), "--kind", kind])?;
        }
        Ok(guest)
    }

    /// Starts a small VM by direct kernel boot, the fastest way, without waiting for it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn quick_vm(&self, name: &str, more: &[&str]) -> Result<String> {
        let fixed = [
            "vm",
            "create",
            name,
            "--kernel",
            "kernel",
            "--initrd",
            "initrd",
            "--memory",
            "128M",
            "--cpu",
            "0.1",
            "--no-wait",
        ];
        self.ok(&[&fixed, more].concat())
    }

    fn read(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(40).collect();
        format!("--- {name} ---\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// Looks for what nobody expected: warnings and errors in the logs beside `expected`, and remains of VMs on hosts
    /// where none should be. Call it at the end of a test.
    ///
    /// # Errors
    /// Everything unexpected, line by line.
    pub fn finish(&self, expected: &[&str]) -> Result<()> {
        let mut found = vec![];
        for entry in fs::read_dir(self.dir.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "log") {
                for line in fs::read_to_string(&path)?.lines() {
                    let loud = line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("panicked");
                    if loud && !expected.iter().any(|e| line.contains(e)) {
                        found.push(format!("{}: {line}", path.file_name().unwrap_or_default().to_string_lossy()));
                    }
                }
            }
        }
        if found.is_empty() { Ok(()) } else { bail!("unexpected in the logs:\n{}", found.join("\n")) }
    }

    /// Everything of VMs left on host `i`: processes, taps, files under the VM directories, control groups.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn remains(&self, i: u32) -> Result<Vec<String>> {
        let mut found: Vec<String> = self.guests(i)?.into_iter().map(|(pid, _)| format!("process {pid}")).collect();
        let links = sh(&format!("ip -n {} -o link", self.lab.host(i)))?;
        found.extend(
            links
                .lines()
                .filter_map(|l| l.split(": ").nth(1))
                .filter(|l| l.starts_with("ht"))
                .map(|l| format!("tap {l}")),
        );
        let (data, run) = (self.path(&format!("a{i}")), self.path(&format!("r{i}")));
        for dir in [data.join("machines"), data.join("volumes"), run.join("vm")] {
            for entry in fs::read_dir(&dir).into_iter().flatten() {
                let entry = entry?;
                if entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
                    found.push(format!("file {}", entry.path().display()));
                }
            }
        }
        let name = self.instance(i);
        let groups = sh(&format!("find /sys/fs/cgroup -path '*/{name}/vm-*' -type d 2>/dev/null || true"))?;
        found.extend(groups.lines().map(|g| format!("control group {g}")));
        Ok(found)
    }
}

fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        // It may have ended by itself already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn kill_all(word: &str) -> Result<()> {
    until(&format!("the end of processes with {word}"), PATIENCE, || {
        let left = processes(word)?;
        for (pid, _) in &left {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        Ok(left.is_empty().then_some(()))
    })
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("HOLM_KEEP_LOGS").is_some() {
            for name in ["front.log", "agent1.log", "agent2.log", "agent3.log"] {
                if Path::new(&self.path(name)).exists() {
                    eprintln!("{}", self.read(name));
                }
            }
        }
        self.kill_front();
        for (_, child) in std::mem::take(&mut self.agents) {
            kill(Some(child));
        }
        let _ = kill_all(&format!("{}/", self.dir.path().display()));
        let pid = std::process::id();
        let _ = sh(&format!(
            "find /sys/fs/cgroup -depth -type d -path '*/e{pid}h*' -exec rmdir {{}} + 2>/dev/null || true"
        ));
    }
}
