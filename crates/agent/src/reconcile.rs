//! What to do next for one VM: a pure function of what is wanted, remembered, seen and lately tried.
//!
//! ```text
//!   nothing there ──Start──> running ──Press...──> shut down ──Off──> nothing there
//!         ▲                  │   │ └─grace over / hard──Off──────────────▲
//!         │ └──back-off── died ┘ ├─ Tend, Cpus, Arrange
//!         └─────────Start─── saved <──Save     (saved, to be off: Drop; off or saved for good: Trim)
//!   absent: Remove, whatever is there
//!   moves away: at rest, Pack ──> Send          comes: Receive, and nothing else until the plan says so
//! ```
//!
//! # Invariants
//!
//! * Nothing is removed unless the plan says *absent*.
//! * A VM that rests without a process has no ports but those of its plan's cards.
//! * Saved memory is dropped only when the plan says off; snapshots are put in order before a start.
//! * Nothing is started when something of it may run, and nothing that ended for good is started for the same `boot_seq`.
//! * Every decision without an action either is settled or says when to look again.

use crate::deeds::{self, Situation};
use crate::ledger::VmMemory;
use holm_driver::{Ended, MachineSeen, RunState};
use holm_model::host_plan::VmPlan;
use holm_model::vms::{Observed, Parcel, Power, RestartPolicy};
use std::sync::Arc;
use std::time::Duration;

/// How long between two presses of a power button that is not followed: a guest that is still booting misses the first.
pub const PRESS_AGAIN: Duration = Duration::from_secs(5);

/// What the plan says of a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: it is left alone.
    #[default]
    Unsaid,
    /// It belongs here.
    Here(Arc<VmPlan>),
    /// It is to be removed for good.
    Absent,
}

/// What a keeper tried since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pad {
    /// First and last press of the power button of the current stop.
    pub pressed: Option<(Duration, Duration)>,
    /// The generation that was applied to the running guest, and whether a restart is needed for the rest.
    pub tended: Option<(u64, bool)>,
    /// What the running guest did not follow.
    pub undone: Option<Undone>,
    /// The generation whose cards are the only ones that still have ports.
    pub trimmed: Option<u64>,
    /// Whether everything of it was removed.
    pub removed: bool,
    /// The kind of action that failed last, and when it may be tried again.
    pub held: Option<(Kind, Duration)>,
    /// Failures in a row.
    pub faults: u32,
    /// Deaths in a row, each soon after its start.
    pub deaths: u32,
    /// Generation and `boot_seq` this host refuses for good, and why.
    pub refused: Option<(u64, u64, String)>,
    /// What went wrong last.
    pub fault: Option<String>,
    /// All parts of it, when it moves away and they have been looked at.
    pub packed: Option<Vec<Parcel>>,
    /// Whether the front-end has them all.
    pub sent: bool,
}

/// Something a running guest did not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The generation that asked for it.
    pub generation: u64,
    /// What and why, one sentence.
    pub says: String,
    /// When it is tried again.
    pub again: Duration,
}

/// Everything a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What the plan says.
    pub wanted: &'a Wanted,
    /// What the ledger remembers.
    pub memory: &'a VmMemory,
    /// What is there.
    pub seen: Option<&'a MachineSeen>,
    /// What was tried.
    pub pad: &'a Pad,
    /// The host's present boot; `None` while it is not known.
    pub boot_id: Option<&'a str>,
    /// Time since the agent started.
    pub now: Duration,
    /// How long a guest may take to follow its power button.
    pub grace: Duration,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make ready what it needs and start it.
    Start,
    /// Stop or continue its CPUs.
    Cpus(bool),
    /// Make the running guest follow its plan as far as possible.
    Tend,
    /// Put its snapshots in order.
    Arrange,
    /// Remove the ports of cards it no longer has.
    Trim,
    /// Save its memory and end its process.
    Save,
    /// Drop its saved memory.
    Drop,
    /// Press its power button.
    Press,
    /// End its process.
    Off,
    /// Remove everything of it.
    Remove,
    /// Find out what there is to be sent.
    Pack,
    /// Send all its parts.
    Send,
    /// Fetch all its parts.
    Receive,
    /// Write something down before going on.
    Note(Note),
}

/// The kinds of actions that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the action it names")]
pub enum Kind {
    Start,
    Cpus,
    Tend,
    Arrange,
    Trim,
    Save,
    Drop,
    Press,
    Off,
    Remove,
    Pack,
    Send,
    Receive,
    Note,
}

impl Action {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Start => Kind::Start,
            Self::Cpus(_) => Kind::Cpus,
            Self::Tend => Kind::Tend,
            Self::Arrange => Kind::Arrange,
            Self::Trim => Kind::Trim,
            Self::Save => Kind::Save,
            Self::Drop => Kind::Drop,
            Self::Press => Kind::Press,
            Self::Off => Kind::Off,
            Self::Remove => Kind::Remove,
            Self::Pack => Kind::Pack,
            Self::Send => Kind::Send,
            Self::Receive => Kind::Receive,
            Self::Note(_) => Kind::Note,
        }
    }
}

/// Something to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It runs, for this `boot_seq` and generation.
    Runs(u64, u64),
    /// It ended by itself and is to be started again after a while.
    Died(String),
    /// It ended by itself and stays off for this `boot_seq`.
    Ended {
        /// The run's `boot_seq`.
        boot_seq: u64,
        /// One sentence.
        why: String,
        /// Whether it switched itself off.
        clean: bool,
    },
    /// It was switched off as wanted.
    Stopped,
}

/// What to do, what to say, when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The next action, if any.
    pub action: Option<Action>,
    /// When to decide again although nothing changed.
    pub wake: Option<Duration>,
    /// What the VM does.
    pub observed: Observed,
    /// One sentence for people.
    pub message: Option<String>,
}

impl Decision {
    fn rest(observed: Observed) -> Self {
        Self { action: None, wake: None, observed, message: None }
    }

    fn say(mut self, message: impl Into<Option<String>>) -> Self {
        self.message = message.into().or(self.message);
        self
    }

    fn wake(mut self, at: Duration) -> Self {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
        self
    }
}

/// 1, 2, 4 ... 60 seconds for the first, second, third ... failure in a row.
#[must_use]
pub fn back_off(failures: u32) -> Duration {
    Duration::from_secs((1_u64 << failures.saturating_sub(1).min(6)).min(60))
}

impl Sight<'_> {
    /// Does `action` unless one of its kind failed a moment ago.
    fn act(&self, action: Action, observed: Observed) -> Decision {
        let rest = Decision::rest(observed).say(self.pad.fault.clone());
        match self.pad.held {
            Some((kind, until)) if kind == action.kind() && self.now < until => rest.wake(until),
            _ => Decision { action: Some(action), ..rest },
        }
    }

    fn note(&self, note: Note, observed: Observed) -> Decision {
        let why = match &note {
            Note::Died(why) | Note::Ended { why, .. } => Some(why.clone()),
            Note::Runs(..) | Note::Stopped => None,
        };
        Decision { action: Some(Action::Note(note)), ..Decision::rest(observed).say(why) }
    }
}

/// What to do next.
#[must_use]
pub fn decide(sight: &Sight<'_>) -> Decision {
    match sight.wanted {
        Wanted::Unsaid => Decision::rest(observe(sight.seen)),
        Wanted::Absent if sight.pad.removed => Decision::rest(Observed::Absent),
        Wanted::Absent => sight.act(Action::Remove, Observed::Stopping),
        Wanted::Here(plan) if plan.receives.is_some() && sight.seen.is_none_or(|s| s.pid.is_none()) => {
            coming(sight, plan)
        }
        Wanted::Here(plan) => {
            let decision = match sight.seen.map(|s| (&s.state, s)) {
                Some((RunState::Running, seen)) => alive(sight, plan, seen, true),
                Some((RunState::Paused, seen)) => alive(sight, plan, seen, false),
                Some((RunState::ShutDown, seen)) => shut_down(sight, plan, seen),
                Some((RunState::Saved, _)) => saved(sight, plan),
                Some((RunState::Gone(ended), _)) => gone(sight, plan, ended),
                None => gone(sight, plan, &Ended::Unseen),
            };
            if plan.sends { going(sight, plan, decision) } else { decision }
        }
    }
}

/// It moves away: once it is at rest, everything of it is sent.
fn going(sight: &Sight<'_>, plan: &VmPlan, rest: Decision) -> Decision {
    if rest.action.is_some() || !matches!(rest.observed, Observed::Off | Observed::Saved) {
        return rest;
    }
    if let Some(why) = refusal(sight, plan) {
        return rest.say(why);
    }
    match sight.pad.packed {
        None => sight.act(Action::Pack, rest.observed),
        Some(_) if !sight.pad.sent => sight.act(Action::Send, rest.observed),
        Some(_) => rest,
    }
}

/// It comes from another host: everything of it is fetched, and then it rests until the plan says that it is here.
fn coming(sight: &Sight<'_>, plan: &VmPlan) -> Decision {
    if has_come(plan, sight.memory) {
        return Decision::rest(observe(sight.seen));
    }
    match refusal(sight, plan) {
        Some(why) => Decision::rest(Observed::Preparing).say(why),
        None => sight.act(Action::Receive, Observed::Preparing),
    }
}

/// Whether everything of it that comes from another host is here.
pub(crate) fn has_come(plan: &VmPlan, memory: &VmMemory) -> bool {
    memory.ever_started && plan.receives.as_ref() == Some(&memory.received)
}

/// What a guest does as far as a survey tells.
#[must_use]
pub fn observe(seen: Option<&MachineSeen>) -> Observed {
    match seen.map(|s| &s.state) {
        Some(RunState::Running) => Observed::Running,
        Some(RunState::Paused) => Observed::Paused,
        Some(RunState::Saved) => Observed::Saved,
        Some(RunState::ShutDown | RunState::Gone(_)) | None => Observed::Off,
    }
}

/// The `boot_seq` of a process; one that cannot tell is taken to be the remembered run, or else what is wanted.
fn boot_of(sight: &Sight<'_>, plan: &VmPlan, seen: &MachineSeen) -> u64 {
    match seen.boot_seq {
        0 => sight.memory.run.as_ref().map_or(plan.boot_seq, |r| r.boot_seq),
        known => known,
    }
}

fn alive(sight: &Sight<'_>, plan: &VmPlan, seen: &MachineSeen, running: bool) -> Decision {
    let boot = boot_of(sight, plan, seen);
    let observed = if running { Observed::Running } else { Observed::Paused };
    if !sight.memory.run.as_ref().is_some_and(|r| r.confirmed && r.boot_seq == boot) {
        return sight.note(Note::Runs(boot, seen.generation), observed);
    }
    let reboot = plan.boot_seq > boot;
    match plan.power {
        Power::OffHard => return sight.act(Action::Off, Observed::Stopping),
        Power::Saved => return sight.act(Action::Save, Observed::Stopping),
        Power::Off => return stop(sight, running, "it was asked to switch off"),
        Power::On | Power::Paused if reboot => return stop(sight, running, "it was asked to switch off to boot again"),
        Power::On | Power::Paused => {}
    }
    let wanted = plan.power == Power::On;
    if wanted != running {
        return sight.act(Action::Cpus(wanted), observed);
    }
    if let Some(why) = refusal(sight, plan) {
        return Decision::rest(observed).say(why);
    }
    let undone = sight.pad.undone.as_ref();
    if sight.pad.tended.is_none_or(|(generation, _)| generation != plan.generation)
        || undone.is_some_and(|undone| undone.again <= sight.now)
    {
        return sight.act(Action::Tend, observed);
    }
    if deeds::needed(plan, sight.memory, Situation::Running) {
        return sight.act(Action::Arrange, observed);
    }
    let rest = Decision::rest(observed);
    match undone {
        Some(undone) => rest.say(undone.says.clone()).wake(undone.again),
        None => rest,
    }
}

fn saved(sight: &Sight<'_>, plan: &VmPlan) -> Decision {
    match plan.power {
        Power::Off | Power::OffHard => return sight.act(Action::Drop, Observed::Saved),
        Power::Saved if sight.memory.run.as_ref().is_some_and(|r| r.confirmed) => {
            return sight.note(Note::Stopped, Observed::Saved);
        }
        Power::On | Power::Paused if let Some(why) = refusal(sight, plan) => {
            return trimmed(sight, plan, Decision::rest(Observed::Saved).say(why));
        }
        _ => {}
    }
    if deeds::needed(plan, sight.memory, Situation::Saved) {
        return sight.act(Action::Arrange, Observed::Saved);
    }
    match plan.power {
        Power::On | Power::Paused => sight.act(Action::Start, Observed::Saved),
        _ => trimmed(sight, plan, Decision::rest(Observed::Saved)),
    }
}

/// Why this host does not start it, when it said so of this very plan.
fn refusal(sight: &Sight<'_>, plan: &VmPlan) -> Option<String> {
    let (generation, boot, why) = sight.pad.refused.as_ref()?;
    ((*generation, *boot) == (plan.generation, plan.boot_seq)).then(|| why.clone())
}

/// What snapshots of the VM may be made of now.
pub(crate) fn situation(plan: &VmPlan, memory: &VmMemory, seen: Option<&MachineSeen>, pad: &Pad) -> Situation {
    match seen.map(|s| (&s.state, s.pid)) {
        Some((RunState::Saved, _)) => Situation::Saved,
        Some((_, Some(_))) => Situation::Running,
        _ => {
            let ended = memory.ended.as_ref().is_some_and(|e| e.boot_seq >= plan.boot_seq);
            let refused = pad.refused.as_ref().is_some_and(|r| (r.0, r.1) == (plan.generation, plan.boot_seq));
            Situation::Off { starts: plan.power.wants_process() && !ended && !refused }
        }
    }
}

/// Puts snapshots in order before `then`, while no process has the disks open.
fn arranged(sight: &Sight<'_>, plan: &VmPlan, starts: bool, then: Decision) -> Decision {
    if !deeds::needed(plan, sight.memory, Situation::Off { starts }) {
        return if starts { then } else { trimmed(sight, plan, then) };
    }
    first(sight, Action::Arrange, then)
}

/// Takes the ports of cards that went while no process had them before `then`: their networks may have to go, and their
/// addresses may be somebody else's by now. A start does the same by itself.
fn trimmed(sight: &Sight<'_>, plan: &VmPlan, then: Decision) -> Decision {
    if sight.pad.trimmed == Some(plan.generation) || !has_old_ports(plan, sight.memory) {
        return then;
    }
    first(sight, Action::Trim, then)
}

/// Whether there may be ports of cards that the plan no longer has: they were made for another generation than its. A VM
/// that is as it was created never had other cards.
pub(crate) fn has_old_ports(plan: &VmPlan, memory: &VmMemory) -> bool {
    plan.generation != memory.run.as_ref().map_or(1, |run| run.generation)
}

/// Does `action` before `then`.
fn first(sight: &Sight<'_>, action: Action, then: Decision) -> Decision {
    let mut act = sight.act(action, then.observed);
    act.message = act.message.or(then.message);
    act
}

fn stop(sight: &Sight<'_>, running: bool, why: &str) -> Decision {
    let Some((first, last)) = sight.pad.pressed else {
        // Stopped CPUs cannot follow a button.
        let action = if running { Action::Press } else { Action::Cpus(true) };
        let held = sight.pad.held.is_some_and(|(kind, _)| kind == Kind::Cpus);
        return sight.act(if held { Action::Off } else { action }, Observed::Stopping);
    };
    let (force, again) = (first + sight.grace, last + PRESS_AGAIN);
    if sight.now >= force {
        return sight.act(Action::Off, Observed::Stopping);
    }
    if sight.now >= again {
        let act = sight.act(if running { Action::Press } else { Action::Cpus(true) }, Observed::Stopping);
        return if act.action.is_some() { act } else { act.wake(force) };
    }
    let left = (force - sight.now).as_secs().max(1);
    let rest = Decision::rest(Observed::Stopping).say(format!("{why}; its power is cut in {left} s at the latest"));
    rest.wake(force.min(again))
}

fn shut_down(sight: &Sight<'_>, plan: &VmPlan, seen: &MachineSeen) -> Decision {
    let boot = boot_of(sight, plan, seen);
    if !plan.power.wants_process() || plan.boot_seq > boot {
        return sight.act(Action::Off, Observed::Stopping);
    }
    let why = "the guest switched itself off";
    let noted = sight.memory.ended.as_ref().is_some_and(|e| e.boot_seq >= boot);
    let confirmed = sight.memory.run.as_ref().is_some_and(|r| r.confirmed);
    match plan.restart {
        RestartPolicy::Always if confirmed => sight.note(Note::Died(why.into()), Observed::Failed),
        RestartPolicy::OnFailure | RestartPolicy::Never if !noted => {
            sight.note(Note::Ended { boot_seq: boot, why: why.into(), clean: true }, Observed::Off)
        }
        _ => sight.act(Action::Off, Observed::Off),
    }
}

fn gone(sight: &Sight<'_>, plan: &VmPlan, ended: &Ended) -> Decision {
    let memory = sight.memory;
    let run = memory.run.as_ref();
    if !plan.power.wants_process() {
        if run.is_some_and(|r| r.confirmed) {
            return sight.note(Note::Stopped, Observed::Off);
        }
        return arranged(sight, plan, false, Decision::rest(Observed::Off));
    }
    if let Some(ending) = memory.ended.as_ref().filter(|e| e.boot_seq >= plan.boot_seq) {
        let observed = if ending.clean { Observed::Off } else { Observed::Failed };
        return arranged(sight, plan, false, Decision::rest(observed).say(ending.why.clone()));
    }
    if let Some(why) = refusal(sight, plan) {
        return arranged(sight, plan, false, Decision::rest(Observed::Failed).say(why));
    }
    let observed = if sight.pad.fault.is_some() { Observed::Failed } else { Observed::Preparing };
    let Some(run) = run.filter(|r| r.boot_seq >= plan.boot_seq && r.confirmed) else {
        return arranged(sight, plan, true, sight.act(Action::Start, observed));
    };
    let why = match (ended, sight.boot_id) {
        (Ended::Died(words), _) => format!("its process ended: {words}"),
        (Ended::Unseen, Some(boot)) if boot == run.boot_id => "its process was gone when it was looked for".into(),
        (Ended::Unseen, None) if plan.restart == RestartPolicy::Never => {
            // Whether the host lost its power decides, and that is known in a moment.
            return Decision::rest(Observed::Failed)
                .say("its process is gone; waits to learn whether the host was started anew".to_owned())
                .wake(sight.now + Duration::from_millis(500));
        }
        // The host was started anew: it ran, so it runs again.
        (Ended::Unseen, _) => return arranged(sight, plan, true, sight.act(Action::Start, observed)),
    };
    match plan.restart {
        RestartPolicy::Never => sight.note(Note::Ended { boot_seq: run.boot_seq, why, clean: false }, Observed::Failed),
        RestartPolicy::Always | RestartPolicy::OnFailure => sight.note(Note::Died(why), Observed::Failed),
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
