//! Disks, cards and snapshots of VMs.

use crate::cloud::{Cloud, params};
use crate::vms::SMALL;

/// A datablock of so many MB; the id.
pub(crate) async fn datablock(cloud: &Cloud, name: &str, size: u32) -> i64 {
    let template = format!("NAME=\"{name}\"\nTYPE=DATABLOCK\nSIZE={size}");
    cloud.int("one.image.allocate", params![template, 1]).await
}

/// A network with sixteen addresses; the id.
pub(crate) async fn network(cloud: &Cloud, name: &str) -> i64 {
    let template = format!(
        "NAME=\"{name}\"\nVN_MAD=dummy\nBRIDGE=br0\nNETWORK_ADDRESS=10.9.0.0\nNETWORK_MASK=255.255.255.0\n\
         GATEWAY=10.9.0.1\nAR=[TYPE=IP4,IP=10.9.0.16,SIZE=16]"
    );
    cloud.int("one.vn.allocate", params![template, -1]).await
}

#[tokio::test]
async fn disks_show_their_images_and_keep_what_was_written() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let image = datablock(&cloud, "data", 64).await;
    let template = format!(
        "{SMALL}DISK=[IMAGE=data,DEV_PREFIX=sd,CACHE=none]\nDISK=[TYPE=swap,SIZE=32]\nDISK=[IMAGE_ID={image},TARGET=vdx,ODD_THING=\"a,b\"]"
    );
    let id = cloud.int("one.vm.allocate", params![template]).await;
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.state(), (3, 3), "{}", vm.0);
    let disk = |name: &str| vm.all(&format!("TEMPLATE/DISK/{name}"));
    assert_eq!(disk("DISK_ID"), ["0", "1", "2"]);
    assert_eq!((disk("IMAGE"), disk("IMAGE_ID")), (vec!["data".to_owned(); 2], vec![image.to_string(); 2]));
    assert_eq!(disk("SIZE"), ["64", "32", "64"]);
    assert_eq!(disk("TYPE"), ["FILE", "swap", "FILE"]);
    assert_eq!((disk("CACHE"), disk("ODD_THING")), (vec!["none".to_owned()], vec!["a,b".to_owned()]));
    assert_eq!(disk("TARGET"), ["sda", "vda", "vdx"]);
    assert_eq!((disk("DATASTORE_ID"), disk("CLONE")), (vec!["1".to_owned(); 2], vec!["YES".to_owned(); 2]));
    let pool = cloud.xml("one.vmpool.info", params![-2, -1, -1, -1]).await;
    assert_eq!((pool.all("VM/TEMPLATE/DISK/SIZE"), pool.all("VM/TEMPLATE/DISK/CACHE").len()), (disk("SIZE"), 0));
    // A renamed image is seen in all its VMs.
    cloud.int("one.image.rename", params![image, "blue"]).await;
    assert_eq!(cloud.vm(id).await.all("TEMPLATE/DISK/IMAGE"), ["blue", "blue"]);
}

#[tokio::test]
async fn disks_come_and_go_and_grow() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let image = datablock(&cloud, "data", 64).await;
    let id = cloud.int("one.vm.allocate", params![format!("{SMALL}DISK=[IMAGE_ID={image}]")]).await;
    cloud.settle().await;
    cloud.int("one.vm.attach", params![id, "DISK=[TYPE=fs,SIZE=16,FORMAT=qcow2]"]).await;
    assert_eq!(cloud.vm(id).await.state(), (3, 17));
    assert_eq!(cloud.vm(id).await.all("TEMPLATE/DISK/ATTACH"), ["YES"]);
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!(
        (vm.state(), vm.all("TEMPLATE/DISK/DISK_ID"), vm.all("TEMPLATE/DISK/ATTACH").len()),
        ((3, 3), vec!["0".into(), "1".into()], 0)
    );
    cloud.int("one.vm.diskresize", params![id, 0, "128"]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.all("TEMPLATE/DISK/SIZE"), ["128", "16"]);
    cloud.int("one.vm.detach", params![id, 1]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.all("TEMPLATE/DISK/SIZE"), ["128"]);
    cloud.refused("one.vm.detach", params![id, 7], 2048, "no disk 7").await;
    cloud.refused("one.vm.detach", params![id, -1], 2048, "does not exist").await;
    cloud.refused("one.vm.attach", params![id, "NIC=[NETWORK_ID=0]"], 2048, "DISK").await;
    cloud.refused("one.vm.attach", params![id, "DISK=[IMAGE_ID=99]"], 1024, "").await;
    cloud.refused("one.vm.diskresize", params![id, 0, "12GB"], 2048, "SIZE").await;
    cloud.refused("one.vm.diskresize", params![id, 0, "1"], 2048, "").await;
}

#[tokio::test]
async fn snapshots_of_disks_and_vms() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let image = datablock(&cloud, "data", 64).await;
    let id = cloud.int("one.vm.allocate", params![format!("{SMALL}DISK=[IMAGE_ID={image}]")]).await;
    cloud.settle().await;
    assert_eq!(cloud.int("one.vm.snapshotcreate", params![id, "before <update>"]).await, 0);
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!(
        (vm.at("TEMPLATE/SNAPSHOT/NAME"), vm.at("TEMPLATE/SNAPSHOT/SNAPSHOT_ID")),
        ("before <update>".into(), "0".into())
    );
    cloud.int("one.vm.snapshotrevert", params![id, 0]).await;
    cloud.settle().await;
    cloud.int("one.vm.snapshotdelete", params![id, 0]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.all("TEMPLATE/SNAPSHOT").len(), 0);
    cloud.int("one.vm.action", params!["poweroff-hard", id]).await;
    cloud.settle().await;
    assert_eq!(cloud.int("one.vm.disksnapshotcreate", params![id, 0, "a"]).await, 0);
    cloud.settle().await;
    assert_eq!(cloud.int("one.vm.disksnapshotcreate", params![id, 0, "b"]).await, 1);
    cloud.settle().await;
    cloud.int("one.vm.disksnapshotrename", params![id, 0, 1, "c"]).await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.all("SNAPSHOTS/SNAPSHOT/NAME"), ["a", "c"]);
    assert_eq!(
        (vm.all("SNAPSHOTS/SNAPSHOT/PARENT"), vm.at("SNAPSHOTS/CURRENT_BASE")),
        (vec!["-1".into(), "0".into()], "1".into())
    );
    cloud.int("one.vm.disksnapshotrevert", params![id, 0, 0]).await;
    cloud.settle().await;
    cloud.int("one.vm.disksnapshotdelete", params![id, 0, 1]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.all("SNAPSHOTS/SNAPSHOT/ID"), ["0"]);
    let copy = cloud.int("one.vm.disksaveas", params![id, 0, "copy", "", -1]).await;
    let shown = cloud.xml("one.image.info", params![copy]).await;
    assert_eq!((shown.at("NAME"), shown.at("STATE")), ("copy".into(), "4".into()));
    cloud.refused("one.vm.disksaveas", params![id, 0, "other", "ODD", -1], 4096, "image type").await;
}

#[tokio::test]
async fn cards_have_addresses_and_aliases() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let net = network(&cloud, "blue").await;
    let template = format!(
        "{SMALL}NIC_DEFAULT=[MODEL=virtio]\nNIC=[NETWORK=blue,IP=10.9.0.20]\nNIC=[NETWORK_ID={net},NAME=second]\n\
         NIC_ALIAS=[NETWORK_ID={net},PARENT=second]\nCONTEXT=[NETWORK=YES]"
    );
    let id = cloud.int("one.vm.allocate", params![template]).await;
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.state(), (3, 3), "{}", vm.0);
    assert_eq!(vm.all("TEMPLATE/NIC/IP"), ["10.9.0.20", "10.9.0.16"]);
    assert_eq!(vm.all("TEMPLATE/NIC/NAME"), ["NIC0", "second"]);
    assert_eq!(vm.all("TEMPLATE/NIC/MODEL"), ["virtio", "virtio"]);
    assert_eq!(
        (vm.at("TEMPLATE/NIC_ALIAS/PARENT"), vm.at("TEMPLATE/NIC_ALIAS/PARENT_ID")),
        ("second".into(), "1".into())
    );
    assert_eq!(vm.all("TEMPLATE/NIC/SECURITY_GROUPS"), ["0", "0"]);
    assert!(!vm.all("TEMPLATE/SECURITY_GROUP_RULE/PROTOCOL").is_empty());
    assert_eq!(
        (vm.at("TEMPLATE/CONTEXT/ETH0_IP"), vm.at("TEMPLATE/CONTEXT/ETH0_MASK")),
        ("10.9.0.20".into(), "255.255.255.0".into())
    );
    cloud.int("one.vm.attachnic", params![id, format!("NIC=[NETWORK_ID={net}]")]).await;
    assert_eq!(cloud.vm(id).await.state(), (3, 25));
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.state(), vm.all("TEMPLATE/NIC/NIC_ID").len()), ((3, 3), 3));
    let last = vm.all("TEMPLATE/NIC/NIC_ID")[2].parse::<i64>().expect("a number");
    cloud.int("one.vm.updatenic", params![id, last, "NIC=[MODEL=e1000]", 1]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.all("TEMPLATE/NIC/MODEL")[2], "e1000");
    let group = cloud
        .int("one.secgroup.allocate", params!["NAME=web\nRULE=[PROTOCOL=TCP,RULE_TYPE=inbound,RANGE=\"80,443\"]"])
        .await;
    cloud.int("one.vm.attachsg", params![id, last, group]).await;
    cloud.settle().await;
    assert!(cloud.vm(id).await.all("TEMPLATE/NIC/SECURITY_GROUPS")[2].split(',').any(|one| one == group.to_string()));
    cloud.int("one.vm.detachsg", params![id, last, group]).await;
    cloud.settle().await;
    cloud.int("one.vm.detachnic", params![id, last]).await;
    cloud.settle().await;
    assert_eq!(cloud.vm(id).await.all("TEMPLATE/NIC/NIC_ID").len(), 2);
    cloud.refused("one.vm.attachnic", params![id, "NIC=[NETWORK_ID=99]"], 1024, "").await;
    cloud
        .refused("one.vm.attachnic", params![id, format!("NIC_ALIAS=[NETWORK_ID={net},PARENT=none]")], 2048, "PARENT")
        .await;
    cloud.refused("one.vm.detachnic", params![id, 77], 2048, "no network card 77").await;
}
