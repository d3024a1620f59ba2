//! VM groups.

use crate::cloud::{Cloud, params};
use crate::vms::SMALL;

#[tokio::test]
async fn roles_come_and_go_and_have_vms() {
    let cloud = Cloud::new().await;
    let host = cloud.host("edge").await;
    let body = format!(
        "NAME=app\nROLE=[NAME=db,POLICY=ANTI_AFFINED]\nROLE=[NAME=web,HOST_AFFINED=\"{host}\"]\nANTI_AFFINED=\"db,web\"\nNOTE=x"
    );
    let id = cloud.int("one.vmgroup.allocate", params![body]).await;
    let group = cloud.xml("one.vmgroup.info", params![id]).await;
    assert_eq!(
        (group.all("ROLES/ROLE/NAME"), group.all("ROLES/ROLE/ID")),
        (vec!["db".into(), "web".into()], vec!["0".into(), "1".into()])
    );
    assert_eq!((group.at("ROLES/ROLE/POLICY"), group.at("TEMPLATE/NOTE")), ("ANTI_AFFINED".into(), "x".into()));
    assert_eq!(group.at("ROLES/ROLE/HOST_AFFINED"), host.to_string());
    let role = cloud.int("one.vmgroup.roleadd", params![id, "ROLE=[NAME=cache]"]).await;
    assert_eq!(role, 2);
    cloud.int("one.vmgroup.roleupdate", params![id, role, "ROLE=[POLICY=AFFINED]"]).await;
    let vm = cloud.int("one.vm.allocate", params![format!("{SMALL}VMGROUP=[VMGROUP_ID={id},ROLE=cache]"), true]).await;
    let shown = cloud.vm(vm).await;
    assert_eq!(
        (shown.at("TEMPLATE/VMGROUP/VMGROUP_NAME"), shown.at("TEMPLATE/VMGROUP/ROLE")),
        ("app".into(), "cache".into())
    );
    let group = cloud.xml("one.vmgroup.info", params![id]).await;
    assert_eq!(
        (group.at("ROLES/ROLE/VMS"), group.all("ROLES/ROLE/POLICY")),
        (vm.to_string(), vec!["ANTI_AFFINED".into(), "AFFINED".into()])
    );
    cloud.refused("one.vmgroup.roledelete", params![id, role], 2048, "").await;
    cloud.refused("one.vmgroup.delete", params![id], 2048, "").await;
    cloud.int("one.vm.vmgroupdel", params![vm]).await;
    assert_eq!(cloud.vm(vm).await.all("TEMPLATE/VMGROUP").len(), 0);
    cloud.int("one.vm.vmgroupadd", params![vm, id, "db"]).await;
    assert_eq!(cloud.vm(vm).await.at("TEMPLATE/VMGROUP/ROLE"), "db");
    cloud.refused("one.vm.vmgroupadd", params![vm, 99, "db"], 1024, "vm group [99]").await;
    cloud.int("one.vm.vmgroupdel", params![vm]).await;
    cloud.int("one.vmgroup.roledelete", params![id, role]).await;
    cloud.int("one.vmgroup.update", params![id, "OTHER=y", 0]).await;
    let group = cloud.xml("one.vmgroup.info", params![id]).await;
    assert_eq!(
        (group.all("TEMPLATE/NOTE").len(), group.all("TEMPLATE/ANTI_AFFINED").len(), group.at("TEMPLATE/OTHER")),
        (0, 0, "y".into())
    );
    cloud.int("one.vmgroup.rename", params![id, "other"]).await;
    cloud.int("one.vmgroup.lock", params![id, 4]).await;
    cloud.int("one.vmgroup.unlock", params![id]).await;
    assert_eq!(cloud.xml("one.vmgrouppool.info", params![-2, -1, -1]).await.all("VM_GROUP/NAME"), ["other"]);
    cloud.int("one.vmgroup.delete", params![id]).await;
    cloud.refused("one.vmgroup.info", params![id], 1024, "Error getting vm group").await;
    cloud.refused("one.vmgroup.roleadd", params![id, "A=1"], 2048, "ROLE").await;
}
