//! Logging in, tokens, who may what.

use crate::{Ground, draft, intent, kernel, keyed, refused};
use holm_desk::{ErrorKind, MetaChange, Secret};
use holm_model::clusters::Cluster;
use holm_model::networks::Network;
use holm_model::vms::Vm;
use holm_model::{Attributes, Permissions};
use std::time::Duration;

#[tokio::test]
async fn the_first_start_makes_what_is_needed_and_the_second_nothing() {
    let ground = Ground::new().await;
    let view = ground.desk.view();
    let network = view.get::<Network>(&ground.admin, "default").expect("made");
    assert_eq!(network.value.spec.ip4.as_ref().expect("IPv4").subnet.to_string(), "10.77.0.0/16");
    assert_eq!(network.value.spec.ip6.as_ref().expect("IPv6").subnet.to_string(), "fd77::/64");
    assert!(!network.value.spec.dns.is_empty());
    view.get::<Cluster>(&ground.admin, "0").expect("made");
    assert!(ground.password.0.len() >= 20, "the password is long");
    assert!(!format!("{:?}", ground.password).contains(&ground.password.0), "secrets do not show in logs");
    let token = ground.desk.login("oneadmin", ground.password.clone(), &intent()).await.expect("logs in");
    let ground = ground.restarted().await;
    let caller = ground.desk.authenticate(&token.secret.0).expect("tokens survive restarts");
    assert!(caller.is_admin());
}

#[tokio::test]
async fn tokens_end_by_time_by_revocation_and_with_the_account() {
    let ground = Ground::new().await;
    let lena = ground.user("lena").await;
    let intent_ = intent();
    let issue = || ground.desk.token_create(&lena, &intent_, "ci", Some(Duration::from_secs(60)));
    let first = issue().await.expect("made");
    assert_eq!(first.row.value.sha256.len(), 64);
    assert!(!first.row.value.sha256.contains(&first.secret.0));
    ground.desk.authenticate(&first.secret.0).expect("works");
    ground.pass(Duration::from_secs(60));
    refused(ground.desk.authenticate(&first.secret.0), ErrorKind::Unauthenticated);

    let second = issue().await.expect("made");
    let mallory = ground.user("mallory").await;
    refused(ground.desk.token_revoke(&mallory, &intent(), second.row.value.id).await, ErrorKind::NotFound);
    ground.desk.token_revoke(&lena, &intent(), second.row.value.id).await.expect("revoked");
    refused(ground.desk.authenticate(&second.secret.0), ErrorKind::Unauthenticated);

    let third = issue().await.expect("made");
    ground.desk.user_enable(&ground.admin, &intent(), "lena", false).await.expect("disabled");
    refused(ground.desk.authenticate(&third.secret.0), ErrorKind::Unauthenticated);
    let login = ground.desk.login("lena", Secret("lena-password".into()), &intent()).await;
    refused(login, ErrorKind::Unauthenticated);
    for wrong in ["", "holm-", "holm-x", &"holm-".repeat(100)] {
        refused(ground.desk.authenticate(wrong), ErrorKind::Unauthenticated);
    }
    refused(ground.desk.token_create(&ground.admin, &intent(), "x", Some(Duration::ZERO)).await, ErrorKind::Invalid);
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down_and_logged() {
    let ground = Ground::new().await;
    let intent_ = intent();
    let guess = |text: &str| ground.desk.login("oneadmin", Secret(text.into()), &intent_);
    for n in 0..10 {
        refused(guess(&format!("guess {n}")).await, ErrorKind::Unauthenticated);
    }
    // From now on not even the right password is looked at.
    refused(guess(&ground.password.0).await, ErrorKind::RateLimited { retry_after_s: 6 });
    ground.pass(Duration::from_secs(6));
    guess(&ground.password.0).await.expect("after the wait");
    let lines = ground.desk.audit_lines(&ground.admin, None, 100).await.expect("read");
    let refusals = lines.iter().filter(|(_, l)| l.action == "session.create" && l.outcome.starts_with("refused"));
    assert_eq!(refusals.count(), 10);
    assert!(lines.iter().any(|(_, l)| l.action == "session.create" && l.outcome == "done"));
    let stranger = ground.user("stranger").await;
    refused(ground.desk.audit_lines(&stranger, None, 100).await, ErrorKind::Forbidden);
}

#[tokio::test]
async fn changing_a_password_ends_the_other_tokens() {
    let ground = Ground::new().await;
    let lena = ground.user("lena").await;
    let other = ground.desk.token_create(&lena, &intent(), "other", None).await.expect("made");
    let change = |old: &str, new: &str| (Secret(old.into()), Secret(new.into()));
    let (old, new) = change("wrong", "new-password");
    refused(ground.desk.password_change(&lena, &intent(), old, new).await, ErrorKind::Forbidden);
    let (old, new) = change("lena-password", "short");
    refused(ground.desk.password_change(&lena, &intent(), old, new).await, ErrorKind::Invalid);
    let (old, new) = change("lena-password", "new-password");
    ground.desk.password_change(&lena, &intent(), old, new).await.expect("changed");
    refused(ground.desk.authenticate(&other.secret.0), ErrorKind::Unauthenticated);
    ground.desk.login("lena", Secret("new-password".into()), &intent()).await.expect("logs in");
}

#[tokio::test]
async fn strangers_see_nothing_and_viewers_change_nothing() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (lena, max) = (ground.user("lena").await, ground.user("max").await);
    let vm = ground.vm(&lena, "web").await;
    let key = vm.to_string();
    for key in ["web", key.as_str(), "99", "nothing", "", "99999999999999999999"] {
        refused(ground.desk.view().get::<Vm>(&max, key), ErrorKind::NotFound);
    }
    refused(ground.desk.vm_delete(&max, &intent(), "web").await, ErrorKind::NotFound);
    refused(ground.desk.vm_explain(&max, "web"), ErrorKind::NotFound);
    let page = ground.desk.view().list::<Vm>(&max, &holm_desk::ListQuery::default()).expect("listed");
    assert!(page.items.is_empty());
    assert!(ground.desk.view().counts(&max).vms.is_empty());

    let bits = |octal| MetaChange {
        permissions: Some(Permissions::from_octal(octal).expect("valid")),
        ..MetaChange::default()
    };
    refused(ground.desk.meta_change::<Vm>(&lena, &intent(), "web", bits(0o604)).await, ErrorKind::Forbidden);
    ground.desk.meta_change::<Vm>(&lena, &intent(), "web", bits(0o640)).await.expect("the owner may");
    ground.desk.meta_change::<Vm>(&ground.admin, &intent(), "web", bits(0o604)).await.expect("with access admin");
    ground.desk.view().get::<Vm>(&max, "web").expect("may be seen now");
    refused(ground.desk.vm_delete(&max, &intent(), "web").await, ErrorKind::Forbidden);
    refused(ground.desk.vm_reach(&max, "web"), ErrorKind::Forbidden);
    refused(ground.desk.meta_change::<Vm>(&max, &intent(), "web", bits(0o777)).await, ErrorKind::Forbidden);
    let steal = MetaChange { owner: Some("max".into()), ..MetaChange::default() };
    refused(ground.desk.meta_change::<Vm>(&lena, &intent(), "web", steal).await, ErrorKind::NotFound);
    let lines = ground.desk.audit_lines(&ground.admin, None, 50).await.expect("read");
    assert!(lines.iter().any(|(_, l)| l.action == "vm.delete" && l.outcome.starts_with("refused")), "it is logged");

    // Two owners may use the same name; each means their own, and somebody who sees both must say which.
    let second = ground.vm(&max, "web").await;
    assert_eq!(ground.desk.view().get::<Vm>(&max, "web").expect("own").value.id, second);
    let both = refused(ground.desk.view().get::<Vm>(&ground.admin, "web"), ErrorKind::Conflict);
    assert!(both.says.contains(&format!("{vm}, {second}")), "{both}");
    let again = ground.desk.vm_create(&max, &intent(), draft("web"), Attributes::default()).await;
    refused(again, ErrorKind::Conflict);
    for name in ["", "12", "a/b", " a", &"x".repeat(200)] {
        let made = ground.desk.vm_create(&max, &intent(), draft(name), Attributes::default()).await;
        assert_eq!(refused(made, ErrorKind::Invalid).field.as_deref(), Some("name"), "{name}");
    }
}

#[tokio::test]
async fn a_repeated_request_is_carried_out_once() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let create = |key: &str, request: &str, name: &str| {
        let (intent, draft) = (keyed(key, request), draft(name));
        let (desk, admin) = (ground.desk.clone(), ground.admin.clone());
        async move { desk.vm_create(&admin, &intent, draft, Attributes::default()).await }
    };
    let first = create("k1", "r1", "web").await.expect("made");
    let again = create("k1", "r1", "web").await.expect("the same answer");
    assert_eq!((first.row.value.id, first.operation.value.id), (again.row.value.id, again.operation.value.id));
    refused(create("k1", "r2", "other").await, ErrorKind::Conflict);
    refused(create("", "r", "other").await, ErrorKind::Invalid);
    // The key belongs to its user.
    let lena = ground.user("lena").await;
    ground.desk.vm_create(&lena, &keyed("k1", "r9"), draft("mine"), Attributes::default()).await.expect("made");

    let gone = ground.desk.vm_delete(&ground.admin, &keyed("k2", "d"), "web").await.expect("deleted");
    let id = first.row.value.id;
    ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(id))).now().expect("the engine forgets it");
    let gone_again = ground.desk.vm_delete(&ground.admin, &keyed("k2", "d"), "web").await.expect("the same answer");
    assert_eq!(gone.value.id, gone_again.value.id);
    refused(create("k1", "r1", "web").await, ErrorKind::Gone);
    let ground = ground.restarted().await;
    let late = ground.desk.vm_delete(&ground.admin, &keyed("k2", "d"), "web").await.expect("also after a restart");
    assert_eq!(gone.value.id, late.value.id);
    // Keys are forgotten with their operations.
    ground.pass(Duration::from_secs(8 * 24 * 3600));
    assert!(ground.desk.housekeeping().await.expect("cleaned") >= 3);
    refused(ground.desk.vm_delete(&ground.admin, &keyed("k2", "d"), "web").await, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_change_of_something_that_has_changed_is_refused() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let vm = ground.vm(&ground.admin, "web").await;
    let row = ground.desk.view().row::<Vm>(vm).expect("there");
    let at = |revision| holm_desk::Intent { if_revision: Some(revision), ..intent() };
    let rename = |name: &str| MetaChange { name: Some(name.into()), ..MetaChange::default() };
    let renamed = ground.desk.meta_change::<Vm>(&ground.admin, &at(row.revision), "web", rename("app")).await;
    assert!(renamed.expect("current").revision > row.revision);
    let late = ground.desk.meta_change::<Vm>(&ground.admin, &at(row.revision), "app", rename("db")).await;
    refused(late, ErrorKind::PreconditionFailed);
    refused(ground.desk.vm_delete(&ground.admin, &at(row.revision), "app").await, ErrorKind::PreconditionFailed);
}
