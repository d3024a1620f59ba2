//! The loop: feed and timers in, verdicts out.

use crate::agenda::Agenda;
use crate::figures::Figures;
use crate::offers::Offers;
use crate::schedule::Admission;
use crate::settings::Settings;
use holm_model::hosts::Host;
use holm_model::images::{Image, ImagePhase};
use holm_model::networks::Network;
use holm_model::vms::Vm;
use holm_model::{
    Change, ChangeVerb, Clock, ClusterId, HostId, ImageId, NetworkId, ObjectKind, ObjectRef, Timestamp, VmGroupId,
    VmId, World,
};
use holm_store::{Feed, Missed, Noun, Snapshot, Store, StoreError, WriteError};
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How many VMs that wait for addresses are looked at when a VM goes and gives its addresses back.
const ADDRESS_SEEKERS_PER_PASS: usize = 64;

/// When the engine wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// At this time at the latest, sooner when something changes.
    At(Timestamp),
    /// Never: the store is closed.
    Closed,
}

/// Everything the engine has in hand. All of it but the store can be lost.
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) agenda: Agenda,
    pub(crate) figures: Arc<Figures>,
    pub(crate) admission: Option<Admission>,
    feed: Feed,
    offers: Offers,
    images_seen: HashMap<ImageId, ImagePhase>,
    /// VMs that fit somewhere but for an address.
    pub(crate) address_seekers: BTreeSet<VmId>,
    next_sweep: Timestamp,
    /// Where the next sweep goes on among the waiting VMs.
    sweep_from: VmId,
    /// The store failed so often in a row, and is not tried again before then.
    store_pause: Option<(u32, Timestamp)>,
    closed: bool,
}

impl Engine {
    /// An engine with ordinary patience. It begins by looking at everything.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self::with_settings(store, clock, Settings::default())
    }

    /// An engine with the given patience. It begins by looking at everything.
    #[must_use]
    pub fn with_settings(store: Store, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let (snapshot, feed) = store.follow();
        let now = clock.now();
        let mut engine = Self {
            store,
            clock,
            agenda: Agenda::default(),
            figures: Arc::default(),
            admission: None,
            feed,
            offers: Offers::default(),
            images_seen: HashMap::new(),
            address_seekers: BTreeSet::new(),
            next_sweep: now.plus(settings.sweep),
            sweep_from: VmId(0),
            store_pause: None,
            closed: false,
            settings,
        };
        engine.look_at_everything(&snapshot);
        engine
    }

    /// What the engine has done so far; stays up to date.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        self.figures.clone()
    }

    /// Works until the store is closed or `shutdown` turns true (or its sender is gone). Dropping the future at any
    /// time loses nothing.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow_and_update() {
            let Wake::At(wake) = self.settle().await else { return };
            let pause = wake.since(self.clock.now()).max(Duration::from_millis(1));
            tokio::select! {
                item = self.feed.next() => self.heard(item.map(|item| item.changes)),
                () = tokio::time::sleep(pause) => {}
                gone = shutdown.changed() => if gone.is_err() { return },
            }
        }
    }

    /// Looks at everything that changed or is due, again and again until nothing more is to be done now. Returns when
    /// to call again although nothing changes.
    pub async fn settle(&mut self) -> Wake {
        self.agenda.begin();
        loop {
            self.listen();
            if self.closed {
                return Wake::Closed;
            }
            let now = self.clock.now();
            if let Some(until) = self.store_rests_until(now) {
                return Wake::At(until);
            }
            self.agenda.wake(now);
            if now >= self.next_sweep {
                self.next_sweep = now.plus(self.settings.sweep);
                self.sweep(now).await;
                continue;
            }
            let worked = self.pass(now).await;
            self.figures.set_queue(self.agenda.len());
            if !worked {
                break;
            }
        }
        Wake::At(self.agenda.next_wake().map_or(self.next_sweep, |wake| wake.min(self.next_sweep)))
    }

    /// One round over what is to be looked at; whether there was anything. Hosts and images go first, because VMs
    /// wait for them.
    async fn pass(&mut self, now: Timestamp) -> bool {
        let mut worked = self.hosts_pass(now).await;
        worked |= self.images_pass(now).await;
        worked |= self.networks_pass(now).await;
        if worked {
            self.listen();
        }
        self.reconsider();
        worked | self.vms_pass(now).await
    }

    /// Takes in what the feed has.
    fn listen(&mut self) {
        loop {
            match self.feed.try_next() {
                Ok(Some(item)) => self.heard(Ok(item.changes)),
                Ok(None) => return,
                Err(missed) => {
                    self.heard(Err(missed));
                    if missed == Missed::Closed {
                        return;
                    }
                }
            }
        }
    }

    fn heard(&mut self, news: Result<Arc<[Change]>, Missed>) {
        match news {
            Ok(changes) => {
                let snapshot = self.store.read();
                for change in changes.iter() {
                    self.changed(&snapshot, *change);
                }
            }
            Err(Missed::Closed) => self.closed = true,
            Err(Missed::Lagged { by }) => {
                tracing::info!(by, "changes came faster than they could be read; looking at everything");
                let snapshot = self.store.read();
                self.look_at_everything(&snapshot);
            }
        }
    }

    /// Notes what one change means for whom.
    fn changed(&mut self, state: &Snapshot, change: Change) {
        let object = change.object;
        let gone = change.verb == ChangeVerb::Deleted;
        match object.kind {
            ObjectKind::Vm => {
                self.offers.vm(VmId(object.id), state.vm(VmId(object.id)));
                if gone {
                    self.agenda.forget(object);
                    self.address_seekers.remove(&VmId(object.id));
                    for vm in self.address_seekers.iter().take(ADDRESS_SEEKERS_PER_PASS) {
                        self.agenda.add(Vm::object(*vm));
                    }
                    self.look_at_removals(state);
                } else {
                    self.agenda.add(object);
                }
            }
            ObjectKind::Host => {
                let id = HostId(object.id);
                if self.offers.host(id, state.host(id)) {
                    for vm in state.vms_on_host(id) {
                        self.agenda.add(Vm::object(vm));
                    }
                }
                if gone {
                    self.agenda.forget(object);
                } else {
                    self.agenda.add(object);
                }
            }
            ObjectKind::Image => {
                let id = ImageId(object.id);
                let seen = state.image(id).map(|image| image.phase);
                let before = match seen {
                    Some(seen) => self.images_seen.insert(id, seen),
                    None => self.images_seen.remove(&id),
                };
                // Progress of a fetch changes an image often and concerns nobody who waits for it.
                if seen != before {
                    self.look_at_waiting(state, state.vms_of_image(id).collect());
                    self.agenda.add(object);
                }
                if gone {
                    self.agenda.forget(object);
                }
            }
            ObjectKind::Network => {
                self.look_at_waiting(state, state.vms_on_network(NetworkId(object.id)).collect());
                if gone {
                    self.agenda.forget(object);
                } else {
                    self.agenda.add(object);
                }
            }
            ObjectKind::Cluster => self.offers.cluster(ClusterId(object.id)),
            ObjectKind::VmGroup => {
                self.look_at_waiting(state, state.vms_in_vm_group(VmGroupId(object.id)).collect());
            }
            ObjectKind::Datastore => self.offers.datastore(),
            ObjectKind::SecurityGroup
            | ObjectKind::Template
            | ObjectKind::NetworkTemplate
            | ObjectKind::Document
            | ObjectKind::Vdc
            | ObjectKind::Acl
            | ObjectKind::Zone
            | ObjectKind::EndedVm
            | ObjectKind::User
            | ObjectKind::Group
            | ObjectKind::Token
            | ObjectKind::JoinToken
            | ObjectKind::Operation => {}
        }
    }

    fn look_at_waiting(&mut self, state: &Snapshot, vms: Vec<VmId>) {
        for id in vms {
            if state.vm(id).is_some_and(|vm| vm.phase.host().is_none()) {
                self.agenda.add(Vm::object(id));
            }
        }
    }

    /// Images and networks that only wait for their last VM to go.
    fn look_at_removals(&mut self, state: &Snapshot) {
        for row in state.list::<Image>().filter(|row| row.value.phase == ImagePhase::Removing) {
            self.agenda.add(Image::object(row.value.id));
        }
        for row in state.list::<Network>().filter(|row| row.value.removing) {
            self.agenda.add(Network::object(row.value.id));
        }
    }

    fn look_at_everything(&mut self, state: &Snapshot) {
        self.offers.start_over(state);
        self.images_seen = state.list::<Image>().map(|row| (row.value.id, row.value.phase)).collect();
        self.look_at_small_tables(state);
        for vm in state.vms() {
            self.agenda.add(Vm::object(vm.id));
        }
    }

    fn look_at_small_tables(&mut self, state: &Snapshot) {
        for host in state.hosts() {
            self.agenda.add(Host::object(host.id));
        }
        for row in state.list::<Image>() {
            self.agenda.add(Image::object(row.value.id));
        }
        for row in state.list::<Network>() {
            self.agenda.add(Network::object(row.value.id));
        }
    }

    /// The periodic look at everything, in case a change was overlooked. VMs that wait cost most to look at; they take
    /// turns.
    async fn sweep(&mut self, now: Timestamp) {
        let state = self.store.read();
        self.look_at_small_tables(&state);
        for vm in state.vms().filter(|vm| vm.phase.host().is_some() || !vm.schedule.is_empty()) {
            self.agenda.add(Vm::object(vm.id));
        }
        let waiting: Vec<VmId> = state.vms_unplaced().collect();
        let start = waiting.partition_point(|id| *id < self.sweep_from);
        let turn = waiting.iter().cycle().skip(start).take(self.settings.waiting_per_sweep.min(waiting.len()));
        for id in turn {
            self.agenda.add(Vm::object(*id));
            self.sweep_from = VmId(id.0.saturating_add(1));
        }
        self.expire(&state, now).await;
    }

    /// Looks again at the waiting VMs that fit on a host with more to offer than when they were refused.
    fn reconsider(&mut self) {
        let risen = self.offers.take_risen();
        if risen.is_empty() {
            return;
        }
        let state = self.store.read();
        let again = self.fitting(&state, &risen);
        self.figures.add_reconsidered(again.len());
        for id in again {
            self.agenda.add(Vm::object(id));
        }
    }

    /// What a failed transaction over several objects means. When one of them is at fault, the caller tries each by
    /// itself, and the one that fails alone is set aside; when the store is, everybody waits for the store.
    pub(crate) fn commit_failed(
        &mut self,
        error: &WriteError<Infallible>,
        objects: &[ObjectRef],
        now: Timestamp,
    ) -> Failure {
        let WriteError::Store(error) = error else { return Failure::OfStore };
        match error {
            StoreError::Panicked { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Encode { .. }
            | StoreError::IdsExhausted { .. } => {
                if let [object] = objects {
                    tracing::error!(%error, %object, "a step failed; the object is set aside for a while");
                    self.figures.add_failures(1);
                    self.agenda.failed(*object, now, &self.settings);
                }
                Failure::OfObject
            }
            StoreError::Closed => {
                self.closed = true;
                Failure::OfStore
            }
            _ => {
                let failures = self.store_pause.map_or(0, |(failures, _)| failures);
                let pause = self.settings.first_pause.saturating_mul(1 << failures.min(20));
                let until = now.plus(pause.min(self.settings.longest_pause));
                tracing::warn!(%error, %until, "the store takes no changes; trying again later");
                self.store_pause = Some((failures.saturating_add(1), until));
                for object in objects {
                    self.agenda.add(*object);
                }
                Failure::OfStore
            }
        }
    }

    /// The store took a change: its failures are over.
    pub(crate) fn committed(&mut self) {
        self.store_pause = None;
    }

    /// Whether the store has just failed and is to be left alone.
    pub(crate) fn store_rests(&self, now: Timestamp) -> bool {
        self.closed || self.store_rests_until(now).is_some()
    }

    fn store_rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.store_pause.map(|(_, until)| until).filter(|until| now < *until)
    }
}

/// Who is to blame for a failed commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One of the objects.
    OfObject,
    /// The store, for all objects alike.
    OfStore,
}
