//! Hosts that are made before a machine joins, and the clusters they are in.

use crate::{Ground, claim, intent, refused};
use holm_desk::{ClusterChange, ClusterDraft, DatastoreDraft, ErrorKind, HostChange, HostDraft, JoinTokenDraft};
use holm_model::clusters::{Cluster, PlacementPolicy};
use holm_model::datastores::{FILE_DATASTORE, IMAGE_DATASTORE, SYSTEM_DATASTORE};
use holm_model::hosts::{Host, HostPhase, Schedulable};
use holm_model::{AttributeValue, Attributes, ClusterId, HostId, Word};

fn text(name: &str, value: &str) -> (Word, AttributeValue) {
    (name.into(), AttributeValue::Text(value.into()))
}

async fn by_hand(ground: &Ground, name: &str, cluster: Option<&str>) -> Result<HostId, holm_desk::Error> {
    let attributes = Attributes(vec![text("RACK", "7")]);
    let draft = HostDraft { name: name.into(), cluster: cluster.map(str::to_owned), attributes };
    ground.desk.host_create(&ground.admin, &intent(), draft).await.map(|made| made.row.value.id)
}

async fn cluster(ground: &Ground, name: &str) -> ClusterId {
    let draft = ClusterDraft { name: name.into(), ..ClusterDraft::default() };
    ground.desk.cluster_create(&ground.admin, &intent(), draft).await.expect("made").row.value.id
}

fn host(ground: &Ground, id: HostId) -> Host {
    ground.desk.view().row::<Host>(id).expect("there").value.clone()
}

#[tokio::test]
async fn a_machine_joins_as_the_host_that_waits_under_its_name() {
    let ground = Ground::new().await;
    let west = cluster(&ground, "west").await;
    let id = by_hand(&ground, "edge-1", Some("west")).await.expect("made");
    assert_eq!((host(&ground, id).phase, host(&ground, id).is_claimed()), (HostPhase::Joining, false));
    assert_eq!(ground.desk.host_by_certificate(""), None, "nobody without a certificate is it");
    refused(by_hand(&ground, "edge-1", None).await, ErrorKind::Conflict);
    refused(by_hand(&ground, "", None).await, ErrorKind::Invalid);
    refused(by_hand(&ground, "x", Some("nowhere")).await, ErrorKind::NotFound);
    let lena = ground.user("lena").await;
    let draft = HostDraft { name: "mine".into(), ..HostDraft::default() };
    refused(ground.desk.host_create(&lena, &intent(), draft).await, ErrorKind::Forbidden);

    let named = || JoinTokenDraft { name: Some("edge-1".into()), ..JoinTokenDraft::default() };
    let token = ground.desk.join_token_create(&ground.admin, &intent(), named()).await.expect("it waits for one");
    let spare = ground.desk.join_token_create(&ground.admin, &intent(), named()).await.expect("nobody has come yet");
    let ground = ground.restarted().await;
    let joined = ground.desk.host_join(claim(&token.secret), |_, name| Ok((format!("cert-{name}"), ())));
    let joined = joined.await.expect("joins").host;
    let row = host(&ground, id);
    assert_eq!(joined.value.id, id);
    assert_eq!((row.cluster, row.meta.attributes.text("RACK")), (west, Some("7")));
    assert_eq!(ground.desk.host_by_certificate("cert-edge-1"), Some(id));
    let late = ground.desk.host_join(claim(&spare.secret), |_, _| Ok(("other".into(), ())));
    refused(late.await, ErrorKind::Conflict);
    refused(ground.desk.join_token_create(&ground.admin, &intent(), named()).await, ErrorKind::Conflict);
    refused(ground.desk.host_claim(id, "mine".into()).await, ErrorKind::Conflict);
    refused(ground.desk.host_claim(HostId(77), "mine".into()).await, ErrorKind::NotFound);
    let other = by_hand(&ground, "edge-2", None).await.expect("made");
    ground.desk.host_claim(other, "local".into()).await.expect("claimed");
    assert_eq!(ground.desk.host_by_certificate("local"), Some(other));
    ground.desk.host_delete(&ground.admin, &intent(), "edge-2", false).await.expect("nothing is on it");
    assert_eq!(ground.desk.host_by_certificate("local"), None);
}

#[tokio::test]
async fn what_is_kept_back_follows_attributes_of_host_and_cluster() {
    let ground = Ground::new().await;
    let west = cluster(&ground, "west").await;
    let id = ground.host("edge").await.host;
    let capacity = || {
        let row = host(&ground, id);
        let left = row.capacity(ground.desk.view().world().cluster(row.cluster));
        (left.cpu.0, left.memory_mib)
    };
    assert_eq!(capacity(), (400, 4096));
    let set = |name: &'static str, value: &'static str| {
        move |attributes: &mut Attributes| {
            attributes.0.push(text(name, value));
            Ok(())
        }
    };
    let (desk, admin) = (&ground.desk, &ground.admin);
    desk.attributes_change::<Cluster>(admin, &intent(), west, set("RESERVED_CPU", "50%")).await.expect("changed");
    assert_eq!(capacity(), (400, 4096), "it is in another cluster");
    desk.cluster_add_host(admin, &intent(), west, id).await.expect("moved");
    assert_eq!(capacity(), (200, 4096));
    desk.attributes_change::<Host>(admin, &intent(), id, set("RESERVED_CPU", "-100")).await.expect("changed");
    desk.attributes_change::<Host>(admin, &intent(), id, set("RESERVED_MEM", "1048576")).await.expect("changed");
    assert_eq!(capacity(), (500, 3072), "the host's own word counts before its cluster's");
    refused(desk.cluster_remove_host(admin, &intent(), ClusterId(0), id).await, ErrorKind::Conflict);
    desk.cluster_remove_host(admin, &intent(), west, id).await.expect("back");
    assert_eq!(host(&ground, id).cluster, ClusterId(0));
}

#[tokio::test]
async fn a_cluster_goes_when_nothing_is_in_it() {
    let ground = Ground::new().await;
    let west = cluster(&ground, "west").await;
    let (desk, admin) = (&ground.desk, &ground.admin);
    refused(desk.cluster_add_host(admin, &intent(), ClusterId(99), HostId(0)).await, ErrorKind::NotFound);
    let id = by_hand(&ground, "edge", Some("west")).await.expect("made");
    refused(desk.cluster_delete(admin, &intent(), "west").await, ErrorKind::InUse);
    desk.cluster_remove_host(admin, &intent(), west, id).await.expect("moved");
    assert_eq!(desk.view().datastores_in(west), vec![SYSTEM_DATASTORE, IMAGE_DATASTORE, FILE_DATASTORE]);
    let bare = ClusterDraft { name: "bare".into(), bare: true, ..ClusterDraft::default() };
    let bare = desk.cluster_create(admin, &intent(), bare).await.expect("made").row.value.id;
    assert_eq!(desk.view().datastores_in(bare), vec![]);
    let draft = DatastoreDraft { name: "ssd".into(), clusters: vec!["west".into()], ..DatastoreDraft::default() };
    let ssd = desk.datastore_create(admin, &intent(), draft).await.expect("made").row.value.id;
    desk.cluster_add_datastore(admin, &intent(), west, ssd).await.expect("it is there already");
    let error = refused(desk.cluster_delete(admin, &intent(), "west").await, ErrorKind::InUse);
    assert!(error.says.contains(&format!("datastore {ssd}")), "{error}");
    desk.cluster_remove_datastore(admin, &intent(), west, ssd).await.expect("removed");
    refused(desk.cluster_remove_datastore(admin, &intent(), west, ssd).await, ErrorKind::Conflict);
    let lena = ground.user("lena").await;
    let pack = || ClusterChange { policy: Some(PlacementPolicy::Pack), ..ClusterChange::default() };
    for tried in [
        desk.cluster_add_host(&lena, &intent(), west, id).await.err(),
        desk.cluster_add_datastore(&lena, &intent(), west, SYSTEM_DATASTORE).await.err(),
        desk.cluster_change(&lena, &intent(), "west", pack()).await.err(),
    ] {
        let kind = tried.expect("refused").kind;
        assert!(matches!(kind, ErrorKind::Forbidden | ErrorKind::NotFound), "{kind:?}");
    }
    let changed = desk.cluster_change(admin, &intent(), "west", pack()).await.expect("changed");
    assert_eq!(changed.value.spec.policy, PlacementPolicy::Pack);
    desk.cluster_delete(admin, &intent(), "west").await.expect("it is empty");
    assert_eq!(desk.view().datastores_in(west), vec![], "the first datastores have left it");
}

#[tokio::test]
async fn an_offline_host_is_shown_as_such_and_a_thousand_are_no_trouble() {
    let ground = Ground::new().await;
    for number in 0..1000 {
        by_hand(&ground, &format!("h{number}"), None).await.expect("made");
    }
    let change = HostChange { schedulable: Some(Schedulable::Offline), ..HostChange::default() };
    let row = ground.desk.host_change(&ground.admin, &intent(), "h999", change).await.expect("changed");
    assert_eq!(holm_desk::host_state(&row.value), "offline");
    let ground = ground.restarted().await;
    let view = ground.desk.view();
    assert_eq!(view.hosts_in(ClusterId(0)).len(), 1000);
    assert_eq!(view.row::<Host>(row.value.id).expect("there").value.spec.schedulable, Schedulable::Offline);
    assert_eq!(ground.desk.host_by_certificate(""), None);
}
