//! The event stream.

use crate::support::Cloud;
use futures::StreamExt as _;
use holm_wire::v1::Event;
use std::time::Duration;

/// Reads events off a response.
struct Events {
    body: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Events {
    async fn open(cloud: &Cloud, query: &str, last: Option<u64>) -> Self {
        let mut request = cloud.request("GET", &format!("/api/v1/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { body: Box::pin(answer.bytes_stream()), text: String::new() }
    }

    /// The next block that carries data: its id, if it has one, and the event.
    async fn next(&mut self) -> (Option<u64>, Event) {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let of = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::to_owned);
                if let Some(data) = of("data: ") {
                    let event: Event = serde_json::from_str(&data).unwrap();
                    assert_eq!(of("event: ").as_deref(), Some(event.verb.as_str()));
                    return (of("id: ").map(|id| id.parse().unwrap()), event);
                }
            }
            let piece = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("events come");
            self.text.push_str(std::str::from_utf8(&piece.expect("the stream goes on").unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn events_come_live_and_from_history_without_gap_or_repetition() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let before = cloud.desk.view().revision();
    let mut live = Events::open(&cloud, "?kind=vm", None).await;
    for n in 0..5 {
        cloud.vm(&format!("vm-{n}"), "linux").await;
    }
    let mut seen = vec![];
    while seen.iter().filter(|e: &&Event| e.verb == "put" && e.id == 4 || e.name.as_deref() == Some("vm-4")).count()
        == 0
    {
        let (_, event) = live.next().await;
        assert_eq!(event.kind, "vm");
        seen.push(event);
    }
    let revisions: Vec<u64> = seen.iter().map(|event| event.revision).collect();
    assert!(revisions.windows(2).all(|w| w[0] <= w[1]), "in order: {revisions:?}");

    let mut history = Events::open(&cloud, &format!("?kind=vm&after={before}"), None).await;
    for expected in &seen {
        let (id, event) = history.next().await;
        assert_eq!((event.revision, event.id), (expected.revision, expected.id));
        assert!(id.is_none_or(|id| id == event.revision));
    }

    let middle = seen[1].revision;
    let mut resumed = Events::open(&cloud, "?kind=vm&after=1", Some(middle)).await;
    let (_, event) = resumed.next().await;
    let expected = seen.iter().find(|event| event.revision > middle).unwrap();
    assert_eq!((event.revision, event.id), (expected.revision, expected.id), "the header wins over the parameter");
}

#[tokio::test]
async fn a_caller_sees_only_what_they_may_see() {
    use holm_desk::{Intent, Secret, UserDraft};
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let draft = UserDraft {
        name: "ann".into(),
        password: Secret("a long enough password".into()),
        groups: vec![],
        ..UserDraft::default()
    };
    cloud.desk.user_create(&cloud.admin, &Intent::default(), draft).await.unwrap();
    let ann =
        cloud.desk.login("ann", Secret("a long enough password".into()), &Intent::default()).await.unwrap().secret.0;
    let before = cloud.desk.view().revision();
    let vm = cloud.vm("secret", "linux").await;
    let answer = cloud.http.get(cloud.url("/api/v1/vms/secret")).bearer_auth(&ann).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    // Something ann may see, made afterwards, marks the end of what has to be looked at.
    let token = cloud
        .http
        .post(cloud.url("/api/v1/tokens"))
        .bearer_auth(&ann)
        .json(&serde_json::json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(token.status(), 201);
    let request = cloud.http.get(cloud.url(&format!("/api/v1/events?after={before}"))).bearer_auth(&ann);
    let mut events = Events { body: Box::pin(request.send().await.unwrap().bytes_stream()), text: String::new() };
    loop {
        let (_, event) = events.next().await;
        assert!(event.kind != "vm" || event.id != vm, "ann may not see the VM");
        if event.kind == "token" {
            break;
        }
    }
    let metrics = cloud.http.get(cloud.url("/metrics")).bearer_auth(&ann).send().await.unwrap();
    assert_eq!(metrics.status(), 403);
    let audit = cloud.http.get(cloud.url("/api/v1/audit")).bearer_auth(&ann).send().await.unwrap();
    assert_eq!(audit.status(), 403);
}

#[tokio::test]
async fn the_stream_ends_when_the_front_end_stops() {
    let cloud = Cloud::start().await;
    let mut events = Events::open(&cloud, "", None).await;
    cloud.stop.cancel();
    let ended = async { while let Some(Ok(_)) = events.body.next().await {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the stream ends");
}
