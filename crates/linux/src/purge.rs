//! Takes everything of an instance off the machine again.

use crate::links::HostLinks;
use crate::machines;
use crate::settings::LinuxSettings;
use holm_driver::Fault;
use std::io::ErrorKind;
use std::time::Duration;

/// How long guests may take to follow their power button.
const GRACE: Duration = Duration::from_secs(5);

/// Ends everything that runs or is switched on: guests (by their power button, then by force), address services, taps,
/// bridges, packet filters, control groups; gives taken interfaces and kernel settings back. Disks, images and logs
/// stay, so that everything can be started again.
///
/// # Errors
/// When something could not be ended; what could be is.
pub async fn stop(settings: &LinuxSettings) -> Result<Vec<String>, Fault> {
    let guests = machines::purge::list(settings);
    let ended = machines::purge::stop(settings, GRACE).await;
    let links = HostLinks::new(settings).purge().await;
    ended?;
    let mut removed: Vec<String> = guests.into_iter().map(|guest| format!("guest {guest}")).collect();
    removed.extend(links?);
    Ok(removed)
}

/// As [`stop`], and removes disks, images, records and sockets. What other parts keep in the same directories is left.
///
/// # Errors
/// When something could not be removed; what could be is.
pub async fn everything(settings: &LinuxSettings) -> Result<Vec<String>, Fault> {
    let stopped = stop(settings).await;
    let records = machines::purge::purge(settings).await;
    let mut removed = stopped?;
    removed.extend(records?);
    for directory in ["volumes", "images", "moving"] {
        let path = settings.data_dir.join(directory);
        match std::fs::remove_dir_all(&path) {
            Ok(()) => removed.push(path.display().to_string()),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Fault::transient(format!("cannot remove {}: {e}", path.display()))),
        }
    }
    for directory in [&settings.run_dir, &settings.data_dir] {
        // Only when nothing of anybody else is in it.
        let _ = std::fs::remove_dir(directory);
    }
    Ok(removed)
}
