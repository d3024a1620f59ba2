//! The agent's end of the link against a front-end played by hand: order, refusals, losses, streams, hostility.

mod world;

use async_trait::async_trait;
use bytes::Bytes;
use holm_agent::{Agent, AgentHandle, AgentParts, Dial, DialError, Ends};
use holm_model::host_plan::{HostPlan, HostReport};
use holm_model::vms::Observed;
use holm_model::{HostId, VmId};
use holm_wire::host::{Frame, MAX_CHUNK, Message, PROTOCOL, STREAM_WINDOW, StreamEnd};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;
use world::{World, plan, vm, within};

/// Hands every dialled link to the test.
struct Hand {
    links: mpsc::Sender<Ends>,
}

#[async_trait]
impl Dial for Hand {
    async fn dial(&self) -> Result<Ends, DialError> {
        let (agent_tx, front_rx) = mpsc::channel(4);
        let (front_tx, agent_rx) = mpsc::channel(4);
        self.links.send((front_tx, front_rx)).await.map_err(|_| DialError("the test is over".into()))?;
        Ok((agent_tx, agent_rx))
    }
}

struct Front {
    links: Arc<Mutex<mpsc::Receiver<Ends>>>,
    tx: mpsc::Sender<Message>,
    rx: mpsc::Receiver<Message>,
}

impl Front {
    async fn start(world: &World) -> (AgentHandle, Self) {
        let (links, dialled) = mpsc::channel(1);
        let parts = AgentParts { dial: Arc::new(Hand { links }), ..world.parts() };
        let agent = Agent::start(parts).await.expect("the ledger can be read");
        let links = Arc::new(Mutex::new(dialled));
        let (tx, rx) = within(20, async { links.lock().await.recv().await }).await.expect("the agent dials");
        (agent, Self { links, tx, rx })
    }

    async fn again(&mut self) {
        (self.tx, self.rx) =
            within(20, async { self.links.lock().await.recv().await }).await.expect("the agent dials again");
    }

    async fn send(&self, frame: Frame) {
        within(20, self.tx.send(frame.into())).await.expect("the link is open");
    }

    async fn next(&mut self) -> Option<Message> {
        within(20, self.rx.recv()).await
    }

    /// The next frame that is no beat.
    async fn frame(&mut self) -> Frame {
        loop {
            match self.next().await {
                Some(Message::Frame(Frame::Beat)) => {}
                Some(Message::Frame(frame)) => return frame,
                other => panic!("{other:?} instead of a frame"),
            }
        }
    }

    async fn report(&mut self) -> HostReport {
        match self.frame().await {
            Frame::Report(report) => *report,
            other => panic!("{other:?} instead of a report"),
        }
    }

    async fn welcome(&mut self) -> HostReport {
        assert!(matches!(self.frame().await, Frame::Hello { protocol: PROTOCOL, .. }));
        self.send(Frame::Welcome { protocol: PROTOCOL, version: "test".into() }).await;
        let report = self.report().await;
        assert!(report.full && report.seq == 1);
        report
    }

    async fn plan(&self, plan: HostPlan) {
        self.send(Frame::Plan(Box::new(plan))).await;
    }

    /// The link is closed by the agent.
    async fn closed(&mut self) {
        while let Some(message) = self.next().await {
            assert!(matches!(message, Message::Frame(Frame::Beat | Frame::Report(_))), "{message:?}");
        }
    }
}

async fn running(agent: &AgentHandle, id: u32) {
    within(30, agent.window().until(|s| s.shown.vms.get(&VmId(id)).is_some_and(|v| v.observed == Observed::Running)))
        .await;
}

#[tokio::test(start_paused = true)]
async fn plans_of_others_and_older_plans_are_refused() {
    let world = World::new();
    let (agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    front.plan(plan(10, vec![vm(1)], vec![])).await;
    running(&agent, 1).await;
    let before = world.host.truth();
    let good = plan(11, vec![], vec![1]);
    let twice = plan(12, vec![vm(1)], vec![1]);
    for (bad, says) in [
        (HostPlan { cloud: Uuid::from_u128(8), ..good.clone() }, "belongs to"),
        (HostPlan { host: HostId(4), ..good.clone() }, "this is host 3"),
        (HostPlan { revision: 9, ..good.clone() }, "revision 10 is known"),
        (twice, "names VM 1 twice"),
    ] {
        front.plan(bad).await;
        within(5, agent.window().until(|s| s.shown.complaints.get("plan").is_some_and(|c| c[0].contains(says)))).await;
    }
    // Duplicates change nothing.
    front.plan(plan(10, vec![vm(1)], vec![])).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.host.truth(), before);
    assert_eq!(agent.status().shown.applied_revision, 10);
    front.plan(good).await;
    within(5, agent.window().until(|s| s.shown.absent.contains(&VmId(1)) && s.shown.complaints.is_empty())).await;
    world.clean();
}

#[tokio::test(start_paused = true)]
async fn reports_are_full_once_then_changes_at_once_then_together() {
    let world = World::new();
    let (_agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    while let Ok(message) = front.rx.try_recv() {
        assert!(matches!(message, Message::Frame(Frame::Report(_) | Frame::Beat)));
    }
    let sent = tokio::time::Instant::now();
    front.plan(plan(3, (1..=20).map(vm).collect(), vec![])).await;
    let first = front.report().await;
    assert!(sent.elapsed() < Duration::from_millis(5), "{:?}", sent.elapsed());
    assert!(!first.full && first.facts.is_none() && first.applied_revision == 3);
    let (mut count, mut last) = (1, first.seq);
    let mut known = first.vms.len();
    loop {
        let report = front.report().await;
        assert_eq!(report.seq, last + 1);
        (last, count, known) = (report.seq, count + 1, known + report.vms.len());
        if report.vms.iter().any(|(vm, s)| *vm == VmId(20) && s.observed == Observed::Running) {
            break;
        }
    }
    let longest = u64::try_from(sent.elapsed().as_millis()).expect("short") / 50 + 2;
    assert!(count <= longest, "{count} reports within {:?}", sent.elapsed());
    assert!(known >= 20);
}

/// A word about absence is said again with every plan that asks for it: an older word does not count.
#[tokio::test(start_paused = true)]
async fn absence_is_said_with_every_plan() {
    let world = World::new();
    let (_agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    for revision in [5, 6, 9] {
        front.plan(plan(revision, vec![], vec![1])).await;
        loop {
            let report = front.report().await;
            if report.applied_revision == revision && report.absent == [VmId(1)] {
                break;
            }
        }
    }
    // Wanted again: the word is taken back with the very plan.
    front.plan(plan(10, vec![vm(1)], vec![])).await;
    loop {
        let report = front.report().await;
        assert!(report.applied_revision < 10 || report.absent.is_empty());
        if report.vms.iter().any(|(_, s)| s.observed == Observed::Running) {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_is_opened_again_and_told_everything() {
    let world = World::new();
    let (agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    front.plan(plan(2, vec![vm(1)], vec![])).await;
    running(&agent, 1).await;
    front.again().await;
    assert!(!agent.status().connected);
    world.host.guest_shuts_down(VmId(1));
    within(5, agent.window().until(|s| s.shown.vms[&VmId(1)].observed == Observed::Off)).await;
    let report = front.welcome().await;
    assert_eq!(report.applied_revision, 2);
    assert_eq!(report.vms[0].1.observed, Observed::Off);
    // A front-end that falls silent is left after three beats; the agent's beats go on until then.
    let silent = tokio::time::Instant::now();
    let mut beats = 0;
    while let Some(message) = front.next().await {
        beats += u32::from(message == Message::Frame(Frame::Beat));
    }
    assert!((14..=16).contains(&silent.elapsed().as_secs()) && beats >= 2, "{:?}, {beats}", silent.elapsed());
    front.again().await;
    front.welcome().await;
}

#[tokio::test(start_paused = true)]
async fn dialling_again_backs_off_up_to_ten_seconds() {
    let world = World::new();
    let (_agent, mut front) = Front::start(&world).await;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let (tx, rx) = (mpsc::channel(1).0, mpsc::channel(1).1);
        drop(std::mem::replace(&mut front.tx, tx));
        drop(std::mem::replace(&mut front.rx, rx));
        let lost = tokio::time::Instant::now();
        front.again().await;
        waits.push(lost.elapsed().as_millis());
    }
    assert!(waits.windows(2).take(6).all(|w| w[1] > w[0]), "{waits:?}");
    assert!(waits[0] <= 201 && waits[8] >= 5000 && waits[8] <= 10_001, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn hostile_frames_end_the_link_and_nothing_else() {
    let world = World::new();
    world.settle(plan(5, vec![vm(1)], vec![])).await;
    let before = world.host.truth();
    let (agent, mut front) = Front::start(&world).await;
    let hello = Frame::Hello { protocol: 1, cloud: Uuid::nil(), host: HostId(0), version: String::new() };
    let mut evil_digest = vm(9);
    if let Some(base) = &mut evil_digest.disks[0].base {
        base.digest = "../../etc/passwd".into();
    }
    let too_early: Vec<Message> = vec![
        Frame::Plan(Box::new(plan(9, vec![], vec![1]))).into(),
        Frame::Beat.into(),
        Frame::Open { stream: 1, vm: VmId(1), end: StreamEnd::Serial }.into(),
        Message::Chunk { stream: 1, bytes: Bytes::from_static(b"x") },
        Frame::Welcome { protocol: 99, version: String::new() }.into(),
        Frame::Welcome { protocol: PROTOCOL, version: "v".repeat(1000) }.into(),
    ];
    for message in too_early {
        assert!(matches!(front.frame().await, Frame::Hello { .. }));
        front.tx.send(message).await.expect("open");
        front.closed().await;
        front.again().await;
    }
    let never: Vec<Message> = vec![
        hello.into(),
        Frame::Welcome { protocol: PROTOCOL, version: String::new() }.into(),
        Frame::Report(Box::default()).into(),
        Frame::Opened { stream: 1 }.into(),
        Frame::Plan(Box::new(plan(9, vec![evil_digest], vec![1]))).into(),
        Message::Chunk { stream: 1, bytes: Bytes::from(vec![0; MAX_CHUNK + 1]) },
    ];
    for message in never {
        front.welcome().await;
        front.tx.send(message).await.expect("open");
        front.closed().await;
        front.again().await;
    }
    // Harmless nonsense is borne: streams that are not open, endless credit, many openings.
    front.welcome().await;
    front.tx.send(Message::Chunk { stream: 77, bytes: Bytes::from_static(b"x") }).await.expect("open");
    front.send(Frame::Close { stream: 77, why: None }).await;
    front.send(Frame::Credit { stream: 77, bytes: u32::MAX }).await;
    front.send(Frame::Open { stream: 1, vm: VmId(404), end: StreamEnd::Serial }).await;
    let Frame::Close { stream: 1, why: Some(why) } = front.frame().await else { panic!("no close") };
    assert!(why.contains("VM 404"), "{why}");
    assert_eq!(world.host.truth(), before);
    assert_eq!(agent.status().shown.applied_revision, 5);
}

#[tokio::test(start_paused = true)]
async fn a_serial_line_shows_what_was_before_and_carries_both_ways() {
    let world = World::new();
    world.settle(plan(5, vec![vm(1)], vec![])).await;
    let (agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    running(&agent, 1).await;
    front.send(Frame::Open { stream: 8, vm: VmId(1), end: StreamEnd::Serial }).await;
    let mut heard = Vec::new();
    let mut opened = false;
    while !heard.ends_with(b"boots (1)\r\n") {
        match front.next().await.expect("open") {
            Message::Frame(Frame::Opened { stream: 8 }) => opened = true,
            Message::Frame(_) => {}
            Message::Chunk { stream, bytes } => {
                assert!(opened && stream == 8);
                heard.extend_from_slice(&bytes);
            }
        }
    }
    assert_eq!(heard, b"VM 1 boots (1)\r\n", "what was before comes once");
    front.tx.send(Message::Chunk { stream: 8, bytes: Bytes::from_static(b"root\r") }).await.expect("open");
    let echo = loop {
        if let Some(Message::Chunk { bytes, .. }) = front.next().await {
            break bytes;
        }
    };
    assert_eq!(echo.as_ref(), b"root\r");
    // The log: what there is, then the end.
    front.send(Frame::Open { stream: 9, vm: VmId(1), end: StreamEnd::SerialLog }).await;
    let mut log = Vec::new();
    loop {
        match front.next().await.expect("open") {
            Message::Chunk { stream: 9, bytes } => log.extend_from_slice(&bytes),
            Message::Frame(Frame::Close { stream: 9, why }) => break assert_eq!(why, None),
            _ => {}
        }
    }
    assert_eq!(log, b"VM 1 boots (1)\r\nroot\r");
    // The guest dies: its line ends.
    world.host.guest_dies(VmId(1), "gone");
    while !matches!(front.next().await.expect("open"), Message::Frame(Frame::Close { stream: 8, why: None })) {}
}

#[tokio::test(start_paused = true)]
async fn a_slow_viewer_stops_nobody_but_himself() {
    let world = World::new();
    world.settle(plan(5, vec![vm(1), vm(2)], vec![])).await;
    let (agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    running(&agent, 1).await;
    running(&agent, 2).await;
    front.send(Frame::Open { stream: 1, vm: VmId(1), end: StreamEnd::Serial }).await;
    front.send(Frame::Open { stream: 2, vm: VmId(2), end: StreamEnd::Screen }).await;
    let mut open = 0;
    while open < 2 {
        open += u32::from(matches!(front.next().await.expect("open"), Message::Frame(Frame::Opened { .. })));
    }
    let flood = vec![b'x'; 900_000];
    world.host.guest_says(VmId(1), &flood);
    // Nothing is granted to stream 1: it stops at its window.
    let mut got = [0_usize; 3];
    let mut count = |message: Option<Message>| {
        if let Some(Message::Chunk { stream, bytes }) = message {
            assert!(bytes.len() <= MAX_CHUNK);
            got[stream as usize] += bytes.len();
        }
        got
    };
    while count(front.next().await)[1] < STREAM_WINDOW as usize {}
    // The other stream and the plans go on.
    front.tx.send(Message::Chunk { stream: 2, bytes: Bytes::from_static(b"hello") }).await.expect("open");
    front.plan(plan(6, vec![vm(1), vm(2), vm(3)], vec![])).await;
    running(&agent, 3).await;
    let quiet = tokio::time::Instant::now() + Duration::from_secs(3);
    while let Ok(message) = tokio::time::timeout_at(quiet, front.rx.recv()).await {
        count(message);
    }
    let seen = count(None);
    assert_eq!(seen[1], STREAM_WINDOW as usize, "more than was allowed, or less");
    assert!(seen[2] >= b"hello".len());
    // Credit lets exactly so much more through.
    front.send(Frame::Credit { stream: 1, bytes: 100_000 }).await;
    let quiet = tokio::time::Instant::now() + Duration::from_secs(3);
    while let Ok(message) = tokio::time::timeout_at(quiet, front.rx.recv()).await {
        count(message);
    }
    assert_eq!(count(None)[1], STREAM_WINDOW as usize + 100_000);
}

/// Whoever sends more than he was granted loses his stream; what he sent is bounded.
#[tokio::test(start_paused = true)]
async fn a_flooding_viewer_loses_his_stream() {
    let world = World::new();
    world.settle(plan(5, vec![vm(1)], vec![])).await;
    let (agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    running(&agent, 1).await;
    // A log has no input: nothing is consumed of it while its viewer does not read.
    world.host.guest_says(VmId(1), &vec![b'x'; 500_000]);
    front.send(Frame::Open { stream: 1, vm: VmId(1), end: StreamEnd::Serial }).await;
    world.host.hang(holm_driver::fake::Verb::Serial, None);
    front.send(Frame::Open { stream: 2, vm: VmId(1), end: StreamEnd::Serial }).await;
    let block = Bytes::from(vec![b'y'; MAX_CHUNK]);
    let flood = async {
        for _ in 0..8 {
            let chunk = Message::Chunk { stream: 2, bytes: block.clone() };
            front.tx.send(chunk).await.expect("open");
        }
    };
    let closed = async {
        loop {
            if let Some(Message::Frame(Frame::Close { stream: 2, why: Some(why) })) = front.rx.recv().await {
                return why;
            }
        }
    };
    let ((), why) = within(20, async { tokio::join!(flood, closed) }).await;
    assert!(why.contains("more was sent"), "{why}");
}

/// A front-end that beats and does not read is waited for without spinning (which would stop this test's time), and is
/// told the newest state when it reads again.
#[tokio::test(start_paused = true)]
async fn a_full_link_is_waited_for() {
    let world = World::new();
    world.settle(plan(5, vec![vm(1)], vec![])).await;
    let (agent, mut front) = Front::start(&world).await;
    front.welcome().await;
    running(&agent, 1).await;
    for round in 0..30 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        world.host.complain(vec![format!("complaint {round}")]);
        front.send(Frame::Beat).await;
    }
    assert!(agent.status().connected);
    let newest = agent.status().shown.complaints["host"].clone();
    while front.report().await.complaints != newest {}
}
