//! What can be asked of a VM as a whole, beyond switching it on and off.
//!
//! Which action is allowed in which state, and what it makes of the VM, is said by [`holm_plan::vm_actions`]; here it is
//! found out whether the caller may, and the result is written in one transaction.

use crate::change::{Asked, Left};
use crate::resolve::{rank, requirement};
use crate::view::{find_id, see};
use crate::vms::check_room;
use crate::{Accepted, Caller, Desk, Error, ErrorKind, Intent};
use holm_model::datastores::{Datastore, DatastoreKind};
use holm_model::hosts::{Host, HostPhase};
use holm_model::networks::Network;
use holm_model::operations::OperationVerb;
use holm_model::permissions::Access;
use holm_model::vms::{Bound, EndedVm, LastAction, Power, Undo, Vm, VmPhase, VmSpec, VmVerb};
use holm_model::{Attributes, CpuShare, DatastoreId, HostId, NetworkId, ObjectKind, VmId, World};
use holm_plan::vm_actions::{self, Moment, Refused, RefusedFor, Standing, attempts};
use holm_store::{Noun, State, Tx};

/// Where a VM is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The host.
    pub host: HostId,
    /// Whether it is placed there whatever CPU and memory are left.
    pub forced: bool,
    /// The system datastore it is to be in. Every host has one, its own disk, whatever datastores there are.
    pub datastore: Option<DatastoreId>,
}

impl Destination {
    /// On this host, if it has room.
    #[must_use]
    pub fn to(host: HostId) -> Self {
        Self { host, forced: false, datastore: None }
    }
}

/// Notes where the VM is to go. Refuses a host that the caller may not use, and a datastore that is none for disks of VMs
/// there.
fn send(hand: &mut Hand<'_>, Destination { host, forced, datastore }: Destination) -> Result<(), Error> {
    hand.vm.spec.placement.forced = forced;
    hand.vm.spec.placement.datastore = datastore;
    let caller = &hand.asked.caller;
    let cluster = find_id::<Host>(hand.tx, caller, host, Access::Manage).map_err(|e| e.field("host"))?.value.cluster;
    let Some(id) = datastore else { return Ok(()) };
    let row = find_id::<Datastore>(hand.tx, caller, id, Access::Use).map_err(|e| e.field("datastore"))?;
    let store = &row.value;
    let wrong = if store.kind != DatastoreKind::System {
        "is not for the disks of VMs"
    } else if !store.enabled {
        "is disabled"
    } else if !store.clusters.contains(&cluster) {
        "is not in the host's cluster"
    } else {
        return Ok(());
    };
    let says = format!("datastore {id} ({}) {wrong}", store.meta.name);
    Err(Error::new(ErrorKind::Conflict, says).hint("Leave it out: disks are on the host's own in any case."))
}

/// The network of a card that left the choice to Holm, chosen by whoever places the VM.
fn choose_network(hand: &mut Hand<'_>, card: u32, network: NetworkId) -> Result<(), Error> {
    find_id::<Network>(hand.tx, &hand.asked.caller, network, Access::Use).map_err(|e| e.field("network"))?;
    let vm = &mut hand.vm;
    let Some(nic) = vm.spec.nics.iter_mut().find(|nic| nic.id == card) else {
        return Err(Refused::missing(vm, "network card", card).into());
    };
    if nic.network == network {
        return Ok(());
    }
    let auto = nic.attributes.iter().any(|(name, mode)| name == "NETWORK_MODE" && mode.eq_ignore_ascii_case("auto"));
    if !auto || vm.phase != VmPhase::Pending {
        let says = format!("network card {card} of {} has its network", vm_actions::called(vm));
        return Err(Error::new(ErrorKind::Conflict, says).hint("Detach the card, and attach another one."));
    }
    nic.network = network;
    vm.leases.retain(|lease| lease.nic != card);
    Ok(())
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let kind = match refused.class {
            RefusedFor::State => ErrorKind::Conflict,
            RefusedFor::Missing => ErrorKind::NotFound,
            RefusedFor::Invalid => ErrorKind::Invalid,
        };
        let error = Self::new(kind, refused.says).hint(refused.hint);
        // Not the VM is missing, but a part of it that the request names.
        if refused.class == RefusedFor::Missing { error.field("part") } else { error }
    }
}

/// What a VM has of its host for itself once its spec is this one.
pub(crate) fn bind(state: &State, vm: &Vm, spec: &VmSpec) -> Result<Bound, Error> {
    let VmPhase::On(host) = vm.phase else { return Ok(vm.bound.clone()) };
    let resized = (vm.spec.vcpus, vm.spec.memory_mib) != (spec.vcpus, spec.memory_mib);
    if resized && spec.hardware.numa.is_bound() && vm.spec.power.wants_process() {
        let says = format!("{} runs on processors and memory that were bound for its size", vm_actions::called(vm));
        return Err(Error::new(ErrorKind::Conflict, says).hint("Power it off first."));
    }
    holm_plan::placement::bind(vm.id, spec, host, state)
        .map_err(|why| Error::new(ErrorKind::Conflict, why).hint("Choose less, or place the VM on another host."))
}

/// How somebody ends what does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// What its host is at did not work: the spec is put right.
    Failure,
    /// What its host is at worked.
    Success,
    /// What does not work is tried again.
    Retry,
    /// It is deleted.
    Delete,
    /// Everything it has on its host is deleted, and it is placed anew.
    Recreate,
    /// Its row is deleted although its host never confirmed that nothing is left of it.
    Forget,
}

/// What a piece of work made of a VM.
pub(crate) enum Did<R> {
    /// Its spec changed: the generation grows.
    Changed(R),
    /// It changed, and the generation is as it should be.
    Done(R),
}

/// A VM in a transaction.
pub(crate) struct Hand<'a> {
    pub(crate) tx: &'a mut Tx,
    pub(crate) asked: &'a Asked,
    pub(crate) vm: Vm,
    pub(crate) standing: Standing,
}

impl Hand<'_> {
    pub(crate) fn moment(&self) -> Moment {
        Moment { revision: World::revision(&**self.tx), now: self.asked.now, by: Some(self.asked.caller.user_id()) }
    }

    /// Refuses a state that is not among these.
    pub(crate) fn only(&self, verb: VmVerb, allowed: &[Standing]) -> Result<(), Error> {
        if allowed.contains(&self.standing) {
            return Ok(());
        }
        Err(Refused::state(&self.vm, self.standing, verb).into())
    }

    /// Gives the VM of its host what this spec wants of it for itself.
    pub(crate) fn bind(&mut self, spec: &VmSpec) -> Result<(), Error> {
        self.vm.bound = bind(self.tx, &self.vm, spec)?;
        Ok(())
    }

    /// Refuses a spec that its host has no room for.
    pub(crate) fn check_room(&self, spec: &VmSpec) -> Result<(), Error> {
        match self.vm.phase {
            VmPhase::On(host) => check_room(self.tx, &self.vm, host, spec),
            _ => Ok(()),
        }
    }
}

impl Desk {
    /// Changes a VM with the level of access that `verb` needs for this caller: `work` is given the newest row and what
    /// it stands at. Answers with the VM and what `work` answered, which is only known where the request was not carried
    /// out before.
    pub(crate) async fn vm_edit<R: Send + 'static>(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        verb: VmVerb,
        work: impl FnOnce(&mut Hand<'_>) -> Result<Did<R>, Error> + Send + 'static,
    ) -> Result<(Accepted<Vm>, Option<R>), Error> {
        let (out, result) = std::sync::mpsc::sync_channel(1);
        let accepted = self
            .accept(caller, intent, "vm.act", move |tx, asked| {
                let access = crate::restricted::operation_access(tx, &asked.caller, verb);
                let row = find_id::<Vm>(tx, &asked.caller, id, access)?.clone();
                asked.precondition(&row)?;
                let standing = Standing::of(&row.value, &**tx);
                let mut hand = Hand { tx, asked, vm: row.value.clone(), standing };
                let did = work(&mut hand)?;
                let Hand { mut vm, .. } = hand;
                let result = match did {
                    Did::Changed(result) => {
                        holm_plan::vm::changed(&mut vm);
                        result
                    }
                    Did::Done(result) => result,
                };
                if vm.spec != row.value.spec {
                    vm.spec.check_unplaced()?;
                }
                vm.action = Some(LastAction {
                    verb,
                    generation: vm.generation,
                    by: Some(asked.caller.user_id()),
                    at: asked.now,
                });
                tx.account(&row.value, &vm);
                tx.put(vm.clone());
                // The receiver lives as long as this closure, and there is room for the one message.
                let _ = out.send(result);
                let operation = asked.operation(tx, operation(verb), Vm::object(vm.id), vm.generation);
                Ok(Left { value: vm, operation })
            })
            .await?;
        Ok((accepted, result.try_recv().ok()))
    }

    /// Like [`Self::vm_edit`], for what has no answer of its own; doing it again with the same key gives the same answer.
    pub(crate) async fn vm_edit_plain(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        verb: VmVerb,
        work: impl FnOnce(&mut Hand<'_>) -> Result<Did<()>, Error> + Send + 'static,
    ) -> Result<Accepted<Vm>, Error> {
        Ok(self.vm_edit(caller, intent, id, verb, work).await?.0)
    }

    /// Asks something of a VM as a whole.
    ///
    /// # Errors
    /// `Conflict` when the action is not for the state the VM is in.
    pub async fn vm_act(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        verb: VmVerb,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, verb, move |hand| {
            let moment = hand.moment();
            vm_actions::act(&mut hand.vm, hand.standing, verb, moment)?;
            Ok(Did::Done(()))
        })
        .await
    }

    /// Places a VM, once: one that waits, is held, or gave up its host. `networks` are for cards that left the choice to
    /// Holm, by the cards' numbers.
    ///
    /// # Errors
    /// `Conflict` when the VM is on a host, is to run on another one only, or when the datastore or a network is not for
    /// it.
    pub async fn vm_deploy(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        to: Destination,
        networks: Vec<(u32, NetworkId)>,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::Deploy, move |hand| {
            send(hand, to)?;
            vm_actions::deploy(&mut hand.vm, hand.standing, to.host)?;
            for (card, network) in networks {
                choose_network(hand, card, network)?;
            }
            Ok(Did::Done(()))
        })
        .await
    }

    /// Moves a VM with everything it has to another host, stopped on the way as `how` says.
    ///
    /// # Errors
    /// `Conflict` when the VM's state is not one for it, when that host cannot run it now, for `live`, and when the
    /// datastore is not for it.
    pub async fn vm_migrate(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        to: Destination,
        live: bool,
        how: Power,
    ) -> Result<Accepted<Vm>, Error> {
        self.vm_edit_plain(caller, intent, id, VmVerb::Migrate, move |hand| {
            send(hand, to)?;
            vm_actions::migrate(&mut hand.vm, hand.standing, to.host, live, how)?;
            // Said before anything is stopped for it.
            if let Err(why) = holm_plan::placement::still_fits(&hand.vm, to.host, &**hand.tx) {
                return Err(Error::new(ErrorKind::Conflict, format!("{}: {why}", vm_actions::called(&hand.vm)))
                    .hint("Choose another host, or make room there first."));
            }
            Ok(Did::Done(()))
        })
        .await
    }

    /// Changes a VM's size. What is not given stays. A guest that runs gets it at once where its host can do that.
    ///
    /// Where `enforce` is not set, an administrator gets it whatever CPU and memory its host has left.
    ///
    /// # Errors
    /// When a value is refused, its host has no room, or the VM's state is not one for it.
    #[allow(clippy::too_many_arguments, reason = "each is one of the few things that are asked for")]
    pub async fn vm_resize(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        cpu: Option<CpuShare>,
        vcpus: Option<u32>,
        memory_mib: Option<u64>,
        enforce: bool,
    ) -> Result<Accepted<Vm>, Error> {
        use Standing as S;
        self.vm_edit_plain(caller, intent, id, VmVerb::Resize, move |hand| {
            hand.only(VmVerb::Resize, &[S::Pending, S::Held, S::Off, S::Undeployed, S::Running])?;
            let mut spec = hand.vm.spec.clone();
            spec.cpu = cpu.unwrap_or(spec.cpu);
            spec.vcpus = vcpus.unwrap_or(spec.vcpus);
            spec.memory_mib = memory_mib.unwrap_or(spec.memory_mib);
            spec.check_unplaced()?;
            if enforce || !hand.asked.caller.is_admin() {
                hand.check_room(&spec)?;
            } else if let (VmPhase::On(host), Err(_)) = (hand.vm.phase, hand.check_room(&spec)) {
                spec.placement.forced = hand.tx.get::<Host>(host).is_some();
            }
            if spec == hand.vm.spec {
                return Ok(Did::Done(()));
            }
            hand.bind(&spec)?;
            let undo =
                Undo::Size { cpu: hand.vm.spec.cpu, vcpus: hand.vm.spec.vcpus, memory_mib: hand.vm.spec.memory_mib };
            // What was booked until now is billed as it was.
            let by = Some(hand.asked.caller.user_id());
            holm_plan::vm::split_stay(&mut hand.vm, VmVerb::Resize, by, hand.asked.now);
            hand.vm.spec = spec;
            attempts::begin(&mut hand.vm, VmVerb::Resize, undo);
            Ok(Did::Done(()))
        })
        .await
    }

    /// Changes what of a VM is settled by sections of its template: how it boots, its context, its devices' settings and
    /// the attributes that go with them. Takes effect at the next start where the guest runs.
    ///
    /// # Errors
    /// When `work` refuses, the result is refused, a restricted attribute would change, or the VM's memory is saved.
    pub async fn vm_configure(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        work: impl FnOnce(&mut VmSpec, &mut Attributes) -> Result<(), Error> + Send + 'static,
    ) -> Result<Accepted<Vm>, Error> {
        use Standing as S;
        self.vm_edit_plain(caller, intent, id, VmVerb::UpdateConf, move |hand| {
            hand.only(
                VmVerb::UpdateConf,
                &[S::Pending, S::Held, S::Off, S::Undeployed, S::Running, S::Starting, S::Stopping, S::Failed],
            )?;
            let before = hand.vm.clone();
            work(&mut hand.vm.spec, &mut hand.vm.meta.attributes)?;
            let placement = &hand.vm.spec.placement;
            requirement("requirements", placement.requirements.as_deref())?;
            rank("rank", placement.rank.as_deref())?;
            requirement("datastore_requirements", placement.datastore_requirements.as_deref())?;
            rank("datastore_rank", placement.datastore_rank.as_deref())?;
            let attributes = &hand.vm.meta.attributes;
            attributes.check()?;
            crate::restricted::check_change(ObjectKind::Vm, &before.meta.attributes, attributes, &hand.asked.caller)?;
            hand.check_room(&hand.vm.spec)?;
            if hand.vm.spec.hardware.boot_order != before.spec.hardware.boot_order {
                hand.vm.spec.check_boot_order()?;
            }
            if hand.vm.spec.hardware.numa != before.spec.hardware.numa {
                let spec = hand.vm.spec.clone();
                hand.bind(&spec)?;
            }
            let differs = hand.vm.spec != before.spec;
            Ok(if differs { Did::Changed(()) } else { Did::Done(()) })
        })
        .await
    }

    /// Ends what does not end by itself.
    ///
    /// # Errors
    /// `Conflict` when there is nothing to be ended that way.
    pub async fn vm_recover(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: VmId,
        recovery: Recovery,
    ) -> Result<Accepted<Vm>, Error> {
        let verb = match recovery {
            Recovery::Delete => VmVerb::Delete,
            Recovery::Retry => VmVerb::Retry,
            _ => VmVerb::Recover,
        };
        if recovery == Recovery::Forget {
            return self.vm_forget(caller, intent, id).await;
        }
        self.vm_edit_plain(caller, intent, id, verb, move |hand| {
            let moment = hand.moment();
            let removing = matches!(hand.vm.phase, VmPhase::Removing(_));
            match recovery {
                Recovery::Failure if vm_actions::moves(&hand.vm) => {
                    vm_actions::cancel_move(&mut hand.vm, hand.standing, moment)?;
                }
                Recovery::Failure => attempts::decide(&mut hand.vm, &**hand.tx, false, moment.now)?,
                Recovery::Success => attempts::decide(&mut hand.vm, &**hand.tx, true, moment.now)?,
                Recovery::Delete => {
                    vm_actions::act(&mut hand.vm, hand.standing, VmVerb::Delete, moment)?;
                }
                Recovery::Recreate if !removing => {
                    holm_plan::vm::recreate(&mut hand.vm, moment.revision, moment.now);
                }
                Recovery::Retry if !removing && hand.vm.trouble.is_some() => {
                    let spec = &mut hand.vm.spec;
                    if spec.power.wants_process() && hand.standing == Standing::Failed {
                        spec.boot_seq = spec.boot_seq.saturating_add(1);
                    }
                    return Ok(Did::Changed(()));
                }
                _ => return Err(Refused::state(&hand.vm, hand.standing, verb).into()),
            }
            Ok(Did::Done(()))
        })
        .await
    }

    /// Deletes a VM's row although a host may still have something of it. Only where its host cannot say so itself.
    async fn vm_forget(&self, caller: &Caller, intent: &Intent, id: VmId) -> Result<Accepted<Vm>, Error> {
        self.accept(caller, intent, "vm.forget", move |tx, asked| {
            crate::change::require_admin(&asked.caller, "have a VM forgotten")?;
            let row = see::<Vm>(tx, &asked.caller, id)?.clone();
            asked.precondition(&row)?;
            if let Some(host) = row.value.phase.host()
                && let Some(there) = tx.get::<Host>(host).filter(|there| there.value.phase != HostPhase::Lost)
            {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "{} is on host {host} ({}), which answers: it would run on without anybody knowing of it",
                        vm_actions::called(&row.value),
                        there.value.meta.name
                    ),
                )
                .hint("Delete the VM instead."));
            }
            let mut vm = row.value.clone();
            holm_plan::vm::remove(&mut vm, World::revision(&**tx), asked.now);
            vm.action = Some(LastAction {
                verb: VmVerb::Recover,
                generation: vm.generation,
                by: Some(asked.caller.user_id()),
                at: asked.now,
            });
            holm_plan::vm::apply(&mut vm, &holm_plan::vm::Step::Forget, World::revision(&**tx), asked.now);
            tx.account(&row.value, &vm);
            let operation = asked.operation(tx, OperationVerb::Delete, Vm::object(id), vm.generation);
            tx.delete::<Vm>(id);
            vm.spec.exports.clear();
            tx.put(EndedVm { id, vm: vm.clone(), ended_at: asked.now });
            Ok(Left { value: vm, operation })
        })
        .await
    }
}

/// How operations call it.
pub(crate) fn operation(verb: VmVerb) -> OperationVerb {
    match verb {
        VmVerb::Create | VmVerb::Deploy | VmVerb::Release => OperationVerb::Create,
        VmVerb::Start | VmVerb::Resume => OperationVerb::Start,
        VmVerb::Poweroff | VmVerb::Undeploy | VmVerb::Stop | VmVerb::Suspend | VmVerb::Hold => OperationVerb::Stop,
        VmVerb::PoweroffHard | VmVerb::UndeployHard => OperationVerb::Poweroff,
        VmVerb::Reboot | VmVerb::RebootHard => OperationVerb::Reboot,
        VmVerb::Pause => OperationVerb::Pause,
        VmVerb::Terminate | VmVerb::TerminateHard | VmVerb::Delete => OperationVerb::Delete,
        VmVerb::Resize | VmVerb::DiskResize => OperationVerb::Resize,
        _ => OperationVerb::Change,
    }
}
