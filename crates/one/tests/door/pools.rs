//! Pools: whose VMs, which part, in which state, in which order.

use crate::cloud::{Cloud, Got, params};
use crate::vms::SMALL;

async fn ids(cloud: &Cloud, whose: i64, from: i64, to: i64, state: i64) -> Vec<i64> {
    let mut found = Vec::new();
    for method in ["one.vmpool.info", "one.vmpool.infoextended"] {
        let pool = cloud.xml(method, params![whose, from, to, state]).await;
        let shown: Vec<i64> = pool.all("VM/ID").iter().map(|id| id.parse().expect("a number")).collect();
        if method == "one.vmpool.infoextended" {
            assert_eq!(shown, found, "both forms show the same VMs");
        }
        found = shown;
    }
    found
}

#[tokio::test]
async fn parts_states_and_owners_select() {
    let cloud = Cloud::new().await;
    assert_eq!(cloud.text("one.vmpool.info", params![-2, -1, -1, -1]).await, "<VM_POOL></VM_POOL>");
    cloud.host("edge").await;
    for at in 0..6 {
        cloud.int("one.vm.allocate", params![SMALL, at % 2 == 0]).await;
    }
    cloud.settle().await;
    // 0, 2 and 4 are held, 1, 3 and 5 run; then 1 and 4 end.
    for id in [1, 4] {
        cloud.int("one.vm.action", params!["terminate", id]).await;
    }
    cloud.settle().await;
    assert_eq!(ids(&cloud, -2, -1, -1, -1).await, [5, 3, 2, 0]);
    assert_eq!(ids(&cloud, -2, -1, -1, -2).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(ids(&cloud, -2, -1, -1, 6).await, [4, 1]);
    assert_eq!(ids(&cloud, -2, -1, -1, 3).await, [5, 3]);
    assert_eq!(ids(&cloud, -2, -1, -1, 2).await, [2, 0]);
    assert_eq!(ids(&cloud, -2, -1, -1, 8).await, [0; 0]);
    assert_eq!(ids(&cloud, -2, 1, 3, -2).await, [3, 2, 1]);
    assert_eq!(ids(&cloud, -2, 2, -1, -1).await, [5, 3, 2]);
    assert_eq!(ids(&cloud, -2, 0, -2, -1).await, [5, 3]);
    assert_eq!(ids(&cloud, -2, 2, -2, -1).await, [2, 0]);
    assert_eq!(ids(&cloud, -2, 3, -200, -1).await, [0]);
    assert_eq!(ids(&cloud, -3, -1, -1, -1).await, [5, 3, 2, 0]);
    assert_eq!(ids(&cloud, 0, -1, -1, -1).await, [5, 3, 2, 0]);
    assert_eq!(ids(&cloud, 7, -1, -1, -1).await, [0; 0]);
    for (flag, state) in [(-5, -1), (-2, 12), (-2, -3)] {
        cloud.refused("one.vmpool.info", params![flag, -1, -1, state], 4096, "Incorrect").await;
    }
    cloud.refused("one.vmpool.info", params![-2, -1, -1, -1, "VM.NAME=x"], 4096, "Searching").await;
    let set = cloud.xml("one.vmpool.infoset", params!["5, 1,99,0,5", true]).await;
    assert_eq!(set.all("VM/ID"), ["5", "1", "0"]);
    let set = cloud.xml("one.vmpool.infoset", params!["5", false]).await;
    assert_eq!(set.all("VM/PERMISSIONS").len(), 0);
    cloud.refused("one.vmpool.infoset", params!["5,x", true], 4096, "no VM id").await;
}

#[tokio::test]
async fn pools_show_what_the_caller_may_see_and_what_changed_at_once() {
    let cloud = Cloud::new().await;
    let anna = cloud.user("anna").await;
    let id = cloud.int("one.vm.allocate", params![SMALL, true]).await;
    let empty = Got::Text("<VM_POOL></VM_POOL>".into());
    assert_eq!(cloud.call_as(&anna, "one.vmpool.info", params![-2, -1, -1, -1]).await, empty);
    assert_eq!(cloud.call_as(&anna, "one.vmpool.infoset", params![id.to_string(), true]).await, empty);
    let name = |pool: crate::cloud::Doc| pool.at("VM/NAME");
    for wanted in ["one", "two"] {
        cloud.int("one.vm.rename", params![id, wanted]).await;
        assert_eq!(name(cloud.xml("one.vmpool.info", params![-2, -1, -1, -1]).await), wanted);
        assert_eq!(name(cloud.xml("one.vmpool.infoextended", params![-2, -1, -1, -1]).await), wanted);
        assert_eq!(cloud.vm(id).await.at("NAME"), wanted);
    }
    // Names of others are in the documents as well.
    let owner = cloud.desk.view().get::<holm_model::users::User>(&cloud.admin, "anna").expect("there").value.id;
    cloud.int("one.vm.chown", params![id, i64::from(owner.0), -1]).await;
    assert_eq!(cloud.xml("one.vmpool.info", params![-2, -1, -1, -1]).await.at("VM/UNAME"), "anna");
    assert!(
        matches!(cloud.call_as(&anna, "one.vmpool.info", params![-3, -1, -1, -1]).await, Got::Text(text) if text != "<VM_POOL></VM_POOL>")
    );
}

/// Everything at once comes from documents that were put together before. Whatever happens in between, it is what a door
/// that keeps nothing says, VM by VM.
#[tokio::test]
async fn the_whole_pool_is_always_what_its_vms_are() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let image = crate::devices::datablock(&cloud, "data", 16).await;
    let with_disk = format!("{SMALL}DISK=[IMAGE_ID={image}]");
    for at in 0..140 {
        let template = if at % 50 == 0 { &*with_disk } else { SMALL };
        cloud.int("one.vm.allocate", params![template, at % 50 != 0]).await;
    }
    cloud.settle().await;
    let (forgetful, narrow) = (cloud.another_door(0), cloud.another_door(40_000));
    let mut dice = 7_u64;
    let mut below = |most: i64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(dice >> 33).unwrap_or(0) % most
    };
    let (mut last, mut changes) = (String::new(), 0);
    for step in 0..40 {
        let id = below(140);
        cloud.pass(1);
        // Some of it is refused, because the VM is over or not in that state.
        match below(8) {
            0 => drop(cloud.call("one.vm.rename", params![id, format!("name-{step}").as_str()]).await),
            1 => drop(cloud.call("one.vm.action", params!["terminate-hard", id]).await),
            2 => drop(cloud.call("one.vm.allocate", params![SMALL, below(8) != 0]).await),
            3 => drop(cloud.int("one.image.rename", params![image, format!("data-{step}").as_str()]).await),
            4 => cloud.measure(&[0, 50, 100], u32::try_from(step).unwrap_or(0), 17).await,
            5 => cloud.cut().await,
            6 => cloud.measure(&[id], 3, 4).await,
            _ => cloud.settle().await,
        }
        for method in ["one.vmpool.info", "one.vmpool.infoextended"] {
            let wanted = cloud.text_through(&forgetful, method, params![-2, 0, 1_000_000, -1]).await;
            let got = cloud.text(method, params![-2, -1, -1, -1]).await;
            assert_eq!(got, wanted, "{method} at step {step}");
            let got = cloud.text_through(&narrow, method, params![-2, -1, -1, -1]).await;
            assert_eq!(got, wanted, "{method} with little room at step {step}");
            if method == "one.vmpool.info" {
                changes += u32::from(last != wanted);
                last = wanted;
            }
        }
    }
    assert!(changes > 20, "only {changes} of 40 steps changed anything");
}

#[tokio::test]
async fn accounts_are_exact_to_the_second() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let template = "CPU=2\nMEMORY=100\nCPU_COST=3\nMEMORY_COST=\"0.01\"";
    let id = cloud.int("one.vm.allocate", params![template]).await;
    cloud.settle().await;
    cloud.pass(7200);
    cloud.int("one.vm.action", params!["terminate-hard", id]).await;
    cloud.settle().await;
    let records = cloud.xml("one.vmpool.accounting", params![-2, -1, -1]).await;
    let (from, until): (i64, i64) = (
        records.at("HISTORY/STIME").parse().expect("a number"),
        records.at("HISTORY/ETIME").parse().expect("a number"),
    );
    assert_eq!(until - from, 7200);
    assert_eq!(records.at("HISTORY/VM/ID"), id.to_string());
    let none = cloud.xml("one.vmpool.accounting", params![-2, until + 10, -1]).await;
    assert_eq!(none.all("HISTORY").len(), 0);
    let bills = cloud.xml("one.vmpool.showback", params![-2, -1, -1, -1, -1]).await;
    assert_eq!(
        ["HOURS", "CPU_COST", "MEMORY_COST", "TOTAL_COST"].map(|name| bills.at(&format!("SHOWBACK/{name}"))),
        ["2", "12", "2", "14"]
    );
    assert_eq!((bills.at("SHOWBACK/YEAR"), bills.at("SHOWBACK/MONTH")), ("2027".into(), "1".into()));
    let none = cloud.xml("one.vmpool.showback", params![-2, 2, 2027, 12, 2027]).await;
    assert_eq!(none.all("SHOWBACK").len(), 0);
    assert_eq!(cloud.text("one.vmpool.calculateshowback", params![-1, -1, -1, -1]).await, " ");
    cloud.refused("one.vmpool.showback", params![-2, 13, 2027, -1, -1], 4096, "month").await;
}

#[tokio::test]
async fn hosts_show_at_once_what_their_vms_and_clusters_changed() {
    let cloud = Cloud::new().await;
    for name in ["edge", "core"] {
        cloud.host(name).await;
    }
    let shares = async || {
        let pool = cloud.xml("one.hostpool.info", params![]).await;
        let shown = |what: &str| pool.all(&format!("HOST/{what}"));
        assert_eq!(shown("ID"), ["1", "0"]);
        for (at, id) in [1, 0].into_iter().enumerate() {
            let host = cloud.xml("one.host.info", params![id]).await;
            assert_eq!(
                host.at("HOST_SHARE/RUNNING_VMS"),
                shown("HOST_SHARE/RUNNING_VMS")[at],
                "both calls say the same"
            );
        }
        (shown("HOST_SHARE/RUNNING_VMS"), shown("VMS/ID"))
    };
    assert_eq!(shares().await, (vec!["0".into(), "0".into()], vec![]));
    let on = |host: i64| format!("{SMALL}\nSCHED_REQUIREMENTS=\"ID={host}\"");
    let mut ids = Vec::new();
    for host in [0, 0, 1] {
        ids.push(cloud.int("one.vm.allocate", params![on(host), false]).await);
    }
    cloud.settle().await;
    assert_eq!(shares().await, (vec!["1".into(), "2".into()], ["2", "0", "1"].map(String::from).to_vec()));
    // The newest one goes, so that the rest are older than what was shown before.
    cloud.int("one.vm.action", params!["terminate-hard", ids[1]]).await;
    cloud.settle().await;
    assert_eq!(shares().await, (vec!["1".into(), "1".into()], ["2", "0"].map(String::from).to_vec()));
    cloud.int("one.cluster.rename", params![0, "north"]).await;
    assert_eq!(cloud.xml("one.hostpool.info", params![]).await.all("HOST/CLUSTER"), ["north", "north"]);
    cloud.int("one.host.rename", params![0, "renamed"]).await;
    assert_eq!(cloud.xml("one.hostpool.info", params![]).await.all("HOST/NAME"), ["core", "renamed"]);
}
