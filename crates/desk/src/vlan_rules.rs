//! Which VLAN ids the members of a group may choose for networks that they make from templates.
//!
//! The ids are restricted attributes of a network: as a rule, only administrators write them. A group's rules say which
//! ids of which sort its members may write all the same, and for networks of which templates.

use crate::{Caller, Error, ErrorKind, View, restricted};
use holm_model::users::Group;
use holm_model::{AttributeValue, Attributes, NetworkTemplateId, ObjectKind, Word};

/// Attributes of a network that rules are about, and their word in rules.
const SCOPES: [(&str, &str); 4] = [
    ("VLAN_ID", "VLAN_ID"),
    ("OUTER_VLAN_ID", "OUTER_VLAN_ID"),
    ("CVLANS", "CVLAN"),
    ("VLAN_TAGGED_ID", "VLAN_TAGGED_ID"),
];
/// Most rules of a group.
const MOST: usize = 100;

/// Ids such as `1-100,200`; `None` when something is none.
fn ranges(text: &str) -> Option<Vec<(u32, u32)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (range.0 <= range.1 && range.1 < 1 << 24).then_some(range)
    };
    let all: Vec<(u32, u32)> = parts.map(range).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}

fn member<'a>(pairs: &'a [(Word, Word)], name: &str) -> &'a str {
    pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
}

/// The rules among the attributes that a group keeps.
fn rules(of: &Attributes) -> impl Iterator<Item = &[(Word, Word)]> {
    of.0.iter().filter_map(|(name, value)| match value {
        AttributeValue::Vector(pairs) if name == "RULE" => Some(pairs.as_slice()),
        _ => None,
    })
}

/// Refuses rules that mean nothing.
pub(crate) fn check(given: &Attributes) -> Result<(), Error> {
    let refuse = |says: String, hint: &str| Err(Error::new(ErrorKind::Invalid, says).hint(hint).field("RULE"));
    if rules(given).count() > MOST {
        return refuse(format!("RULE: a group has at most {MOST} rules"), "Join some of them.");
    }
    for rule in rules(given) {
        let (ids, scope, templates) = (member(rule, "ID"), member(rule, "SCOPE"), member(rule, "VNTEMPLATE"));
        if ranges(ids).is_none() {
            return refuse(format!("RULE/ID: {ids:?} names no VLAN ids"), "Write such as 1-100,200.");
        }
        if !scope.is_empty() && scope != "ANY" && SCOPES.iter().all(|(_, word)| *word != scope) {
            let hint = "Use VLAN_ID, OUTER_VLAN_ID, CVLAN, VLAN_TAGGED_ID or ANY.";
            return refuse(format!("RULE/SCOPE: {scope:?} is no sort of VLAN ids"), hint);
        }
        if !templates.is_empty() && ranges(templates).is_none() {
            return refuse(format!("RULE/VNTEMPLATE: {templates:?} names no templates"), "Write ids such as 0,3.");
        }
    }
    Ok(())
}

/// Whether a group's rules let its members write this value of an attribute.
fn allow(of: &Attributes, template: NetworkTemplateId, name: &str, value: &str) -> bool {
    let Some((_, word)) = SCOPES.iter().find(|(attribute, _)| *attribute == name) else { return false };
    let Some(wanted) = ranges(value) else { return false };
    rules(of).any(|rule| {
        let scope = member(rule, "SCOPE");
        let templates = member(rule, "VNTEMPLATE");
        let among = |text: &str, (first, last): (u32, u32)| {
            ranges(text).is_some_and(|all| all.iter().any(|(low, high)| *low <= first && last <= *high))
        };
        (scope.is_empty() || scope == "ANY" || scope == *word)
            && (templates.is_empty() || among(templates, (template.0, template.0)))
            && wanted.iter().all(|range| among(member(rule, "ID"), *range))
    })
}

impl View {
    /// Refuses what a caller who is no administrator may not add to a network template that becomes a network.
    ///
    /// # Errors
    /// `Forbidden`, with the attribute as its field.
    pub fn check_instantiation(
        &self,
        caller: &Caller,
        template: NetworkTemplateId,
        given: &Attributes,
    ) -> Result<(), Error> {
        let groups: Vec<_> = caller.groups().iter().filter_map(|group| self.row::<Group>(*group)).collect();
        let mut rest = given.clone();
        rest.0.retain(|(name, value)| match value {
            AttributeValue::Text(text) => {
                !groups.iter().any(|group| allow(&group.value.vlan_rules, template, name, text.trim()))
            }
            AttributeValue::Vector(_) => true,
        });
        restricted::check(ObjectKind::Network, &rest, caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(rules: &[&[(&str, &str)]]) -> Attributes {
        let vector = |pairs: &&[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            ("RULE".into(), AttributeValue::Vector(pairs.collect()))
        };
        Attributes(rules.iter().map(vector).collect())
    }

    #[test]
    fn rules_allow_ids_of_their_sort_for_their_templates() {
        let rules = group(&[
            &[("ID", "1-100,200"), ("SCOPE", "VLAN_ID"), ("VNTEMPLATE", "3")],
            &[("ID", "300-310"), ("SCOPE", "ANY")],
        ]);
        check(&rules).expect("are fine");
        for (template, name, value, allowed) in [
            (3, "VLAN_ID", "100", true),
            (3, "VLAN_ID", "200", true),
            (3, "VLAN_ID", "101", false),
            (4, "VLAN_ID", "100", false),
            (4, "VLAN_ID", "305", true),
            (4, "CVLANS", "300-305, 310", true),
            (3, "CVLANS", "50", false),
            (3, "OUTER_VLAN_ID", "1", false),
            (3, "VLAN_ID", "", false),
            (3, "VLAN_ID", "all", false),
            (3, "PHYDEV", "1", false),
        ] {
            assert_eq!(allow(&rules, NetworkTemplateId(template), name, value), allowed, "{template} {name} {value}");
        }
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for rule in [
            &[("ID", "")][..],
            &[("ID", "9-1")],
            &[("ID", "x")],
            &[("ID", "1"), ("SCOPE", "VXLAN")],
            &[("ID", "1"), ("VNTEMPLATE", "web")],
        ] {
            assert!(check(&group(&[rule])).is_err(), "{rule:?}");
        }
        assert!(check(&group(&vec![&[("ID", "1")][..]; MOST + 1])).is_err());
        check(&Attributes::default()).expect("no rules are fine");
    }
}
