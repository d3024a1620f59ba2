//! Which of the host's processors may run a guest's.
//!
//! QEMU gave up its rights to say so itself, so it is said from outside, of the threads it names. The kernel keeps it
//! as long as they live: nothing has to be done again when an agent takes a guest over.

use super::driver::COMMAND_LIMIT;
use super::guest::Guest;
use holm_model::vms::{Bound, PinPolicy};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn tie(thread: u32, cpus: &BTreeSet<u32>) -> Result<(), String> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        let cpu = *cpu as usize;
        if cpu >= CpuSet::MAX_CPU {
            return Err(format!("there is no processor {cpu}"));
        }
        set.set(cpu);
    }
    let pid = i32::try_from(thread).ok().and_then(Pid::from_raw).ok_or("its thread has no number")?;
    sched_setaffinity(Some(pid), &set).map_err(|e| e.to_string())
}

/// The processors of the host for each of the guest's, in the guest's order; none where nothing is tied.
pub(super) fn wanted(bound: &Bound) -> Vec<BTreeSet<u32>> {
    let each = matches!(bound.pin, PinPolicy::Core | PinPolicy::Thread);
    let mut all = Vec::new();
    for node in bound.nodes.iter().filter(|node| !node.cpus.is_empty()) {
        for at in 0..node.vcpus as usize {
            all.push(match node.cpus.get(at).filter(|_| each) {
                Some(cpu) => BTreeSet::from([*cpu]),
                None => node.cpus.iter().copied().collect(),
            });
        }
    }
    all
}

/// Ties the threads of a guest that has just started; the error says what stood in the way.
pub(super) async fn ensure(guest: &Guest, pid: u32, bound: &Bound) -> Result<(), String> {
    let wanted = wanted(bound);
    if wanted.is_empty() {
        return Ok(());
    }
    let told = guest.ask("query-cpus-fast", json!({}), COMMAND_LIMIT).await.map_err(|e| e.to_string())?;
    let of = |cpu: &Value| Some((u32::try_from(cpu["thread-id"].as_u64()?).ok()?, cpu["cpu-index"].as_u64()?));
    let threads: BTreeMap<u32, u64> = told.as_array().into_iter().flatten().filter_map(of).collect();
    // Whatever else QEMU does is done where its guest is, and not where others are.
    let anywhere: BTreeSet<u32> =
        bound.nodes.iter().flat_map(|node| node.cpus.iter().chain(&node.kept)).copied().collect();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| e.to_string())?;
    for task in tasks.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let own = threads.get(&task).and_then(|index| wanted.get(usize::try_from(*index).ok()?));
        match tie(task, own.unwrap_or(&anywhere)) {
            // One that has ended meanwhile needs nothing.
            Err(_) if own.is_none() && !std::path::Path::new(&format!("/proc/{pid}/task/{task}")).exists() => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::vms::BoundNode;

    #[test]
    fn each_processor_of_the_guest_has_its_own_or_all_of_its_node() {
        let node = |cpus: &[u32], vcpus| BoundNode {
            node: 0,
            vcpus,
            memory_mib: 64,
            page_kib: None,
            cpus: cpus.to_vec(),
            kept: vec![],
        };
        let sets = |pin, nodes| -> Vec<Vec<u32>> {
            let bound = Bound { pin, nodes, pci: vec![] };
            wanted(&bound).into_iter().map(|set| set.into_iter().collect()).collect()
        };
        assert_eq!(sets(PinPolicy::Core, vec![node(&[2, 6], 2), node(&[9], 1)]), [vec![2], vec![6], vec![9]]);
        assert_eq!(sets(PinPolicy::Shared, vec![node(&[2, 6], 3)]), [vec![2, 6], vec![2, 6], vec![2, 6]]);
        assert!(sets(PinPolicy::None, vec![node(&[], 3)]).is_empty());
    }
}
