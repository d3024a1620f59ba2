//! `cargo xtask`: everything a developer or CI runs. Each command says what it does before it does it, and CI runs
//! exactly the commands of this file.

mod bench;
mod check;
mod clients;
mod dist;
mod run;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, tests, measures and packages Holm")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Sets this machine up, starts Holm and boots a first VM. Running it again changes nothing.
    Up {
        /// Passed on to `holmd up`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Stops everything `up` started.
    Down {
        /// Passed on to `holmd down`, such as `--purge`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Builds the first guest image from Debian packages.
    Image {
        /// Passed on to `holmd image`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Installs what the tests need and runs them all.
    Test,
    /// Installs the clients of other projects that the end-to-end tests run; `test` does so by itself.
    Clients,
    /// What CI runs: format, lints, documentation, structure, generated files, tests.
    Ci,
    /// Checks the structure of the house: floors, file sizes, words that do not belong.
    Tidy,
    /// Writes every generated file anew: OpenAPI document, configuration reference, command reference.
    Openapi,
    /// Measures, and prints the figures of docs/benchmarks.md.
    Bench {
        /// Only benchmarks whose name contains this.
        filter: Option<String>,
        /// Write the figures into docs/benchmarks.md.
        #[arg(long)]
        write: bool,
    },
    /// Builds release packages: a .deb and, where static binaries can be linked, an archive of them for other systems.
    Dist,
    /// Runs a fuzz target for some time, installing what that needs.
    Fuzz {
        /// Name of the target, or `all` for one after the other; without one they are listed.
        target: Option<String>,
        /// Seconds for each.
        #[arg(default_value_t = 60)]
        seconds: u64,
    },
}

fn main() -> std::process::ExitCode {
    match task() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // What failed has said why itself; a backtrace of this program would only push that off the screen.
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn task() -> Result<()> {
    std::env::set_current_dir(run::root())?;
    match Arguments::parse().task {
        Task::Up { rest } => run::up("up", &rest),
        Task::Down { rest } => run::up("down", &rest),
        Task::Image { rest } => run::up("image", &rest),
        Task::Test => check::test(),
        Task::Clients => clients::install().map(|top| println!("{}", top.display())),
        Task::Ci => check::ci(),
        Task::Tidy => tidy::check(),
        Task::Openapi => check::generate(),
        Task::Bench { filter, write } => bench::run(filter.as_deref(), write),
        Task::Dist => dist::build(),
        Task::Fuzz { target, seconds } => check::fuzz(target.as_deref(), seconds),
    }
}
