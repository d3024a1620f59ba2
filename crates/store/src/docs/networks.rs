//! Steps of networks' and security groups' documents.

use holm_model::networks::{MacAddr, RangeDraft};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A subnet with the first and last address it lends, as version 1 has it. What else is in it stays where it is.
#[derive(Deserialize)]
struct Pool<A> {
    subnet: String,
    first: A,
    last: A,
}

/// Version 1 lends from at most one pool of each family; from version 2 on that is one range, whose places have an
/// address of each.
pub(super) fn pools_to_ranges(mut document: Value) -> Result<Value, String> {
    let network = document.as_object_mut().ok_or("is no object")?;
    let spec = network.get("spec").ok_or("has no spec")?;
    let pool = |family: &str| spec.get(family).filter(|pool| !pool.is_null()).cloned();
    let read4 = |value| serde_json::from_value::<Pool<Ipv4Addr>>(value).map_err(|e| format!("its IPv4 pool: {e}"));
    let read6 = |value| serde_json::from_value::<Pool<Ipv6Addr>>(value).map_err(|e| format!("its IPv6 pool: {e}"));
    let (ip4, ip6) = (pool("ip4").map(read4).transpose()?, pool("ip6").map(read6).transpose()?);
    let count4 = |pool: &Pool<Ipv4Addr>| u128::from(u32::from(pool.last)) + 1 - u128::from(u32::from(pool.first));
    let count6 = |pool: &Pool<Ipv6Addr>| u128::from(pool.last) - u128::from(pool.first) + 1;
    let size = match (&ip4, &ip6) {
        (Some(four), Some(six)) => Some(count4(four).min(count6(six))),
        (Some(four), None) => Some(count4(four)),
        (None, Some(six)) => Some(count6(six)),
        (None, None) => None,
    };
    let bits = |pool: &Pool<Ipv6Addr>| pool.subnet.rsplit('/').next().and_then(|bits| bits.parse().ok());
    let ranges: Vec<_> = match size {
        None => Vec::new(),
        Some(size) => {
            let most = holm_model::networks::MAX_RANGE_SIZE;
            let draft = RangeDraft {
                size: Some(u32::try_from(size).unwrap_or(most).min(most)),
                ip4: ip4.as_ref().map(|pool| pool.first),
                ip6: ip6.as_ref().map(|pool| pool.first),
                prefix6: ip6.as_ref().and_then(bits),
                ..RangeDraft::default()
            };
            // Version 1 numbers cards of networks without IPv4 by VM; whatever is lent stays lent.
            vec![draft.check(0, MacAddr([2, 1, 0, 0, 0, 0])).map_err(|e| e.to_string())?]
        }
    };
    network.insert("next_range".into(), json!(ranges.len()));
    network.insert("ranges".into(), serde_json::to_value(ranges).map_err(|e| e.to_string())?);
    Ok(document)
}

/// In version 1 every change of the rules is in force at once.
pub(super) fn rules_in_force(mut document: Value) -> Result<Value, String> {
    let group = document.as_object_mut().ok_or("is no object")?;
    let rules = group.get("rules").ok_or("has no rules")?.clone();
    group.insert("committed".into(), rules);
    group.insert("version".into(), json!(1));
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::super::{NetworkDoc, SecurityGroupDoc};

    fn network(spec: &str) -> holm_model::networks::Network {
        let text = format!(
            r#"{{"id":3,"meta":{{"name":"lan","owner":0,"group":0,"permissions":{},"created_at":0}},"spec":{spec},"removing":false}}"#,
            serde_json::to_string(&holm_model::Permissions::default()).expect("JSON"),
        );
        NetworkDoc::read(3, 1, &text).expect("version 1 loads")
    }

    #[test]
    fn a_pool_of_version_1_becomes_a_range() {
        let both = network(
            r#"{"kind":"nat","ip4":{"subnet":"10.77.0.0/16","gateway":"10.77.0.1","first":"10.77.0.2","last":"10.77.255.254"},
                "ip6":{"subnet":"fd77::/64","gateway":"fd77::1","first":"fd77::2","last":"fd77::ffff:fffe"},"dns":["9.9.9.9"]}"#,
        );
        let net = both.spec.ip4.as_ref().expect("has IPv4");
        assert_eq!(net.gateway.map(|ip| ip.to_string()).as_deref(), Some("10.77.0.1"));
        assert_eq!((both.ranges.len(), both.next_range, both.ranges[0].size), (1, 1, 65533));
        let first = both.ranges[0].at(0).expect("has places");
        assert_eq!(first.mac.to_string(), "02:00:0a:4d:00:02");
        assert_eq!(first.ip4.map(|ip| ip.to_string()).as_deref(), Some("10.77.0.2"));
        assert_eq!(first.ip6.map(|ip| ip.to_string()).as_deref(), Some("fd77::2"));
        assert_eq!(both.ranges[0].prefix6, Some(64));

        let six = network(
            r#"{"kind":{"bridge":{"interface":"eth1"}},
                "ip6":{"subnet":"fd00::/96","gateway":null,"first":"fd00::2","last":"fd00::ffff:fffe"}}"#,
        );
        assert_eq!((six.ranges[0].size, six.ranges[0].prefix6), (1 << 24, Some(96)));
        let none = network(r#"{"kind":{"bridge":{"interface":"eth1"}},"ip4":null,"mtu":9000,"dhcp":true}"#);
        assert_eq!((none.ranges.len(), none.next_range, none.spec.mtu), (0, 0, 9000));
        let text = NetworkDoc::write(&both).expect("JSON");
        assert_eq!(NetworkDoc::read(3, NetworkDoc::VERSION, &text).expect("loads"), both);
    }

    #[test]
    fn rules_of_version_1_are_in_force() {
        let text = format!(
            r#"{{"id":3,"meta":{{"name":"web","owner":0,"group":0,"permissions":{},"created_at":0}},
                "rules":[{{"protocol":"tcp","direction":"inbound","ports":[[22,22]]}}]}}"#,
            serde_json::to_string(&holm_model::Permissions::default()).expect("JSON"),
        );
        let group = SecurityGroupDoc::read(3, 1, &text).expect("version 1 loads");
        assert_eq!((group.rules.len(), group.version), (1, 1));
        assert_eq!(group.rules, group.committed);
    }
}
