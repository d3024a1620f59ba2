//! What happened in a run, line by line, and a digest of it: two runs of one seed have the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

#[derive(Clone)]
pub(crate) struct Trace {
    origin: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), lines: Arc::default() }
    }

    pub(crate) fn say(&self, line: impl AsRef<str>) {
        let at = self.origin.elapsed();
        let line = format!("{:>9.3} {}", at.as_secs_f64(), line.as_ref());
        tracing::debug!("{line}");
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The digest of a trace.
pub(crate) fn digest(lines: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    lines.hash(&mut hasher);
    hasher.finish()
}
