//! Waiting for conditions, never for time.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Asks `ready` again and again until it gives something, at most for `limit`. The error carries what it said last.
///
/// # Errors
/// When the limit passes; when `ready` fails its last error is in the message.
pub fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut last = String::from("not yet");
    loop {
        match ready() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = format!("{error:#}"),
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} for {what}: {last}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
