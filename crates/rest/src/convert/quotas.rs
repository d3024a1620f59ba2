//! Quotas.

use crate::problem::{Answer, Refusal};
use holm_desk::{QuotaDraft, QuotaKey, QuotaLine, QuotaSheet, QuotasOf};
use holm_model::quotas::Limit;
use holm_wire::v1;

#[allow(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
fn amount(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}

fn line(line: &QuotaLine) -> v1::QuotaLine {
    let (of, object, clusters) = match &line.key {
        QuotaKey::Vms => ("vms", None, vec![]),
        QuotaKey::VmsIn(clusters) => ("vms", None, clusters.iter().map(|cluster| cluster.0).collect()),
        QuotaKey::Datastore(id) => ("datastore", Some(id.0), vec![]),
        QuotaKey::Network(id) => ("network", Some(id.0), vec![]),
        QuotaKey::Image(id) => ("image", Some(id.0), vec![]),
    };
    v1::QuotaLine {
        of: of.into(),
        object,
        clusters,
        metric: line.metric.clone(),
        limit: match line.limit {
            Limit::Default => v1::QuotaLimit::Word("default".into()),
            Limit::Unlimited => v1::QuotaLimit::Word("unlimited".into()),
            Limit::AtMost(most) => v1::QuotaLimit::Amount(amount(most)),
        },
        holds: line.holds.map(amount),
        used: line.used.map(amount),
    }
}

/// Limits and usage.
#[must_use]
pub fn sheet(of: &QuotasOf, sheet: &QuotaSheet) -> v1::Quotas {
    let whose = match of {
        QuotasOf::User(_) => "user",
        QuotasOf::Group(_) => "group",
        QuotasOf::DefaultUser => "default_user",
        QuotasOf::DefaultGroup => "default_group",
    };
    v1::Quotas {
        whose: whose.into(),
        id: sheet.id,
        revision: sheet.revision,
        items: sheet.lines.iter().map(line).collect(),
    }
}

fn limit(given: &v1::QuotaLimit) -> Answer<Limit> {
    let refuse = |shown: String| {
        Refusal::invalid("limits", format!("limits: {shown} is no limit"))
            .hint("Use a number of 0 or more with at most two digits after the point, \"default\" or \"unlimited\".")
    };
    match given {
        v1::QuotaLimit::Word(word) => match word.as_str() {
            "default" => Ok(Limit::Default),
            "unlimited" => Ok(Limit::Unlimited),
            other => Err(refuse(format!("{:?}", other.chars().take(64).collect::<String>()))),
        },
        v1::QuotaLimit::Amount(number) => {
            let hundredths = (number * 100.0).round();
            let near = (number * 100.0 - hundredths).abs() < 1e-6;
            if !near || !(0.0..=1e15).contains(&hundredths) {
                return Err(refuse(number.to_string()));
            }
            #[allow(clippy::cast_possible_truncation, reason = "checked to lie in 0..=1e15 just above")]
            Ok(Limit::AtMost(hundredths as i64))
        }
    }
}

/// Limits to be set.
///
/// # Errors
/// When one is no limit.
pub fn drafts(change: v1::QuotasChange) -> Answer<Vec<QuotaDraft>> {
    let draft = |set: v1::QuotaSet| {
        let limit = limit(&set.limit)?;
        Ok(QuotaDraft { of: set.of, object: set.object, clusters: set.clusters, metric: set.metric, limit })
    };
    change.limits.into_iter().map(draft).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_and_two_words() {
        let of = |text: &str| limit(&serde_json::from_str(text).expect(text));
        assert_eq!(of("1.5").expect("is one"), Limit::AtMost(150));
        assert_eq!(of("0").expect("is one"), Limit::AtMost(0));
        assert_eq!(of("\"unlimited\"").expect("is one"), Limit::Unlimited);
        assert_eq!(of("\"default\"").expect("is one"), Limit::Default);
        for text in ["-1", "-2", "0.001", "1e300", "\"many\"", "\"\"", "\"4\""] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
