//! Bridges, ports, address service and filters.

use crate::Fault;
use async_trait::async_trait;
use holm_model::host_plan::{NetworkPlan, NicPlan};
use holm_model::{NetworkId, VmId};
use std::collections::BTreeSet;

/// One NIC's end on the host, with what DHCP must answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Whose it is.
    pub vm: VmId,
    /// Host name given out with the address.
    pub hostname: String,
    /// The NIC.
    pub nic: NicPlan,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinksSeen {
    /// Networks by id.
    pub networks: BTreeSet<NetworkId>,
    /// Ports by VM and NIC number.
    pub ports: BTreeSet<(VmId, u32)>,
}

/// The host's network.
#[async_trait]
pub trait Links: Send + Sync {
    /// What is there.
    async fn survey(&self) -> Result<LinksSeen, Fault>;

    /// Has the bridge, its addresses, masquerading and, where wanted, the address service (DHCP, router
    /// advertisements).
    async fn ensure_network(&self, network: &NetworkPlan) -> Result<(), Fault>;

    /// Removes the bridge (unless it was there before) and all that belongs to it. Refused while ports are on it.
    async fn ensure_network_absent(&self, network: NetworkId) -> Result<(), Fault>;

    /// Has the port on its network's bridge and its address in the address service; a guest cannot send from any
    /// other Ethernet or IP address than its own. Returns the interface's name.
    async fn ensure_port(&self, port: &Port) -> Result<String, Fault>;

    /// Removes the ports of the VM other than those of the cards in `keep`.
    async fn ensure_ports(&self, vm: VmId, keep: &BTreeSet<u32>) -> Result<(), Fault>;

    /// Removes every port of the VM.
    async fn ensure_ports_absent(&self, vm: VmId) -> Result<(), Fault> {
        self.ensure_ports(vm, &BTreeSet::new()).await
    }
}
