//! OpenNebula's state numbers, derived from phase, desire, last action and what the host says.
//!
//! Holm keeps small independent facts; the interface has one number for each combination that its own drivers go
//! through. Here is the one place where the facts become numbers. Where Holm does in one step what the interface shows
//! in several, only some of the numbers are ever seen.

use holm_model::vms::{Observed, Power, Vm, VmPhase, VmVerb};

/// `STATE`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the state it names")]
pub(crate) enum State {
    Pending = 1,
    Hold = 2,
    Active = 3,
    Stopped = 4,
    Suspended = 5,
    Done = 6,
    Poweroff = 8,
    Undeployed = 9,
    Cloning = 10,
    CloningFailure = 11,
}

/// `LCM_STATE`, meaningful in [`State::Active`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the state it names")]
pub(crate) enum Lcm {
    Init = 0,
    Prolog = 1,
    Boot = 2,
    Running = 3,
    SaveStop = 5,
    SaveSuspend = 6,
    SaveMigrate = 7,
    PrologMigrate = 8,
    PrologResume = 9,
    EpilogStop = 10,
    Epilog = 11,
    Shutdown = 12,
    Unknown = 16,
    Hotplug = 17,
    ShutdownPoweroff = 18,
    BootPoweroff = 20,
    BootSuspended = 21,
    CleanupDelete = 23,
    HotplugSnapshot = 24,
    HotplugNic = 25,
    HotplugSaveAs = 26,
    HotplugSaveAsPoweroff = 27,
    HotplugSaveAsSuspended = 28,
    ShutdownUndeploy = 29,
    EpilogUndeploy = 30,
    PrologUndeploy = 31,
    HotplugPrologPoweroff = 33,
    HotplugEpilogPoweroff = 34,
    BootFailure = 36,
    PrologFailure = 39,
    PrologMigratePoweroff = 43,
    PrologMigrateSuspend = 45,
    DiskSnapshotPoweroff = 51,
    DiskSnapshotRevertPoweroff = 52,
    DiskSnapshotDeletePoweroff = 53,
    DiskSnapshotSuspended = 54,
    DiskSnapshotDeleteSuspended = 56,
    DiskSnapshot = 57,
    DiskSnapshotDelete = 59,
    DiskResize = 62,
    DiskResizePoweroff = 63,
    HotplugNicPoweroff = 65,
    HotplugResize = 66,
}

/// What of the rest of the cloud the numbers depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// The VM's host is out of touch.
    pub(crate) host_lost: bool,
    /// An image the VM starts from is still on its way.
    pub(crate) image_on_its_way: bool,
    /// An image the VM starts from will not come.
    pub(crate) image_failed: bool,
}

/// The numbers of a VM.
pub(crate) fn of(vm: &Vm, around: Around) -> (State, Lcm) {
    let active = |lcm: Lcm| (State::Active, lcm);
    let plain = |state: State| (state, Lcm::Init);
    let went_through_disk = vm.status.ever_started;
    match vm.phase {
        VmPhase::Pending if vm.spec.placement.hold => plain(State::Hold),
        VmPhase::Pending if vm.spec.placement.away => match vm.spec.power {
            Power::Saved => plain(State::Stopped),
            _ => plain(State::Undeployed),
        },
        VmPhase::Moving { .. } => active(on_its_way(vm)),
        VmPhase::Parked(_) if vm.spec.placement.then.is_some() => active(on_its_way(vm)),
        // Its disks keep it on a host where it has nothing else.
        VmPhase::Parked(_) if !vm.spec.placement.away => plain(State::Pending),
        VmPhase::Parked(_) if vm.spec.power == Power::Saved => plain(State::Stopped),
        VmPhase::Parked(_) => plain(State::Undeployed),
        VmPhase::Pending if around.image_failed => plain(State::CloningFailure),
        VmPhase::Pending if around.image_on_its_way => plain(State::Cloning),
        VmPhase::Pending => plain(State::Pending),
        VmPhase::Leaving(_) => active(leaving(vm)),
        VmPhase::Removing(_) => active(match vm.status.observed {
            Observed::Running | Observed::Paused | Observed::Stopping => Lcm::Shutdown,
            Observed::Failed => Lcm::CleanupDelete,
            _ => Lcm::Epilog,
        }),
        VmPhase::On(_) if around.host_lost => active(Lcm::Unknown),
        VmPhase::On(_) => match vm.status.observed {
            Observed::Unknown | Observed::Preparing | Observed::Absent if vm.status.refused => {
                active(Lcm::PrologFailure)
            }
            Observed::Unknown | Observed::Absent => active(Lcm::Prolog),
            Observed::Preparing if went_through_disk => active(starting(vm)),
            Observed::Preparing => active(Lcm::Prolog),
            Observed::Failed if vm.status.ever_started => active(Lcm::Unknown),
            Observed::Failed => active(Lcm::BootFailure),
            Observed::Running | Observed::Stopping => running(vm),
            Observed::Paused => match vm.spec.power {
                Power::Paused if settled(vm) => plain(State::Suspended),
                _ => running(vm),
            },
            Observed::Saved => match vm.spec.power {
                Power::Saved if vm.spec.placement.away => active(Lcm::EpilogStop),
                Power::Saved if vm.spec.placement.then.is_some() => active(on_its_way(vm)),
                Power::Saved => match under_way(vm, Rest::Saved) {
                    Some(lcm) => active(lcm),
                    None => plain(State::Suspended),
                },
                Power::On | Power::Paused => active(Lcm::BootSuspended),
                Power::Off | Power::OffHard => active(Lcm::ShutdownPoweroff),
            },
            Observed::Off => match vm.spec.power {
                Power::On | Power::Paused if ended_by_itself(vm) => match under_way(vm, Rest::Off) {
                    Some(lcm) => active(lcm),
                    None => plain(State::Poweroff),
                },
                Power::On | Power::Paused => active(starting(vm)),
                Power::Off | Power::OffHard | Power::Saved if vm.spec.placement.away => active(Lcm::EpilogUndeploy),
                _ if vm.spec.placement.then.is_some() => active(on_its_way(vm)),
                Power::Off | Power::OffHard | Power::Saved => match under_way(vm, Rest::Off) {
                    Some(lcm) => active(lcm),
                    None => plain(State::Poweroff),
                },
            },
        },
    }
}

/// The guest ended by itself and nobody has asked for another start.
fn ended_by_itself(vm: &Vm) -> bool {
    vm.status.ever_started && vm.status.boot_seq >= vm.spec.boot_seq
}

/// The host has carried out the newest generation.
fn settled(vm: &Vm) -> bool {
    vm.status.generation >= vm.generation
}

fn verb(vm: &Vm) -> Option<VmVerb> {
    vm.action.filter(|action| action.generation == vm.generation).map(|action| action.verb)
}

fn starting(vm: &Vm) -> Lcm {
    match verb(vm) {
        _ if !vm.status.ever_started => Lcm::Boot,
        Some(VmVerb::Resume | VmVerb::Start) => Lcm::BootPoweroff,
        _ => Lcm::Boot,
    }
}

fn leaving(vm: &Vm) -> Lcm {
    match (vm.spec.placement.away, vm.spec.power) {
        (true, Power::Saved) => Lcm::EpilogStop,
        (true, _) => Lcm::EpilogUndeploy,
        (false, _) => Lcm::PrologMigrate,
    }
}

/// Its disks go to another host: because somebody moves it, or because it goes on there after it gave up its host.
fn on_its_way(vm: &Vm) -> Lcm {
    match vm.spec.placement.then {
        Some(Power::Off | Power::OffHard) => Lcm::PrologMigratePoweroff,
        Some(Power::Saved) => Lcm::PrologMigrateSuspend,
        Some(Power::On | Power::Paused) => Lcm::PrologMigrate,
        None if vm.status.observed == Observed::Saved => Lcm::PrologResume,
        None => Lcm::PrologUndeploy,
    }
}

fn running(vm: &Vm) -> (State, Lcm) {
    let active = |lcm: Lcm| (State::Active, lcm);
    match vm.spec.power {
        Power::Off | Power::OffHard if vm.spec.terminate => active(Lcm::Shutdown),
        Power::Off | Power::OffHard if vm.spec.placement.away => active(Lcm::ShutdownUndeploy),
        Power::Off | Power::OffHard => active(Lcm::ShutdownPoweroff),
        Power::Saved if vm.spec.placement.away => active(Lcm::SaveStop),
        Power::Saved if vm.spec.placement.then.is_some() => active(Lcm::SaveMigrate),
        Power::Saved => active(Lcm::SaveSuspend),
        // It is being booted again.
        Power::On if vm.status.boot_seq < vm.spec.boot_seq => active(Lcm::Boot),
        Power::On | Power::Paused => active(under_way(vm, Rest::Running).unwrap_or(Lcm::Running)),
    }
}

/// What the VM does while something is done with its disks and cards.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Running,
    Saved,
    Off,
}

/// The number of the action that the host has not confirmed yet, if there is one.
fn under_way(vm: &Vm, rest: Rest) -> Option<Lcm> {
    if settled(vm) {
        // A copy of a disk may take much longer than the rest of its generation.
        let copying = !vm.spec.exports.is_empty() && verb(vm) == Some(VmVerb::DiskSaveAs);
        return copying.then_some(match rest {
            Rest::Running => Lcm::HotplugSaveAs,
            Rest::Saved => Lcm::HotplugSaveAsSuspended,
            Rest::Off => Lcm::HotplugSaveAsPoweroff,
        });
    }
    Some(match (verb(vm)?, rest) {
        (VmVerb::DiskAttach | VmVerb::DiskDetach, Rest::Running) => Lcm::Hotplug,
        (VmVerb::DiskAttach, _) => Lcm::HotplugPrologPoweroff,
        (VmVerb::DiskDetach, _) => Lcm::HotplugEpilogPoweroff,
        (
            VmVerb::NicAttach
            | VmVerb::NicDetach
            | VmVerb::NicUpdate
            | VmVerb::AliasAttach
            | VmVerb::AliasDetach
            | VmVerb::SecurityGroupAttach
            | VmVerb::SecurityGroupDetach,
            Rest::Running,
        ) => Lcm::HotplugNic,
        (
            VmVerb::NicAttach
            | VmVerb::NicDetach
            | VmVerb::NicUpdate
            | VmVerb::AliasAttach
            | VmVerb::AliasDetach
            | VmVerb::SecurityGroupAttach
            | VmVerb::SecurityGroupDetach,
            _,
        ) => Lcm::HotplugNicPoweroff,
        (VmVerb::SnapshotCreate | VmVerb::SnapshotDelete | VmVerb::SnapshotRevert, _) => Lcm::HotplugSnapshot,
        (VmVerb::DiskSnapshotCreate, Rest::Running) => Lcm::DiskSnapshot,
        (VmVerb::DiskSnapshotCreate, Rest::Saved) => Lcm::DiskSnapshotSuspended,
        (VmVerb::DiskSnapshotCreate, Rest::Off) => Lcm::DiskSnapshotPoweroff,
        (VmVerb::DiskSnapshotDelete, Rest::Running) => Lcm::DiskSnapshotDelete,
        (VmVerb::DiskSnapshotDelete, Rest::Saved) => Lcm::DiskSnapshotDeleteSuspended,
        (VmVerb::DiskSnapshotDelete, Rest::Off) => Lcm::DiskSnapshotDeletePoweroff,
        (VmVerb::DiskSnapshotRevert, _) => Lcm::DiskSnapshotRevertPoweroff,
        (VmVerb::DiskSaveAs, Rest::Running) => Lcm::HotplugSaveAs,
        (VmVerb::DiskSaveAs, Rest::Saved) => Lcm::HotplugSaveAsSuspended,
        (VmVerb::DiskSaveAs, Rest::Off) => Lcm::HotplugSaveAsPoweroff,
        (VmVerb::DiskResize, Rest::Running) => Lcm::DiskResize,
        (VmVerb::DiskResize, _) => Lcm::DiskResizePoweroff,
        (VmVerb::Resize, Rest::Running) => Lcm::HotplugResize,
        _ => return None,
    })
}

/// The number that history records and permissions give an action; 0 for what the interface has no number for.
pub(crate) fn action_number(verb: VmVerb) -> u8 {
    match verb {
        VmVerb::Create | VmVerb::Pause => 0,
        VmVerb::Migrate => 1,
        VmVerb::Undeploy => 5,
        VmVerb::UndeployHard => 6,
        VmVerb::Hold => 7,
        VmVerb::Release => 8,
        VmVerb::Stop => 9,
        VmVerb::Suspend => 10,
        VmVerb::Resume | VmVerb::Start => 11,
        VmVerb::Delete => 13,
        VmVerb::Reboot => 15,
        VmVerb::RebootHard => 16,
        VmVerb::Resched => 17,
        VmVerb::Unresched => 18,
        VmVerb::Poweroff => 19,
        VmVerb::PoweroffHard => 20,
        VmVerb::DiskAttach => 21,
        VmVerb::DiskDetach => 22,
        VmVerb::NicAttach => 23,
        VmVerb::NicDetach => 24,
        VmVerb::DiskSnapshotCreate => 25,
        VmVerb::DiskSnapshotDelete => 26,
        VmVerb::Terminate => 27,
        VmVerb::TerminateHard => 28,
        VmVerb::DiskResize => 29,
        VmVerb::Deploy => 30,
        VmVerb::Chown => 31,
        VmVerb::Chmod => 32,
        VmVerb::UpdateConf => 33,
        VmVerb::Rename => 34,
        VmVerb::Resize => 35,
        VmVerb::Update => 36,
        VmVerb::SnapshotCreate => 37,
        VmVerb::SnapshotDelete => 38,
        VmVerb::SnapshotRevert => 39,
        VmVerb::DiskSaveAs => 40,
        VmVerb::DiskSnapshotRevert => 41,
        VmVerb::Recover => 42,
        VmVerb::Retry => 43,
        VmVerb::DiskSnapshotRename => 45,
        VmVerb::AliasAttach => 46,
        VmVerb::AliasDetach => 47,
        VmVerb::NicUpdate => 51,
        VmVerb::SchedAdd => 53,
        VmVerb::SchedUpdate => 54,
        VmVerb::SchedDelete => 55,
        VmVerb::SecurityGroupAttach => 56,
        VmVerb::SecurityGroupDetach => 57,
        VmVerb::PciAttach => 58,
        VmVerb::PciDetach => 59,
        VmVerb::VmGroupAdd => 64,
        VmVerb::VmGroupDel => 65,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::vms::{LastAction, VmSpec};
    use holm_model::{Attributes, CpuShare, GroupId, HostId, Meta, Name, Permissions, Timestamp, UserId, VmId};

    const VERBS: &[VmVerb] = &[
        VmVerb::Create,
        VmVerb::Deploy,
        VmVerb::Migrate,
        VmVerb::Start,
        VmVerb::Hold,
        VmVerb::Release,
        VmVerb::Stop,
        VmVerb::Suspend,
        VmVerb::Resume,
        VmVerb::Pause,
        VmVerb::Undeploy,
        VmVerb::UndeployHard,
        VmVerb::Reboot,
        VmVerb::RebootHard,
        VmVerb::Poweroff,
        VmVerb::PoweroffHard,
        VmVerb::Terminate,
        VmVerb::TerminateHard,
        VmVerb::Delete,
        VmVerb::Resched,
        VmVerb::Unresched,
        VmVerb::DiskAttach,
        VmVerb::DiskDetach,
        VmVerb::DiskResize,
        VmVerb::DiskSnapshotCreate,
        VmVerb::DiskSnapshotDelete,
        VmVerb::DiskSnapshotRevert,
        VmVerb::DiskSnapshotRename,
        VmVerb::DiskSaveAs,
        VmVerb::NicAttach,
        VmVerb::NicDetach,
        VmVerb::NicUpdate,
        VmVerb::AliasAttach,
        VmVerb::AliasDetach,
        VmVerb::SecurityGroupAttach,
        VmVerb::SecurityGroupDetach,
        VmVerb::SnapshotCreate,
        VmVerb::SnapshotDelete,
        VmVerb::SnapshotRevert,
        VmVerb::Resize,
        VmVerb::Update,
        VmVerb::UpdateConf,
        VmVerb::Rename,
        VmVerb::Chown,
        VmVerb::Chmod,
        VmVerb::Recover,
        VmVerb::Retry,
        VmVerb::SchedAdd,
        VmVerb::SchedUpdate,
        VmVerb::SchedDelete,
        VmVerb::VmGroupAdd,
        VmVerb::VmGroupDel,
    ];
    const OBSERVED: [Observed; 9] = [
        Observed::Unknown,
        Observed::Preparing,
        Observed::Running,
        Observed::Paused,
        Observed::Stopping,
        Observed::Saved,
        Observed::Off,
        Observed::Failed,
        Observed::Absent,
    ];
    const POWERS: [Power; 5] = [Power::On, Power::Paused, Power::Saved, Power::Off, Power::OffHard];
    const HOST: HostId = HostId(3);
    const PHASES: [VmPhase; 7] = [
        VmPhase::Pending,
        VmPhase::On(HOST),
        VmPhase::Leaving(HOST),
        VmPhase::Parked(HOST),
        VmPhase::Moving { from: HOST, to: HostId(4) },
        VmPhase::Removing(Some(HOST)),
        VmPhase::Removing(None),
    ];

    fn vm() -> Vm {
        let now = Timestamp(1);
        let name = Name::new("vm").expect("is a name");
        let meta = Meta::new(name, (UserId(0), GroupId(0)), Permissions::default(), Attributes::default(), now);
        Vm::new(VmId(7), meta, VmSpec::new(CpuShare(100), 1, 128), now)
    }

    /// Calls `look` with every combination of what the numbers depend on.
    fn every_combination(mut look: impl FnMut(&Vm, Around)) {
        let mut vm = vm();
        for bits in 0..1_u32 << 9 {
            let bit = |at: u32| bits >> at & 1 == 1;
            let around = Around { host_lost: bit(0), image_on_its_way: bit(1), image_failed: bit(2) };
            vm.spec.placement.hold = bit(3);
            vm.spec.placement.away = bit(4);
            vm.spec.terminate = bit(5);
            vm.status.ever_started = bit(6);
            vm.status.refused = bit(7);
            vm.status.boot_seq = u64::from(bit(8));
            for phase in PHASES {
                vm.phase = phase;
                for power in POWERS {
                    vm.spec.power = power;
                    for observed in OBSERVED {
                        vm.status.observed = observed;
                        for (generation, confirmed) in [(1, 1), (2, 1)] {
                            vm.generation = generation;
                            vm.status.generation = confirmed;
                            // Only what is on a host and not settled depends on the verb; elsewhere some are enough.
                            let on = matches!(phase, VmPhase::On(_)) && confirmed < generation;
                            let settled = matches!(observed, Observed::Running | Observed::Off | Observed::Saved);
                            for verb in VERBS.iter().step_by(if on && settled { 1 } else { 17 }) {
                                let by = None;
                                vm.action = Some(LastAction { verb: *verb, generation, by, at: Timestamp(1) });
                                look(&vm, around);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_combination_has_a_pair_that_clients_know() {
        every_combination(|vm, around| {
            let ((state, lcm), phase, lost) = (of(vm, around), vm.phase, around.host_lost);
            assert_eq!(state == State::Active, lcm != Lcm::Init, "{state:?} {lcm:?}");
            assert!(lcm as u8 <= 68, "{lcm:?} is unknown to clients");
            let unplaced =
                [State::Pending, State::Hold, State::Stopped, State::Undeployed, State::Cloning, State::CloningFailure];
            match phase {
                VmPhase::Pending | VmPhase::Parked(_) => assert!(unplaced.contains(&state), "{phase:?} {state:?}"),
                // Clients that wait for the end of a VM take only these on the way.
                VmPhase::Removing(_) | VmPhase::Leaving(_) | VmPhase::Moving { .. } => {
                    assert_eq!(state, State::Active);
                }
                VmPhase::On(_) => {
                    assert!(!unplaced.contains(&state), "{phase:?} {state:?}");
                    assert!(!lost || lcm == Lcm::Unknown, "{state:?} {lcm:?}");
                }
            }
        });
    }

    #[test]
    fn a_vm_that_runs_as_it_should_is_running_and_nothing_else_is() {
        every_combination(|vm, around| {
            let at_rest = vm.status.generation >= vm.generation && vm.spec.exports.is_empty();
            let is = of(vm, around) == (State::Active, Lcm::Running);
            let runs = matches!(vm.phase, VmPhase::On(_))
                && !around.host_lost
                && vm.spec.power == Power::On
                && vm.status.boot_seq >= vm.spec.boot_seq
                && vm.status.observed == Observed::Running;
            if at_rest && runs {
                assert!(is, "{vm:?}");
            }
            if is {
                let on = matches!(vm.phase, VmPhase::On(_)) && !around.host_lost;
                let process = matches!(vm.status.observed, Observed::Running | Observed::Paused | Observed::Stopping);
                assert!(on && process && vm.spec.power.wants_process(), "{vm:?}");
            }
        });
    }

    #[test]
    fn actions_under_way_have_numbers_of_their_own() {
        let mut vm = vm();
        vm.phase = VmPhase::On(HOST);
        vm.status.observed = Observed::Running;
        vm.status.ever_started = true;
        vm.status.boot_seq = 1;
        vm.generation = 2;
        vm.status.generation = 1;
        let mut of_verb = |verb: VmVerb, power: Power, observed: Observed| {
            vm.spec.power = power;
            vm.status.observed = observed;
            vm.action = Some(LastAction { verb, generation: 2, by: None, at: Timestamp(1) });
            of(&vm, Around::default())
        };
        for (verb, running, off) in [
            (VmVerb::DiskAttach, Lcm::Hotplug, Lcm::HotplugPrologPoweroff),
            (VmVerb::DiskDetach, Lcm::Hotplug, Lcm::HotplugEpilogPoweroff),
            (VmVerb::NicAttach, Lcm::HotplugNic, Lcm::HotplugNicPoweroff),
            (VmVerb::DiskSnapshotCreate, Lcm::DiskSnapshot, Lcm::DiskSnapshotPoweroff),
            (VmVerb::DiskResize, Lcm::DiskResize, Lcm::DiskResizePoweroff),
        ] {
            assert_eq!(of_verb(verb, Power::On, Observed::Running), (State::Active, running));
            assert_eq!(of_verb(verb, Power::Off, Observed::Off), (State::Active, off));
        }
        assert_eq!(of_verb(VmVerb::Resize, Power::On, Observed::Running), (State::Active, Lcm::HotplugResize));
        assert_eq!(of_verb(VmVerb::Poweroff, Power::Off, Observed::Running), (State::Active, Lcm::ShutdownPoweroff));
        assert_eq!(of_verb(VmVerb::Poweroff, Power::Off, Observed::Off), (State::Poweroff, Lcm::Init));
        assert_eq!(of_verb(VmVerb::Suspend, Power::Saved, Observed::Running), (State::Active, Lcm::SaveSuspend));
        assert_eq!(of_verb(VmVerb::Suspend, Power::Saved, Observed::Saved), (State::Suspended, Lcm::Init));
        assert_eq!(of_verb(VmVerb::Resume, Power::On, Observed::Saved), (State::Active, Lcm::BootSuspended));
    }

    #[test]
    fn a_vm_that_moves_shows_what_it_does_again_there() {
        let mut vm = vm();
        let number = |vm: &Vm| of(vm, Around::default());
        vm.phase = VmPhase::On(HOST);
        vm.status.observed = Observed::Running;
        vm.spec.power = Power::Saved;
        vm.spec.placement.then = Some(Power::On);
        assert_eq!(number(&vm), (State::Active, Lcm::SaveMigrate));
        vm.status.observed = Observed::Saved;
        for phase in [VmPhase::On(HOST), VmPhase::Parked(HOST), VmPhase::Moving { from: HOST, to: HostId(4) }] {
            vm.phase = phase;
            for (then, lcm) in [
                (Power::On, Lcm::PrologMigrate),
                (Power::Off, Lcm::PrologMigratePoweroff),
                (Power::Saved, Lcm::PrologMigrateSuspend),
            ] {
                vm.spec.placement.then = Some(then);
                assert_eq!(number(&vm), (State::Active, lcm), "{phase:?}");
            }
        }
        vm.spec.placement.then = None;
        assert_eq!(number(&vm), (State::Active, Lcm::PrologResume));
        vm.status.observed = Observed::Off;
        assert_eq!(number(&vm), (State::Active, Lcm::PrologUndeploy));
    }

    #[test]
    fn action_numbers_are_those_of_the_interface() {
        let numbers: std::collections::BTreeSet<u8> = VERBS.iter().map(|verb| action_number(*verb)).collect();
        assert!(numbers.iter().all(|number| *number <= 65 && ![2, 3, 4, 12].contains(number)));
        assert_eq!((action_number(VmVerb::Terminate), action_number(VmVerb::DiskSaveAs)), (27, 40));
    }
}
