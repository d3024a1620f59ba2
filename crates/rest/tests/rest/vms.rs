//! VMs beyond switching them on and off: devices, snapshots, schedules, groups, and who may do what with them.

use crate::contract::Contract;
use crate::support::{Cloud, FakeAgent, until};
use holm_desk::{Intent, RoleDraft, SecurityGroupDraft, VmGroupDraft};
use holm_model::VmId;
use holm_model::host_plan::HostReport;
use holm_model::vms::{Observed, VmStatus};
use holm_wire::host::{Frame, Message};
use serde_json::{Value, json};
use std::time::Duration;

/// A VM and the host it is on.
struct Stage<'a> {
    c: &'a mut Contract,
    agent: &'a mut FakeAgent,
    vm: u32,
    name: &'static str,
}

impl<'a> Stage<'a> {
    /// A VM that runs.
    async fn new(c: &'a mut Contract, agent: &'a mut FakeAgent, name: &'static str, more: Value) -> Self {
        let mut body = json!({"name": name, "kernel": "linux", "nics": [], "cpu": 0.1});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = c.fine("POST", "/api/v1/vms", "/api/v1/vms", Some(body)).await;
        let vm = u32::try_from(made["vm"]["id"].as_u64().unwrap()).unwrap();
        let mut stage = Self { c, agent, vm, name };
        stage.settled(1, Observed::Running).await;
        stage
    }

    /// The host says that a generation is in effect, and that the guest does this. A word about a VM that the engine is
    /// just moving does not count, so it says so again, with the newest plan, until it does.
    async fn settled(&mut self, generation: u64, observed: Observed) {
        let (vm, at) = (self.vm, format!("/api/v1/vms/{}", self.vm));
        let mut plan = self.agent.plan_with(vm).await;
        for _ in 0..200 {
            while let Ok(message) = self.agent.from.try_recv() {
                if let Message::Frame(Frame::Plan(newer)) = message {
                    plan = *newer;
                }
            }
            if let Some(planned) =
                plan.vms.iter().find(|planned| planned.id.0 == vm && planned.generation >= generation)
            {
                let status = VmStatus {
                    observed,
                    generation: planned.generation,
                    boot_seq: planned.boot_seq,
                    ever_started: true,
                    ..VmStatus::default()
                };
                let vms = vec![(VmId(vm), status)];
                self.agent.report(HostReport { applied_revision: plan.revision, vms, ..HostReport::default() }).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.c.cloud.get(&at).await.1["applied_generation"].as_u64() >= Some(generation.max(1)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        panic!("never: generation {generation} of vm {vm} is in effect");
    }

    fn paths(&self, below: &str) -> (String, String) {
        // Numbers stand for the parameters of the document's path.
        let mut template = format!("/api/v1/vms/{{vm}}{below}");
        for (what, parameter) in [
            ("/disks/", "{disk}"),
            ("/nics/", "{nic}"),
            ("/snapshots/", "{snapshot}"),
            ("/schedule/", "{id}"),
            ("/security-groups/", "{group}"),
        ] {
            if let Some(at) = template.find(what).map(|at| at + what.len()) {
                let end = template[at..].find('/').map_or(template.len(), |length| at + length);
                template.replace_range(at..end, parameter);
            }
        }
        (template, format!("/api/v1/vms/{}{below}", self.name))
    }

    /// Asks for something that the host has to confirm, and confirms it.
    async fn ask(&mut self, method: &str, below: &str, body: Option<Value>, observed: Observed) -> Value {
        let answer = self.just(method, below, body).await;
        self.settled(answer["vm"]["generation"].as_u64().unwrap(), observed).await;
        answer
    }

    /// Asks for something.
    async fn just(&mut self, method: &str, below: &str, body: Option<Value>) -> Value {
        let (template, path) = self.paths(below);
        self.c.fine(method, &template, &path, body).await
    }

    async fn refused(&mut self, status: u16, method: &str, below: &str, body: Option<Value>) -> Value {
        let (template, path) = self.paths(below);
        self.c.refused(status, method, &template, &path, body).await
    }

    async fn shown(&mut self) -> Value {
        self.just("GET", "", None).await
    }

    async fn stands(&mut self, word: &str) {
        let (cloud, at) = (&self.c.cloud, format!("/api/v1/vms/{}", self.vm));
        until(word, async || cloud.get(&at).await.1["standing"] == word).await;
    }
}

/// Calls every operation on VMs that the contract does not call itself.
pub async fn every_operation(c: &mut Contract, agent: &mut FakeAgent) {
    let (admin, intent) = (c.cloud.admin.clone(), Intent::default());
    let groups = SecurityGroupDraft { name: "door".into(), ..SecurityGroupDraft::default() };
    c.cloud.desk.security_group_create(&admin, &intent, groups).await.unwrap();
    let group = VmGroupDraft {
        name: "shop".into(),
        roles: vec![RoleDraft { name: "front".into(), ..RoleDraft::default() }],
        ..VmGroupDraft::default()
    };
    c.cloud.desk.vm_group_create(&admin, &intent, group).await.unwrap();
    devices(c, agent).await;
    snapshots(c, agent).await;
    schedules(c, agent).await;
    places(c, agent).await;
}

async fn devices(c: &mut Contract, agent: &mut FakeAgent) {
    use Observed::Running;
    let mut s = Stage::new(c, agent, "devices", json!({"disks": [{"size_mib": 64}]})).await;
    let swap = json!({"size_mib": 50, "attributes": {"type": "swap"}});
    let answer = s.ask("POST", "/disks", Some(swap), Running).await;
    assert_eq!(answer["operation"]["verb"], "change");
    assert_eq!(answer["vm"]["disks"][1]["attributes"]["TYPE"], "swap");
    s.refused(400, "POST", "/disks", Some(json!({}))).await;
    s.refused(404, "POST", "/disks", Some(json!({"image": "nobody's"}))).await;
    s.ask("PATCH", "/disks/1", Some(json!({"size_mib": 60})), Running).await;
    let smaller = s.refused(400, "PATCH", "/disks/1", Some(json!({"size_mib": 10}))).await;
    assert_eq!(smaller["field"], "size_mib");
    s.refused(404, "PATCH", "/disks/9", Some(json!({"size_mib": 10}))).await;
    s.ask("DELETE", "/disks/1", None, Running).await;
    s.refused(404, "DELETE", "/disks/1", None).await;
    let saved = s.ask("POST", "/disks/0/save", Some(json!({"name": "golden", "kind": "datablock"})), Running).await;
    let image = s.c.cloud.get(&format!("/api/v1/images/{}", saved["id"])).await.1;
    assert_eq!((&image["name"], &image["state"]), (&json!("golden"), &json!("awaiting")));
    assert_eq!(s.shown().await["disks"][0]["saving_as"], json!([saved["id"]]));
    s.refused(409, "DELETE", "/disks/0", None).await;
    s.refused(400, "POST", "/disks/0/save", Some(json!({"name": "x", "kind": "kernel"}))).await;

    s.ask("POST", "/nics", Some(json!({"network": "default", "ip4": "10.77.0.99"})), Running).await;
    s.ask("POST", "/nics", Some(json!({"network": "default", "alias_of": 0})), Running).await;
    let shown = s.shown().await;
    assert_eq!((&shown["nics"][0]["ip4"], &shown["nics"][1]["alias_of"]), (&json!("10.77.0.99"), &json!(0)));
    for (wrong, field) in [
        (json!({}), "nic.network"),
        (json!({"network": "default", "auto": {}}), "nic.auto"),
        (json!({"auto": {"requirements": "NAME ="}}), "nic.network"),
        (json!({"network": "default", "alias_of": 7}), "nic.alias_of"),
    ] {
        assert_eq!(s.refused(400, "POST", "/nics", Some(wrong)).await["field"], field);
    }
    s.ask(
        "PATCH",
        "/nics/0",
        Some(json!({"security_groups": ["default"], "attributes": {"MODEL": "virtio"}})),
        Running,
    )
    .await;
    s.refused(400, "PATCH", "/nics/0", Some(json!({"security_groups": []}))).await;
    let grouped = s.ask("PUT", "/nics/0/security-groups/door", None, Running).await;
    assert_eq!(grouped["vm"]["nics"][0]["security_groups"].as_array().unwrap().len(), 2);
    s.refused(409, "PUT", "/nics/0/security-groups/door", None).await;
    s.refused(404, "PUT", "/nics/0/security-groups/nobody", None).await;
    s.ask("DELETE", "/nics/0/security-groups/door", None, Running).await;
    s.refused(409, "DELETE", "/nics/0", None).await;
    s.ask("DELETE", "/nics/1", None, Running).await;
    s.ask("DELETE", "/nics/0", None, Running).await;
    s.refused(400, "DELETE", "/nics/zero", None).await;
}

async fn snapshots(c: &mut Contract, agent: &mut FakeAgent) {
    use Observed::{Off, Running, Saved};
    let mut s = Stage::new(c, agent, "snapshots", json!({"disks": [{"size_mib": 64}]})).await;
    let taken = s.ask("POST", "/snapshots", Some(json!({"name": "before"})), Running).await;
    assert_eq!((&taken["id"], &taken["vm"]["snapshots"][0]["name"]), (&json!(0), &json!("before")));
    s.ask("POST", "/snapshots/0/revert", None, Running).await;
    s.refused(404, "POST", "/snapshots/3/revert", None).await;
    s.ask("DELETE", "/snapshots/0", None, Running).await;
    assert_eq!(s.ask("POST", "/snapshots", None, Running).await["vm"]["snapshots"][0]["name"], "snap-1");

    let taken = s.ask("POST", "/disks/0/snapshots", Some(json!({"name": "clean"})), Running).await;
    assert_eq!(taken["id"], 0);
    s.just("PATCH", "/disks/0/snapshots/0", Some(json!({"name": "good"}))).await;
    assert_eq!(s.shown().await["disks"][0]["snapshots"][0]["name"], "good");
    s.refused(409, "POST", "/disks/0/snapshots/0/revert", None).await;
    s.ask("POST", "/suspend", None, Saved).await;
    let larger = s.refused(409, "PATCH", "", Some(json!({"memory_mib": 1024}))).await;
    assert!(larger["detail"].as_str().unwrap().contains("saved"), "{larger}");
    s.ask("POST", "/resume", None, Running).await;
    s.ask("POST", "/stop", None, Off).await;
    s.refused(409, "POST", "/suspend", None).await;
    s.ask("POST", "/disks/0/snapshots/0/revert", None, Off).await;
    s.ask("POST", "/disks/0/snapshots", None, Off).await;
    s.ask("DELETE", "/disks/0/snapshots/1", None, Off).await;
}

async fn schedules(c: &mut Contract, agent: &mut FakeAgent) {
    let mut s =
        Stage::new(c, agent, "schedules", json!({"schedule": [{"action": "stop", "at": "2099-01-01T00:00:00Z"}]}))
            .await;
    let nightly = json!({"action": "snapshot", "name": "nightly", "at": "2099-12-01T03:00:00Z",
        "repeat": {"weekly": ["thu", "mon"], "times": 5}, "warn_before_s": 60});
    assert_eq!(s.just("POST", "/schedule", Some(nightly)).await["id"], 1);
    let shown = s.shown().await;
    let kept = &shown["schedule"][1];
    assert_eq!(kept["repeat"], json!({"weekly": ["mon", "thu"], "times": 5}));
    assert_eq!(
        (&kept["action"], &kept["name"], &kept["warn_before_s"]),
        (&json!("snapshot"), &json!("nightly"), &json!(60))
    );
    assert_eq!(kept["next_at"], "2099-12-01T03:00:00.000Z");
    let later = json!({"at": "2099-12-02T03:00:00Z", "once": true});
    let changed = s.just("PATCH", "/schedule/1", Some(later)).await;
    assert_eq!(changed["vm"]["schedule"][1]["at"], "2099-12-02T03:00:00.000Z");
    assert_eq!(changed["vm"]["schedule"][1]["repeat"], Value::Null);
    for (wrong, field) in [
        (json!({"action": "dance", "at": "2099-01-01T00:00:00Z"}), "action"),
        (json!({"action": "stop", "at": "noon"}), "at"),
        (json!({"action": "stop", "at": "2099-01-01T00:00:00Z", "repeat": {"monthly": [32]}}), "days"),
    ] {
        assert_eq!(s.refused(400, "POST", "/schedule", Some(wrong)).await["field"], field);
    }
    s.refused(404, "PATCH", "/schedule/9", Some(json!({"once": true}))).await;
    s.just("DELETE", "/schedule/1", None).await;
    s.refused(404, "DELETE", "/schedule/1", None).await;
}

async fn places(c: &mut Contract, agent: &mut FakeAgent) {
    use Observed::{Off, Running, Saved};
    let other = c.cloud.host("other").await;
    let mut s = Stage::new(
        c,
        agent,
        "places",
        json!({"requirements": "NAME = \"edge\"", "rank": "FREE_CPU", "disks": [{"size_mib": 64}]}),
    )
    .await;
    assert_eq!(s.shown().await["placement"]["rank"], "FREE_CPU");
    let changed =
        s.ask("PATCH", "", Some(json!({"requirements": " ", "context": {"environment": {"A": "1"}}})), Running).await;
    assert_eq!(changed["vm"]["placement"].get("requirements"), None);
    assert_eq!(changed["vm"]["context"]["environment"]["A"], "1");
    let wrong = s.refused(400, "PATCH", "", Some(json!({"requirements": "FREE_CPU >"}))).await;
    assert_eq!(wrong["field"], "requirements");
    assert!(wrong["detail"].as_str().unwrap().contains("at character 11"), "{wrong}");
    s.ask("POST", "/reschedule", None, Running).await;
    s.ask("DELETE", "/reschedule", None, Running).await;
    assert_eq!(s.just("GET", "/history", None).await["items"][0]["host_name"], "edge");
    s.just("GET", "/samples", None).await;
    s.refused(400, "POST", "/recover", Some(json!({"how": "pray"}))).await;
    s.refused(409, "POST", "/recover", Some(json!({"how": "retry"}))).await;
    s.refused(400, "POST", "/migrate", Some(json!({"host": "edge", "how": "fly"}))).await;
    s.refused(404, "POST", "/migrate", Some(json!({"host": "nowhere"}))).await;
    s.ask("POST", "/suspend", Some(json!({"away": true})), Saved).await;
    s.stands("stopped").await;
    s.ask("POST", "/resume", None, Running).await;
    s.stands("running").await;
    s.ask("POST", "/undeploy", Some(json!({"hard": true})), Off).await;
    s.stands("undeployed").await;
    let found = s.c.cloud.get("/api/v1/vms?filter=state:undeployed").await.1;
    assert_eq!(found["items"][0]["name"], "places");
    s.ask("POST", "/deploy", Some(json!({"host": "edge"})), Running).await;
    s.stands("running").await;
    s.just("POST", "/recover", Some(json!({"how": "recreate"}))).await;
    s.just("POST", "/terminate", None).await;
    let mut s = Stage::new(c, agent, "mover", json!({"requirements": "NAME = \"edge\""})).await;
    s.refused(400, "POST", "/migrate", Some(json!({"host": "edge", "how": "stop"}))).await;
    s.just("PATCH", "", Some(json!({"requirements": ""}))).await;
    // Nothing moves to a host that has not reported.
    s.refused(409, "POST", "/migrate", Some(json!({"host": other.to_string(), "how": "stop"}))).await;
    let _there = FakeAgent::connected(&s.c.cloud, other).await;
    let path = format!("/api/v1/hosts/{other}");
    until("the other host has reported", async || s.c.cloud.get(&path).await.1["state"] == "ready").await;
    s.just("POST", "/migrate", Some(json!({"host": other.to_string(), "how": "stop"}))).await;

    let held = json!({"name": "held", "kernel": "linux", "nics": [], "hold": true});
    c.fine("POST", "/api/v1/vms", "/api/v1/vms", Some(held)).await;
    let found = c.cloud.get("/api/v1/vms?filter=state:held").await.1;
    assert_eq!((&found["items"][0]["name"], &found["items"][0]["state"]), (&json!("held"), &json!("pending")));
    let role = json!({"group": "shop", "role": "front"});
    c.fine("PUT", "/api/v1/vms/{vm}/vm-group", "/api/v1/vms/held/vm-group", Some(role.clone())).await;
    c.refused(409, "PUT", "/api/v1/vms/{vm}/vm-group", "/api/v1/vms/held/vm-group", Some(role)).await;
    let found = c.cloud.get("/api/v1/vms?filter=vm_group:shop").await.1;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    c.fine("DELETE", "/api/v1/vms/{vm}/vm-group", "/api/v1/vms/held/vm-group", None).await;
    c.refused(409, "DELETE", "/api/v1/vms/{vm}/vm-group", "/api/v1/vms/held/vm-group", None).await;
    c.fine("POST", "/api/v1/vms/{vm}/release", "/api/v1/vms/held/release", None).await;
    let nowhere = json!({"name": "nowhere", "kernel": "linux", "nics": [], "requirements": "NAME = \"x\""});
    c.fine("POST", "/api/v1/vms", "/api/v1/vms", Some(nowhere)).await;
    c.fine("POST", "/api/v1/vms/{vm}/hold", "/api/v1/vms/nowhere/hold", None).await;
    c.fine("POST", "/api/v1/vms/{vm}/terminate", "/api/v1/vms/nowhere/terminate", None).await;
}

#[tokio::test]
async fn what_is_asked_twice_is_done_once_and_only_as_it_was_seen() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let body = json!({"name": "web", "kernel": "linux", "nics": [], "hold": true});
    cloud.json("POST", "/api/v1/vms", body).await;
    let stop = json!({"action": "stop", "at": "2099-01-01T00:00:00Z"});
    let add = || cloud.request("POST", "/api/v1/vms/web/schedule").header("idempotency-key", "once").json(&stop).send();
    let first: Value = add().await.unwrap().json().await.unwrap();
    let again: Value = add().await.unwrap().json().await.unwrap();
    assert_eq!((&first["id"], again.get("id")), (&json!(0), None), "the number is only told once");
    assert_eq!(first["operation"]["id"], again["operation"]["id"]);
    assert_eq!(again["vm"]["schedule"].as_array().unwrap().len(), 1);
    for (method, path) in [("POST", "/schedule"), ("POST", "/release"), ("DELETE", "/schedule/0")] {
        let mut request = cloud.request(method, &format!("/api/v1/vms/web{path}")).header("if-match", "\"1\"");
        if path == "/schedule" {
            request = request.json(&stop);
        }
        assert_eq!(request.send().await.unwrap().status(), 412, "{method} {path}");
    }
}

#[tokio::test]
async fn what_only_administrators_may_say_of_a_vm_is_refused_to_others() {
    let cloud = Cloud::start().await;
    cloud.image("linux").await;
    let token = cloud.user("ann").await;
    for body in [
        json!({"name": "a", "nics": [], "attributes": {"CPU_COST": "0"}}),
        json!({"name": "b", "nics": [], "disks": [{"size_mib": 1, "attributes": {"total_iops_sec": "9"}}]}),
        json!({"name": "c", "nics": [{"network": "default", "attributes": {"VLAN_ID": "9"}}]}),
        json!({"name": "d", "nics": [], "owner": "oneadmin"}),
    ] {
        let answer = cloud.http.post(cloud.url("/api/v1/vms")).bearer_auth(&token).json(&body).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(status == 403 || status == 404, "{body}: {status} {text}");
    }
}
