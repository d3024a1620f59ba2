//! `one.system.*`

use super::methods;
use crate::codes::Failure;
use crate::request::Request;
use crate::xml::Xml;
use crate::xmlrpc::Answer;

methods! {
    read "one.system.version" => version,
    read "one.system.config" => config,
}

fn version(request: &Request<'_>) -> Result<Answer, Failure> {
    Ok(Answer::Text(request.door.version.clone()))
}

/// What clients look for in the configuration. Holm is not configured by such a file: these are the values that say
/// how it behaves. Administrators get what concerns the machine as well.
fn config(request: &Request<'_>) -> Result<Answer, Failure> {
    let mut xml = Xml::new();
    xml.within("OPENNEBULA_CONFIGURATION", |xml| {
        xml.cdata("API_LIST_ORDER", "DESC").within("AUTH_MAD", |xml| {
            xml.cdata("AUTHN", "ssh,server_cipher,default").cdata("EXECUTABLE", "holmd");
        });
        for (name, longest) in [("core", -1), ("public", -1), ("ssh", -1), ("server_cipher", -1)] {
            xml.within("AUTH_MAD_CONF", |xml| {
                xml.cdata("DRIVER_MANAGED_GROUPS", "NO")
                    .text("MAX_TOKEN_TIME", longest)
                    .cdata("NAME", name)
                    .cdata("PASSWORD_CHANGE", "YES");
            });
        }
        xml.cdata("DATASTORE_CAPACITY_CHECK", "YES")
            .cdata("DEFAULT_AUTH", "core")
            .within("DEFAULT_COST", |xml| {
                xml.text("CPU_COST", 0).text("DISK_COST", 0).text("MEMORY_COST", 0);
            })
            .cdata("DEFAULT_DEVICE_PREFIX", "vd")
            .cdata("DEFAULT_IMAGE_PERSISTENT", "NO")
            .cdata("DEFAULT_IMAGE_PERSISTENT_NEW", "NO")
            .cdata("DEFAULT_IMAGE_TYPE", "OS")
            .cdata("DEFAULT_UMASK", "177")
            .cdata("DEFAULT_VDC_CLUSTER_DATASTORE_ACL", "USE")
            .cdata("DEFAULT_VDC_CLUSTER_HOST_ACL", "MANAGE")
            .cdata("DEFAULT_VDC_CLUSTER_NET_ACL", "USE")
            .cdata("DEFAULT_VDC_DATASTORE_ACL", "USE")
            .cdata("DEFAULT_VDC_HOST_ACL", "MANAGE")
            .cdata("DEFAULT_VDC_VNET_ACL", "USE")
            .cdata("ENABLE_OTHER_PERMISSIONS", "YES")
            .within("FEDERATION", |xml| {
                xml.cdata("MODE", "STANDALONE").text("ZONE_ID", 0).text("SERVER_ID", -1);
            })
            .cdata("MAC_PREFIX", "02:00")
            .text("SESSION_EXPIRATION_TIME", 900)
            .cdata("SHOWBACK_ONLY_RUNNING", "YES")
            .within("TM_MAD_CONF", |xml| {
                xml.cdata("ALLOW_ORPHANS", "NO")
                    .cdata("CLONE_TARGET", "SYSTEM")
                    .cdata("LN_TARGET", "SYSTEM")
                    .cdata("NAME", "local")
                    .cdata("SHARED", "NO");
            })
            .within("DS_MAD_CONF", |xml| {
                xml.cdata("NAME", "fs").cdata("PERSISTENT_ONLY", "NO").cdata("REQUIRED_ATTRS", "");
            })
            .within("VLAN_IDS", |xml| {
                xml.cdata("RESERVED", "0, 1, 4095").text("START", 2);
            })
            .within("VXLAN_IDS", |xml| {
                xml.text("START", 2);
            })
            .cdata("VM_SUBMIT_ON_HOLD", "NO");
        for (driver, shown) in [("kvm", "KVM"), ("qemu", "QEMU"), ("dummy", "Testing")] {
            xml.within("VM_MAD", |xml| {
                xml.cdata("EXECUTABLE", "holmd")
                    .cdata("LIVE_RESIZE", "NO")
                    .cdata("NAME", driver)
                    .cdata("SUNSTONE_NAME", shown)
                    .cdata("TYPE", driver);
            });
        }
        if request.caller.is_admin() {
            xml.text("PORT", 2633).cdata("DB", "").cdata("LISTEN_ADDRESS", "127.0.0.1");
        }
    });
    Ok(Answer::Text(xml.into_string()))
}
