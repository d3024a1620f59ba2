//! `holmd up` and `holmd down`: the first minute, and leaving no trace.

use crate::api::Api;
use crate::processes::Service;
use anyhow::{Context as _, Result, bail};
use holm_config::Config;
use holm_linux::packages::{self, Purpose};
use holm_wire::v1;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the VM that `up` boots.
const FIRST_VM: &str = "first";
/// How long the whole may take after the programs run; emulated guests on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(180);

/// What `up` did that `down --purge` must undo.
#[derive(Default, Serialize, Deserialize)]
struct Made {
    /// The command line's settings and the directories made for them, innermost first, when there were none before.
    cli_settings: Vec<PathBuf>,
}

/// Where `up` keeps things beside the two roles' own directories.
struct Places {
    state: PathBuf,
    log: PathBuf,
    guest: PathBuf,
}

impl Places {
    fn of(config: &Config) -> Result<Self> {
        let state = config.front.data_dir.parent().context("front.data_dir has no parent directory")?.to_path_buf();
        Ok(Self { log: state.join("log"), guest: state.join("guest"), state })
    }

    fn made(&self) -> PathBuf {
        self.state.join("up.json")
    }
}

fn services(config: &Config, places: &Places) -> [Service; 2] {
    [
        Service::new("agent", &config.agent.run_dir, &places.log),
        Service::new("front", &config.agent.run_dir, &places.log),
    ]
}

fn say(text: &str) {
    eprintln!("{text}");
}

/// Waits until `ready` gives something. Conditions are asked every 50 ms: nothing here announces itself.
async fn until<T>(what: &str, service: &Service, mut ready: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut last = String::from("not yet");
    loop {
        match ready().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = format!("{error:#}"),
        }
        if service.pid().is_none() {
            bail!(
                "{what}: the process ended. Its last words in {}:\n{}",
                service.log().display(),
                service.last_words()
            );
        }
        if start.elapsed() > PATIENCE {
            bail!("waited {} s for {what}: {last}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sets this machine up, starts front-end and agent, boots a first VM and waits until it answers. Every step looks
/// first and does nothing when it is done already.
///
/// # Errors
/// When a step fails; the error says which and what to do.
pub async fn up(config: &Config, config_path: Option<&Path>) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("`holmd up` makes bridges and virtual machines and must run as root: try it with sudo");
    }
    let start = Instant::now();
    let places = Places::of(config)?;
    say("Checking packages...");
    let installed = tokio::task::spawn_blocking(|| {
        packages::ensure(&[Purpose::Host, Purpose::FirstImage], &mut |line| say(&format!("  {line}")))
    })
    .await??;
    if installed.is_empty() {
        say("  nothing is missing");
    }
    say("Checking the machine...");
    let failures = crate::doctor::print_problems(config).await;
    if failures > 0 {
        bail!(
            "{failures} check(s) failed: mend what is marked FAIL above and run this again (`holmd doctor` shows everything)"
        );
    }
    fs::create_dir_all(&places.state).with_context(|| format!("cannot make {}", places.state.display()))?;
    let guest_dir = places.guest.clone();
    let guest = tokio::task::spawn_blocking(move || {
        holm_linux::first_image::build(&guest_dir, &mut |line| say(&format!("  {line}")))
    })
    .await??;

    let [agent, front] = services(config, &places);
    let common: Vec<&OsStr> = config_path.map(|p| vec![OsStr::new("--config"), p.as_os_str()]).unwrap_or_default();
    let begun = Instant::now();
    say("Starting the front-end...");
    front.ensure_started(&[&[OsStr::new("front")], common.as_slice()].concat())?;
    let scheme = if config.front.listen.ip().is_loopback() { "http" } else { "https" };
    if scheme == "https" {
        bail!(
            "front.listen is {}: `holmd up` is for a first try on loopback. Run `holmd front` and `holmd agent` as \
             services instead (docs/guides/join-a-host.md)",
            config.front.listen
        );
    }
    let base = format!("http://{}", config.front.listen);
    let probe = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    until("the front-end", &front, async || {
        let answer = probe.get(format!("{base}/readyz")).send().await?;
        Ok(answer.status().is_success().then_some(()))
    })
    .await?;
    let credentials = config.front.data_dir.join("admin-credentials");
    let text = fs::read_to_string(&credentials).with_context(|| format!("cannot read {}", credentials.display()))?;
    let (user, password) = text.trim().split_once(':').context("the credentials file has no colon")?;
    let api = Api::login(&base, user, password).await.context("cannot log in with the credentials file")?;
    let holm = log_in_root(&places, &base, user, password)?;

    say("Starting the agent...");
    if !crate::agent::has_joined(config)? {
        let token: v1::JoinTokenCreated =
            api.call(Method::POST, "join-tokens", Some(&v1::JoinTokenCreate::default())).await?;
        crate::agent::join(config, &token.url, &token.token).await?;
    }
    agent.ensure_started(&[&[OsStr::new("agent"), OsStr::new("run")], common.as_slice()].concat())?;

    say("Importing the image `tiny`...");
    for (name, kind, file) in [
        ("tiny", "disk", &guest.disk),
        ("tiny-kernel", "kernel", &guest.kernel),
        ("tiny-initrd", "initrd", &guest.initrd),
    ] {
        ensure_image(&api, name, kind, file).await?;
    }
    until("this host to be ready", &agent, async || {
        let hosts: v1::Page<v1::Host> = api.call(Method::GET, "hosts", None::<&()>).await?;
        match hosts.items.iter().find(|h| h.state == "ready") {
            Some(_) => Ok(Some(())),
            None => bail!("{}", hosts.items.first().map_or("it has not joined", |h| &h.why)),
        }
    })
    .await?;

    say("Booting the first VM...");
    let keys = public_keys();
    let vm = match api.find::<v1::Vm>(Method::GET, &format!("vms/{FIRST_VM}"), None::<&()>).await? {
        Some(vm) => vm,
        None => {
            let wanted = v1::VmCreate {
                name: FIRST_VM.into(),
                cpu: Some(0.5),
                vcpus: Some(1),
                memory_mib: Some(192),
                disks: vec![v1::DiskCreate { image: Some("tiny".into()), ..v1::DiskCreate::default() }],
                context: v1::Context { ssh_keys: keys.clone(), ..v1::Context::default() },
                ..v1::VmCreate::default()
            };
            api.call::<v1::VmAccepted>(Method::POST, "vms", Some(&wanted)).await?.vm
        }
    };
    if vm.power != "on" {
        say(&format!("  {FIRST_VM} is switched off; `holm vm start {FIRST_VM}` starts it"));
    }
    let address = if vm.power == "on" { Some(wait_for_page(&api, &agent).await?) } else { None };

    println!(
        "\nHolm is up ({:.1} s, of which {:.1} s for programs and VM).\n",
        start.elapsed().as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    println!("  API          {base}/api/v1  (document: {base}/api/v1/openapi.json)");
    println!("  credentials  {}  (root's `holm` is logged in)", credentials.display());
    println!("  logs         {}", places.log.display());
    if let Some(address) = &address {
        println!("  first VM     `{FIRST_VM}` answers at http://{address}/");
    }
    println!("\nTry:\n");
    println!("  {holm} vm list");
    println!("  {holm} vm explain {FIRST_VM}");
    println!("  {holm} vm console {FIRST_VM}        # leave with Ctrl-]");
    println!("  {holm} vm create web --image tiny --memory 192M");
    println!("  {holm} host join-token         # one line for another machine");
    if let (Some(address), false) = (&address, keys.is_empty()) {
        println!("\n  ssh root@{address}");
    }
    Ok(())
}

async fn ensure_image(api: &Api, name: &str, kind: &str, file: &Path) -> Result<()> {
    let image = match api.find::<v1::Image>(Method::GET, &format!("images/{name}"), None::<&()>).await? {
        Some(image) => image,
        None => {
            let wanted = v1::ImageCreate { name: name.into(), kind: Some(kind.into()), ..v1::ImageCreate::default() };
            api.call(Method::POST, "images", Some(&wanted)).await?
        }
    };
    match image.state.as_str() {
        "ready" => Ok(()),
        "awaiting" => api.upload(image.id, file).await,
        other => bail!("the image {name} is {other}: {}. Delete it and run this again", image.why),
    }
}

async fn wait_for_page(api: &Api, agent: &Service) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?;
    until(&format!("the web page of {FIRST_VM}"), agent, async || {
        let vm: v1::Vm = api.call(Method::GET, &format!("vms/{FIRST_VM}"), None::<&()>).await?;
        let Some(address) = vm.nics.first().and_then(|nic| nic.ip4.clone()) else { bail!("{}: {}", vm.state, vm.why) };
        let answer = client.get(format!("http://{address}/")).send().await;
        match answer {
            Ok(page) if page.status().is_success() => Ok(Some(address)),
            _ => bail!("{}: {}; no page at {address} yet", vm.state, vm.why),
        }
    })
    .await
}

/// Logs root's own `holm` in when it stands beside us and has no settings yet; gives the name to call it by.
fn log_in_root(places: &Places, base: &str, user: &str, password: &str) -> Result<String> {
    let beside = std::env::current_exe()?.with_file_name("holm");
    let on_path = holm_linux::find_program("holm");
    let Some(holm) = on_path.clone().or_else(|| beside.is_file().then_some(beside)) else {
        return Ok("holm".into());
    };
    let shown = if on_path.is_some() { "holm".into() } else { holm.display().to_string() };
    let settings = cli_settings()?;
    if settings.exists() {
        return Ok(shown);
    }
    let made: Vec<PathBuf> = settings.ancestors().take_while(|p| !p.exists()).map(Path::to_path_buf).collect();
    let file = places.state.join("password");
    fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&file)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    fs::write(&file, password)?;
    let done =
        std::process::Command::new(&holm).args(["login", base, "--user", user, "--password-file"]).arg(&file).output();
    fs::remove_file(&file)?;
    let done = done.with_context(|| format!("cannot run {}", holm.display()))?;
    if !done.status.success() {
        bail!("`holm login` failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    fs::write(places.made(), serde_json::to_vec(&Made { cli_settings: made })?)?;
    Ok(shown)
}

fn cli_settings() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CONFIG_HOME").filter(|v| !v.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".config"),
    };
    Ok(base.join("holm/config.toml"))
}

/// Root's own public keys, so that `ssh root@VM` works at once.
fn public_keys() -> Vec<String> {
    let Some(home) = std::env::var_os("HOME") else { return vec![] };
    let Ok(entries) = fs::read_dir(PathBuf::from(home).join(".ssh")) else { return vec![] };
    let mut keys: Vec<String> = entries
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "pub"))
        .filter_map(|e| fs::read_to_string(e.path()).ok())
        .filter_map(|text| text.lines().next().map(|l| l.trim().to_owned()))
        .filter(|line| line.starts_with("ssh-") || line.starts_with("ecdsa-"))
        .collect();
    keys.sort();
    keys
}

/// Stops agent, front-end and guests. With `purge` removes everything Holm made on this machine.
///
/// # Errors
/// When something cannot be stopped or removed, or an agent or a front-end runs here that [`up`] did not start.
pub async fn down(config: &Config, purge: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("`holmd down` must run as root: try it with sudo");
    }
    let places = Places::of(config)?;
    // The agent first, or it would start again what is stopped below.
    for service in services(config, &places) {
        service.ensure_stopped(Duration::from_secs(10))?;
    }
    // Nor may one that somebody else started, and nothing may be taken away under a running front-end.
    let mut alone = Vec::new();
    for (what, unit, lock) in [
        ("an agent", "holm-agent", crate::agent::lock(config)),
        ("a front-end", "holm-front", holm_store::SqliteJournal::lock_of(&crate::front::database(config))),
    ] {
        let Some(dir) = lock.parent().filter(|dir| dir.exists()) else { continue };
        match crate::processes::alone(&lock)? {
            Some(held) => alone.push(held),
            None => bail!(
                "{what} that `holmd up` did not start works with {}: stop it first, for example with `systemctl stop {unit}`",
                dir.display()
            ),
        }
    }
    crate::agent::stop_guests(config).await?;
    if !purge {
        say(
            "Everything is stopped; disks and database are kept. `holmd up` starts the VMs again, `holmd down --purge` removes all.",
        );
        return Ok(());
    }
    if let Ok(text) = fs::read_to_string(places.made())
        && let Ok(Made { cli_settings }) = serde_json::from_str(&text)
    {
        for path in cli_settings {
            // Directories go only when nobody else has put anything into them.
            let _ = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        }
    }
    crate::agent::purge(config).await?;
    for dir in [&config.agent.run_dir, &config.agent.data_dir, &config.front.data_dir, &places.log, &places.guest] {
        remove(dir)?;
    }
    remove(&places.made())?;
    let _ = fs::remove_dir(&places.state);
    say("Everything of Holm is removed from this machine; Debian packages stay.");
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let done = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match done {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
