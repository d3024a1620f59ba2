//! Checks JSON against the part of JSON Schema that the document uses. Stricter than the standard in one point: a
//! property that no schema mentions is an error, because it is undocumented.

use serde_json::Value;
use std::collections::BTreeSet;

pub struct Checker<'a>(pub &'a Value);

impl Checker<'_> {
    /// All complaints about `value` under `schema`.
    pub fn check(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut complaints = vec![];
        self.visit(schema, value, "$", &mut complaints);
        complaints
    }

    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("references stay within the document");
                self.resolve(self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => schema,
        }
    }

    fn visit(&self, schema: &Value, value: &Value, at: &str, complaints: &mut Vec<String>) {
        let schema = self.resolve(schema);
        if let Some(types) = schema.get("type") {
            let known: Vec<&str> = match types {
                Value::String(one) => vec![one],
                Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
                _ => panic!("a type is a word or several"),
            };
            if !known.iter().any(|kind| is(kind, value)) {
                complaints.push(format!("{at}: {value} is not of type {known:?}"));
                return;
            }
        }
        if let Some(minimum) = schema.get("minimum").and_then(Value::as_f64)
            && value.as_f64().is_some_and(|number| number < minimum)
        {
            complaints.push(format!("{at}: {value} is below {minimum}"));
        }
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            for part in all {
                self.visit_part(part, value, at, complaints);
            }
            self.unknown(schema, value, at, complaints);
        } else if let Some(any) = schema.get("oneOf").or(schema.get("anyOf")).and_then(Value::as_array) {
            if !any.iter().any(|option| self.check(option, value).is_empty()) {
                complaints.push(format!("{at}: {value} fits none of its options"));
            }
        } else {
            self.visit_part(schema, value, at, complaints);
            self.unknown(schema, value, at, complaints);
        }
    }

    /// One part of an `allOf`, or a schema by itself: properties, required names, items.
    fn visit_part(&self, schema: &Value, value: &Value, at: &str, complaints: &mut Vec<String>) {
        let schema = self.resolve(schema);
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            all.iter().for_each(|part| self.visit_part(part, value, at, complaints));
        }
        if let (Some(required), Some(object)) = (schema.get("required").and_then(Value::as_array), value.as_object()) {
            for name in required.iter().filter_map(Value::as_str).filter(|name| !object.contains_key(*name)) {
                complaints.push(format!("{at}: {name} is missing"));
            }
        }
        if let (Some(properties), Some(object)) =
            (schema.get("properties").and_then(Value::as_object), value.as_object())
        {
            for (name, property) in properties {
                if let Some(inner) = object.get(name) {
                    self.visit(property, inner, &format!("{at}.{name}"), complaints);
                }
            }
        }
        if let (Some(items), Some(array)) = (schema.get("items"), value.as_array()) {
            for (n, inner) in array.iter().enumerate() {
                self.visit(items, inner, &format!("{at}[{n}]"), complaints);
            }
        }
    }

    fn unknown(&self, schema: &Value, value: &Value, at: &str, complaints: &mut Vec<String>) {
        let mut known = BTreeSet::new();
        self.properties(schema, &mut known);
        if let Some(object) = value.as_object().filter(|_| !known.is_empty()) {
            for name in object.keys().filter(|name| !known.contains(*name)) {
                complaints.push(format!("{at}: {name} is not documented"));
            }
        }
    }

    fn properties(&self, schema: &Value, known: &mut BTreeSet<String>) {
        let schema = self.resolve(schema);
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            known.extend(properties.keys().cloned());
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.properties(part, known);
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is unknown"),
    }
}

#[test]
fn the_checker_itself_notices() {
    let document = serde_json::json!({"components": {"schemas": {
        "Meta": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "Vm": {"allOf": [{"$ref": "#/components/schemas/Meta"},
                         {"type": "object", "properties": {"id": {"type": "integer", "minimum": 0}}, "required": ["id"]}]},
        "Page": {"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Vm"}}}},
    }}});
    let checker = Checker(&document);
    let schema = serde_json::json!({"$ref": "#/components/schemas/Page"});
    let check = |value| checker.check(&schema, &value);
    assert!(check(serde_json::json!({"items": [{"id": 1, "name": "a"}]})).is_empty());
    for bad in [
        serde_json::json!({"items": [{"id": 1}]}),
        serde_json::json!({"items": [{"id": "1", "name": "a"}]}),
        serde_json::json!({"items": [{"id": -1, "name": "a"}]}),
        serde_json::json!({"items": [{"id": 1, "name": "a", "more": 1}]}),
        serde_json::json!({"items": {}}),
        serde_json::json!([]),
    ] {
        assert!(!check(bad.clone()).is_empty(), "{bad}");
    }
}
