//! Rules broken on purpose, from outside, to see whether the checks notice.
//!
//! Each variant undoes one guard of the real program by what the wiring around it does: to the guarded party it looks
//! as if the guard were not there.

use crate::chance::Chance;
use holm_model::HostId;
use holm_model::host_plan::HostReport;
use holm_wire::host::{Frame, Message};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Which guard is undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// None: the real thing.
    #[default]
    None,
    /// An agent does not compare revisions: an old plan, delivered late, is followed.
    OldPlans,
    /// A session does not care which link a report came over: reports of a link that is gone are taken.
    LateReports,
    /// A word that nothing is left of a VM counts whatever plan it was given under. Such words are also repeated late.
    AnyAbsence,
    /// No guard is undone; words about absence are repeated late all the same, and must do no harm.
    RepeatedAbsence,
    /// The engine places a VM anew while it is still leaving its host.
    PlacesWhileLeaving,
    /// The engine deletes a VM's row without waiting for its host.
    ForgetsWithoutAsking,
    /// A VM that moves is taken for arrived without its new host's word.
    ArrivesUnasked,
    /// What a VM left behind is forgotten without its old host's word.
    ForgetsRemains,
    /// A commit is acknowledged before it is durable; a crash takes the last ones back.
    ForgetfulJournal,
    /// An agent follows a plan before it is in the ledger, and a crash finds an older one there.
    ForgetfulLedger,
    /// Desk and engine take a full host for an empty one.
    Overbooking,
    /// A repeated request is carried out again.
    ForgetsRequests,
}

impl Sabotage {
    /// Every way to break a rule.
    pub const ALL: [Self; 11] = [
        Self::OldPlans,
        Self::LateReports,
        Self::AnyAbsence,
        Self::PlacesWhileLeaving,
        Self::ForgetsWithoutAsking,
        Self::ArrivesUnasked,
        Self::ForgetsRemains,
        Self::ForgetfulJournal,
        Self::ForgetfulLedger,
        Self::Overbooking,
        Self::ForgetsRequests,
    ];
}

/// What happens to messages on their way when a guard is undone.
#[derive(Clone)]
pub(crate) struct Tampering {
    sabotage: Sabotage,
    chance: Chance,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    plans: BTreeMap<HostId, Vec<Message>>,
    reports: BTreeMap<HostId, Vec<HostReport>>,
    /// Reports added to the present link of a host, by which the numbers of the real ones have to grow.
    added: BTreeMap<HostId, u64>,
}

impl Tampering {
    pub(crate) fn new(sabotage: Sabotage, chance: Chance) -> Self {
        Self { sabotage, chance, kept: Arc::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link of the host was opened.
    pub(crate) fn opened(&self, host: HostId) {
        self.kept().added.remove(&host);
    }

    /// What arrives at the host instead of `message`.
    pub(crate) fn downwards(&self, host: HostId, message: Message) -> Vec<Message> {
        let Message::Frame(Frame::Plan(plan)) = &message else { return vec![message] };
        if self.sabotage != Sabotage::OldPlans {
            return vec![message];
        }
        let mut kept = self.kept();
        let plans = kept.plans.entry(host).or_default();
        plans.push(message.clone());
        let old = self.chance.once_in(4).then(|| self.chance.pick(plans)).flatten();
        match old {
            Some(Message::Frame(Frame::Plan(mut old))) => {
                old.revision = plan.revision;
                vec![message, Message::Frame(Frame::Plan(old))]
            }
            _ => vec![message],
        }
    }

    /// What arrives at the front-end instead of `message`.
    pub(crate) fn upwards(&self, host: HostId, message: Message) -> Vec<Message> {
        let Message::Frame(Frame::Report(mut report)) = message else { return vec![message] };
        match self.sabotage {
            Sabotage::AnyAbsence | Sabotage::RepeatedAbsence | Sabotage::LateReports => {
                let words_only = self.sabotage != Sabotage::LateReports;
                let mut kept = self.kept();
                let added = kept.added.get(&host).copied().unwrap_or(0);
                report.seq += added;
                let reports = kept.reports.entry(host).or_default();
                let late = self.chance.once_in(if words_only { 3 } else { 8 }).then(|| self.chance.pick(reports));
                if words_only && !report.absent.is_empty() {
                    reports.push(HostReport {
                        applied_revision: report.applied_revision,
                        absent: report.absent.clone(),
                        ..HostReport::default()
                    });
                } else if !words_only {
                    reports.push((*report).clone());
                }
                let now_applied = report.applied_revision;
                let next = report.seq + 1;
                let mut messages = vec![Message::Frame(Frame::Report(report))];
                if let Some(mut late) = late.flatten() {
                    late.seq = next;
                    if self.sabotage == Sabotage::AnyAbsence {
                        late.applied_revision = u64::MAX;
                    } else if words_only {
                        // The newest revision is known already; only the word itself is late.
                        late.applied_revision = late.applied_revision.min(now_applied);
                    }
                    kept.added.insert(host, added + 1);
                    messages.push(Message::Frame(Frame::Report(Box::new(late))));
                }
                messages
            }
            Sabotage::Overbooking => {
                if let Some(facts) = &mut report.facts {
                    facts.cores *= 8;
                    facts.memory_mib *= 8;
                }
                vec![Message::Frame(Frame::Report(report))]
            }
            _ => vec![Message::Frame(Frame::Report(report))],
        }
    }
}
