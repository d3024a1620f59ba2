//! The role `agent`: one host and its drivers.

use crate::clock::SystemClock;
use anyhow::{Context as _, Result, bail};
use holm_agent::{Agent, AgentParts, FileLedger, HttpsFetch, HttpsPush, Settings, TlsDial};
use holm_config::Config;
use holm_linux::LinuxSettings;
use holm_linux::doctor::Check;
use holm_model::hosts::Accelerator;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The drivers' settings that follow from the configuration.
#[must_use]
pub fn linux_settings(config: &Config) -> LinuxSettings {
    LinuxSettings {
        instance: config.machine.instance.clone(),
        data_dir: config.agent.data_dir.clone(),
        run_dir: config.agent.run_dir.clone(),
        accelerator: match config.agent.accelerator.as_deref() {
            Some("kvm") => Some(Accelerator::Kvm),
            Some("tcg") => Some(Accelerator::Tcg),
            _ => None,
        },
        qemu: config.agent.qemu.clone(),
        ..LinuxSettings::default()
    }
}

/// Enrols this machine and gives the name and id it has in the cloud.
///
/// # Errors
/// When the token is refused, the front-end cannot be reached, or this machine has joined already.
pub async fn join(config: &Config, url: &str, token: &str) -> Result<String> {
    if !nix::unistd::geteuid().is_root() {
        bail!("an agent makes bridges and virtual machines and must run as root: try it with sudo");
    }
    let enrolled = holm_agent::join(url, token, &config.agent.data_dir).await?;
    Ok(format!("{} (id {})", enrolled.name, enrolled.host))
}

/// Whether this machine has joined a cloud.
///
/// # Errors
/// When what is stored is not whole.
pub fn has_joined(config: &Config) -> Result<bool> {
    Ok(holm_agent::join::load(&config.agent.data_dir)?.is_some())
}

/// The file that a running agent has locked.
#[must_use]
pub fn lock(config: &Config) -> PathBuf {
    config.agent.data_dir.join("lock")
}

/// Runs the agent until the process is told to end. Guests go on running.
///
/// # Errors
/// When this machine has not joined, another agent runs, or the ledger or the drivers cannot be opened.
pub async fn run(config: &Config) -> Result<()> {
    let Some(enrolled) = holm_agent::join::load(&config.agent.data_dir)? else {
        bail!("this machine has joined no cloud: run the line that `holm host join-token` prints");
    };
    let Some(_alone) = crate::processes::alone(&lock(config))? else {
        bail!(
            "another agent works with {}: there is one per machine, started by `holmd up` or as the unit holm-agent",
            config.agent.data_dir.display()
        );
    };
    let drivers = holm_linux::drivers(linux_settings(config))?;
    let dial = TlsDial::new(&enrolled).map_err(anyhow::Error::msg).context("cannot use the stored identity")?;
    let fetch = HttpsFetch::new(&enrolled).map_err(anyhow::Error::msg).context("cannot use the stored identity")?;
    let (dial, fetch) = (Arc::new(dial), Arc::new(fetch));
    let renewal = {
        let (data_dir, enrolled) = (config.agent.data_dir.clone(), enrolled.clone());
        let (dial, fetch) = (dial.clone(), fetch.clone());
        tokio::spawn(
            async move { holm_agent::renew::keep_fresh(data_dir, enrolled, &SystemClock, &dial, &fetch).await },
        )
    };
    let defaults = Settings::default();
    let settings = Settings {
        starts_at_once: match config.agent.starts_at_once {
            0 => defaults.starts_at_once,
            some => some,
        },
        grace: Duration::from_secs(config.agent.stop_grace_s),
        ..defaults
    };
    let parts = AgentParts {
        cloud: enrolled.cloud,
        host: enrolled.host,
        ledger: Box::new(FileLedger::open(&config.agent.data_dir)?),
        drivers,
        dial,
        push: Arc::new(HttpsPush::new(fetch.clone())),
        fetch,
        clock: Arc::new(SystemClock),
        random: Arc::new(rand::random),
        settings,
    };
    tracing::info!(host = %enrolled.host, name = enrolled.name, front = enrolled.url, version = env!("CARGO_PKG_VERSION"), "the agent starts");
    let agent = Agent::start(parts).await?;
    crate::front::told_to_end().await?;
    tracing::info!("the agent ends; guests go on");
    // Cut off anywhere, a renewal goes on at the next start.
    renewal.abort();
    agent.stop().await;
    Ok(())
}

/// Stops every guest of this machine and takes down its links; disks stay.
///
/// # Errors
/// When something cannot be stopped.
pub async fn stop_guests(config: &Config) -> Result<()> {
    holm_linux::purge::stop(&linux_settings(config)).await?;
    Ok(())
}

/// Removes everything the drivers made on this machine.
///
/// # Errors
/// When something cannot be removed.
pub async fn purge(config: &Config) -> Result<()> {
    holm_linux::purge::everything(&linux_settings(config)).await?;
    Ok(())
}

/// Compares the ledger with what is really there; nothing to say where no agent has run.
pub async fn audit(config: &Config) -> Vec<Check> {
    if !matches!(has_joined(config), Ok(true)) || !nix::unistd::geteuid().is_root() {
        return vec![];
    }
    let (grade, says) = match leftovers(config).await {
        Ok(found) if found.is_empty() => (holm_linux::doctor::Grade::Ok, "the ledger and the machine agree".to_owned()),
        Ok(found) => (holm_linux::doctor::Grade::Warn, found.join("; ")),
        Err(error) => {
            (holm_linux::doctor::Grade::Warn, format!("cannot compare the ledger with the machine: {error:#}"))
        }
    };
    vec![Check { name: "ledger".into(), grade, says, mend: None }]
}

async fn leftovers(config: &Config) -> Result<Vec<String>> {
    let drivers = holm_linux::drivers(linux_settings(config))?;
    let ledger = FileLedger::open(&config.agent.data_dir)?;
    Ok(holm_agent::audit(&ledger, &drivers).await?)
}
