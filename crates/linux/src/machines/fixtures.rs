//! Orders for tests.

use holm_driver::MachineOrder;
use holm_model::host_plan::{BootPlan, ContextFiles, NicPlan, VmPlan};
use holm_model::networks::MacAddr;
use holm_model::vms::{Firmware, Machine, Power, RestartPolicy};
use holm_model::{CpuShare, NetworkId, VmId};

/// A guest without disks and network cards.
pub fn order(vm: u32) -> MachineOrder {
    MachineOrder {
        plan: VmPlan {
            id: VmId(vm),
            name: "web".into(),
            uuid: format!("00000000-0000-4000-8000-{vm:012}").parse().expect("a UUID"),
            generation: 3,
            power: Power::On,
            boot_seq: 1,
            restart: RestartPolicy::OnFailure,
            cpu: CpuShare::cores(1),
            vcpus: 1,
            memory_mib: 64,
            machine: Machine::Q35,
            firmware: Firmware::Bios,
            boot: BootPlan::Disk,
            disks: vec![],
            nics: vec![],
            context: ContextFiles::default(),
            graphics: false,
            hardware: Default::default(),
            bound: Default::default(),
            snapshots: vec![],
            revert: None,
            exports: vec![],
            sends: false,
            receives: None,
        },
        disks: vec![],
        kernel: None,
        initrd: None,
        media: vec![],
        ports: vec![],
    }
}

/// A network card.
pub fn nic(id: u32) -> NicPlan {
    NicPlan::new(id, NetworkId(0), MacAddr([2, 0, 10, 77, 0, 2]), None, None)
}
