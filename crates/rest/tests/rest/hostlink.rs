//! Sessions with agents, over channels within the process.

use crate::support::{Cloud, FakeAgent, hello, until};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use holm_model::host_plan::HostReport;
use holm_model::{HostId, VmId};
use holm_rest::Ended;
use holm_rest::link::streams::{Event, MAX_STREAMS, OpenError};
use holm_wire::host::{Frame, MAX_CHUNK, Message, PROTOCOL, STREAM_WINDOW, StreamEnd};
use tokio_tungstenite::tungstenite::Message as Ws;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use uuid::Uuid;

#[tokio::test]
async fn whoever_says_hello_wrongly_is_sent_away() {
    let cloud = Cloud::start().await;
    let host = cloud.host("edge").await;
    let ours = cloud.desk.view().cloud();
    let with = |protocol, cloud, host| Frame::Hello { protocol, cloud, host, version: "test".into() };
    for (frame, ended) in [
        (with(PROTOCOL + 1, ours, host), Ended::Protocol { theirs: PROTOCOL + 1 }),
        (with(PROTOCOL, Uuid::nil(), host), Ended::Cloud { theirs: Uuid::nil(), ours }),
        (with(PROTOCOL, ours, HostId(99)), Ended::Host { theirs: HostId(99), ours: host }),
        (Frame::Beat, Ended::Breach("its first message is not hello".into())),
    ] {
        let agent = FakeAgent::silent(&cloud, host);
        agent.say(frame).await;
        assert_eq!(agent.ended().await, ended);
    }
    assert_eq!(cloud.links.connected(), 0);
}

#[tokio::test]
async fn a_session_brings_plans_and_takes_reports() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let host = cloud.host("edge").await;
    let mut agent = FakeAgent::connected(&cloud, host).await;
    until("the host is ready", async || cloud.get("/api/v1/hosts/edge").await.1["state"] == "ready").await;
    let vm = cloud.vm("web", "linux").await;
    let plan = agent.plan_with(vm).await;
    assert_eq!(plan.host, host);
    agent.running(vm, plan.revision).await;
    until("the VM runs", async || cloud.get("/api/v1/vms/web").await.1["state"] == "running").await;
    drop(agent.to);
    until("the end is recorded", async || cloud.get("/api/v1/hosts/edge").await.1["connected"] == false).await;
    assert_eq!(cloud.links.connected(), 0);
}

#[tokio::test]
async fn a_plan_goes_to_the_hosts_it_concerns_only() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let (near, far) = (cloud.host("near").await, cloud.host("far").await);
    let mut near = FakeAgent::connected(&cloud, near).await;
    let mut far = FakeAgent::connected(&cloud, far).await;
    until("both are ready", async || {
        let (_, hosts) = cloud.get("/api/v1/hosts?filter=state:ready").await;
        hosts["items"].as_array().unwrap().len() == 2
    })
    .await;
    let body = serde_json::json!({"name": "web", "kernel": "linux", "nics": [], "host": "near"});
    let (status, answer) = cloud.json("POST", "/api/v1/vms", body).await;
    assert_eq!(status, 202, "{answer}");
    let vm = u32::try_from(answer["vm"]["id"].as_u64().unwrap()).unwrap();
    let plan = near.plan_with(vm).await;
    near.running(vm, plan.revision).await;
    until("the VM runs", async || cloud.get("/api/v1/vms/web").await.1["state"] == "running").await;
    // The far host got its first, empty plan; a stream opened now shows that nothing came after it.
    let links = cloud.links.clone();
    let host = HostId(far_id(&cloud).await);
    let opening = tokio::spawn(async move { links.open(host, VmId(1), StreamEnd::Serial).await.map(|_| ()) });
    let mut plans = 0;
    loop {
        match far.frame().await {
            Frame::Plan(plan) => {
                assert!(plan.vms.is_empty());
                plans += 1;
            }
            Frame::Open { stream, .. } => {
                far.say(Frame::Close { stream, why: Some("no such VM here".into()) }).await;
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(plans, 1);
    let refused = opening.await.unwrap().expect_err("the agent refused");
    assert!(refused.to_string().contains("no such VM here"));
}

async fn far_id(cloud: &Cloud) -> u32 {
    u32::try_from(cloud.get("/api/v1/hosts/far").await.1["id"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_newer_session_replaces_the_older() {
    let cloud = Cloud::start().await;
    let host = cloud.host("edge").await;
    let old = FakeAgent::connected(&cloud, host).await;
    let new = FakeAgent::connected(&cloud, host).await;
    let ended = old.ended().await;
    assert!(matches!(ended, Ended::Replaced | Ended::Refused(_)), "{ended}");
    assert_eq!(cloud.links.connected(), 1);
    until("the host stays connected", async || cloud.get("/api/v1/hosts/edge").await.1["connected"] == true).await;
    drop(new);
}

#[tokio::test]
async fn a_deleted_host_is_hung_up_on() {
    let cloud = Cloud::start().await;
    let host = cloud.host("edge").await;
    let agent = FakeAgent::connected(&cloud, host).await;
    let answer = cloud.request("DELETE", "/api/v1/hosts/edge").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let ended = agent.ended().await;
    assert!(matches!(ended, Ended::Replaced | Ended::Refused(_)), "{ended}");
    assert_eq!(cloud.links.connected(), 0);
}

#[tokio::test]
async fn reports_out_of_order_end_the_session_and_repeated_ones_do_not() {
    let cloud = Cloud::start().await;
    let host = cloud.host("edge").await;
    let report = |seq, full| Frame::Report(Box::new(HostReport { seq, full, ..HostReport::default() }));

    let mut agent = FakeAgent::connected(&cloud, host).await;
    agent.say(report(1, true)).await;
    agent.report(HostReport::default()).await;
    agent.say(report(7, false)).await;
    assert!(matches!(agent.ended().await, Ended::Breach(why) if why.contains("report 7 follows report 2")));

    let mut agent = FakeAgent::silent(&cloud, host);
    agent.say(hello(&cloud, host)).await;
    assert!(matches!(agent.frame().await, Frame::Welcome { .. }));
    agent.say(report(1, false)).await;
    assert!(matches!(agent.ended().await, Ended::Breach(_)));

    let agent = FakeAgent::connected(&cloud, host).await;
    agent.say(hello(&cloud, host)).await;
    assert!(matches!(agent.ended().await, Ended::Breach(why) if why.contains("hello")));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_session_and_beats_keep_it() {
    // Time stands still and jumps to the next timer as soon as every task waits, so this takes no real time. The store
    // commits in the caller: a thread of its own would not be waited for.
    use holm_blobs::ImageStore;
    use holm_desk::{Desk, DeskParts, Settings, SystemEntropy};
    use holm_store::{MemoryJournal, Mode, Store};
    use std::sync::Arc;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Box::new(MemoryJournal::new()), Mode::Inline, Uuid::from_u128(7)).unwrap();
    let desk = Desk::new(DeskParts {
        store,
        images: ImageStore::open(dir.path()).unwrap(),
        clock: Arc::new(crate::support::WallClock),
        entropy: Arc::new(SystemEntropy),
        settings: Settings::default(),
    })
    .unwrap();
    let links = holm_rest::Links::new();
    let open = |host| {
        let (to, incoming) = tokio::sync::mpsc::channel(8);
        let (link, from) = tokio::sync::mpsc::channel::<Message>(8);
        (tokio::spawn(holm_rest::hostlink::serve(desk.clone(), links.clone(), host, link, incoming)), to, from)
    };
    let (session, to, mut from) = open(HostId(0));
    assert_eq!(session.await.unwrap(), Ended::Silent, "nothing is said at all");
    assert!(from.recv().await.is_none());
    drop(to);

    let first = desk.bootstrap().await.unwrap().unwrap();
    let admin = desk.local_admin().unwrap();
    assert_eq!(first.user, admin.user().name.as_str());
    let token = desk.join_token_create(&admin, &Default::default(), Default::default()).await.unwrap();
    let claim = holm_desk::JoinClaim {
        secret: token.secret,
        hostname: "edge".into(),
        peer: String::new(),
        request_id: String::new(),
    };
    let host = desk.host_join(claim, |_, _| Ok(("0".repeat(64), ()))).await.unwrap().host.value.id;
    let (session, to, mut from) = open(host);
    let cloud = desk.view().cloud();
    to.send(Frame::Hello { protocol: PROTOCOL, cloud, host, version: "test".into() }.into()).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut beats = 0;
    while beats < 12 {
        match from.recv().await.expect("the session goes on") {
            Message::Frame(Frame::Beat) => {
                beats += 1;
                to.send(Frame::Beat.into()).await.unwrap();
            }
            Message::Frame(Frame::Welcome { .. } | Frame::Plan(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(begun.elapsed().as_secs() >= 50, "beats fill silence and nothing else");
    // From here on nothing is answered.
    while from.recv().await.is_some() {}
    assert_eq!(session.await.unwrap(), Ended::Silent);
    drop(to);

    // An agent that never takes anything is given up as well, though it goes on beating.
    let (session, to, from) = open(host);
    to.send(Frame::Hello { protocol: PROTOCOL, cloud, host, version: "test".into() }.into()).await.unwrap();
    while !session.is_finished() {
        let _ = to.send(Frame::Beat.into()).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(session.await.unwrap(), Ended::Stuck);
    drop(from);
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_with_credit() {
    let cloud = Cloud::start().await;
    let host = cloud.host("edge").await;
    let mut agent = FakeAgent::connected(&cloud, host).await;
    let links = cloud.links.clone();
    let opening = tokio::spawn(async move { links.open(host, VmId(1), StreamEnd::Serial).await });
    let number = loop {
        if let Frame::Open { stream, vm, end } = agent.frame().await {
            assert_eq!((vm, end), (VmId(1), StreamEnd::Serial));
            break stream;
        }
    };
    agent.say(Frame::Opened { stream: number }).await;
    let mut stream = opening.await.unwrap().expect("is open");
    assert_eq!(cloud.links.streams(), 1);

    // From the guest: the whole window fits; credit comes when it is read, not before.
    let chunk = Bytes::from(vec![7; MAX_CHUNK]);
    let whole = STREAM_WINDOW as usize / MAX_CHUNK;
    for _ in 0..whole {
        agent.to.send(Message::Chunk { stream: number, bytes: chunk.clone() }).await.unwrap();
    }
    for _ in 0..whole {
        assert_eq!(stream.reader.next().await, Some(Event::Data(chunk.clone())));
    }
    let mut granted = 0;
    while granted < STREAM_WINDOW {
        if let Frame::Credit { stream, bytes } = agent.frame().await {
            assert_eq!(stream, number);
            granted += bytes;
        }
    }
    assert_eq!(granted, STREAM_WINDOW);

    // To the guest: exactly the window gets out, the rest waits for credit.
    let writer = stream.writer;
    let sending =
        tokio::spawn(
            async move { writer.send(Bytes::from(vec![9; STREAM_WINDOW as usize + 5])).await.map(|()| writer) },
        );
    let mut got = 0;
    while got < STREAM_WINDOW as usize {
        if let Some(Message::Chunk { bytes, .. }) = agent.next().await {
            got += bytes.len();
        }
    }
    assert_eq!(got, STREAM_WINDOW as usize);
    assert!(!sending.is_finished());
    agent.say(Frame::Credit { stream: number, bytes: u32::MAX }).await;
    let rest = loop {
        if let Some(Message::Chunk { bytes, .. }) = agent.next().await {
            break bytes.len();
        }
    };
    assert_eq!(rest, 5);
    let writer = sending.await.unwrap().expect("is sent");

    // The client goes away: the agent hears of it.
    drop((writer, stream.reader));
    loop {
        if let Frame::Close { stream, why } = agent.frame().await {
            assert_eq!((stream, why), (number, None));
            break;
        }
    }
    assert_eq!(cloud.links.streams(), 0);
}

#[tokio::test]
async fn an_agent_that_sends_beyond_its_credit_loses_the_stream_and_not_the_link() {
    let cloud = Cloud::start().await;
    let host = cloud.host("edge").await;
    let mut agent = FakeAgent::connected(&cloud, host).await;
    let links = cloud.links.clone();
    let opening = tokio::spawn(async move { links.open(host, VmId(1), StreamEnd::Screen).await });
    let number = loop {
        if let Frame::Open { stream, .. } = agent.frame().await {
            break stream;
        }
    };
    agent.say(Frame::Opened { stream: number }).await;
    let mut stream = opening.await.unwrap().expect("is open");
    for _ in 0..=STREAM_WINDOW as usize / MAX_CHUNK {
        agent.to.send(Message::Chunk { stream: number, bytes: Bytes::from(vec![0; MAX_CHUNK]) }).await.unwrap();
    }
    loop {
        if let Frame::Close { why: Some(why), .. } = agent.frame().await {
            assert!(why.contains("credit"));
            break;
        }
    }
    let mut last = None;
    while let Some(event) = stream.reader.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::End(Some(_)))));
    // Bytes of streams that are not there are nobody's.
    agent.to.send(Message::Chunk { stream: 4_000_000, bytes: Bytes::from_static(b"x") }).await.unwrap();
    agent.report(HostReport::default()).await;
    until("the link is still there", async || cloud.links.connected() == 1).await;
}

#[tokio::test]
async fn streams_have_a_limit_and_end_with_the_link() {
    let cloud = Cloud::start().await;
    let host = cloud.host("edge").await;
    let missing = cloud.links.open(host, VmId(1), StreamEnd::Serial).await.map(|_| ());
    assert_eq!(missing, Err(OpenError::NotConnected { host }));
    let mut agent = FakeAgent::connected(&cloud, host).await;
    let mut streams = vec![];
    for _ in 0..MAX_STREAMS {
        let links = cloud.links.clone();
        let opening = tokio::spawn(async move { links.open(host, VmId(1), StreamEnd::Serial).await });
        loop {
            if let Frame::Open { stream, .. } = agent.frame().await {
                agent.say(Frame::Opened { stream }).await;
                break;
            }
        }
        streams.push(opening.await.unwrap().expect("is open"));
    }
    let more = cloud.links.open(host, VmId(1), StreamEnd::Serial).await.map(|_| ());
    assert_eq!(more, Err(OpenError::TooMany { host }));
    drop(agent);
    for mut stream in streams {
        assert!(matches!(stream.reader.next().await, Some(Event::End(Some(_)))));
        assert!(stream.writer.send(Bytes::from_static(b"x")).await.is_err());
    }
}

#[tokio::test]
async fn a_console_reaches_the_guest_through_api_and_link() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let host = cloud.host("edge").await;
    let mut agent = FakeAgent::connected(&cloud, host).await;
    let vm = cloud.vm("web", "linux").await;
    let plan = agent.plan_with(vm).await;
    agent.running(vm, plan.revision).await;
    for (path, expected) in [("console", StreamEnd::Serial), ("vnc", StreamEnd::Screen)] {
        let url = format!("ws://{}/api/v1/vms/web/{path}", cloud.address);
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", cloud.token).parse().unwrap());
        let connecting = tokio::spawn(tokio_tungstenite::connect_async(request));
        let number = loop {
            if let Frame::Open { stream, end, vm: which } = agent.frame().await {
                assert_eq!((end, which), (expected, VmId(vm)));
                break stream;
            }
        };
        agent.say(Frame::Opened { stream: number }).await;
        let (mut socket, answer) = connecting.await.unwrap().expect("is connected");
        assert_eq!(answer.status(), 101);
        agent.to.send(Message::Chunk { stream: number, bytes: Bytes::from_static(b"login: ") }).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Ws::Binary(Bytes::from_static(b"login: ")));
        socket.send(Ws::Binary(Bytes::from_static(b"root\n"))).await.unwrap();
        let typed = loop {
            if let Some(Message::Chunk { stream, bytes }) = agent.next().await {
                assert_eq!(stream, number);
                break bytes;
            }
        };
        assert_eq!(typed, "root\n");
        agent.say(Frame::Close { stream: number, why: Some("the guest ended".into()) }).await;
        match socket.next().await.unwrap().unwrap() {
            Ws::Close(Some(frame)) => assert_eq!(frame.reason.as_str(), "the guest ended"),
            other => panic!("{other:?}"),
        }
    }
    // A page of another origin may not.
    let url = format!("ws://{}/api/v1/vms/web/console", cloud.address);
    let mut request = url.as_str().into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", cloud.token).parse().unwrap());
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let refused = tokio_tungstenite::connect_async(request).await.expect_err("is refused").to_string();
    assert!(refused.contains("403"), "{refused}");
}
