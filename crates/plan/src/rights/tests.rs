use super::*;
use holm_model::acl::AclKinds;
use holm_model::{AclId, VdcId, ZoneId};
use proptest::prelude::*;

/// The same question answered the slow way, straight from the rules' definition.
fn slow(user: UserId, groups: &[GroupId], rules: &[Acl], object: &Object<'_>, access: Access) -> bool {
    if user == UserId(0) || groups.contains(&GroupId(0)) {
        return true;
    }
    let (shift_bit, right) = match access {
        Access::Use => (4, Rights::USE),
        Access::Manage => (2, Rights::MANAGE),
        Access::Admin => (1, Rights::ADMIN),
    };
    let octal = object.permissions.octal();
    let owner = object.owner == Some(user) && octal & (shift_bit << 6) != 0;
    let group = object.groups.iter().any(|g| groups.contains(g)) && octal & (shift_bit << 3) != 0;
    let other = octal & shift_bit != 0;
    let rule = rules.iter().any(|rule| {
        let concerns = match rule.subject {
            AclSubject::User(id) => id == user,
            AclSubject::Group(id) => groups.contains(&id),
            AclSubject::Everybody => true,
        };
        let fits = match rule.scope {
            AclScope::One(id) => id == object.id,
            AclScope::Group(id) => object.groups.contains(&id),
            AclScope::Cluster(id) => object.clusters.contains(&id),
            AclScope::All => true,
        };
        concerns
            && fits
            && rule.kinds.has(object.kind)
            && rule.rights.has(right)
            && [None, Some(ZoneId(0))].contains(&rule.zone)
    });
    owner || group || other || rule
}

fn kind() -> impl Strategy<Value = AclKind> {
    prop::sample::select(&AclKind::ALL[..])
}

fn group() -> impl Strategy<Value = GroupId> {
    (0..5_u32).prop_map(GroupId)
}

fn rule() -> impl Strategy<Value = Acl> {
    let subject = prop_oneof![
        (0..5_u32).prop_map(|id| AclSubject::User(UserId(id))),
        group().prop_map(AclSubject::Group),
        Just(AclSubject::Everybody),
    ];
    let scope = prop_oneof![
        (0..5_u32).prop_map(AclScope::One),
        group().prop_map(AclScope::Group),
        (0..3_u32).prop_map(|id| AclScope::Cluster(ClusterId(id))),
        Just(AclScope::All),
    ];
    let zone = prop_oneof![Just(None), (0..2_u32).prop_map(|id| Some(ZoneId(id)))];
    (subject, prop::collection::vec(kind(), 1..5), scope, 1..16_u8, zone).prop_map(
        |(subject, kinds, scope, rights, zone)| Acl {
            id: AclId(0),
            subject,
            kinds: AclKinds::of(&kinds),
            scope,
            rights: Rights(rights),
            zone,
            vdc: Some(VdcId(0)),
        },
    )
}

proptest! {
    #[test]
    fn the_index_answers_as_the_rules_do(
        user in 0..5_u32,
        groups in prop::collection::btree_set(group(), 1..4),
        rules in prop::collection::vec(rule(), 0..8),
        kind in kind(),
        id in 0..5_u32,
        owner in prop::option::of(0..5_u32),
        of_groups in prop::collection::vec(group(), 0..3),
        octal in 0..0o1000_u16,
        clusters in prop::collection::vec((0..3_u32).prop_map(ClusterId), 0..3),
    ) {
        let user = UserId(user);
        let groups: Vec<GroupId> = groups.into_iter().collect();
        let granted = Granted::compile(user, &groups, &rules);
        let numbered: Vec<Acl> =
            (0..).zip(&rules).map(|(at, rule)| Acl { id: AclId(at), ..rule.clone() }).collect();
        let object = Object {
            kind,
            id,
            owner: owner.map(UserId),
            groups: &of_groups,
            permissions: Permissions::from_octal(octal).expect("nine bits"),
            clusters: &clusters,
        };
        for access in [Access::Use, Access::Manage, Access::Admin] {
            prop_assert_eq!(
                granted.allows(&object, access),
                slow(user, &groups, &rules, &object, access),
                "{:?} {:?}", access, object
            );
            prop_assert!(!Granted::nothing().allows(&object, access));
            // Why somebody may is said exactly when they may, and what is named would do by itself.
            let why = granted.why(&numbered, &object, access);
            prop_assert_eq!(why.is_some(), granted.allows(&object, access), "{:?} {:?}", access, object);
            prop_assert_eq!(Granted::nothing().why(&numbered, &object, access), None);
            if let Some(Why::Rule(named)) = why {
                let closed = Object { permissions: Permissions::from_octal(0).expect("none"), ..object };
                let alone = numbered.iter().filter(|rule| rule.id == named);
                prop_assert!(Granted::compile(user, &groups, alone).allows(&closed, access));
            }
        }
        let create = granted.is_admin() || rules.iter().any(|rule| {
            let concerns = match rule.subject {
                AclSubject::User(id) => id == user,
                AclSubject::Group(id) => groups.contains(&id),
                AclSubject::Everybody => true,
            };
            concerns
                && rule.kinds.has(kind)
                && rule.rights.has(Rights::CREATE)
                && (rule.scope == AclScope::All || rule.scope == AclScope::Group(groups[0]))
                && rule.zone != Some(ZoneId(1))
        });
        prop_assert_eq!(granted.may_create(kind, groups[0]), create);
        prop_assert_eq!(granted.why_create(&numbered, kind, groups[0]).is_some(), create);
    }
}

#[test]
fn rules_of_other_zones_do_not_count_here() {
    let mut elsewhere = Acl {
        id: AclId(1),
        subject: AclSubject::Everybody,
        kinds: AclKinds::of(&[AclKind::Vm]),
        scope: AclScope::All,
        rights: Rights::CREATE,
        zone: Some(ZoneId(100)),
        vdc: None,
    };
    let may = |rule: &Acl| Granted::compile(UserId(2), &[GroupId(1)], [rule]).may_create(AclKind::Vm, GroupId(1));
    assert!(!may(&elsewhere));
    elsewhere.zone = Some(OWN_ZONE);
    assert!(may(&elsewhere));
}
