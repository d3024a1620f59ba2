//! `USER_INPUTS`: what a template asks of whoever makes a VM from it.

use crate::template::Reading as _;
use holm_model::{AttributeValue, Attributes, Invalid};

/// Gives the inputs that nobody answered their defaults.
///
/// # Errors
/// When a mandatory input has neither an answer nor a default.
pub(crate) fn complete(merged: &mut Attributes) -> Result<(), Invalid> {
    let Some(inputs) = merged.vector("USER_INPUTS").map(|vector| vector.pairs.to_vec()) else { return Ok(()) };
    for (name, description) in inputs {
        if merged.has(&name) || in_context(merged, &name) {
            continue;
        }
        // `M|type|description|options|default`
        let parts: Vec<&str> = description.splitn(5, '|').collect();
        let default = parts.get(4).map(|text| text.trim()).filter(|text| !text.is_empty());
        let mandatory = parts.first().is_some_and(|word| word.trim().eq_ignore_ascii_case("M"));
        match default {
            Some(default) => merged.0.push((name, AttributeValue::Text(default.to_owned()))),
            None if mandatory => {
                return Err(Invalid::new(
                    format!("USER_INPUTS/{name}"),
                    "",
                    "is an input that the template demands and nobody gave",
                    format!("Give {name} in the extra template."),
                ));
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether the context has a value of its own for the input, not only a reference to it.
fn in_context(merged: &Attributes, name: &str) -> bool {
    let value = merged.vector("CONTEXT").and_then(|context| context.given(name));
    value.is_some_and(|value| !value.eq_ignore_ascii_case(&format!("${name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::parse;

    #[test]
    fn mandatory_inputs_are_demanded_and_defaults_taken() {
        let complete_of = |text: &str| {
            let mut merged = parse(text).expect("is a template");
            complete(&mut merged).map(|()| merged)
        };
        let inputs =
            "USER_INPUTS=[SITE=\"M|text|Where\",SIZE=\"O|number|How big\",COLOR=\"M|list|Which|red,blue|blue\"]\n";
        assert_eq!(complete_of(inputs).expect_err("SITE is missing").field, "USER_INPUTS/SITE");
        let merged = complete_of(&format!("{inputs}SITE=here")).expect("all there");
        assert_eq!(
            (merged.text("SITE"), merged.text("COLOR"), merged.text("SIZE")),
            (Some("here"), Some("blue"), None)
        );
        assert!(complete_of(&format!("{inputs}CONTEXT=[SITE=\"$SITE\"]")).is_err());
        assert!(complete_of(&format!("{inputs}CONTEXT=[SITE=there]")).is_ok());
    }
}
