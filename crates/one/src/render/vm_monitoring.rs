//! What was measured of VMs.

use crate::xml::Xml;
use holm_model::samples::VmSample;
use holm_model::vms::{Observed, Vm};

/// `LAST_POLL` and `MONITORING` where nothing was measured.
pub(crate) const NONE: &str = "<LAST_POLL>0</LAST_POLL><MONITORING></MONITORING>";

/// Bytes per second between two samples.
fn rate(now: u64, before: u64, seconds: i64) -> u64 {
    match u64::try_from(seconds) {
        // A counter that went back belongs to another run of the guest.
        Ok(seconds) if seconds > 0 => now.saturating_sub(before) / seconds,
        _ => 0,
    }
}

/// `LAST_POLL` and `MONITORING` as `one.vm.info` shows them; `before` is the sample before this one.
pub(crate) fn full(vm: &Vm, sample: &VmSample, before: Option<&VmSample>) -> String {
    let mut xml = Xml::with_capacity(512);
    xml.text("LAST_POLL", sample.at.seconds()).within("MONITORING", |xml| {
        elements(xml, vm, sample);
        if let Some(before) = before {
            let seconds = sample.at.seconds() - before.at.seconds();
            for (tag, now, then) in [
                ("DISKRDBYTES_BW", sample.disk_read_bytes, before.disk_read_bytes),
                ("DISKWRBYTES_BW", sample.disk_written_bytes, before.disk_written_bytes),
                ("NETRX_BW", sample.rx_bytes, before.rx_bytes),
                ("NETTX_BW", sample.tx_bytes, before.tx_bytes),
            ] {
                xml.text(tag, rate(now, then, seconds));
            }
        }
    });
    xml.into_string()
}

/// `LAST_POLL` and `MONITORING` as pools show them.
pub(crate) fn short(vm: &Vm, sample: &VmSample) -> String {
    let state = match vm.status.observed {
        Observed::Running | Observed::Stopping => "RUNNING",
        Observed::Paused | Observed::Saved => "SUSPENDED",
        Observed::Off | Observed::Absent => "POWEROFF",
        Observed::Failed => "FAILURE",
        Observed::Unknown | Observed::Preparing => "UNKNOWN",
    };
    let mut xml = Xml::with_capacity(128);
    xml.text("LAST_POLL", sample.at.seconds()).within("MONITORING", |xml| {
        xml.text("CPU", sample.cpu.0).text("MEMORY", sample.memory_kib).cdata("STATE", state);
    });
    xml.into_string()
}

/// One `MONITORING` of a `MONITORING_DATA`.
pub(crate) fn record(xml: &mut Xml, vm: &Vm, sample: &VmSample) {
    xml.within("MONITORING", |xml| elements(xml, vm, sample));
}

fn elements(xml: &mut Xml, vm: &Vm, sample: &VmSample) {
    xml.text("CPU", sample.cpu.0)
        .text("DISKRDBYTES", sample.disk_read_bytes)
        .text("DISKWRBYTES", sample.disk_written_bytes);
    // Hosts measure what all disks take together; it is shown with the first one.
    if let Some(disk) = vm.spec.disks.first() {
        xml.within("DISK_SIZE", |xml| {
            xml.text("ID", disk.id).text("SIZE", sample.disk_mib);
        });
    }
    xml.text("ID", vm.id)
        .text("MEMORY", sample.memory_kib)
        .text("NETRX", sample.rx_bytes)
        .text("NETTX", sample.tx_bytes)
        .text("TIMESTAMP", sample.at.seconds());
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates_survive_clocks_and_counters_that_go_back() {
        assert_eq!(rate(300, 100, 10), 20);
        assert_eq!(rate(100, 300, 10), 0);
        assert_eq!(rate(300, 100, 0), 0);
        assert_eq!(rate(300, 100, -5), 0);
    }
}
