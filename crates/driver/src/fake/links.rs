//! Bridges and ports of the fake host.

use super::{FakeHost, Verb};
use crate::{Fault, Links, LinksSeen, Port};
use async_trait::async_trait;
use holm_model::host_plan::NetworkPlan;
use holm_model::networks::NetworkKind;
use holm_model::{NetworkId, VmId};
use std::collections::BTreeSet;

#[async_trait]
impl Links for FakeHost {
    async fn survey(&self) -> Result<LinksSeen, Fault> {
        let under = self.begin(Verb::LinksSurvey, None).await?;
        let seen = {
            let state = self.inner.lock();
            LinksSeen {
                networks: state.truth.networks.keys().copied().collect(),
                ports: state.truth.ports.keys().copied().collect(),
            }
        };
        under.finish(seen).await
    }

    async fn ensure_network(&self, network: &NetworkPlan) -> Result<(), Fault> {
        let under = self.begin(Verb::EnsureNetwork, None).await?;
        {
            let mut state = self.inner.lock();
            if let NetworkKind::Bridge { interface } = &network.spec.kind
                && !state.facts.interfaces.contains(interface)
            {
                return Err(Fault::permanent(format!(
                    "making network {}: this host has no interface {interface}",
                    network.name
                )));
            }
            state.truth.networks.insert(network.id, network.clone());
        }
        under.finish(()).await
    }

    async fn ensure_network_absent(&self, network: NetworkId) -> Result<(), Fault> {
        let under = self.begin(Verb::NetworkAbsent, None).await?;
        {
            let mut state = self.inner.lock();
            if let Some((vm, _)) =
                state.truth.ports.iter().find(|(_, port)| port.nic.network == network).map(|(key, _)| *key)
            {
                return Err(Fault::transient(format!("removing network {network}: VM {vm} has a port on it")));
            }
            state.truth.networks.remove(&network);
        }
        under.finish(()).await
    }

    async fn ensure_port(&self, port: &Port) -> Result<String, Fault> {
        let under = self.begin(Verb::EnsurePort, Some(port.vm)).await?;
        {
            let mut state = self.inner.lock();
            if !state.truth.networks.contains_key(&port.nic.network) {
                return Err(Fault::transient(format!(
                    "making port {} of VM {}: network {} is not there",
                    port.nic.id, port.vm, port.nic.network
                )));
            }
            state.truth.ports.insert((port.vm, port.nic.id), port.clone());
        }
        under.finish(format!("fk{}-{}", port.vm, port.nic.id)).await
    }

    async fn ensure_ports(&self, vm: VmId, keep: &BTreeSet<u32>) -> Result<(), Fault> {
        let under = self.begin(Verb::PortsAbsent, Some(vm)).await?;
        {
            let mut state = self.inner.lock();
            let state = &mut *state;
            let process = state.truth.machines.get(&vm).and_then(|m| m.process.as_ref());
            for nic in process.iter().flat_map(|p| &p.nics).filter(|nic| !keep.contains(nic)) {
                state.violations.push(format!("port {nic} of VM {vm} was removed while its guest had the card"));
            }
            state.truth.ports.retain(|(owner, nic), _| *owner != vm || keep.contains(nic));
        }
        under.finish(()).await
    }
}
