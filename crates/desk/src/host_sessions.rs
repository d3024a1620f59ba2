//! The front-end's end of each host's link: who is connected, and what their reports change.
//!
//! A host has at most one session. A newer one (a higher epoch) ends the older: whatever still arrives on the older
//! link is refused, and so is a report whose number is not higher than the last. Reports write statuses only, and
//! nothing at all when they say what is known already.

use crate::{Desk, Error, ErrorKind};
use holm_model::host_plan::{HostPlan, HostReport};
use holm_model::hosts::{Host, HostStatus, Schedulable};
use holm_model::vms::{Observed, Vm, VmPhase, VmStatus};
use holm_model::{HostId, Timestamp, VmId};
use holm_store::{Row, State};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Longest sentence kept of a report, characters.
const LONGEST_REMARK: usize = 1000;
/// Most strays and complaints kept of a report.
const MOST_REMARKS: usize = 100;

/// Most networks kept of a report, and security groups of each.
const MOST_NETWORKS: usize = 1000;

/// One opened link of a host.
#[derive(Clone, Debug)]
pub struct HostSession {
    /// Which host.
    pub host: HostId,
    /// Grows with every link of every host.
    pub epoch: u64,
    ended: watch::Receiver<bool>,
}

impl HostSession {
    /// Waits until the session is over: a newer link was opened, or the host was deleted. The link is to be closed then.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the desk is gone, and with it every session.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

#[derive(Default)]
pub(crate) struct Sessions(Mutex<Table>);

#[derive(Default)]
struct Table {
    last_epoch: u64,
    by_host: HashMap<HostId, Open>,
}

struct Open {
    epoch: u64,
    seq: u64,
    ended: watch::Sender<bool>,
    /// When the host was last heard of, however little it said.
    heard: Timestamp,
}

impl Sessions {
    fn with<R>(&self, work: impl FnOnce(&mut Table) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self, host: HostId, now: Timestamp) -> HostSession {
        self.with(|table| {
            table.last_epoch += 1;
            let epoch = table.last_epoch;
            let (ended, receiver) = watch::channel(false);
            if let Some(older) = table.by_host.insert(host, Open { epoch, seq: 0, ended, heard: now }) {
                older.ended.send_replace(true);
            }
            HostSession { host, epoch, ended: receiver }
        })
    }

    /// Ends whatever session the host has.
    pub(crate) fn end(&self, host: HostId) {
        self.with(|table| {
            if let Some(open) = table.by_host.remove(&host) {
                open.ended.send_replace(true);
            }
        });
    }

    /// Forgets the session if it is still the host's; whether it was.
    fn close(&self, session: &HostSession) -> bool {
        self.with(|table| {
            let current = table.by_host.get(&session.host).is_some_and(|open| open.epoch == session.epoch);
            if current {
                table.by_host.remove(&session.host);
            }
            current
        })
    }

    fn is_current(&self, session: &HostSession) -> bool {
        self.with(|table| table.by_host.get(&session.host).is_some_and(|open| open.epoch == session.epoch))
    }

    /// Takes note of a sign of life.
    fn heard(&self, session: &HostSession, now: Timestamp) -> Result<(), Error> {
        self.with(|table| match table.by_host.get_mut(&session.host) {
            Some(open) if open.epoch == session.epoch => {
                open.heard = now;
                Ok(())
            }
            _ => Err(superseded(session)),
        })
    }

    /// Takes a report's number.
    fn take(&self, session: &HostSession, seq: u64, now: Timestamp) -> Result<(), Error> {
        self.with(|table| match table.by_host.get_mut(&session.host) {
            Some(open) if open.epoch != session.epoch => Err(superseded(session)),
            Some(open) if seq <= open.seq => Err(Error::new(
                ErrorKind::Conflict,
                format!("report {seq} of host {} is not newer than report {}", session.host, open.seq),
            )
            .hint("Number the reports of a link from 1, each once.")),
            Some(open) => {
                open.seq = seq;
                open.heard = now;
                Ok(())
            }
            None => Err(superseded(session)),
        })
    }
}

fn superseded(session: &HostSession) -> Error {
    Error::new(ErrorKind::Gone, format!("link {} of host {} is over", session.epoch, session.host))
        .hint("A newer link was opened, or the host was deleted. Close this one.")
}

fn shorten(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().take(MOST_REMARKS).map(|text| text.chars().take(LONGEST_REMARK).collect()).collect()
}

/// What a report changes, worked out against one picture.
struct Effects {
    host: Option<HostStatus>,
    vms: Vec<(VmId, VmStatus)>,
    /// What it says of VMs that are on their way to it: whether it has everything, cannot ever have it, and why.
    coming: Vec<(VmId, Arriving)>,
    /// VMs of which nothing is left that they had left there.
    cleared: Vec<VmId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Arriving {
    arrived: bool,
    refused: bool,
    says: Option<String>,
}

impl Arriving {
    /// What a host means by a status of a VM that is on its way to it.
    fn of(vm: &Vm, said: &VmStatus) -> Self {
        Self {
            // A word about other parts than those of this very move is about another move.
            arrived: vm.packed().is_some_and(|parcels| said.parcels.as_deref() == Some(parcels)),
            refused: said.refused,
            says: said.message.as_ref().map(|text| text.chars().take(LONGEST_REMARK).collect()),
        }
    }

    fn is_known(&self, vm: &Vm) -> bool {
        let luggage = &vm.luggage;
        (self.arrived, self.refused, &self.says) == (luggage.arrived, luggage.refused, &luggage.says)
    }
}

impl Effects {
    fn of(report: &HostReport, state: &State, id: HostId, now: Timestamp, coarse_ms: u64) -> Result<Self, Error> {
        let host = &state.get::<Host>(id).ok_or_else(|| Desk::unknown_host(id))?.value;
        let mut status = host.status.clone();
        status.connected = true;
        status.applied_revision = report.applied_revision;
        status.strays = shorten(report.strays.clone());
        status.complaints = shorten(report.complaints.clone());
        status.networks = report.networks.iter().take(MOST_NETWORKS).cloned().collect();
        for seen in &mut status.networks {
            seen.groups.truncate(MOST_NETWORKS);
            seen.fault = seen.fault.take().map(|text| text.chars().take(LONGEST_REMARK).collect());
        }
        if let Some(facts) = &report.facts {
            status.facts = Some(facts.clone());
        }
        let differs = status != host.status;
        let stale = now.since(host.status.last_seen).as_millis() >= u128::from(coarse_ms);
        if differs || stale {
            status.last_seen = now;
        }

        let mut vms = Vec::new();
        let mut coming = Vec::new();
        let mut cleared = Vec::new();
        let mut told: BTreeSet<VmId> = BTreeSet::new();
        for (vm_id, said) in &report.vms {
            told.insert(*vm_id);
            let row = state.get::<Vm>(*vm_id).map(|row| &row.value);
            if let Some(vm) = row.filter(|vm| vm.phase.destination() == Some(id)) {
                let word = Arriving::of(vm, said);
                if report.applied_revision > vm.phase_revision && !vm.luggage.arrived && !word.is_known(vm) {
                    coming.push((*vm_id, word));
                }
                continue;
            }
            let Some(vm) = row.filter(|vm| vm.phase.host() == Some(id)) else {
                // It belongs elsewhere or nowhere: a word from before, or a stray that the host keeps.
                continue;
            };
            // Absence has its own list, with its own rule; here it would be a word without weight. And once it is
            // confirmed, a word that was on its way before does not bring the VM back.
            if said.observed == Observed::Absent || vm.status.observed == Observed::Absent {
                continue;
            }
            // A host that has not seen a plan of this stay yet can only mean an earlier one.
            let since = matches!(vm.phase, VmPhase::On(_) | VmPhase::Moving { .. });
            if since && report.applied_revision <= vm.phase_revision {
                continue;
            }
            let mut said = said.clone();
            said.message = said.message.map(|text| text.chars().take(LONGEST_REMARK).collect());
            if said != vm.status {
                vms.push((*vm_id, said));
            }
        }
        for vm_id in &report.absent {
            told.insert(*vm_id);
            let Some(vm) = state.get::<Vm>(*vm_id).map(|row| &row.value) else { continue };
            if holm_plan::vm::moving::remains_gone(vm, id, report.applied_revision) {
                cleared.push(*vm_id);
            }
            if holm_plan::vm::absence_counts(vm, id, report.applied_revision) && vm.status.observed != Observed::Absent
            {
                let mut status = vm.status.clone();
                status.observed = Observed::Absent;
                status.pid = None;
                status.since = now;
                status.message = None;
                vms.retain(|(other, _)| other != vm_id);
                vms.push((*vm_id, status));
            }
        }
        if report.full {
            for vm_id in state.vms_on_host(id).filter(|vm_id| !told.contains(vm_id)) {
                let Some(vm) = state.get::<Vm>(vm_id).map(|row| &row.value) else { continue };
                // What the host has forgotten is not known, whatever it said earlier.
                let forgotten = !matches!(vm.status.observed, Observed::Unknown | Observed::Absent);
                if forgotten && vm.phase == VmPhase::On(id) {
                    let mut status = vm.status.clone();
                    status.observed = Observed::Unknown;
                    status.pid = None;
                    status.since = now;
                    status.message = Some("The host's last full report does not mention it.".into());
                    vms.push((vm_id, status));
                }
            }
        }
        Ok(Self { host: (differs || stale).then_some(status), vms, coming, cleared })
    }

    fn is_empty(&self) -> bool {
        self.host.is_none() && self.vms.is_empty() && self.coming.is_empty() && self.cleared.is_empty()
    }
}

impl Desk {
    fn coarse_ms(&self) -> u64 {
        u64::try_from(self.0.settings.host_lease.as_millis() / 3).unwrap_or(u64::MAX)
    }

    /// A host's link was opened. An older link of the same host is over.
    ///
    /// # Errors
    /// When there is no such host or the store does not take it.
    pub async fn host_connected(&self, host: HostId) -> Result<HostSession, Error> {
        if self.view().row::<Host>(host).is_none() {
            return Err(Self::unknown_host(host));
        }
        let now = self.now();
        let session = self.0.sessions.open(host, now);
        let (sessions, mine) = (self.0.sessions.clone(), session.clone());
        let written = self
            .0
            .store
            .write(move |tx| {
                if !sessions.is_current(&mine) {
                    return Err(superseded(&mine));
                }
                let known = tx.update::<Host>(host, |row| {
                    row.status.connected = true;
                    row.status.last_seen = now;
                });
                if known { Ok(()) } else { Err(Self::unknown_host(host)) }
            })
            .await
            .map_err(Error::from);
        if let Err(error) = written {
            self.0.sessions.close(&session);
            return Err(error);
        }
        Ok(session)
    }

    /// Takes a host's report: statuses of its VMs, its facts, what it wants to be known.
    ///
    /// # Errors
    /// `Gone` when the session is over; `Conflict` when the report's number is not higher than the last; otherwise what
    /// the store says. After any error the link is to be closed: the next one begins with a full report.
    pub async fn host_report(&self, session: &HostSession, mut report: HostReport) -> Result<(), Error> {
        let now = self.now();
        let coarse_ms = self.coarse_ms();
        let host = session.host;
        self.0.sessions.take(session, report.seq, now)?;
        if let Some(samples) = report.samples.take() {
            let view = self.view();
            let offline = |row: &Row<Host>| row.value.spec.schedulable == Schedulable::Offline;
            if view.row::<Host>(host).is_some_and(|row| !offline(&row)) {
                self.0.samples.take(&view.0, host, samples, now);
            }
        }
        if Effects::of(&report, &self.view().0, host, now, coarse_ms)?.is_empty() {
            return Ok(());
        }
        self.exports_failed(host, crate::exports::failed_in(&report)).await?;
        let (sessions, mine) = (self.0.sessions.clone(), session.clone());
        self.0
            .store
            .write(move |tx| {
                if !sessions.is_current(&mine) {
                    return Err(superseded(&mine));
                }
                // Against the newest rows: a VM may have been moved on since the first look.
                let effects = Effects::of(&report, tx, host, now, coarse_ms)?;
                if let Some(status) = effects.host {
                    tx.update::<Host>(host, |row| row.status = status);
                }
                for (id, Arriving { arrived, refused, says }) in effects.coming {
                    tx.update::<Vm>(id, |vm| {
                        (vm.luggage.arrived, vm.luggage.refused) = (arrived, refused);
                        vm.luggage.says = says;
                    });
                }
                for id in effects.cleared {
                    tx.update::<Vm>(id, |vm| vm.remains.retain(|remains| remains.host != host));
                }
                for (id, status) in effects.vms {
                    let Some(before) = tx.get::<Vm>(id).cloned() else { continue };
                    let mut vm = before.value.clone();
                    vm.status = status;
                    // What the host says may settle what was begun, or take it back.
                    holm_plan::vm_actions::attempts::reported(&mut vm, now);
                    tx.account(&before.value, &vm);
                    tx.put(vm);
                }
                Ok(())
            })
            .await
            .map_err(Error::from)
    }

    /// The host gave a sign of life without content. Written coarsely, so that idle hosts cost next to nothing.
    ///
    /// # Errors
    /// `Gone` when the session is over.
    pub async fn host_seen(&self, session: &HostSession) -> Result<(), Error> {
        let now = self.now();
        self.0.sessions.heard(session, now)?;
        let row = self.view().row::<Host>(session.host).ok_or_else(|| Self::unknown_host(session.host))?;
        if now.since(row.value.status.last_seen).as_millis() < u128::from(self.coarse_ms()) {
            return Ok(());
        }
        self.write_seen(session.clone(), now, true).await
    }

    /// The link was closed. Nothing happens when a newer one is open.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn host_disconnected(&self, session: HostSession) -> Result<(), Error> {
        let heard = self.0.sessions.with(|table| table.by_host.get(&session.host).map(|open| open.heard));
        if !self.0.sessions.close(&session) {
            return Ok(());
        }
        self.write_seen(session, heard.unwrap_or_else(|| self.now()), false).await
    }

    async fn write_seen(&self, session: HostSession, at: Timestamp, connected: bool) -> Result<(), Error> {
        let sessions = self.0.sessions.clone();
        self.0
            .store
            .write(move |tx| {
                // A newer link may have been opened while this change waited for its turn.
                let newer =
                    sessions.with(|table| table.by_host.get(&session.host).is_some_and(|o| o.epoch > session.epoch));
                if !newer {
                    tx.update::<Host>(session.host, |row| {
                        row.status.connected = connected;
                        row.status.last_seen = row.status.last_seen.max(at);
                    });
                }
                Ok::<_, Error>(())
            })
            .await
            .map_err(Error::from)
    }

    /// What a host should look like now.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn host_plan(&self, host: HostId) -> Result<HostPlan, Error> {
        let view = self.view();
        if view.0.get::<Host>(host).is_none() {
            return Err(Self::unknown_host(host));
        }
        Ok(holm_plan::hostplan::project(host, view.world()))
    }
}
