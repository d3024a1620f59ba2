//! The suite that every set of drivers passes, fake or real.
//!
//! A test gives a [`Ground`]: drivers, a guest that boots on them, and a hand that can kill it from outside. Each suite
//! returns the first promise that was broken. Suites clean up behind themselves when they pass; after a failure the
//! ground is left as it was found broken, so that somebody can look at it.
//!
//! Start at [`all`].

use crate::{Drivers, Ended, Fault, Fetch, MachineEvent, MachineOrder, MachineSeen, Port, RunState};
use async_trait::async_trait;
use holm_model::VmId;
use holm_model::host_plan::{BootPlan, NetworkPlan, VmPlan};
use holm_model::vms::Power;
use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Broken(pub String);

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self(format!("unexpected {:?} fault: {fault}", fault.class))
    }
}

/// What the suites stand on.
#[async_trait]
pub trait Ground: Send + Sync {
    /// A new set of drivers over the same host, as a restarted agent would make them.
    fn drivers(&self) -> Drivers;
    /// A guest that boots here: power on, at least one disk over a base image, at least one NIC on
    /// [`Ground::network`], with a screen. Called again for the same VM it says the same.
    fn plan(&self, vm: VmId) -> VmPlan;
    /// The network of the guest's NICs.
    fn network(&self) -> NetworkPlan;
    /// Serves the images of the plan.
    fn images(&self) -> Arc<dyn Fetch>;
    /// Kills the guest's process from outside, as a crash would.
    async fn kill_guest(&self, vm: VmId) -> Result<(), String>;
    /// How long a change may take to be seen. Two seconds are promised to users for a guest that dies.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }
    /// How long the guest may take from start until it follows its power button; `None` when it never does.
    fn follows_button_within(&self) -> Option<Duration> {
        None
    }
    /// Text that appears on the serial line during boot, and how long that may take; `None` when it is silent.
    fn says_at_boot(&self) -> Option<(&'static str, Duration)> {
        None
    }
}

macro_rules! hold {
    ($condition:expr, $($says:tt)+) => {
        if !$condition {
            return Err(Broken(format!($($says)+)));
        }
    };
}

mod keep;
mod moving;
pub use keep::{copies, devices, saving, snapshots};
pub use moving::moving;

/// Waits until `check` says so, asking every 20 ms.
async fn until<F, R>(what: &str, patience: Duration, mut check: F) -> Result<(), Broken>
where
    F: FnMut() -> R,
    R: Future<Output = Result<bool, Broken>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if check().await? {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Broken(format!("{what}: not so within {patience:?}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn look(drivers: &Drivers, vm: VmId) -> Result<Option<MachineSeen>, Broken> {
    let one = drivers.machines.look(vm).await?;
    let all = drivers.machines.survey().await?;
    let mut same = all.iter().filter(|m| m.vm == vm);
    let found = same.next();
    hold!(same.next().is_none(), "the survey names VM {vm} twice");
    hold!(
        found.map(|m| m.pid) == one.as_ref().map(|m| m.pid),
        "look and survey disagree on VM {vm}: {one:?} and {found:?}"
    );
    Ok(one)
}

fn reason(fault: &Fault, about: &str) -> Result<(), Broken> {
    hold!(fault.says.len() > 10, "the fault of {about} has no reason: {:?}", fault.says);
    hold!(!fault.says.contains('\n'), "the fault of {about} has several lines: {:?}", fault.says);
    Ok(())
}

/// Makes ready everything a guest needs and returns its order. Every verb is called twice.
///
/// # Errors
/// The first promise broken.
pub async fn prepare(ground: &dyn Ground, drivers: &Drivers, plan: &VmPlan) -> Result<MachineOrder, Broken> {
    let images = ground.images();
    let mut order = MachineOrder {
        plan: plan.clone(),
        disks: Vec::new(),
        kernel: None,
        initrd: None,
        media: Vec::new(),
        ports: Vec::new(),
    };
    for image in plan.images() {
        let first = drivers.volumes.ensure_image(&image, images.as_ref()).await?;
        let second = drivers.volumes.ensure_image(&image, images.as_ref()).await?;
        hold!(first == second, "image {} is at {first:?}, then at {second:?}", image.digest);
        if let BootPlan::Kernel { kernel, initrd, .. } = &plan.boot {
            if *kernel == image {
                order.kernel = Some(first.clone());
            }
            if initrd.as_ref() == Some(&image) {
                order.initrd = Some(first);
            }
        }
    }
    for disk in &plan.disks {
        let first = drivers.volumes.ensure_disk(plan.id, disk, false).await?;
        let second = drivers.volumes.ensure_disk(plan.id, disk, false).await?;
        hold!(first == second, "disk {} is at {first:?}, then at {second:?}", disk.id);
        order.disks.push(first);
    }
    let first = drivers.volumes.ensure_media(plan.id, &plan.context).await?;
    order.media = drivers.volumes.ensure_media(plan.id, &plan.context).await?;
    hold!(first == order.media, "the media are at {first:?}, then at {:?}", order.media);
    hold!(first.len() == 2, "there are {} context media, not the two for CONTEXT and cidata", first.len());
    let network = ground.network();
    drivers.links.ensure_network(&network).await?;
    drivers.links.ensure_network(&network).await?;
    for nic in &plan.nics {
        let port = Port { vm: plan.id, hostname: plan.name.clone(), nic: nic.clone() };
        let first = drivers.links.ensure_port(&port).await?;
        let second = drivers.links.ensure_port(&port).await?;
        hold!(first == second, "port {} is named {first}, then {second}", nic.id);
        order.ports.push(first);
    }
    Ok(order)
}

/// Removes everything of a guest, twice, and checks that nothing is left.
///
/// # Errors
/// The first promise broken.
pub async fn remove(drivers: &Drivers, vm: VmId) -> Result<(), Broken> {
    for _ in 0..2 {
        drivers.machines.ensure_off(vm).await?;
        drivers.machines.ensure_absent(vm).await?;
        drivers.links.ensure_ports_absent(vm).await?;
        drivers.volumes.ensure_absent(vm).await?;
    }
    hold!(look(drivers, vm).await?.is_none(), "VM {vm} is still in the survey after its removal");
    let links = drivers.links.survey().await?;
    hold!(!links.ports.iter().any(|(owner, _)| *owner == vm), "a port of VM {vm} is left: {:?}", links.ports);
    let volumes = drivers.volumes.survey().await?;
    hold!(!volumes.owners.contains(&vm), "a disk or medium of VM {vm} is left");
    hold!(!volumes.disks.iter().any(|(owner, _)| *owner == vm), "a disk of VM {vm} is left: {:?}", volumes.disks);
    Ok(())
}

/// Images, disks and media.
///
/// # Errors
/// The first promise broken.
pub async fn volumes(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let plan = ground.plan(vm);
    let order = prepare(ground, &one, &plan).await?;
    let seen = one.volumes.survey().await?;
    hold!(seen == two.volumes.survey().await?, "a second instance sees other volumes");
    for image in plan.images() {
        hold!(seen.images.contains(&image.digest), "image {} is not in the survey", image.digest);
    }
    for disk in &plan.disks {
        hold!(seen.disks.contains(&(vm, disk.id)), "disk {} is not in the survey", disk.id);
    }
    for (disk, path) in plan.disks.iter().zip(&order.disks) {
        let found = two.volumes.find_disk(vm, disk.id).await?;
        hold!(found.as_ref() == Some(path), "disk {} is at {path:?} and was found at {found:?}", disk.id);
    }
    let found = one.volumes.find_disk(vm, 999).await?;
    hold!(found.is_none(), "a disk that was never made was found at {found:?}");
    hold!(seen.owners.contains(&vm), "the survey does not name VM {vm} as an owner");

    // Growing is followed, shrinking is ignored, and neither moves the file.
    let mut grown = plan.disks[0].clone();
    grown.size_mib += 64;
    let path = two.volumes.ensure_disk(vm, &grown, false).await?;
    hold!(path == order.disks[0], "the grown disk moved from {:?} to {path:?}", order.disks[0]);
    let path = one.volumes.ensure_disk(vm, &plan.disks[0], false).await?;
    hold!(path == order.disks[0], "asking for less moved the disk to {path:?}");

    // What is kept is kept, and what is not in use goes.
    let keep: BTreeSet<String> = plan.images().into_iter().map(|i| i.digest).collect();
    one.volumes.prune_images(&keep).await?;
    let seen = one.volumes.survey().await?;
    hold!(keep.iter().all(|d| seen.images.contains(d)), "pruning removed an image that was to be kept");

    // An image whose bytes are not what its digest says never enters the cache.
    let mut wrong = plan.images()[0].clone();
    wrong.digest = "0".repeat(64);
    wrong.file_size += 1;
    if let Err(fault) = one.volumes.ensure_image(&wrong, &Short(ground.images(), plan.images()[0].clone())).await {
        reason(&fault, "a fetch of wrong bytes")?;
    } else {
        return Err(Broken("an image came into the cache although its bytes ended early".into()));
    }
    hold!(!one.volumes.survey().await?.images.contains(&wrong.digest), "a refused image is in the cache");
    remove(&two, vm).await
}

/// Serves one image for whatever is asked.
struct Short(Arc<dyn Fetch>, holm_model::host_plan::ImageRef);

#[async_trait]
impl Fetch for Short {
    async fn fetch(&self, _: &holm_model::host_plan::ImageRef, offset: u64) -> Result<crate::FetchStream, Fault> {
        self.0.fetch(&self.1, offset).await
    }
}

/// Bridges and ports.
///
/// # Errors
/// The first promise broken.
pub async fn links(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let plan = ground.plan(vm);
    let network = ground.network();
    one.links.ensure_network(&network).await?;
    let mut names = Vec::new();
    for nic in &plan.nics {
        names.push(one.links.ensure_port(&Port { vm, hostname: plan.name.clone(), nic: nic.clone() }).await?);
    }
    hold!(names.iter().collect::<BTreeSet<_>>().len() == names.len(), "two ports have the same name: {names:?}");
    let seen = two.links.survey().await?;
    hold!(seen == one.links.survey().await?, "a second instance sees other links");
    hold!(seen.networks.contains(&network.id), "network {} is not in the survey", network.id);
    for nic in &plan.nics {
        hold!(seen.ports.contains(&(vm, nic.id)), "port {} is not in the survey", nic.id);
    }
    match two.links.ensure_network_absent(network.id).await {
        Ok(()) => return Err(Broken("a network was removed with a port on it".into())),
        Err(fault) => reason(&fault, "removing a network in use")?,
    }
    hold!(
        two.links.survey().await?.networks.contains(&network.id),
        "a refused removal took the network away all the same"
    );
    two.links.ensure_ports_absent(vm).await?;
    two.links.ensure_ports_absent(vm).await?;
    hold!(one.links.survey().await?.ports.iter().all(|(owner, _)| *owner != vm), "a removed port is in the survey");
    one.links.ensure_network_absent(network.id).await?;
    one.links.ensure_network_absent(network.id).await?;
    hold!(!two.links.survey().await?.networks.contains(&network.id), "a removed network is in the survey");

    let mut lost = network.clone();
    lost.id = holm_model::NetworkId(network.id.0 + 1);
    lost.spec.kind = holm_model::networks::NetworkKind::Bridge { interface: "holm-none0".into() };
    match one.links.ensure_network(&lost).await {
        Ok(()) => return Err(Broken("a bridge over an interface that is not there was made".into())),
        Err(fault) => reason(&fault, "a bridge over an interface that is not there")?,
    }
    one.links.ensure_network_absent(lost.id).await?;
    Ok(())
}

/// Start, pause, adopt, grow, die, remove.
///
/// # Errors
/// The first promise broken.
pub async fn machines(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let plan = ground.plan(vm);
    hold!(look(&one, vm).await?.is_none(), "VM {vm} is there before it was made");
    one.machines.ensure_off(vm).await?;
    let mut order = prepare(ground, &one, &plan).await?;
    let mut events = one.machines.events();

    let started = one.machines.ensure_process(&order).await?;
    let again = one.machines.ensure_process(&order).await?;
    hold!(started.state == RunState::Running, "a started guest is {:?}", started.state);
    hold!(started.pid.is_some(), "a started guest has no process id");
    hold!(started.pid == again.pid, "a second ensure_process started a second process");
    hold!(
        (started.generation, started.boot_seq) == (plan.generation, plan.boot_seq),
        "the guest was started with generation {} and boot {}, not {} and {}",
        started.generation,
        started.boot_seq,
        plan.generation,
        plan.boot_seq
    );
    hold!(started.accelerator.is_some(), "a running guest has no accelerator");

    // Another instance adopts it, whole.
    let adopted = look(&two, vm).await?.ok_or_else(|| Broken("a second instance does not see the guest".into()))?;
    hold!(adopted == started, "a second instance sees {adopted:?}, the first {started:?}");
    let again = two.machines.ensure_process(&order).await?;
    hold!(again.pid == started.pid, "a second instance started a second process");

    // Pausing and going on, each twice, by the instance that did not start it.
    for (running, state) in [(false, RunState::Paused), (true, RunState::Running)] {
        two.machines.ensure_cpus(vm, running).await?;
        two.machines.ensure_cpus(vm, running).await?;
        let seen = look(&one, vm).await?.map(|m| m.state);
        hold!(seen == Some(state.clone()), "the guest is {seen:?}, not {state:?}");
    }

    // A disk grows in place; memory waits for the next start.
    order.plan.generation += 1;
    order.plan.disks[0].size_mib += 64;
    one.volumes.ensure_disk(vm, &order.plan.disks[0], true).await?;
    hold!(!two.machines.ensure_shape(&order).await?.restart_needed, "growing a disk is said to need a restart");
    hold!(
        !two.machines.ensure_shape(&order).await?.restart_needed,
        "growing a disk a second time is said to need a restart"
    );
    order.plan.memory_mib += 16;
    hold!(one.machines.ensure_shape(&order).await?.restart_needed, "more memory is not said to need a restart");

    // A guest that dies is noticed by both instances, and says why.
    drain(&mut events);
    ground.kill_guest(vm).await.map_err(|e| Broken(format!("the ground could not kill the guest: {e}")))?;
    let announced = tokio::time::timeout(ground.patience(), async {
        loop {
            match events.recv().await {
                Ok(MachineEvent::Changed(who)) if who == vm => return true,
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return false,
                _ => {}
            }
        }
    });
    hold!(matches!(announced.await, Ok(true)), "a guest's death was not announced within {:?}", ground.patience());
    for drivers in [&one, &two] {
        until("a killed guest is seen as gone", ground.patience(), || async {
            Ok(look(drivers, vm).await?.is_some_and(|m| matches!(m.state, RunState::Gone(_)) && m.pid.is_none()))
        })
        .await?;
    }
    let gone = look(&one, vm).await?.map(|m| m.state);
    if let Some(RunState::Gone(Ended::Died(words))) = &gone {
        hold!(!words.is_empty(), "a guest that died left no words");
    } else {
        return Err(Broken(format!("the instance that started the guest says {gone:?} of its death, not Died")));
    }
    for fault in [one.machines.press_power(vm).await, one.machines.ensure_cpus(vm, false).await] {
        if let Err(fault) = fault {
            reason(&fault, "an order to a guest that is gone")?;
        }
    }
    hold!(!one.machines.ensure_shape(&order).await?.restart_needed, "a guest that is gone is said to need a restart");

    // It starts again in the new shape, and off means off.
    order.plan.boot_seq += 1;
    order.disks[0] = one.volumes.ensure_disk(vm, &order.plan.disks[0], false).await?;
    let second = two.machines.ensure_process(&order).await?;
    hold!(second.pid.is_some() && second.pid != started.pid, "the second start has the pid {:?}", second.pid);
    hold!(second.boot_seq == order.plan.boot_seq, "the second start has boot {}", second.boot_seq);
    hold!(!two.machines.ensure_shape(&order).await?.restart_needed, "a fresh guest is said to need a restart");
    one.machines.ensure_off(vm).await?;
    one.machines.ensure_off(vm).await?;
    let off = look(&two, vm).await?.map(|m| (m.pid, matches!(m.state, RunState::Gone(_))));
    hold!(matches!(off, None | Some((None, true))), "a guest that was switched off is {off:?}");
    let volumes = one.volumes.survey().await?;
    hold!(volumes.disks.contains(&(vm, order.plan.disks[0].id)), "switching off removed a disk");

    // With power = paused the CPUs wait from the start.
    order.plan.power = Power::Paused;
    order.plan.boot_seq += 1;
    let paused = one.machines.ensure_process(&order).await?;
    hold!(paused.state == RunState::Paused, "a guest started paused is {:?}", paused.state);
    remove(&two, vm).await?;
    two.links.ensure_network_absent(ground.network().id).await?;
    hold!(look(&one, vm).await?.is_none(), "the first instance still sees a guest the second removed");
    Ok(())
}

/// Orders that cannot be followed carry a reason and leave no process.
///
/// # Errors
/// The first promise broken.
pub async fn faults(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let drivers = ground.drivers();
    let mut order = prepare(ground, &drivers, &ground.plan(vm)).await?;
    // Its disk is pulled away before it starts.
    drivers.volumes.ensure_absent(vm).await?;
    order.disks = order.disks.iter().map(|_| PathBuf::from("/nonexistent/holm/disk.qcow2")).collect();
    match drivers.machines.ensure_process(&order).await {
        Ok(seen) => return Err(Broken(format!("a guest without its disk was started: {seen:?}"))),
        Err(fault) => reason(&fault, "a start without a disk")?,
    }
    let pid = look(&drivers, vm).await?.and_then(|m| m.pid);
    hold!(pid.is_none(), "a refused start left the process {pid:?}");
    for fault in [drivers.machines.serial(vm).await.err(), drivers.machines.screen(vm).await.err()] {
        match fault {
            Some(fault) => reason(&fault, "a stream to a guest that does not run")?,
            None => return Err(Broken("a stream to a guest that does not run was opened".into())),
        }
    }
    remove(&drivers, vm).await?;
    drivers.links.ensure_network_absent(ground.network().id).await?;
    Ok(())
}

/// Serial line, its log, the screen, the power button.
///
/// # Errors
/// The first promise broken.
pub async fn streams(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let (one, two) = (ground.drivers(), ground.drivers());
    let plan = ground.plan(vm);
    let order = prepare(ground, &one, &plan).await?;
    one.machines.ensure_process(&order).await?;
    if let Some((text, within)) = ground.says_at_boot() {
        for drivers in [&one, &two] {
            until("the boot log says its line", within, || async {
                let log = drivers.machines.serial_log(vm, 256 << 10).await?;
                Ok(String::from_utf8_lossy(&log).contains(text))
            })
            .await?;
        }
        let all = one.machines.serial_log(vm, 256 << 10).await?;
        let tail = one.machines.serial_log(vm, 5).await?;
        hold!(tail.len() <= 5 && all.len() >= tail.len(), "a log limited to 5 bytes has {}", tail.len());
    }
    // Two viewers at once, of different instances, and one that leaves does not end the other.
    let mut first = one.machines.serial(vm).await?;
    let mut second = two.machines.serial(vm).await?;
    first.write_all(b"\r").await.map_err(|e| Broken(format!("typing on the serial line: {e}")))?;
    drop(first);
    second.write_all(b"\r").await.map_err(|e| Broken(format!("typing after another viewer left: {e}")))?;
    if plan.graphics {
        let mut screen = two.machines.screen(vm).await?;
        let mut head = [0; 4];
        let read = tokio::time::timeout(Duration::from_secs(5), screen.read_exact(&mut head)).await;
        hold!(matches!(read, Ok(Ok(_))) && &head == b"RFB ", "the screen does not begin with RFB: {head:?}");
    }
    if let Some(within) = ground.follows_button_within() {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            one.machines.press_power(vm).await?;
            let state = look(&two, vm).await?.map(|m| m.state);
            if state == Some(RunState::ShutDown) {
                break;
            }
            hold!(
                state == Some(RunState::Running),
                "a guest that follows its power button is {state:?}, neither running nor shut down"
            );
            hold!(tokio::time::Instant::now() < deadline, "the guest did not follow its power button in {within:?}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        one.machines.ensure_off(vm).await?;
        let state = look(&one, vm).await?.map(|m| m.state);
        hold!(matches!(state, None | Some(RunState::Gone(_))), "a cleared guest is {state:?}");
    }
    remove(&one, vm).await?;
    one.links.ensure_network_absent(ground.network().id).await?;
    Ok(())
}

/// Facts about the machine.
///
/// # Errors
/// The first promise broken.
pub async fn probe(ground: &dyn Ground) -> Result<(), Broken> {
    let facts = ground.drivers().probe.facts().await?;
    hold!(facts.cores > 0, "the machine has no cores");
    hold!(facts.memory_mib > 0, "the machine has no memory");
    hold!(facts.disk_mib >= facts.disk_free_mib, "more disk is free than there is: {facts:?}");
    hold!(!facts.arch.is_empty() && !facts.kernel.is_empty(), "architecture or kernel is not named: {facts:?}");
    hold!(!facts.boot_id.is_empty(), "the boot has no id");
    hold!(!facts.accelerator_reason.is_empty(), "the choice of accelerator has no reason");
    let again = ground.drivers().probe.facts().await?;
    hold!(facts.boot_id == again.boot_id, "the boot id changed from {} to {}", facts.boot_id, again.boot_id);
    Ok(())
}

/// Every suite in turn, for the VM `vm` and the next few ids.
///
/// # Errors
/// The first promise broken, with the suite's name.
pub async fn all(ground: &dyn Ground, vm: VmId) -> Result<(), Broken> {
    let named = |suite: &str, result: Result<(), Broken>| result.map_err(|b| Broken(format!("{suite}: {b}")));
    named("probe", probe(ground).await)?;
    named("volumes", volumes(ground, vm).await)?;
    named("links", links(ground, VmId(vm.0 + 1)).await)?;
    named("machines", machines(ground, VmId(vm.0 + 2)).await)?;
    named("faults", faults(ground, VmId(vm.0 + 3)).await)?;
    named("streams", streams(ground, VmId(vm.0 + 4)).await)?;
    named("devices", devices(ground, VmId(vm.0 + 5)).await)?;
    named("saving", saving(ground, VmId(vm.0 + 6)).await)?;
    named("snapshots", snapshots(ground, VmId(vm.0 + 7)).await)?;
    named("copies", copies(ground, VmId(vm.0 + 8)).await)?;
    named("moving", moving(ground, VmId(vm.0 + 9), VmId(vm.0 + 10)).await)
}

fn drain(events: &mut tokio::sync::broadcast::Receiver<MachineEvent>) {
    use tokio::sync::broadcast::error::TryRecvError;
    while !matches!(events.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
}
