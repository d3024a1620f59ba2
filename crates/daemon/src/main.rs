//! The command `holmd`.

use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory as _, Parser, Subcommand};
use holm_config::Config;
use holm_daemon::{agent, dev, doctor, front, logging, up};
use holm_linux::packages::{self, Purpose};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "holmd", version, about = "Holm's server side: front-end, agent, and the first minute")]
struct Arguments {
    /// The configuration file; default /etc/holm/holm.toml, which may be absent.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Runs the front-end: the API, the decisions, the agent link.
    Front,
    /// Makes this machine a host, or runs its agent.
    #[command(subcommand)]
    Agent(AgentRole),
    /// Sets this machine up, starts front-end and agent, and boots a first VM. Running it again changes nothing.
    Up,
    /// Stops everything `up` started.
    Down {
        /// Remove everything Holm made on this machine, VMs' disks included.
        #[arg(long)]
        purge: bool,
    },
    /// Runs a front-end and agents over fake drivers in one process: no root, no guests, nothing on disk.
    Dev {
        /// How many hosts.
        #[arg(long, default_value_t = 3)]
        hosts: u32,
        /// Milliseconds every effect of a fake host takes.
        #[arg(long, default_value_t = 50)]
        delay_ms: u64,
    },
    /// Checks this machine and says in one line each what is wrong and how to mend it.
    Doctor {
        /// Also print what is well.
        #[arg(long)]
        all: bool,
    },
    /// Builds the small first guest from Debian packages: kernel, initrd and tiny.qcow2.
    Image {
        /// Where to put the files.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Installs the Debian packages a host needs.
    Setup {
        /// Also those the tests need.
        #[arg(long)]
        tests: bool,
    },
    /// Prints the reference of the configuration file in Markdown.
    #[command(hide = true)]
    ConfigReference,
    /// Writes man pages.
    #[command(hide = true)]
    Man {
        /// Where to.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Prints a completion script.
    #[command(hide = true)]
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum AgentRole {
    /// Enrols this machine with a token from `holm host join-token`.
    Join {
        /// Address of the front-end's agent link, such as `https://front.example.net:2617`.
        url: String,
        /// The token; `-` reads it from standard input, so that it stays out of the process list.
        token: String,
    },
    /// Runs the agent.
    Run,
}

fn main() -> ExitCode {
    holm_daemon::memory::keep_small();
    // One crypto provider for the whole process, chosen before anything can need one.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("error: another crypto provider is installed already");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a future on a small runtime: both roles mostly wait, and two threads keep them light.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    holm_daemon::memory::give_back_at_rest();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let path = match &arguments.config {
        Some(path) => Some(std::path::absolute(path)?),
        None => None,
    };
    let load = || Config::load(path.as_deref());
    match arguments.role {
        Role::Front => {
            let config = load()?;
            logging::install(&config.log)?;
            block_on(front::run(&config))?;
        }
        Role::Agent(AgentRole::Join { url, token }) => {
            let config = load()?;
            let token = if token == "-" { std::io::read_to_string(std::io::stdin())?.trim().to_owned() } else { token };
            let joined = block_on(agent::join(&config, &url, &token))?;
            println!("This machine is host {joined}. Run `holmd agent run`, or `systemctl enable --now holm-agent`.");
        }
        Role::Agent(AgentRole::Run) => {
            let config = load()?;
            logging::install(&config.log)?;
            block_on(agent::run(&config))?;
        }
        Role::Up => {
            let config = load()?;
            block_on(up::up(&config, path.as_deref()))?;
        }
        Role::Down { purge } => {
            let config = load()?;
            block_on(up::down(&config, purge))?;
        }
        Role::Dev { hosts, delay_ms } => {
            let config = load()?;
            logging::install(&config.log)?;
            block_on(dev::run(&config, hosts, std::time::Duration::from_millis(delay_ms)))?;
        }
        Role::Doctor { all } => {
            let config = load()?;
            if !block_on(async { Ok(doctor::run(&config, all).await) })? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Role::Image { out } => {
            packages::ensure(&[Purpose::FirstImage], &mut |line| eprintln!("{line}"))?;
            let image = holm_linux::first_image::build(&out, &mut |line| eprintln!("{line}"))?;
            for file in [image.kernel, image.initrd, image.disk] {
                println!("{}", file.display());
            }
        }
        Role::Setup { tests } => {
            let mut purposes = vec![Purpose::Host, Purpose::FirstImage];
            if tests {
                purposes.push(Purpose::Tests);
            }
            let installed = packages::ensure(&purposes, &mut |line| eprintln!("{line}"))?;
            println!(
                "{}",
                if installed.is_empty() {
                    "All packages are there.".into()
                } else {
                    format!("Installed: {}", installed.join(" "))
                }
            );
        }
        Role::ConfigReference => print!("{}", holm_config::reference()),
        Role::Man { dir } => {
            if !dir.is_dir() {
                bail!("{} is no directory", dir.display());
            }
            clap_mangen::generate_to(Arguments::command(), &dir)
                .with_context(|| format!("cannot write to {}", dir.display()))?;
        }
        Role::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "holmd", &mut std::io::stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}
