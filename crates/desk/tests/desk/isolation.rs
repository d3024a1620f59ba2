//! A tenant against another: nothing that was not granted can be seen, used, guessed or changed, through any function
//! of the desk that takes a caller. A function that is added and not tried here fails the last test.

use crate::identity::{group, member};
use crate::{Ground, draft, intent, kernel, refused};
use holm_desk::{
    AccountDraft, AclDraft, AclParts, BagDraft, Caller, ClusterChange, ClusterDraft, DatastoreChange, Desk,
    Destination, Error, ErrorKind, GroupDraft, HostChange, ImageDraft, JoinTokenDraft, ListQuery, LoginTokenDraft,
    MetaChange, NetworkChange, NetworkRecovery, PowerAction, Question, QuotasOf, RangeChange, Recovery,
    ReservationDraft, RoleDraft, Secret, SecurityGroupDraft, TemplateUse, TokenDraft, UserChange, UserDraft,
    VdcResource, VmChange, VmGroupDraft, ZoneChange,
};
use holm_model::acl::{AclKind, AclKinds, AclScope, AclSubject, Rights};
use holm_model::clusters::PlacementPolicy;
use holm_model::images::{Image, ImageKind};
use holm_model::networks::{Address, Network, NetworkDraft, RangeDraft};
use holm_model::quotas::Quotas;
use holm_model::schedule::{Due, Repeat, RepeatEnd, ScheduledAction};
use holm_model::security_groups::SecurityGroup;
use holm_model::templates::{Document, NetworkTemplate, Template};
use holm_model::users::{Proof, User};
use holm_model::vdcs::VdcMember;
use holm_model::vm_groups::VmGroup;
use holm_model::vms::{DiskDraft, NicDraft, Observed, PciSpec, Power, Vm, VmDraft, VmVerb};
use holm_model::{
    Attributes, ClusterId, DatastoreId, GroupId, HostId, ImageId, LockLevel, NetworkId, NetworkTemplateId,
    SecurityGroupId, TemplateId, TokenId, UserId, VdcId, VmGroupId, VmId, ZoneId,
};
use std::collections::BTreeSet;

/// Functions that need no try of their own, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("own_account", "it is about the caller alone"),
    ("second_factor_offer", "it is about the caller alone"),
    ("second_factor_confirm", "it is about the caller alone"),
    ("password_change", "it is about the caller alone"),
    ("token_create", "it is about the caller alone"),
    ("get", "tried for every noun in what is seen"),
    ("get_id", "tried for every noun in what is seen"),
    ("list", "tried for every noun in what is seen"),
    ("each", "tried for every noun in what is seen"),
    ("counts", "it counts what a list shows"),
    ("check_instantiation", "it looks at the caller's own groups alone"),
    ("image_create", "it makes one's own"),
    ("security_group_create", "it makes one's own"),
    ("vm_group_create", "it makes one's own"),
    ("ended", "it filters as lists do"),
    ("accounting", "it counts what is seen"),
    ("showback", "it counts what is seen"),
    ("may_see", "tried together with lists and gets in another test"),
];

/// What belongs to somebody else.
struct Others {
    vm: VmId,
    image: ImageId,
    template: TemplateId,
    document: holm_model::DocumentId,
    group: SecurityGroupId,
    vm_group: VmGroupId,
    token: TokenId,
    user: UserId,
    users: GroupId,
}

struct Tries {
    desk: Desk,
    mallory: Caller,
    done: BTreeSet<&'static str>,
}

impl Tries {
    /// Notes that the function was tried, and that it said that there is no such thing. The same must be said of a
    /// number that nobody has: else numbers could be guessed.
    #[track_caller]
    fn unseen<A, B>(&mut self, name: &'static str, theirs: Result<A, Error>, nobodys: Result<B, Error>) {
        let (theirs, nobodys) = match (theirs, nobodys) {
            (Err(theirs), Err(nobodys)) => (theirs, nobodys),
            (Ok(_), _) => panic!("{name} did it"),
            (_, Ok(_)) => panic!("{name} did it to nothing"),
        };
        assert_eq!(theirs.kind, ErrorKind::NotFound, "{name}: {theirs}");
        let plain = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        assert_eq!(plain(&theirs.says), plain(&nobodys.says), "{name} tells them apart");
        assert_eq!((theirs.kind, &theirs.field), (nobodys.kind, &nobodys.field), "{name} tells them apart");
        self.done.insert(name);
    }

    /// Notes that the function was tried, and that it was refused.
    #[track_caller]
    fn denied<A>(&mut self, name: &'static str, outcome: Result<A, Error>) {
        match outcome {
            Ok(_) => panic!("{name} did it"),
            Err(error) => {
                let fine = matches!(error.kind, ErrorKind::Forbidden | ErrorKind::NotFound);
                assert!(fine, "{name}: {:?} {error}", error.kind);
            }
        }
        self.done.insert(name);
    }
}

fn same<T>(bag: &mut T) -> Result<(), Error> {
    let _ = bag;
    Ok(())
}

async fn made_by(ground: &Ground, lena: &Caller) -> Others {
    let desk = &ground.desk;
    let vm = ground.vm(lena, "secret-vm").await;
    let image = ImageDraft { name: "secret-image".into(), ..ImageDraft::default() };
    let image = desk.image_create(lena, &intent(), image).await.expect("made").row.value.id;
    let bag = |name: &str| BagDraft { name: name.into(), ..BagDraft::default() };
    let template = desk.bag_create::<Template>(lena, &intent(), bag("secret-template")).await.expect("made").value.id;
    let document = desk.bag_create::<Document>(lena, &intent(), bag("secret-document")).await.expect("made").value.id;
    let group = SecurityGroupDraft { name: "secret-group".into(), ..SecurityGroupDraft::default() };
    let group = desk.security_group_create(lena, &intent(), group).await.expect("made").row.value.id;
    let vm_group = VmGroupDraft { name: "secret-vm-group".into(), ..VmGroupDraft::default() };
    let vm_group = desk.vm_group_create(lena, &intent(), vm_group).await.expect("made").row.value.id;
    let net = BagDraft { name: "secret-network-template".into(), ..BagDraft::default() };
    desk.bag_create::<NetworkTemplate>(&ground.admin, &intent(), net).await.expect("made");
    let token = desk.token_create(lena, &intent(), "ci", None).await.expect("made").row.value.id;
    Others { vm, image, template, document, group, vm_group, token, user: lena.user_id(), users: lena.primary_group() }
}

async fn try_owned<T: holm_desk::Owned>(tries: &mut Tries, id: T::Id) {
    let (desk, who) = (tries.desk.clone(), tries.mallory.clone());
    let nobodys = T::from_raw(4_000_000);
    let view = desk.view();
    tries.unseen("get", view.get::<T>(&who, &id.to_string()), view.get::<T>(&who, &nobodys.to_string()));
    tries.unseen("get_id", view.get_id::<T>(&who, id), view.get_id::<T>(&who, nobodys));
    assert!(view.each::<T>(&who).all(|row| row.value.id() != id));
    let i = intent();
    let change = || MetaChange { name: Some("mine".into()), ..MetaChange::default() };
    tries.unseen(
        "meta_change",
        desk.meta_change::<T>(&who, &i, &id.to_string(), change()).await,
        desk.meta_change::<T>(&who, &i, &nobodys.to_string(), change()).await,
    );
    tries.unseen(
        "attributes_change",
        desk.attributes_change::<T>(&who, &i, id, same).await,
        desk.attributes_change::<T>(&who, &i, nobodys, same).await,
    );
    tries.unseen(
        "rename",
        desk.rename::<T>(&who, &i, id, "mine".into()).await,
        desk.rename::<T>(&who, &i, nobodys, "mine".into()).await,
    );
    let all = [Some(true); 9];
    tries.unseen("permit", desk.permit::<T>(&who, &i, id, all).await, desk.permit::<T>(&who, &i, nobodys, all).await);
    let own = Some(who.user_id());
    tries.unseen(
        "give",
        desk.give::<T>(&who, &i, id, own, None).await,
        desk.give::<T>(&who, &i, nobodys, own, None).await,
    );
    let level = LockLevel::Use;
    tries.unseen(
        "lock",
        desk.lock::<T>(&who, &i, id, level, false).await,
        desk.lock::<T>(&who, &i, nobodys, level, false).await,
    );
    tries.unseen("unlock", desk.unlock::<T>(&who, &i, id).await, desk.unlock::<T>(&who, &i, nobodys).await);
}

macro_rules! unseen {
    ($tries:ident, $($name:ident ( $id:expr, $nobodys:expr $(, $more:expr)* ) $($wait:ident)?;)*) => {
        $({
            let (desk, who, i) = ($tries.desk.clone(), $tries.mallory.clone(), intent());
            let theirs = desk.$name(&who, &i, $id $(, $more)*)$(.$wait)?;
            let nobodys = desk.$name(&who, &i, $nobodys $(, $more)*)$(.$wait)?;
            $tries.unseen(stringify!($name), theirs, nobodys);
        })*
    };
}

macro_rules! denied {
    ($tries:ident, $($name:ident ( $($arg:expr),* );)*) => {
        $({
            let (desk, who, i) = ($tries.desk.clone(), $tries.mallory.clone(), intent());
            let outcome = desk.$name(&who, &i $(, $arg)*).await;
            $tries.denied(stringify!($name), outcome);
        })*
    };
}

async fn try_vms(tries: &mut Tries, others: &Others) {
    let (vm, key, nobody) = (others.vm, others.vm.to_string(), VmId(4_000_000));
    let none = nobody.to_string();
    try_owned::<Vm>(tries, vm).await;
    unseen! { tries,
        vm_power(&key, &none, PowerAction::Stop) await;
        vm_change(&key, &none, VmChange::default()) await;
        vm_delete(&key, &none) await;
        vm_act(vm, nobody, VmVerb::Poweroff) await;
    }
    try_vm_details(tries, vm, nobody).await;
    let (desk, who) = (tries.desk.clone(), tries.mallory.clone());
    tries.unseen("vm_explain", desk.vm_explain(&who, &key), desk.vm_explain(&who, &none));
    tries.unseen("vm_reach", desk.vm_reach(&who, &key), desk.vm_reach(&who, &none));
    // A VM of one's own does not use what is somebody else's.
    let create = |image: &str| {
        let (desk, who) = (desk.clone(), who.clone());
        let draft = VmDraft { kernel: Some(image.into()), ..draft("spy") };
        async move { desk.vm_create(&who, &intent(), draft, Attributes::default()).await }
    };
    tries.unseen("vm_create", create(&others.image.to_string()).await, create("4000000").await);
    tries.denied("vm_create", create("secret-image").await);
}

async fn try_vm_details(tries: &mut Tries, vm: VmId, nobody: VmId) {
    let action = || ScheduledAction {
        id: 0,
        action: "poweroff".into(),
        arguments: String::new(),
        due: Due::AfterStart(60),
        repeat: Repeat::Never,
        end: RepeatEnd::Never,
        done: None,
        message: String::new(),
        warning: None,
    };
    unseen! { tries,
        vm_migrate(vm, nobody, Destination::to(HostId(0)), false, Power::On) await;
        vm_resize(vm, nobody, None, None, Some(64), true) await;
        vm_configure(vm, nobody, |_, _| Ok(())) await;
        vm_recover(vm, nobody, Recovery::Delete) await;
        vm_deploy(vm, nobody, Destination::to(HostId(0)), vec![]) await;
        vm_attach_pci(vm, nobody, PciSpec::default()) await;
        vm_detach_pci(vm, nobody, 0) await;
        vm_attach_disk(vm, nobody, DiskDraft::default()) await;
        vm_detach_disk(vm, nobody, 0) await;
        vm_resize_disk(vm, nobody, 0, 1) await;
        vm_attach_nic(vm, nobody, NicDraft::default()) await;
        vm_detach_nic(vm, nobody, 0) await;
        vm_update_nic(vm, nobody, 0, NicDraft::default()) await;
        vm_attach_security_group(vm, nobody, 0, SecurityGroupId(0)) await;
        vm_detach_security_group(vm, nobody, 0, SecurityGroupId(0)) await;
        vm_group_leave(vm, nobody) await;
        vm_schedule_add(vm, nobody, action()) await;
        vm_schedule_update(vm, nobody, 0, same) await;
        vm_schedule_delete(vm, nobody, 0) await;
        vm_snapshot_create(vm, nobody, "mine".into()) await;
        vm_snapshot_delete(vm, nobody, 0) await;
        vm_snapshot_revert(vm, nobody, 0) await;
        vm_disk_snapshot_create(vm, nobody, 0, "mine".into()) await;
        vm_disk_snapshot_delete(vm, nobody, 0, 0) await;
        vm_disk_snapshot_revert(vm, nobody, 0, 0) await;
        vm_disk_snapshot_rename(vm, nobody, 0, 0, "mine".into()) await;
        vm_save_as(vm, nobody, 0, "mine".into(), None, None) await;
    }
}

/// What is somebody else's is not brought into a VM of one's own either.
async fn try_own_vm(tries: &mut Tries, own: VmId, others: &Others) {
    let disk = |image: ImageId| DiskDraft { image: Some(image.to_string()), ..DiskDraft::default() };
    let nic = |network: &str| NicDraft { network: network.into(), ..NicDraft::default() };
    let (desk, who, i) = (tries.desk.clone(), tries.mallory.clone(), intent());
    tries.unseen(
        "vm_attach_disk",
        desk.vm_attach_disk(&who, &i, own, disk(others.image)).await,
        desk.vm_attach_disk(&who, &i, own, disk(ImageId(4_000_000))).await,
    );
    tries.unseen(
        "vm_attach_nic",
        desk.vm_attach_nic(&who, &i, own, nic("0")).await,
        desk.vm_attach_nic(&who, &i, own, nic("4000000")).await,
    );
    tries.unseen(
        "vm_attach_security_group",
        desk.vm_attach_security_group(&who, &i, own, 0, others.group).await,
        desk.vm_attach_security_group(&who, &i, own, 0, SecurityGroupId(4_000_000)).await,
    );
    let role = || "web".to_owned();
    tries.unseen(
        "vm_group_join",
        desk.vm_group_join(&who, &i, own, others.vm_group, role()).await,
        desk.vm_group_join(&who, &i, own, VmGroupId(4_000_000), role()).await,
    );
}

async fn try_vm_groups(tries: &mut Tries, others: &Others) {
    let (id, nobody) = (others.vm_group, VmGroupId(4_000_000));
    try_owned::<VmGroup>(tries, id).await;
    unseen! { tries,
        vm_group_change(id, nobody, MetaChange::default(), same) await;
        vm_group_role_add(id, nobody, RoleDraft::default()) await;
        vm_group_role_update(id, nobody, 0, same) await;
        vm_group_role_delete(id, nobody, 0) await;
        vm_group_delete(id, nobody) await;
    }
}

/// Networks of a VDC that one's group is not in.
async fn try_networks(tries: &mut Tries) {
    let (id, nobody) = (NetworkId(0), NetworkId(4_000_000));
    try_owned::<Network>(tries, id).await;
    let address = Address::Ip4(std::net::Ipv4Addr::new(10, 77, 0, 9));
    let range = || RangeDraft { size: Some(4), ..RangeDraft::default() };
    unseen! { tries,
        network_change(id, nobody, NetworkChange::default()) await;
        network_recover(id, nobody, NetworkRecovery::Delete) await;
        network_add_range(id, nobody, range()) await;
        network_change_range(id, nobody, 0, RangeChange::default()) await;
        network_remove_range(id, nobody, 0, true) await;
        network_hold(id, nobody, address, None) await;
        network_release(id, nobody, address, None) await;
        network_reserve(id, nobody, ReservationDraft { name: Some("mine".into()), size: 1, ..Default::default() }) await;
        network_delete("0", "4000000") await;
    }
    let template = |_: &Attributes| Ok(NetworkDraft::default());
    let none = NetworkTemplateId(4_000_000);
    unseen! { tries,
        network_template_instantiate(NetworkTemplateId(0), none, template) await;
    }
    denied! { tries,
        cluster_add_network(ClusterId(0), id);
        cluster_remove_network(ClusterId(0), id);
    }
}

async fn try_images(tries: &mut Tries, others: &Others) {
    let (image, key, nobody) = (others.image, others.image.to_string(), ImageId(4_000_000));
    let none = nobody.to_string();
    try_owned::<Image>(tries, image).await;
    unseen! { tries,
        image_clone(image, nobody, "copy".into(), None) await;
        image_change(image, nobody, holm_desk::ImageChange::default()) await;
        image_enable(image, nobody, false) await;
        image_persistent(image, nobody, true) await;
        image_kind(image, nobody, ImageKind::Disk) await;
        image_snapshot_delete(image, nobody, 0) await;
        image_snapshot_revert(image, nobody, 0) await;
        image_snapshot_flatten(image, nobody, 0) await;
        image_delete(&key, &none) await;
        image_complete(&key, &none) await;
    }
    let (desk, who) = (tries.desk.clone(), tries.mallory.clone());
    tries.unseen("image_offset", desk.image_offset(&who, &key).await, desk.image_offset(&who, &none).await);
    let bytes = || &b"not mine"[..];
    tries.unseen(
        "image_append",
        desk.image_append(&who, &key, 0, bytes()).await,
        desk.image_append(&who, &none, 0, bytes()).await,
    );
    tries.unseen("image_file", desk.image_file(&who, &key), desk.image_file(&who, &none));
}

async fn try_bags(tries: &mut Tries, others: &Others) {
    try_owned::<Template>(tries, others.template).await;
    try_owned::<Document>(tries, others.document).await;
    try_owned::<SecurityGroup>(tries, others.group).await;
    let (desk, who) = (tries.desk.clone(), tries.mallory.clone());
    let (i, none) = (intent(), TemplateId(4_000_000));
    tries.unseen(
        "bag_clone",
        desk.bag_clone::<Template>(&who, &i, others.template, "mine".into()).await,
        desk.bag_clone::<Template>(&who, &i, none, "mine".into()).await,
    );
    tries.unseen(
        "bag_delete",
        desk.bag_delete::<Template>(&who, &i, others.template).await,
        desk.bag_delete::<Template>(&who, &i, none).await,
    );
    tries.unseen(
        "template_clone",
        desk.template_clone(&who, &i, others.template, "mine".into(), true).await,
        desk.template_clone(&who, &i, none, "mine".into(), true).await,
    );
    tries.unseen(
        "template_delete",
        desk.template_delete(&who, &i, others.template, true).await,
        desk.template_delete(&who, &i, none, true).await,
    );
    tries.unseen(
        "template_instantiate",
        desk.template_instantiate(&who, &i, others.template, TemplateUse::default()).await,
        desk.template_instantiate(&who, &i, none, TemplateUse::default()).await,
    );
    let key = |id: TemplateId| id.to_string();
    tries.unseen(
        "template_change",
        desk.template_change(&who, &i, &key(others.template), MetaChange::default(), same).await,
        desk.template_change(&who, &i, &key(none), MetaChange::default(), same).await,
    );
    let bag = BagDraft { name: "net".into(), ..BagDraft::default() };
    tries.denied("bag_create", desk.bag_create::<NetworkTemplate>(&who, &i, bag).await);
    let (group, none) = (others.group, SecurityGroupId(4_000_000));
    unseen! { tries,
        security_group_change(group, none, holm_desk::SecurityGroupChange::default()) await;
        security_group_commit(group, none, false) await;
        security_group_clone(group, none, "mine".into()) await;
        security_group_delete(group, none) await;
    }
}

fn token_draft(user: &str) -> TokenDraft {
    TokenDraft { user: Some(user.into()), ..TokenDraft::default() }
}

async fn try_people(tries: &mut Tries, others: &Others) {
    let (user, key, nobody) = (others.user, others.user.to_string(), UserId(4_000_000));
    let none = nobody.to_string();
    let (desk, who, i) = (tries.desk.clone(), tries.mallory.clone(), intent());
    tries.denied("get", desk.view().get::<User>(&who, "lena"));
    let own = who.primary_group();
    unseen! { tries,
        user_delete(user, nobody, Some(who.user_id())) await;
        user_change(&key, &none, UserChange { primary_group: Some(own.to_string()), ..UserChange::default() }) await;
        auth_set(&key, &none, Proof::Password, Some(Secret("long enough".into()))) await;
        group_change(&others.users.to_string(), "4000000", vec![]) await;
        quotas_change(&QuotasOf::User(key.clone()), &QuotasOf::User(none.clone()), vec![], true) await;
        token_create_for(token_draft(&key), token_draft(&none)) await;
        user_enable(&key, &none, false) await;
        secret_set(user, nobody, None, Some(Secret("mine".into()))) await;
        user_primary_group(user, nobody, own) await;
        user_add_group(user, nobody, own) await;
        user_remove_group(user, nobody, own) await;
        user_attributes_change(user, nobody, same) await;
        user_quotas_set(user, nobody, Quotas::default()) await;
        login_token_reset(user, nobody, None) await;
        second_factor_remove(user, nobody, None) await;
        group_delete(others.users, GroupId(4_000_000)) await;
        group_admin(others.users, GroupId(4_000_000), who.user_id(), true) await;
        group_attributes_change(others.users, GroupId(4_000_000), same) await;
        group_vlan_rules_set(others.users, GroupId(4_000_000), Attributes::default()) await;
        group_quotas_set(others.users, GroupId(4_000_000), Quotas::default()) await;
    }
    let view = desk.view();
    for of in [QuotasOf::User, QuotasOf::Group] {
        tries.unseen(
            "quota_sheet",
            view.quota_sheet(&who, &of(key.clone())),
            view.quota_sheet(&who, &of(none.clone())),
        );
    }
    let question = |user: &str| Question {
        user: Some(user.into()),
        right: Rights::USE,
        kind: AclKind::Zone,
        object: Some("0".into()),
    };
    tries.unseen("verdict", desk.verdict(&who, &question(&key)), desk.verdict(&who, &question(&none)));
    let parts = |user: &str| AclParts { user: Some(user.into()), ..AclParts::default() };
    tries.unseen("acl_of_parts", view.acl_of_parts(&who, &parts(&key)), view.acl_of_parts(&who, &parts(&none)));
    let token = |user: UserId| LoginTokenDraft { user, text: None, lifetime: None, group: None };
    tries.unseen(
        "login_token_create",
        desk.login_token_create(&who, &i, token(user)).await,
        desk.login_token_create(&who, &i, token(nobody)).await,
    );
    let account = |groups: Vec<GroupId>| AccountDraft {
        name: "puppet".into(),
        proof: Proof::Password,
        secret: Secret("pw".into()),
        groups,
    };
    denied! { tries,
        account_create(account(vec![own]));
        account_create(account(vec![others.users]));
        account_create(account(vec![GroupId(0)]));
        user_create(UserDraft { name: "puppet".into(), password: Secret("long enough".into()), groups: vec![], ..UserDraft::default() });
        password_set("lena", Secret("long enough".into()));
        group_create(GroupDraft { name: "mine".into() });
        group_admin(own, who.user_id(), true);
        user_quotas_set(who.user_id(), Quotas::default());
        user_add_group(who.user_id(), others.users);
        user_add_group(who.user_id(), GroupId(0));
        user_primary_group(who.user_id(), others.users);
        user_primary_group(who.user_id(), GroupId(0));
        user_enable("mallory", false);
    }
    // Rights cannot be given to oneself, nor objects to others.
    let everything = AclDraft {
        subject: AclSubject::User(who.user_id()),
        kinds: AclKinds::of(&AclKind::ALL),
        scope: AclScope::All,
        rights: Rights(15),
        zone: None,
    };
    denied! { tries,
        acl_add(everything);
        acl_delete(holm_model::AclId(0));
    }
    tries.denied("acls", desk.acls(&who));
    tries.denied("audit_lines", desk.audit_lines(&who, None, 10).await);
    let (token, none) = (others.token, TokenId(4_000_000));
    unseen! { tries,
        token_revoke(token, none) await;
    }
}

async fn try_infrastructure(tries: &mut Tries) {
    let member = VdcMember { zone: ZoneId(0), id: Some(0) };
    let own = tries.mallory.primary_group();
    denied! { tries,
        vdc_create("mine".into(), Attributes::default());
        vdc_attributes_change(VdcId(0), same);
        vdc_rename(VdcId(0), "mine".into());
        vdc_change("0", Some("mine".into()), vec![]);
        vdc_group(VdcId(0), own, true);
        vdc_resource(VdcId(0), VdcResource::Hosts, member, true);
        vdc_delete(VdcId(0));
        zone_rename(ZoneId(0), "mine".into());
        zone_attributes_change(ZoneId(0), same);
        zone_enable(ZoneId(0), false);
        zone_change("0", ZoneChange::default());
        quotas_change(&QuotasOf::DefaultUser, vec![], true);
        default_quotas_set(false, Quotas::default());
        cluster_create(ClusterDraft { name: "mine".into(), ..ClusterDraft::default() });
        cluster_change("0", ClusterChange { policy: Some(PlacementPolicy::Pack), ..ClusterChange::default() });
        cluster_delete("0");
        cluster_add_host(ClusterId(0), HostId(0));
        cluster_remove_host(ClusterId(0), HostId(0));
        cluster_add_datastore(ClusterId(0), DatastoreId(1));
        cluster_remove_datastore(ClusterId(0), DatastoreId(1));
        datastore_create(holm_desk::DatastoreDraft { name: "mine".into(), ..holm_desk::DatastoreDraft::default() });
        datastore_change(DatastoreId(1), DatastoreChange::default());
        datastore_delete("1");
        host_create(holm_desk::HostDraft { name: "mine".into(), ..holm_desk::HostDraft::default() });
        host_change("0", HostChange::default());
        host_delete("0", true);
        join_token_create(JoinTokenDraft::default());
        join_token_revoke(holm_model::JoinTokenId(0));
        network_create(NetworkDraft { name: "mine".into(), kind: "nat".into(), ..NetworkDraft::default() });
        network_delete("0");
    }
}

/// Every function of the desk and of its views that takes a caller.
fn functions() -> BTreeSet<String> {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    let mut folders = vec![source];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            for piece in text.split("\n    pub ").skip(1) {
                let Some(rest) = piece.strip_prefix("async fn ").or_else(|| piece.strip_prefix("fn ")) else {
                    continue;
                };
                let (Some(name_end), Some(end)) = (rest.find(['(', '<']), rest.find('{')) else { continue };
                let words: Vec<&str> = rest[..end].split_whitespace().collect();
                let signature = words.join(" ");
                let takes_caller = signature.contains("caller: &Caller") || signature.contains("caller: &'a Caller");
                if takes_caller && signature.contains("self") {
                    found.insert(rest[..name_end].to_owned());
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn a_tenant_reaches_nothing_of_another_through_any_function() {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let (blue, red) = (group(&ground, "blue").await, group(&ground, "red").await);
    let lena = member(&ground, "lena", blue).await;
    let mallory = member(&ground, "mallory", red).await;
    ground.host("edge-0").await;
    let others = made_by(&ground, &lena).await;
    let own = ground.vm(&mallory, "own").await;
    ground.place(own, HostId(0));
    ground.change_vm(own, |vm| {
        vm.status.observed = Observed::Running;
        vm.status.generation = vm.generation;
        vm.status.boot_seq = vm.spec.boot_seq;
        vm.status.ever_started = true;
    });
    let before = ground.store.read();
    let mut tries = Tries { desk: ground.desk.clone(), mallory, done: BTreeSet::new() };
    try_vms(&mut tries, &others).await;
    try_images(&mut tries, &others).await;
    try_bags(&mut tries, &others).await;
    try_people(&mut tries, &others).await;
    try_vm_groups(&mut tries, &others).await;
    try_infrastructure(&mut tries).await;
    let vdcs = before.list::<holm_model::vdcs::Vdc>().cloned().collect::<Vec<_>>();
    ground.desk.vdc_group(&ground.admin, &intent(), VdcId(0), red, false).await.expect("taken out");
    try_networks(&mut tries).await;
    try_own_vm(&mut tries, own, &others).await;
    ground.desk.vdc_group(&ground.admin, &intent(), VdcId(0), red, true).await.expect("put back");
    // Nothing has changed: neither theirs nor what the cloud is built from.
    let after = ground.store.read();
    fn unchanged<T: holm_desk::Noun>(before: &holm_store::State, after: &holm_store::State) {
        let rows = |state: &holm_store::State| state.list::<T>().cloned().collect::<Vec<_>>();
        assert_eq!(rows(before), rows(after), "{:?}", T::KIND);
    }
    unchanged::<Vm>(&before, &after);
    unchanged::<Image>(&before, &after);
    unchanged::<Template>(&before, &after);
    unchanged::<Document>(&before, &after);
    unchanged::<SecurityGroup>(&before, &after);
    unchanged::<User>(&before, &after);
    unchanged::<holm_model::users::Group>(&before, &after);
    unchanged::<holm_model::users::Token>(&before, &after);
    let now = after.list::<holm_model::vdcs::Vdc>().map(|row| row.value.clone());
    assert!(now.eq(vdcs.iter().map(|row| row.value.clone())));
    unchanged::<VmGroup>(&before, &after);
    unchanged::<holm_model::zones::Zone>(&before, &after);
    unchanged::<holm_model::hosts::Host>(&before, &after);
    unchanged::<holm_model::clusters::Cluster>(&before, &after);
    unchanged::<holm_model::networks::Network>(&before, &after);
    let view = ground.desk.view();
    assert_eq!(view.counts(&tries.mallory).vms.values().sum::<u64>(), 1, "only their own");
    let users = view.list::<User>(&tries.mallory, &ListQuery::default()).expect("listed");
    assert_eq!(users.items.len(), 1, "only themselves");
    let exempt: BTreeSet<&str> = EXEMPT.iter().map(|(name, _)| *name).collect();
    let missing: Vec<String> = functions()
        .into_iter()
        .filter(|name| !tries.done.contains(name.as_str()) && !exempt.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "these functions take a caller and are not tried here: {missing:?}");
    refused(view.get::<Vm>(&tries.mallory, "secret-vm"), ErrorKind::NotFound);
}
