//! Templates: instantiated, copied, deleted with what they name.

use crate::cloud::{Cloud, Got, P, params};
use crate::devices::{datablock, network};

#[tokio::test]
async fn a_vm_is_made_from_a_template_and_more() {
    let cloud = Cloud::new().await;
    let image = datablock(&cloud, "data", 64).await;
    let body = format!("NAME=web\nCPU=0.5\nMEMORY=128\nDISK=[IMAGE_ID={image}]\nLABELS=a\nSCHED_RANK=FREE_CPU");
    let template = cloud.int("one.template.allocate", params![body.clone()]).await;
    let shown = cloud.xml("one.template.info", params![template]).await;
    assert_eq!((shown.at("NAME"), shown.all("TEMPLATE/NAME").len()), ("web".into(), 0));
    let id = cloud.int("one.template.instantiate", params![template, "", true, "", false]).await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("NAME"), vm.at("TEMPLATE/TEMPLATE_ID")), (format!("web-{id}"), template.to_string()));
    assert_eq!(
        (vm.state(), vm.at("USER_TEMPLATE/LABELS"), vm.at("TEMPLATE/DISK/IMAGE")),
        ((2, 0), "a".into(), "data".into())
    );
    // Some clients send the whole template again, with changes.
    let extra = format!("{body}\nMEMORY=256\nLABELS=\"\"\nDISK=[IMAGE=data,SIZE=100]").replace("MEMORY=128\n", "");
    let id = cloud.int("one.template.instantiate", params![template, "given", true, extra]).await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("NAME"), vm.at("TEMPLATE/MEMORY")), ("given".into(), "256".into()));
    assert_eq!(vm.all("TEMPLATE/DISK/SIZE").last().map(String::as_str), Some("100"));
    let only = cloud.int("one.template.instantiate", params![template, "%i-x"]).await;
    assert_eq!(cloud.vm(only).await.at("NAME"), "0-x");
    cloud
        .refused("one.template.instantiate", params![99, ""], 1024, "Error getting virtual machine template [99].")
        .await;
    cloud.refused("one.template.instantiate", params![template, "", false, "CPU=x"], 16384, "CPU attribute").await;
}

#[tokio::test]
async fn inputs_that_are_demanded_are_demanded() {
    let cloud = Cloud::new().await;
    let body = "NAME=ask\nCPU=0.1\nMEMORY=64\nUSER_INPUTS=[SITE=\"M|text|Where\",COLOR=\"O|list|Which|red,blue|blue\"]\nCONTEXT=[SITE=\"$SITE\"]";
    let template = cloud.int("one.template.allocate", params![body]).await;
    cloud.refused("one.template.instantiate", params![template, "", true], 16384, "SITE").await;
    let id = cloud.int("one.template.instantiate", params![template, "", true, "SITE=here"]).await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("TEMPLATE/CONTEXT/SITE"), vm.at("USER_TEMPLATE/COLOR")), ("here".into(), "blue".into()));
    assert_eq!(vm.all("USER_TEMPLATE/USER_INPUTS").len(), 1);
}

#[tokio::test]
async fn a_persistent_copy_is_a_template_and_images_of_its_own() {
    let cloud = Cloud::new().await;
    cloud.host("edge").await;
    let image = datablock(&cloud, "data", 64).await;
    let body = format!("NAME=db\nCPU=0.5\nMEMORY=128\nDISK=[IMAGE_ID={image},CACHE=none]");
    let template = cloud.int("one.template.allocate", params![body]).await;
    let id = cloud.int("one.template.instantiate", params![template, "mine", false, "LABELS=z", true]).await;
    cloud.settle().await;
    let vm = cloud.vm(id).await;
    assert_eq!((vm.at("TEMPLATE/DISK/IMAGE"), vm.at("TEMPLATE/DISK/PERSISTENT")), ("mine-disk-0".into(), "YES".into()));
    assert_eq!(
        (vm.at("TEMPLATE/CLONING_TEMPLATE_ID"), vm.at("TEMPLATE/DISK/CACHE")),
        (template.to_string(), "none".into())
    );
    let copy: i64 = vm.at("TEMPLATE/TEMPLATE_ID").parse().expect("a number");
    assert_ne!(copy, template);
    assert_eq!(cloud.xml("one.template.info", params![copy]).await.at("NAME"), "mine");
    // One that cannot be made leaves nothing behind.
    let before = cloud.text("one.imagepool.info", params![-2, -1, -1]).await;
    cloud.refused("one.template.instantiate", params![template, "again", false, "CPU=x", true], 16384, "CPU").await;
    cloud.decide().await;
    assert_eq!(
        cloud.text("one.imagepool.info", params![-2, -1, -1]).await.matches("<NAME>").count(),
        before.matches("<NAME>").count()
    );
    assert_eq!(cloud.xml("one.templatepool.info", params![-2, -1, -1, -1]).await.all("VMTEMPLATE/ID").len(), 2);
}

#[tokio::test]
async fn what_is_done_to_a_template_goes_on_to_its_images() {
    let cloud = Cloud::new().await;
    let image = datablock(&cloud, "data", 64).await;
    let body = "NAME=web\nCPU=0.5\nMEMORY=128\nDISK=[IMAGE=data]\nDISK=[TYPE=fs,SIZE=5]";
    let template = cloud.int("one.template.allocate", params![body]).await;
    let mut chmod = vec![P::I(template)];
    chmod.extend([-1, -1, -1, 1, -1, -1, -1, -1, -1].map(P::I));
    chmod.push(P::B(true));
    cloud.int("one.template.chmod", &chmod).await;
    for (method, id) in [("one.template.info", template), ("one.image.info", image)] {
        assert_eq!(cloud.xml(method, params![id]).await.at("PERMISSIONS/GROUP_U"), "1", "{method}");
    }
    let shallow = cloud.int("one.template.clone", params![template, "shallow"]).await;
    assert_eq!(cloud.xml("one.template.info", params![shallow]).await.all("TEMPLATE/DISK/IMAGE"), ["data"]);
    let deep = cloud.int("one.template.clone", params![template, "deep", true]).await;
    let shown = cloud.xml("one.template.info", params![deep, true]).await;
    assert_eq!(shown.all("TEMPLATE/DISK/IMAGE"), ["deep-disk-0"]);
    let copy: i64 = shown.at("TEMPLATE/DISK/IMAGE_ID").parse().expect("a number");
    cloud.int("one.template.delete", params![deep, true]).await;
    cloud.refused("one.template.info", params![deep], 1024, "Error getting virtual machine template").await;
    match cloud.call("one.image.info", params![copy]).await {
        Got::Refused(1024, _) => {}
        Got::Text(text) => assert!(text.contains("<STATE>7</STATE>"), "{text}"),
        other => panic!("{other:?}"),
    }
    // An image that is used keeps the template.
    let id = cloud.int("one.template.instantiate", params![template, "", true]).await;
    cloud.refused("one.template.delete", params![template, true], 2048, "used").await;
    cloud.int("one.vm.action", params!["terminate", id]).await;
    cloud.settle().await;
    cloud.int("one.template.delete", params![template]).await;
}

#[tokio::test]
async fn the_same_text_twice_changes_nothing() {
    let cloud = Cloud::new().await;
    network(&cloud, "blue").await;
    let body = "NAME=web\nCPU=0.5\nMEMORY=128\nNIC=[NETWORK=blue]";
    let template = cloud.int("one.template.allocate", params![body]).await;
    let before = cloud.xml("one.template.info", params![template]).await;
    cloud.int("one.template.update", params![template, body, 0]).await;
    assert_eq!(cloud.xml("one.template.info", params![template]).await.all("TEMPLATE"), before.all("TEMPLATE"));
    let extended = cloud.xml("one.template.info", params![template, true]).await;
    assert_eq!(extended.at("TEMPLATE/NIC/VN_MAD"), "dummy");
}

#[tokio::test]
async fn restricted_attributes_are_for_administrators() {
    let cloud = Cloud::new().await;
    let anna = cloud.user("anna").await;
    let body = "NAME=raw\nCPU=0.1\nMEMORY=64\nDISK_COST=1";
    let template = cloud.int("one.template.allocate", params![body]).await;
    let mut chmod = vec![P::I(template)];
    chmod.extend([-1, -1, -1, -1, -1, -1, 1, -1, -1].map(P::I));
    cloud.int("one.template.chmod", &chmod).await;
    let own = cloud.call_as(&anna, "one.template.instantiate", params![template, "", true]).await;
    assert!(matches!(own, Got::Int(_)), "the template may say what its owner may: {own:?}");
    let repeated = cloud.call_as(&anna, "one.template.instantiate", params![template, "", true, body]).await;
    assert!(matches!(repeated, Got::Int(_)), "{repeated:?}");
    for (method, given) in [
        ("one.template.instantiate", params![template, "", true, "DISK_COST=2"]),
        ("one.vm.allocate", params![body, true]),
        ("one.vm.allocate", params!["CPU=1\nMEMORY=64\nNIC=[NETWORK_ID=0,MAC=\"02:00:00:00:00:01\"]", true]),
    ] {
        match cloud.call_as(&anna, method, given).await {
            Got::Refused(512, message) => {
                assert!(message.contains("restricted") || message.contains("not authorized"), "{message}")
            }
            other => panic!("{method}: {other:?}"),
        }
    }
}
