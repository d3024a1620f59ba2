//! The log: structured, on standard error, in one of two formats.

use anyhow::{Context as _, Result};
use holm_config::Log;
use tracing_subscriber::EnvFilter;

/// Installs the log for the whole process. `HOLM_LOG` overrides the configured level.
///
/// # Errors
/// When the level is no valid filter.
pub fn install(log: &Log) -> Result<()> {
    let level = std::env::var("HOLM_LOG").unwrap_or_else(|_| log.level.clone());
    let filter = EnvFilter::try_new(&level).with_context(|| format!("log.level: {level:?} is not a log filter"))?;
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if log.format == "json" {
        base.json().flatten_event(true).init();
    } else {
        base.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).with_target(true).init();
    }
    Ok(())
}
