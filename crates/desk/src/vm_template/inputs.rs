//! `USER_INPUTS`: what a template asks of whoever makes a VM from it.

use holm_model::attributes::{Reading as _, decimal, integer, list};
use holm_model::{AttributeValue, Attributes, Invalid, Word};
use std::collections::BTreeMap;

/// The section with the inputs.
pub const SECTION: &str = "USER_INPUTS";

/// One input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInput {
    /// Its name, and the attribute that its answer becomes.
    pub name: String,
    /// What an answer must be; one of [`KINDS`], or something else, which any answer fits.
    pub kind: String,
    /// What is asked.
    pub description: String,
    /// Whether it must be answered.
    pub mandatory: bool,
    /// The answers there are, or the lowest and the highest as `LOW..HIGH`.
    pub options: Vec<String>,
    /// The answer where none is given.
    pub default: Option<String>,
}

/// What an answer can be asked to be.
pub const KINDS: [&str; 11] = [
    "text",
    "text64",
    "password",
    "number",
    "number-float",
    "range",
    "range-float",
    "list",
    "list-multiple",
    "boolean",
    "fixed",
];

impl UserInput {
    /// Reads `M|type|description|options|default`, of which the end may be missing.
    fn read(name: &str, text: &str) -> Self {
        let mut parts = text.splitn(5, '|').map(str::trim);
        let mandatory = parts.next().is_some_and(|word| word.eq_ignore_ascii_case("M"));
        let mut next = || parts.next().unwrap_or_default();
        Self {
            name: name.to_owned(),
            kind: next().to_owned(),
            description: next().to_owned(),
            mandatory,
            options: list(next()).map(str::to_owned).collect(),
            default: Some(next().to_owned()).filter(|text| !text.is_empty()),
        }
    }

    /// Checks an answer, and gives it as it is kept.
    fn answer(&self, given: &str) -> Result<String, Invalid> {
        let field = format!("inputs.{}", self.name);
        let refuse = |wrong: String, fix: &str| Err(Invalid::new(field.clone(), given, wrong, fix));
        let bounds = || self.options.first().and_then(|range| range.split_once(".."));
        match self.kind.as_str() {
            "number" => integer::<i64>(&field, given).map(|_| given.to_owned()),
            "number-float" => decimal(&field, given).map(|_| given.to_owned()),
            "range" | "range-float" => {
                let number = if self.kind == "range" {
                    // What is no whole number is refused with those words; what is one fits a decimal.
                    integer::<i32>(&field, given).map(f64::from)?
                } else {
                    decimal(&field, given)?
                };
                let Some((low, high)) = bounds() else { return Ok(given.to_owned()) };
                let (low, high) = (decimal(&field, low.trim())?, decimal(&field, high.trim())?);
                if (low..=high).contains(&number) {
                    return Ok(given.to_owned());
                }
                refuse(format!("is not between {low} and {high}"), "Give a number in that range.")
            }
            "list" if !self.options.iter().any(|option| option == given) => {
                let fix = format!("Give one of {}.", self.options.join(", "));
                refuse("is none of the answers there are".into(), &fix)
            }
            "list-multiple" if !list(given).all(|one| self.options.iter().any(|option| option == one)) => {
                let fix = format!("Give some of {}, with commas between.", self.options.join(", "));
                refuse("is not a list of the answers there are".into(), &fix)
            }
            "boolean" => match given.to_ascii_uppercase().as_str() {
                "YES" | "TRUE" => Ok("YES".into()),
                "NO" | "FALSE" => Ok("NO".into()),
                _ => refuse("is neither yes nor no".into(), "Answer YES or NO."),
            },
            "fixed" if self.default.as_deref().is_some_and(|fixed| fixed != given) => {
                refuse("is not the answer that is fixed".into(), "Leave it out.")
            }
            _ => Ok(given.to_owned()),
        }
    }
}

/// The inputs of a template.
#[must_use]
pub fn of(template: &Attributes) -> Vec<UserInput> {
    let pairs = template.vector(SECTION).map(|section| section.pairs).unwrap_or_default();
    pairs.iter().map(|(name, text)| UserInput::read(name, text)).collect()
}

/// The section with these inputs.
///
/// # Errors
/// When a name, a kind or a text cannot be written there.
pub fn written(inputs: &[UserInput]) -> Result<AttributeValue, Invalid> {
    let mut pairs = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.iter().enumerate() {
        let field = |member: &str| format!("inputs[{at}].{member}");
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if input.name.is_empty() || !input.name.bytes().all(fits) || pairs.iter().any(|(known, _)| *known == input.name)
        {
            let wrong = "is no name of an input, or of two of them";
            return Err(Invalid::new(field("name"), &input.name, wrong, "Use capitals, digits and '_'."));
        }
        if !KINDS.contains(&input.kind.as_str()) {
            let fix = format!("Use one of {}.", KINDS.join(", "));
            return Err(Invalid::new(field("kind"), &input.kind, "is no kind of input", fix));
        }
        let options = input.options.join(",");
        let default = input.default.clone().unwrap_or_default();
        for (member, text) in [("description", &input.description), ("options", &options), ("default", &default)] {
            if text.contains(['|', '\n', '\r']) {
                let wrong = "contains '|' or a line break";
                return Err(Invalid::new(field(member), text, wrong, "Write it without."));
            }
        }
        if input.default.is_some() {
            UserInput { name: "default".into(), ..input.clone() }.answer(&default).map_err(|mut wrong| {
                wrong.field = field("default");
                wrong
            })?;
        }
        let must = if input.mandatory { "M" } else { "O" };
        let text = format!("{must}|{}|{}|{options}|{default}", input.kind, input.description);
        pairs.push((Word::from(&input.name), text.into()));
    }
    Ok(AttributeValue::Vector(pairs))
}

/// Answers as attributes, checked against what the template asks.
///
/// # Errors
/// When an answer is not of the kind asked for, or nothing asks for it.
pub fn answered(template: &Attributes, answers: &BTreeMap<String, String>) -> Result<Attributes, Invalid> {
    let inputs = of(template);
    let mut all = Attributes::default();
    for (name, given) in answers {
        let Some(input) = inputs.iter().find(|input| input.name == *name) else {
            let known: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            let fix = match known.as_slice() {
                [] => "The template asks nothing.".to_owned(),
                known => format!("It asks for {}.", known.join(", ")),
            };
            return Err(Invalid::new("inputs", name, "is nothing that the template asks for", fix));
        };
        all.0.push((name.into(), AttributeValue::Text(input.answer(given)?.into())));
    }
    Ok(all)
}

/// Gives the inputs that nobody answered their defaults.
///
/// # Errors
/// When a mandatory input has neither an answer nor a default.
pub fn complete(merged: &mut Attributes) -> Result<(), Invalid> {
    for input in of(merged) {
        let UserInput { name, mandatory, default, .. } = input;
        if merged.has(&name) || in_context(merged, &name) {
            continue;
        }
        match default {
            Some(default) => merged.0.push((name.into(), AttributeValue::Text(default.into()))),
            None if mandatory => {
                return Err(Invalid::new(
                    format!("{SECTION}/{name}"),
                    "",
                    "is an input that the template demands and nobody gave",
                    format!("Give {name}."),
                ));
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether the context has a value of its own for the input, not one that refers to it.
fn in_context(merged: &Attributes, name: &str) -> bool {
    let value = merged.vector("CONTEXT").and_then(|context| context.given(name));
    value.is_some_and(|value| !value.to_ascii_uppercase().contains(&format!("${name}")))
}
