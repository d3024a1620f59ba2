//! How much the disks of a guest may do. QEMU takes it while the guest runs; it is said after each start and at each
//! change, where it differs from what QEMU says.

use super::devices::disk_id;
use super::driver::COMMAND_LIMIT;
use super::qmp::{Qmp, QmpError};
use holm_model::host_plan::DiskPlan;
use holm_model::vms::DiskLimits;
use serde_json::{Map, Value, json};

/// The limits in QEMU's words, all of them.
fn spoken(limits: &DiskLimits) -> Map<String, Value> {
    let mut words = Map::new();
    for (what, throttles) in [("bps", &limits.bytes), ("iops", &limits.operations)] {
        for (throttle, way) in throttles.iter().zip(["", "_rd", "_wr"]) {
            let name = format!("{what}{way}");
            words.insert(format!("{name}_max"), json!(throttle.burst));
            if throttle.burst != 0 {
                words.insert(format!("{name}_max_length"), json!(throttle.burst_s.max(1)));
            }
            words.insert(name, json!(throttle.rate));
        }
    }
    words.insert("iops_size".into(), json!(limits.operation_bytes));
    words
}

/// Has each disk that is there do as much as the plan says. What QEMU refuses comes back, one sentence for each disk.
pub(super) async fn ensure(qmp: &Qmp, disks: &[DiskPlan]) -> Result<Vec<String>, QmpError> {
    let told = qmp.execute("query-block", json!({}), COMMAND_LIMIT).await?;
    let mut refused = Vec::new();
    for device in told.as_array().into_iter().flatten() {
        let path = device["qdev"].as_str().unwrap_or_default();
        let Some(disk) = disks.iter().find(|disk| path.split('/').any(|part| part == disk_id(disk.id))) else {
            continue;
        };
        let mut wanted = spoken(disk.limits.as_deref().unwrap_or(&DiskLimits::default()));
        let now = |name: &str| device["inserted"][name].as_u64().unwrap_or(0);
        if wanted.iter().all(|(name, value)| value.as_u64() == Some(now(name))) {
            continue;
        }
        // The part of the device that has the disk, which is not always the one we named.
        wanted.insert("id".into(), json!(path));
        match qmp.execute("block_set_io_throttle", Value::Object(wanted), COMMAND_LIMIT).await {
            Ok(_) => tracing::info!(disk = disk.id, device = path, "a disk has other limits"),
            Err(QmpError::Refused { says, .. }) => refused.push(format!("the limits of disk {}: {says}", disk.id)),
            Err(e) => return Err(e),
        }
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::vms::Throttle;

    #[test]
    fn a_burst_has_a_length_and_no_burst_has_none() {
        let none = Throttle::default();
        let words = spoken(&DiskLimits {
            bytes: [none, Throttle { rate: 5, burst: 9, burst_s: 0 }, none],
            operations: [Throttle { rate: 7, ..none }, none, none],
            operation_bytes: 4096,
        });
        assert_eq!(
            (&words["bps_rd"], &words["bps_rd_max"], &words["bps_rd_max_length"]),
            (&json!(5), &json!(9), &json!(1))
        );
        assert_eq!((&words["iops"], &words["iops_max"], words.get("iops_max_length")), (&json!(7), &json!(0), None));
        assert_eq!((&words["bps"], &words["bps_wr"], &words["iops_size"]), (&json!(0), &json!(0), &json!(4096)));
        assert_eq!(words.len(), 14);
    }
}
