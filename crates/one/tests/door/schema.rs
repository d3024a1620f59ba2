//! Checks documents against the element trees that clients expect, `tests/schema/*.txt`.
//!
//! The notation: `NAME:type`, or `NAME{ ... }` with children; a suffix to the name says how often (`?` at most once, `*`
//! any number of times, `+` at least once, nothing: exactly once). A name alone stands for the document of that name.
//! `<any>*` in braces allows any children. Elements in parentheses may all be missing.

use roxmltree::Node;
use std::collections::BTreeMap;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Once,
    AtMostOnce,
    Any,
    AtLeastOnce,
}

#[derive(Clone, Debug)]
enum Content {
    /// A value of this type, or the content of a shared type.
    Of(String),
    /// The document of the element's own name.
    Document,
    Children(Vec<Element>, bool),
}

#[derive(Clone, Debug)]
struct Element {
    name: String,
    times: Times,
    content: Content,
}

/// All documents and shared types. A document may have several forms.
struct Schema {
    documents: BTreeMap<String, Vec<Element>>,
    types: BTreeMap<String, Element>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = Schema { documents: BTreeMap::new(), types: BTreeMap::new() };
    for text in [
        include_str!("../schema/clusters.txt"),
        include_str!("../schema/datastores.txt"),
        include_str!("../schema/hosts.txt"),
        include_str!("../schema/images.txt"),
        include_str!("../schema/networks.txt"),
        include_str!("../schema/records.txt"),
        include_str!("../schema/security_groups.txt"),
        include_str!("../schema/templates.txt"),
        include_str!("../schema/types.txt"),
        include_str!("../schema/users.txt"),
        include_str!("../schema/vms.txt"),
    ] {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (is_type, line) = line.strip_prefix("type ").map_or((false, line), |rest| (true, rest));
            let mut reader = Reader { text: line, at: 0 };
            let element = reader.element();
            assert!(reader.rest().trim().is_empty(), "left over in the notation: {}", reader.rest());
            if is_type {
                schema.types.insert(element.name.clone(), element);
            } else {
                schema.documents.entry(element.name.clone()).or_default().push(element);
            }
        }
    }
    schema
});

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, word: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn word(&mut self) -> String {
        self.skip();
        let end = self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest().len());
        assert!(end > 0, "a name is expected at {:?}", &self.rest()[..self.rest().len().min(40)]);
        let word = self.rest()[..end].to_owned();
        self.at += end;
        word
    }

    fn element(&mut self) -> Element {
        let name = self.word();
        let times = if self.rest().starts_with('?') {
            Times::AtMostOnce
        } else if self.rest().starts_with('*') {
            Times::Any
        } else if self.rest().starts_with('+') {
            Times::AtLeastOnce
        } else {
            Times::Once
        };
        if times != Times::Once {
            self.at += 1;
        }
        let content = if self.rest().starts_with(':') {
            self.at += 1;
            let word = self.word();
            // Words in brackets say which texts there are; they are facts for readers.
            if self.rest().starts_with('[') {
                self.at += self.rest().find(']').expect("a bracket ends") + 1;
            }
            Content::Of(word)
        } else if self.eat("{") {
            let mut children = Vec::new();
            let open = self.children(&mut children, "}");
            Content::Children(children, open)
        } else {
            Content::Document
        };
        Element { name, times, content }
    }

    /// Reads children up to the end; whether any others are allowed.
    fn children(&mut self, children: &mut Vec<Element>, end: &str) -> bool {
        let mut open = false;
        while !self.eat(end) {
            if self.eat("<any>*") {
                open = true;
            } else if self.eat("(") {
                let mut group = Vec::new();
                open |= self.children(&mut group, ")");
                let many = self.eat("*");
                let _ = many || self.eat("?");
                children.extend(group.into_iter().map(|element| Element {
                    times: if many { Times::Any } else { optional(element.times) },
                    ..element
                }));
            } else if !self.eat("|") {
                children.push(self.element());
            }
        }
        open
    }
}

fn optional(times: Times) -> Times {
    match times {
        Times::Once => Times::AtMostOnce,
        Times::AtLeastOnce => Times::Any,
        other => other,
    }
}

/// Checks a document, which must be one of those in the schema; pools of them are checked as well.
///
/// # Panics
/// With all that is wrong.
#[track_caller]
pub(crate) fn check(xml: &str) {
    let wrong = complaints(xml);
    assert!(wrong.is_empty(), "{}\n{xml}", wrong.join("\n"));
}

/// What is wrong with a document.
pub(crate) fn complaints(xml: &str) -> Vec<String> {
    let document = match roxmltree::Document::parse(xml) {
        Ok(document) => document,
        Err(error) => return vec![format!("no XML: {error}")],
    };
    let root = document.root_element();
    let name = root.tag_name().name();
    let forms = SCHEMA.documents.get(name);
    let mut best: Option<Vec<String>> = None;
    for form in forms.into_iter().flatten() {
        let mut wrong = Vec::new();
        element(root, form, name, &mut wrong);
        if best.as_ref().is_none_or(|best| wrong.len() < best.len()) {
            best = Some(wrong);
        }
    }
    // Pools that the notation does not spell out hold the noun's documents. VMs in a pool have two forms.
    let noun = name.strip_suffix("_POOL");
    if let Some(documents) = noun.and_then(|noun| SCHEMA.documents.get(noun)) {
        let mut wrong = Vec::new();
        for child in root.children().filter(Node::is_element) {
            match documents.iter().find(|form| child.has_tag_name(form.name.as_str())) {
                Some(form) => element(child, form, name, &mut wrong),
                None => wrong.push(format!("{name}/{} is unknown", child.tag_name().name())),
            }
        }
        if best.as_ref().is_none_or(|best| wrong.len() < best.len()) {
            best = Some(wrong);
        }
    }
    best.unwrap_or_else(|| vec![format!("{name} is no known document")])
}

fn element(node: Node<'_, '_>, form: &Element, path: &str, wrong: &mut Vec<String>) {
    let path = format!("{path}/{}", form.name);
    match &form.content {
        Content::Document => match SCHEMA.documents.get(&form.name).and_then(|forms| forms.first()) {
            Some(document) => element(node, document, &path, wrong),
            None => wrong.push(format!("{path}: no such document")),
        },
        Content::Children(children, open) => inside(node, children, *open, &path, wrong),
        Content::Of(kind) => match SCHEMA.types.get(kind) {
            Some(Element { content: Content::Children(children, open), .. }) => {
                inside(node, children, *open, &path, wrong);
            }
            Some(_) => wrong.push(format!("{path}: type {kind} has no children")),
            None => value(node, kind, &path, wrong),
        },
    }
}

fn inside(node: Node<'_, '_>, children: &[Element], open: bool, path: &str, wrong: &mut Vec<String>) {
    if node.children().any(|child| child.is_text() && child.text().is_some_and(|text| !text.is_empty())) {
        wrong.push(format!("{path} has text beside its elements"));
    }
    for form in children {
        let count = node.children().filter(|child| child.has_tag_name(form.name.as_str())).count();
        let fits = match form.times {
            Times::Once => count == 1,
            Times::AtMostOnce => count <= 1,
            Times::Any => true,
            Times::AtLeastOnce => count >= 1,
        };
        if !fits {
            wrong.push(format!("{path}/{} is there {count} times, not {:?}", form.name, form.times));
        }
    }
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        match children.iter().find(|form| form.name == name) {
            Some(form) => element(child, form, path, wrong),
            None if open => {}
            None => wrong.push(format!("{path}/{name} is unknown")),
        }
    }
}

fn value(node: Node<'_, '_>, kind: &str, path: &str, wrong: &mut Vec<String>) {
    if kind == "any" {
        return;
    }
    if let Some(child) = node.children().find(Node::is_element) {
        wrong.push(format!("{path} has an element {}", child.tag_name().name()));
    }
    let text: String = node.children().filter_map(|child| child.text()).collect();
    let fits = match kind {
        // Clients accept nothing for a number.
        "int" | "i64" => text.is_empty() || text.parse::<i64>().is_ok(),
        "dec" | "float" => text.is_empty() || text.parse::<f64>().is_ok_and(f64::is_finite),
        "str" => true,
        other => {
            wrong.push(format!("{path}: the notation has no type {other}"));
            true
        }
    };
    if !fits {
        wrong.push(format!("{path} is {text:?}, no {kind}"));
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let group = "<ID>1</ID><UID>0</UID><GID>0</GID><UNAME>a</UNAME><GNAME>b</GNAME><NAME>c</NAME><REGTIME>5</REGTIME>\
                 <PERMISSIONS><OWNER_U>1</OWNER_U><OWNER_M>1</OWNER_M><OWNER_A>0</OWNER_A><GROUP_U>0</GROUP_U>\
                 <GROUP_M>0</GROUP_M><GROUP_A>0</GROUP_A><OTHER_U>0</OTHER_U><OTHER_M>0</OTHER_M><OTHER_A>0</OTHER_A>\
                 </PERMISSIONS><TEMPLATE><ANY><THING/></ANY></TEMPLATE>";
    let good = format!("<VMTEMPLATE>{group}</VMTEMPLATE>");
    check(&good);
    check(&format!("<VMTEMPLATE_POOL>{good}{good}</VMTEMPLATE_POOL>"));
    check("<VMTEMPLATE_POOL></VMTEMPLATE_POOL>");
    let wrong = |bad: &str, what: &str| {
        let found = complaints(bad);
        assert!(found.iter().any(|line| line.contains(what)), "{found:?}");
    };
    wrong(&good.replace("<REGTIME>5</REGTIME>", ""), "REGTIME is there 0 times");
    wrong(&good.replace("<REGTIME>5", "<REGTIME>1.5"), "no int");
    wrong(&good.replace("<REGTIME>", "<OTHER/><REGTIME>"), "OTHER is unknown");
    wrong(&good.replace("<OWNER_U>1</OWNER_U>", ""), "OWNER_U is there 0 times");
    wrong("<NOTHING/>", "no known document");
    wrong("<A><B></A>", "no XML");
    wrong("<VM_POOL><VM><ID>1</ID></VM></VM_POOL>", "is there 0 times");
    wrong("<HOST_POOL><VM/></HOST_POOL>", "unknown");
}
