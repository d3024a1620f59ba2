//! The lock of every owned noun.

use super::Contract;
use serde_json::json;

/// Locks and unlocks one object of each noun that has a lock. Expects a VM `web`, an image `linux`, a host
/// `edge`, a template `store` and a VM group `empty`.
pub async fn calls(c: &mut Contract) {
    let mut templates: Vec<String> = c.document["paths"].as_object().unwrap().keys().cloned().collect();
    templates.retain(|template| template.ends_with("/lock"));
    assert!(templates.len() >= 5, "{templates:?}");
    for (noun, one, key) in [
        ("clusters", "cluster", "default"),
        ("datastores", "datastore", "default"),
        ("documents", "document", "copy"),
        ("hosts", "host", "edge"),
        ("images", "image", "linux"),
        ("network-templates", "network_template", "tenant"),
        ("networks", "network", "default"),
        ("security-groups", "security_group", "default"),
        ("templates", "template", "store"),
        ("vm-groups", "vm_group", "empty"),
        ("vms", "vm", "web"),
    ] {
        let template = format!("/api/v1/{noun}/{{{one}}}/lock");
        templates.retain(|other| *other != template);
        let path = format!("/api/v1/{noun}/{key}/lock");
        let locked = c.fine("PUT", &template, &path, Some(json!({"level": "manage"}))).await;
        assert_eq!((&locked["lock"]["level"], &locked["lock"]["user"]), (&json!("manage"), &json!(0)));
        c.refused(400, "PUT", &template, &path, Some(json!({"level": "tight"}))).await;
        c.refused(404, "PUT", &template, &format!("/api/v1/{noun}/nobody/lock"), Some(json!({"level": "use"}))).await;
        let open = c.fine("DELETE", &template, &path, None).await;
        assert!(open.get("lock").is_none(), "{open}");
    }
    assert!(templates.is_empty(), "these locks are not tried: {templates:?}");
}
