//! Accounts, groups, and everything that proves who somebody is.

use crate::{Ground, draft, intent, kernel, refused};
use holm_desk::{AccountDraft, AclDraft, Caller, ErrorKind, GroupDraft, LoginTokenDraft, MOST_LOGIN_TOKENS, Secret};
use holm_model::acl::{Acl, AclSubject};
use holm_model::clusters::Cluster;
use holm_model::datastores::Datastore;
use holm_model::permissions::Permissions;
use holm_model::security_groups::SecurityGroup;
use holm_model::users::{Group, Proof, User};
use holm_model::vdcs::Vdc;
use holm_model::vms::Vm;
use holm_model::zones::Zone;
use holm_model::{AttributeValue, Attributes, GroupId, Name, UserId, Word};
use std::time::Duration;

pub(crate) fn text(name: &str, value: &str) -> (Word, AttributeValue) {
    (name.into(), AttributeValue::Text(value.into()))
}

fn secret(text: &str) -> Secret {
    Secret(text.into())
}

/// A group whose members may make what members of `users` may.
pub(crate) async fn group(ground: &Ground, name: &str) -> GroupId {
    let draft = GroupDraft { name: name.into() };
    let id = ground.desk.group_create(&ground.admin, &intent(), draft).await.expect("made").value.id;
    let rules = ground.desk.acls(&ground.admin).expect("may");
    let same = &rules.first().expect("the first rule").value;
    let rule = AclDraft {
        subject: AclSubject::Group(id),
        kinds: same.kinds,
        scope: same.scope,
        rights: same.rights,
        zone: None,
    };
    ground.desk.acl_add(&ground.admin, &intent(), rule).await.expect("made");
    id
}

/// A user of one group, who has logged in as every call of the OpenNebula interface does.
pub(crate) async fn member(ground: &Ground, name: &str, group: GroupId) -> Caller {
    let draft = AccountDraft { name: name.into(), proof: Proof::Password, secret: secret("pw"), groups: vec![group] };
    ground.desk.account_create(&ground.admin, &intent(), draft).await.expect("made");
    ground.desk.password_login(name, secret("pw"), "192.0.2.7:1").await.expect("logs in")
}

#[tokio::test]
async fn a_new_cloud_has_the_objects_that_clients_expect() {
    let ground = Ground::new().await;
    let view = ground.desk.view();
    let names = |ids: &[u32]| -> Vec<String> {
        ids.iter().map(|id| view.row::<User>(UserId(*id)).expect("there").value.name.to_string()).collect()
    };
    assert_eq!(names(&[0, 1]), ["oneadmin", "serveradmin"]);
    let groups: Vec<String> = view.each::<Group>(&ground.admin).map(|row| row.value.name.to_string()).collect();
    assert_eq!(groups, ["oneadmin", "users"]);
    assert_eq!(view.row::<User>(UserId(0)).expect("there").value.groups, [GroupId(0)]);
    let stores: Vec<String> =
        view.each::<Datastore>(&ground.admin).map(|row| format!("{} {}", row.value.id, row.value.meta.name)).collect();
    assert_eq!(stores, ["0 system", "1 default", "2 files"]);
    assert_eq!(view.get::<Zone>(&ground.admin, "0").expect("there").value.name.as_str(), "OpenNebula");
    assert_eq!(view.get::<Cluster>(&ground.admin, "0").expect("there").value.meta.name.as_str(), "default");
    assert_eq!(view.get::<SecurityGroup>(&ground.admin, "0").expect("there").value.meta.name.as_str(), "default");
    let vdc = view.get::<Vdc>(&ground.admin, "0").expect("there");
    assert_eq!(vdc.value.groups.iter().copied().collect::<Vec<_>>(), [GroupId(1)]);
    assert!(vdc.value.clusters.iter().all(|member| member.id.is_none()));
    let rules = ground.desk.acls(&ground.admin).expect("may");
    let of_vdc: Vec<bool> = rules.iter().map(|rule| rule.value.vdc.is_some()).collect();
    assert_eq!(of_vdc, [false, false, false, true, true, true, true]);
    assert_eq!(group(&ground, "first").await, GroupId(100), "the first group of one's own");
    // Nobody has its password, so nobody acts as it.
    assert!(ground.desk.service_key("serveradmin").is_none());
    refused(ground.desk.service_login("serveradmin", "oneadmin", None), ErrorKind::Unauthenticated);
    let login = ground.desk.login("serveradmin", secret(""), &intent()).await;
    refused(login, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn an_older_cloud_gets_what_is_missing_and_keeps_its_names() {
    let ground = Ground::new().await;
    let lena = ground.user("lena").await.user_id();
    ground
        .store
        .write(|tx| {
            // The rows of a release that knew nothing of all this.
            let rules: Vec<_> = tx.list::<Acl>().map(|row| row.value.id).collect();
            rules.into_iter().for_each(|id| {
                tx.delete::<Acl>(id);
            });
            tx.delete::<Zone>(holm_model::ZoneId(0));
            tx.delete::<Vdc>(holm_model::VdcId(0));
            tx.delete::<User>(UserId(1));
            for id in 0..3 {
                tx.delete::<Datastore>(holm_model::DatastoreId(id));
            }
            tx.delete::<SecurityGroup>(holm_model::SecurityGroupId(0));
            tx.update::<User>(UserId(0), |user| user.name = Name::new("admin").expect("valid"));
            tx.update::<Group>(GroupId(0), |group| group.name = Name::new("admins").expect("valid"));
            Ok::<_, ()>(())
        })
        .now()
        .expect("written");
    let ground = ground.restarted().await;
    let view = ground.desk.view();
    assert_eq!(view.row::<User>(UserId(0)).expect("there").value.name.as_str(), "admin");
    assert_eq!(view.row::<User>(UserId(1)).expect("there").value.proof, Proof::Service);
    assert_eq!(view.row::<User>(lena).expect("there").value.name.as_str(), "lena");
    assert_eq!(view.each::<Datastore>(&ground.admin).count(), 3);
    assert_eq!(view.each::<SecurityGroup>(&ground.admin).count(), 1);
    let rules = ground.desk.acls(&ground.admin).expect("may");
    assert_eq!(rules.len(), 7);
    assert_eq!(rules[0].value.id.0, 0);
    // What an administrator deletes stays deleted.
    ground.desk.acl_delete(&ground.admin, &intent(), rules[0].value.id).await.expect("deleted");
    ground.desk.vdc_delete(&ground.admin, &intent(), holm_model::VdcId(0)).await.expect("deleted");
    let ground = ground.restarted().await;
    assert_eq!(ground.desk.acls(&ground.admin).expect("may").len(), 2);
}

#[tokio::test]
async fn a_password_with_every_call_is_checked_once_and_forgotten_with_the_account() {
    let ground = Ground::new().await;
    let group = group(&ground, "blue").await;
    let lena = member(&ground, "lena", group).await;
    let known = |text: &str| ground.desk.password_known("lena", &secret(text)).is_some();
    assert!(known("pw"));
    assert!(!known("pw2") && !known("") && ground.desk.password_known("lenap", &secret("w")).is_none());
    ground.pass(Duration::from_secs(900));
    assert!(!known("pw"), "remembered for a while only");
    ground.desk.password_login("lena", secret("pw"), "192.0.2.7:2").await.expect("logs in");
    assert!(known("pw"));
    ground.desk.user_enable(&ground.admin, &intent(), "lena", false).await.expect("disabled");
    assert!(!known("pw"));
    let login = ground.desk.password_login("lena", secret("pw"), "192.0.2.7:2").await;
    refused(login, ErrorKind::Unauthenticated);
    // Somebody who came before the account was disabled can do nothing more.
    let made = ground.desk.image_create(&lena, &intent(), holm_desk::ImageDraft::default()).await;
    refused(made, ErrorKind::Unauthenticated);
    assert_eq!(ground.desk.view().each::<User>(&lena).count(), 0);
    ground.desk.user_enable(&ground.admin, &intent(), "lena", true).await.expect("enabled");
    ground.desk.password_login("lena", secret("pw"), "192.0.2.7:2").await.expect("logs in");
    let id = lena.user_id();
    ground.desk.secret_set(&ground.admin, &intent(), id, None, Some(secret("new"))).await.expect("changed");
    assert!(!known("pw"));
    let old = ground.desk.password_login("lena", secret("pw"), "192.0.2.7:2").await;
    refused(old, ErrorKind::Unauthenticated);
    ground.desk.password_login("lena", secret("new"), "192.0.2.7:2").await.expect("logs in");
    ground.pass(Duration::from_secs(60));
    for n in 0..10 {
        let guess = ground.desk.password_login("lena", secret(&format!("guess {n}")), "192.0.2.7:3").await;
        refused(guess, ErrorKind::Unauthenticated);
    }
    let guess = ground.desk.password_login("lena", secret("guess"), "192.0.2.7:3").await;
    refused(guess, ErrorKind::RateLimited { retry_after_s: 6 });
    assert!(ground.desk.password_login("lena", secret("new"), "192.0.2.7:2").await.is_ok(), "who is known is let in");
}

#[tokio::test]
async fn login_tokens_stand_for_the_password_and_may_stand_for_one_group_only() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let lena = member(&ground, "lena", blue).await;
    let id = lena.user_id();
    ground.desk.user_add_group(&ground.admin, &intent(), id, red).await.expect("added");
    let token = |text: Option<&str>, lifetime: Option<u64>, group: Option<GroupId>| LoginTokenDraft {
        user: id,
        text: text.map(secret),
        lifetime: lifetime.map(Duration::from_secs),
        group,
    };
    let make = |caller: &Caller, draft: LoginTokenDraft| {
        let (desk, caller) = (ground.desk.clone(), caller.clone());
        async move { desk.login_token_create(&caller, &intent(), draft).await }
    };
    let login = |text: &Secret| {
        let (desk, text) = (ground.desk.clone(), text.clone());
        async move { desk.password_login("lena", text, "192.0.2.7:4").await }
    };
    let short = make(&lena, token(None, Some(60), None)).await.expect("made");
    let caller = login(&short).await.expect("stands for the password");
    assert_eq!(caller.groups(), [blue, red]);
    // A token is not the password: it does not change it.
    let change = ground.desk.secret_set(&caller, &intent(), id, None, Some(secret("mine"))).await;
    refused(change, ErrorKind::Forbidden);
    ground.pass(Duration::from_secs(60));
    refused(login(&short).await, ErrorKind::Unauthenticated);

    let own_words = make(&lena, token(Some("my own token"), None, Some(red))).await.expect("made");
    assert_eq!(own_words.0, "my own token");
    let limited = login(&own_words).await.expect("logs in");
    assert_eq!((limited.groups(), limited.primary_group()), (&[red][..], red));
    let vm = ground.vm(&limited, "web").await;
    assert_eq!(ground.desk.view().row::<Vm>(vm).expect("there").value.meta.group, red);
    // It can make no token for more than itself, and not change the account's groups.
    refused(make(&limited, token(None, None, Some(blue))).await, ErrorKind::Forbidden);
    let again = make(&limited, token(Some("another"), None, None)).await.expect("for its group");
    assert_eq!(login(&again).await.expect("logs in").groups(), [red]);
    let session = ground.desk.token_create(&limited, &intent(), "ci", None).await.expect("made");
    assert_eq!(ground.desk.authenticate(&session.secret.0).expect("works").groups(), [red]);
    let leave = ground.desk.user_primary_group(&limited, &intent(), id, red).await;
    refused(leave, ErrorKind::Forbidden);
    // Whoever leaves the group has left what they were as its member.
    ground.desk.user_remove_group(&ground.admin, &intent(), id, red).await.expect("removed");
    let made = ground.desk.vm_create(&limited, &intent(), draft("db"), Attributes::default()).await;
    assert!(matches!(made.expect_err("refused").kind, ErrorKind::Forbidden | ErrorKind::NotFound));
    assert_eq!(ground.desk.view().each::<Vm>(&limited).count(), 0);

    refused(make(&lena, token(None, None, Some(red))).await, ErrorKind::Invalid);
    refused(make(&lena, token(Some("tab\there"), None, None)).await, ErrorKind::Invalid);
    let max = member(&ground, "max", blue).await;
    refused(make(&max, token(None, None, None)).await, ErrorKind::NotFound);
    let there = ground.desk.login_tokens(id).len();
    for _ in there..MOST_LOGIN_TOKENS {
        make(&lena, token(None, None, None)).await.expect("made");
    }
    refused(make(&lena, token(None, None, None)).await, ErrorKind::Invalid);
    make(&lena, token(Some("another"), Some(5), None)).await.expect("one that is there is renewed");
    let reset = |text: Option<&str>| {
        let (desk, lena, text) = (ground.desk.clone(), lena.clone(), text.map(secret));
        async move { desk.login_token_reset(&lena, &intent(), id, text).await }
    };
    reset(Some("another")).await.expect("ended");
    refused(login(&secret("another")).await, ErrorKind::Unauthenticated);
    refused(reset(Some("another")).await, ErrorKind::NotFound);
    reset(None).await.expect("all ended");
    assert!(ground.desk.login_tokens(id).is_empty());
}

#[tokio::test]
async fn a_service_acts_for_users_and_only_with_its_key() {
    let ground = Ground::new().await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let lena = member(&ground, "lena", blue).await;
    let set = ground.desk.secret_set(&ground.admin, &intent(), UserId(1), None, Some(secret("flow"))).await;
    assert_eq!(set.expect("set").value.proof, Proof::Service);
    let key = ground.desk.service_key("serveradmin").expect("it has a password now");
    // SHA-256 of the password in hex, as its clients compute it.
    assert_eq!(key.0, "3b21278178ed3463f3bde3a35f088caf6d99ff1b2f647d9a0c2b8de599ec3dc6");
    let acting = ground.desk.service_login("serveradmin", "lena", Some(blue)).expect("acts");
    assert_eq!((acting.user_id(), acting.groups()), (lena.user_id(), &[blue][..]));
    assert!(!acting.is_admin());
    for (service, target, group) in [
        ("lena", "oneadmin", None),
        ("nobody", "lena", None),
        ("serveradmin", "nobody", None),
        ("serveradmin", "lena", Some(red)),
    ] {
        refused(ground.desk.service_login(service, target, group), ErrorKind::Unauthenticated);
    }
    // Its own name and password open nothing.
    let login = ground.desk.password_login("serveradmin", secret("flow"), "192.0.2.7:5").await;
    refused(login, ErrorKind::Unauthenticated);
    ground.desk.user_enable(&ground.admin, &intent(), "serveradmin", false).await.expect("disabled");
    refused(ground.desk.service_login("serveradmin", "lena", None), ErrorKind::Unauthenticated);
    // A public account has nothing of its own to prove itself with.
    let draft = AccountDraft { name: "guest".into(), proof: Proof::Public, secret: secret(""), groups: vec![blue] };
    ground.desk.account_create(&ground.admin, &intent(), draft).await.expect("made");
    for text in ["", "x"] {
        let login = ground.desk.password_login("guest", secret(text), "192.0.2.7:5").await;
        refused(login, ErrorKind::Unauthenticated);
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_on_the_web_and_each_code_works_once() {
    let ground = Ground::new().await;
    let lena = ground.user("lena").await;
    let desk = &ground.desk;
    let offer = desk.second_factor_offer(&lena);
    assert!(offer.uri.0.starts_with("otpauth://totp/Holm:lena?secret="), "{}", offer.uri.0);
    assert!(!format!("{offer:?}").contains(&offer.key.0), "the key does not show in logs");
    refused(desk.second_factor_confirm(&lena, &intent(), offer.key.clone(), "000").await, ErrorKind::Unauthenticated);
    refused(desk.second_factor_confirm(&lena, &intent(), secret("MY"), "000000").await, ErrorKind::Invalid);
    // The key of the standard's examples, whose codes are known.
    let key = secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    let at = |seconds: i64| Duration::from_secs(u64::try_from(seconds - ground.clock_now().seconds()).expect("later"));
    ground.pass(at(2_000_000_000));
    let lena = desk.authenticate(&desk.login("lena", secret("lena-password"), &intent()).await.expect("in").secret.0);
    let lena = lena.expect("fresh");
    desk.second_factor_confirm(&lena, &intent(), key.clone(), "279037").await.expect("confirmed");
    let twice = desk.second_factor_confirm(&lena, &intent(), key, "279037").await;
    refused(twice, ErrorKind::Conflict);
    let login = |code: Option<&'static str>| {
        let desk = desk.clone();
        async move { desk.login_with("lena", secret("lena-password"), code, &intent()).await }
    };
    assert_eq!(refused(login(None).await, ErrorKind::Unauthenticated).field.as_deref(), Some("code"));
    refused(login(Some("279037")).await, ErrorKind::Unauthenticated);
    refused(login(Some("123456")).await, ErrorKind::Unauthenticated);
    let wrong = desk.login_with("lena", secret("wrong"), Some("279037"), &intent()).await;
    assert_eq!(refused(wrong, ErrorKind::Unauthenticated).field, None);
    refused(desk.second_factor_remove(&lena, &intent(), lena.user_id(), None).await, ErrorKind::Unauthenticated);
    let max = ground.user("max").await;
    refused(desk.second_factor_remove(&max, &intent(), lena.user_id(), None).await, ErrorKind::NotFound);
    ground.pass(at(20_000_000_000));
    let token = login(Some("353130")).await.expect("the code of that time");
    refused(login(Some("353130")).await, ErrorKind::Unauthenticated);
    let lena = desk.authenticate(&token.secret.0).expect("fresh");
    desk.second_factor_remove(&ground.admin, &intent(), lena.user_id(), None).await.expect("administrators may");
    login(None).await.expect("no second factor any more");
}

#[tokio::test]
async fn an_administrator_of_a_group_rules_there_and_nowhere_else() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let (head, hand, other) =
        (member(&ground, "head", blue).await, member(&ground, "hand", blue).await, member(&ground, "other", red).await);
    let desk = &ground.desk;
    let web = ground.vm(&hand, "web").await;
    refused(desk.view().get_id::<Vm>(&head, web), ErrorKind::NotFound);
    refused(desk.group_admin(&ground.admin, &intent(), red, head.user_id(), true).await, ErrorKind::Conflict);
    refused(desk.group_admin(&head, &intent(), blue, head.user_id(), true).await, ErrorKind::Forbidden);
    desk.group_admin(&ground.admin, &intent(), blue, head.user_id(), true).await.expect("made");
    refused(desk.group_admin(&ground.admin, &intent(), blue, head.user_id(), true).await, ErrorKind::Conflict);

    desk.view().get_id::<Vm>(&head, web).expect("manages what belongs to the group");
    desk.rename::<Vm>(&head, &intent(), web, "web-1".into()).await.expect("renamed");
    let account = |name: &str, groups: Vec<GroupId>| AccountDraft {
        name: name.into(),
        proof: Proof::Password,
        secret: secret("pw"),
        groups,
    };
    let made = desk.account_create(&head, &intent(), account("new", vec![blue])).await.expect("made");
    refused(desk.account_create(&head, &intent(), account("no", vec![red])).await, ErrorKind::Forbidden);
    refused(desk.account_create(&head, &intent(), account("no", vec![GroupId(0)])).await, ErrorKind::Forbidden);
    refused(desk.account_create(&head, &intent(), account("no", vec![blue, GroupId(0)])).await, ErrorKind::Forbidden);
    refused(desk.account_create(&hand, &intent(), account("no", vec![blue])).await, ErrorKind::Forbidden);
    desk.secret_set(&head, &intent(), hand.user_id(), None, Some(secret("set"))).await.expect("set");
    refused(desk.secret_set(&head, &intent(), other.user_id(), None, Some(secret("x"))).await, ErrorKind::NotFound);
    refused(desk.user_add_group(&head, &intent(), made.value.id, red).await, ErrorKind::NotFound);
    refused(desk.user_add_group(&head, &intent(), head.user_id(), GroupId(0)).await, ErrorKind::Forbidden);

    // An administrator of the cloud who is in the group as well stays out of reach.
    desk.user_add_group(&ground.admin, &intent(), UserId(0), blue).await.expect("added");
    let boss = UserId(0);
    desk.view().get_id::<User>(&head, boss).expect("is seen");
    refused(desk.secret_set(&head, &intent(), boss, None, Some(secret("mine"))).await, ErrorKind::Forbidden);
    refused(desk.user_enable(&head, &intent(), "0", false).await, ErrorKind::Forbidden);
    refused(desk.user_delete(&head, &intent(), boss, None).await, ErrorKind::Forbidden);
    refused(desk.login_token_reset(&head, &intent(), boss, None).await, ErrorKind::Forbidden);
    let token = LoginTokenDraft { user: boss, text: None, lifetime: None, group: None };
    refused(desk.login_token_create(&head, &intent(), token).await, ErrorKind::Forbidden);

    desk.user_delete(&head, &intent(), made.value.id, None).await.expect("deleted");
    desk.group_admin(&ground.admin, &intent(), blue, head.user_id(), false).await.expect("ended");
    refused(desk.view().get_id::<Vm>(&head, web), ErrorKind::NotFound);
    refused(desk.account_create(&head, &intent(), account("no", vec![blue])).await, ErrorKind::Forbidden);
    assert!(
        desk.acls(&ground.admin)
            .expect("may")
            .iter()
            .all(|rule| rule.value.subject != holm_model::acl::AclSubject::User(head.user_id()))
    );
}

#[tokio::test]
async fn accounts_and_groups_go_when_nothing_belongs_to_them() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let blue = group(&ground, "blue").await;
    let (lena, max) = (member(&ground, "lena", blue).await, member(&ground, "max", blue).await);
    let desk = &ground.desk;
    let (admin, id) = (&ground.admin, lena.user_id());
    let vm = ground.vm(&lena, "web").await;
    assert!(refused(desk.user_delete(admin, &intent(), id, None).await, ErrorKind::InUse).says.contains("owns vm"));
    refused(desk.user_delete(&max, &intent(), id, None).await, ErrorKind::NotFound);
    refused(desk.user_delete(&lena, &intent(), id, None).await, ErrorKind::Forbidden);
    refused(desk.user_delete(admin, &intent(), UserId(0), None).await, ErrorKind::Conflict);
    desk.group_admin(admin, &intent(), blue, id, true).await.expect("made");
    desk.give::<Vm>(admin, &intent(), vm, Some(max.user_id()), None).await.expect("given");
    desk.user_delete(admin, &intent(), id, None).await.expect("deleted");
    assert!(desk.view().row::<Group>(blue).expect("there").value.admins.is_empty());
    refused(desk.password_login("lena", secret("pw"), "192.0.2.7:6").await, ErrorKind::Unauthenticated);
    refused(desk.vm_create(&lena, &intent(), draft("x"), Attributes::default()).await, ErrorKind::Unauthenticated);

    refused(desk.group_delete(admin, &intent(), blue).await, ErrorKind::InUse);
    refused(desk.group_delete(admin, &intent(), GroupId(1)).await, ErrorKind::Conflict);
    desk.user_primary_group(admin, &intent(), max.user_id(), GroupId(1)).await.expect("moved");
    assert!(refused(desk.group_delete(admin, &intent(), blue).await, ErrorKind::InUse).says.contains("vm"));
    desk.give::<Vm>(admin, &intent(), vm, None, Some(GroupId(1))).await.expect("given");
    let before = desk.acls(admin).expect("may").len();
    desk.group_delete(admin, &intent(), blue).await.expect("deleted");
    let vdc = desk.view().get::<Vdc>(admin, "0").expect("there");
    assert!(!vdc.value.groups.contains(&blue), "no VDC names it any more");
    assert_eq!(desk.acls(admin).expect("may").len(), before - 5, "nor do rules");
}

#[tokio::test]
async fn what_users_make_begins_as_their_umask_says() {
    let ground = Ground::new().await;
    let lena = ground.user("lena").await;
    assert_eq!(lena.default_permissions().octal(), 0o600);
    for (mask, wanted) in [("137", 0o640), ("000", 0o666), ("777", 0), ("9", 0o600), ("1000", 0o600), ("", 0o600)] {
        let set = move |bag: &mut Attributes| {
            *bag = Attributes(vec![text("UMASK", mask)]);
            Ok(())
        };
        let id = lena.user_id();
        ground.desk.user_attributes_change(&lena, &intent(), id, set).await.expect("one's own account");
        let lena = ground.desk.login("lena", secret("lena-password"), &intent()).await.expect("in");
        let lena = ground.desk.authenticate(&lena.secret.0).expect("fresh");
        assert_eq!(lena.default_permissions(), Permissions::from_octal(wanted).expect("valid"), "{mask}");
    }
    let set = |bag: &mut Attributes| {
        bag.0.push(text("VM_USE_OPERATIONS", "terminate"));
        Ok(())
    };
    let changed = ground.desk.user_attributes_change(&lena, &intent(), lena.user_id(), set).await;
    refused(changed, ErrorKind::Forbidden);
}

/// Runs `ssh-keygen`.
fn ssh_keygen(arguments: &[&str]) {
    let done = std::process::Command::new("ssh-keygen").args(arguments).output().expect("ssh-keygen is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn a_signature_with_an_ssh_key_logs_in_once() {
    let ground = Ground::new().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    let desk = &ground.desk;
    for (name, kind, bits) in
        [("ed", "ed25519", "256"), ("ec", "ecdsa", "256"), ("big", "ecdsa", "384"), ("rsa", "rsa", "2048")]
    {
        let key = file(name);
        ssh_keygen(&["-q", "-t", kind, "-b", bits, "-N", "", "-f", &key]);
        let public = std::fs::read_to_string(format!("{key}.pub")).expect("written").trim().to_owned();
        let draft = AccountDraft { name: name.into(), proof: Proof::PublicKey, secret: Secret(public), groups: vec![] };
        desk.account_create(&ground.admin, &intent(), draft).await.expect("made");
        let sign = |text: &str, namespace: &str| {
            let message = file("message");
            std::fs::write(&message, text).expect("written");
            let _ = std::fs::remove_file(format!("{message}.sig"));
            ssh_keygen(&["-q", "-Y", "sign", "-f", &key, "-n", namespace, &message]);
            std::fs::read_to_string(format!("{message}.sig")).expect("signed")
        };
        let login = |challenge: &str, signature: &str| {
            let (desk, challenge, signature) = (desk.clone(), challenge.to_owned(), signature.to_owned());
            async move { desk.key_login(name, &challenge, &signature, None, &intent()).await }
        };
        let challenge = desk.login_challenge(name);
        let signature = sign(&challenge, holm_desk::SIGNATURE_NAMESPACE);
        refused(login(&challenge, &sign(&challenge, "file")).await, ErrorKind::Unauthenticated);
        refused(login(&challenge, &sign("another text", "holm-login")).await, ErrorKind::Unauthenticated);
        refused(login("another text", &sign("another text", "holm-login")).await, ErrorKind::Unauthenticated);
        let token = login(&challenge, &signature).await.expect(kind);
        assert_eq!(desk.authenticate(&token.secret.0).expect("fresh").user().name.as_str(), name);
        refused(login(&challenge, &signature).await, ErrorKind::Unauthenticated);
        // The key is public: it is no password.
        let login = desk.password_login(name, token.user.value.service_key.clone(), "::1").await;
        refused(login, ErrorKind::Unauthenticated);
        let others = desk.key_login("oneadmin", &challenge, &signature, None, &intent()).await;
        refused(others, ErrorKind::Unauthenticated);
        ground.pass(Duration::from_secs(120));
    }
}

#[tokio::test]
async fn what_belonged_to_an_account_goes_to_its_heir() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let blue = group(&ground, "blue").await;
    let (lena, max) = (member(&ground, "lena", blue).await, member(&ground, "max", blue).await);
    let (desk, admin) = (&ground.desk, &ground.admin);
    let vm = ground.vm(&lena, "web").await;
    let image = |name: &str| holm_desk::ImageDraft { name: name.into(), size: Some(1 << 20), ..Default::default() };
    let theirs = desk.image_create(&lena, &intent(), image("data")).await.expect("made").row.value.id;
    desk.image_create(&max, &intent(), image("data")).await.expect("made");
    let (lena, heir) = (lena.user_id(), Some(max.user_id()));
    refused(desk.user_delete(admin, &intent(), lena, None).await, ErrorKind::InUse);
    refused(desk.user_delete(admin, &intent(), lena, Some(lena)).await, ErrorKind::Invalid);
    refused(desk.user_delete(admin, &intent(), lena, Some(UserId(999))).await, ErrorKind::NotFound);
    // The heir's limits stand against it, and nothing is half done.
    let one = holm_model::quotas::Limit::AtMost(100);
    let images = [(holm_model::DatastoreId(1), [("IMAGES".to_owned(), one)].into())].into();
    let quotas = holm_model::quotas::Quotas { datastores: images, ..Default::default() };
    desk.user_quotas_set(admin, &intent(), max.user_id(), quotas).await.expect("set");
    refused(desk.user_delete(admin, &intent(), lena, heir).await, ErrorKind::Quota);
    assert_eq!(desk.view().row::<Vm>(vm).expect("there").value.meta.owner, lena);
    desk.user_quotas_set(admin, &intent(), max.user_id(), Default::default()).await.expect("set");
    desk.user_delete(admin, &intent(), lena, heir).await.expect("deleted");
    let view = desk.view();
    assert!(view.row::<User>(lena).is_none());
    let vm = view.row::<Vm>(vm).expect("it goes on").value.meta.clone();
    assert_eq!((vm.owner, vm.group, vm.name.as_str()), (max.user_id(), blue, "web"));
    let image = view.row::<holm_model::images::Image>(theirs).expect("there").value.meta.clone();
    assert_eq!((image.owner, image.name.as_str()), (max.user_id(), format!("data-{theirs}").as_str()));
    // Whoever administers the group may be the heir, and choose only whom they manage.
    let head = member(&ground, "head", blue).await;
    desk.group_admin(admin, &intent(), blue, head.user_id(), true).await.expect("made");
    let head = desk.password_login("head", secret("pw"), "192.0.2.7:1").await.expect("logs in");
    refused(desk.user_delete(&head, &intent(), max.user_id(), Some(UserId(0))).await, ErrorKind::NotFound);
    desk.user_delete(&head, &intent(), max.user_id(), Some(head.user_id())).await.expect("deleted");
    assert_eq!(desk.view().usage_of_user(head.user_id()).vms["VMS"], 100);
}
