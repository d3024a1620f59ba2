//! Templates: both notations, what they refuse and with which words, and the laws of merging and substitution.

use holm_model::{AttributeValue, Attributes, Word};
use holm_one::template::{
    Error, Limits, Lookup, Reading, decimal, integer, is_yes, list, merge, parse, parse_optional, parse_within,
    substitute, to_text, to_xml,
};
use proptest::prelude::*;
use std::borrow::Cow;

fn single(name: &str, value: &str) -> (Word, AttributeValue) {
    (name.into(), AttributeValue::Text(value.into()))
}

fn vector(name: &str, pairs: &[(&str, &str)]) -> (Word, AttributeValue) {
    let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    (name.into(), AttributeValue::Vector(pairs))
}

#[test]
fn reads_the_text_form() {
    let table = [
        ("A=b", vec![single("A", "b")]),
        ("  A =\tb  ", vec![single("A", "b")]),
        ("\n\n A\t=  b\n\n", vec![single("A", "b")]),
        ("name = x", vec![single("NAME", "x")]),
        ("_9a = x", vec![single("_9A", "x")]),
        ("9=8", vec![single("9", "8")]),
        ("A=1\nB=2", vec![single("A", "1"), single("B", "2")]),
        ("A=1 B=2", vec![single("A", "1"), single("B", "2")]),
        ("A=1\r\nB=\"2\"\r\nC=\r\n", vec![single("A", "1"), single("B", "2"), single("C", "")]),
        // Empty values end at the newline.
        ("A=\n", vec![single("A", "")]),
        ("A = \t\nB=1", vec![single("A", ""), single("B", "1")]),
        ("A=\"\"", vec![single("A", "")]),
        // Comments.
        ("# c\nA=1", vec![single("A", "1")]),
        ("  # A=0\n\t#\nA=1 # c = [ \"\nB=2# d", vec![single("A", "1"), single("B", "2")]),
        ("A=\"x\"#c\n", vec![single("A", "x")]),
        ("A=\"# no comment\"", vec![single("A", "# no comment")]),
        // Quotes and escapes.
        ("A=\"b c\"", vec![single("A", "b c")]),
        ("A=\"say \\\"hi\\\"\"", vec![single("A", "say \"hi\"")]),
        ("A=\"a\\nb\\\\c\\$d\"", vec![single("A", "a\\nb\\\\c\\$d")]),
        ("A=\"\\\\\"\"", vec![single("A", "\\\"")]),
        ("A=\"C:\\dir\\\"\nB=1", vec![single("A", "C:\\dir\\"), single("B", "1")]),
        ("A=\"one\ntwo\n\n  three\"", vec![single("A", "one\ntwo\n\n  three")]),
        ("A=\"=,[]#\"", vec![single("A", "=,[]#")]),
        ("A=\"x\"B=\"y\"", vec![single("A", "x"), single("B", "y")]),
        // Values without quotes.
        ("A=/dev/sda1 B=$VAR C=1.2.3.4 D=a\"b E=-1", {
            let pairs = [("A", "/dev/sda1"), ("B", "$VAR"), ("C", "1.2.3.4"), ("D", "a\"b"), ("E", "-1")];
            pairs.iter().map(|(name, value)| single(name, value)).collect()
        }),
        ("A=日本", vec![single("A", "日本")]),
        ("A=\"\u{B}\u{C} \u{A0}b\u{A0} \"", vec![single("A", "\u{A0}b\u{A0}")]),
        // Trimming.
        ("A=\"  b c \t\n\"", vec![single("A", "b c")]),
        ("A=[ B=\"  c \" ]", vec![vector("A", &[("B", "c")])]),
        // Vectors.
        ("A=[]", vec![vector("A", &[])]),
        ("A = [ \n ]", vec![vector("A", &[])]),
        ("A=[B=c]", vec![vector("A", &[("B", "c")])]),
        ("nic = [\n network = \"a b\" ,\n\n ip=1.2.3.4\n]\nX=1", {
            vec![vector("NIC", &[("NETWORK", "a b"), ("IP", "1.2.3.4")]), single("X", "1")]
        }),
        ("A=[B=1,B=2,b=3,C=\"\"]", vec![vector("A", &[("B", "1"), ("C", "")])]),
        ("A=[B=1, # one\n# two\nC=2 # three\n]", vec![vector("A", &[("B", "1"), ("C", "2")])]),
        ("A=[B=1]C=2", vec![vector("A", &[("B", "1")]), single("C", "2")]),
        // Several of one name, in their order.
        ("A=2\nB=x\na=1\nA=[C=d]", {
            vec![single("A", "2"), single("B", "x"), single("A", "1"), vector("A", &[("C", "d")])]
        }),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text), Ok(Attributes(expected)), "{text:?}");
    }
}

#[test]
fn says_where_the_text_form_is_wrong() {
    let table = [
        ("", "unexpected end of the template, expecting a name at line 1, columns 1:1"),
        ("# only this", "unexpected end of the template, expecting a name at line 1, columns 12:12"),
        ("A", "unexpected end of the template, expecting '=' at line 1, columns 2:2"),
        ("A=", "unexpected end of the template, expecting a value or '[' at line 1, columns 3:3"),
        ("A = b cde", "unexpected end of the template, expecting '=' at line 1, columns 10:10"),
        ("A = b cde f", "unexpected a word, expecting '=' at line 1, columns 11:11"),
        ("A=1\n\n  B cde", "unexpected a word, expecting '=' at line 3, columns 5:7"),
        ("A=1\nB\n=2", "unexpected end of line, expecting '=' at line 2, columns 2:2"),
        ("=1", "unexpected '=', expecting a name at line 1, columns 1:1"),
        ("A==1", "unexpected '=', expecting a value or '[' at line 1, columns 3:3"),
        ("A=#1", "unexpected '#', expecting a value or '[' at line 1, columns 3:3"),
        ("A-B=1", "unexpected a character that belongs into quotes, expecting '=' at line 1, columns 2:2"),
        ("é=1", "unexpected a character that belongs into quotes, expecting a name at line 1, columns 1:1"),
        ("A=\"é\" é", "unexpected a character that belongs into quotes, expecting a name at line 1, columns 7:7"),
        ("A=\"b", "unexpected a value whose quote is never closed, expecting '\"' at line 1, columns 3:3"),
        ("A=1\nB=\"c]]>\"", "unexpected \"]]>\" in a value, expecting a value without it at line 2, columns 5:7"),
        ("A=\"one\nx ]]> y\"", "unexpected \"]]>\" in a value, expecting a value without it at line 2, columns 3:5"),
        ("A=[", "unexpected end of the template, expecting a name or ']' at line 1, columns 4:4"),
        ("A=[B=\n]", "unexpected end of line, expecting a value at line 1, columns 6:6"),
        ("A=[B=]", "unexpected ']', expecting a value at line 1, columns 6:6"),
        ("A=[B=1", "unexpected end of the template, expecting ',' or ']' at line 1, columns 7:7"),
        ("A=[B=1 C=2]", "unexpected a word, expecting ',' or ']' at line 1, columns 8:8"),
        ("A=[B=1,]", "unexpected ']', expecting a name at line 1, columns 8:8"),
        ("A=[,B=1]", "unexpected ',', expecting a name or ']' at line 1, columns 4:4"),
        ("A=[B=[C=1]]", "unexpected '[', expecting a value at line 1, columns 6:6"),
        ("A=[\"B\"=1]", "unexpected a value in quotes, expecting a name or ']' at line 1, columns 4:4"),
        ("A=\n[B=1]", "unexpected '[', expecting a name at line 2, columns 1:1"),
        ("A=é]]>", "unexpected ']', expecting a name at line 1, columns 4:4"),
        ("A=1,2", "unexpected ',', expecting a name at line 1, columns 4:4"),
        (" <A/>", "unexpected a character that belongs into quotes, expecting a name at line 1, columns 2:2"),
    ];
    for (text, expected) in table {
        let error = parse(text).expect_err(text);
        assert_eq!(error.to_string(), format!("Parse error: syntax error, {expected}"), "{text:?}");
    }
    assert_eq!(Error::CODE, 8192);
    assert_eq!(parse_optional(""), Ok(Attributes::default()));
    assert_eq!(parse_optional(" \n\t"), Ok(Attributes::default()));
    assert!(parse_optional("x").is_err());
}

#[test]
fn no_error_repeats_a_value() {
    for text in [
        "PASSWORD=hunter2 hunter2",
        "PASSWORD=\"hunter2",
        "PASSWORD=\"hunter2]]>\"",
        "PASSWORD=[hunter2]",
        "hunter2",
        "<T><PASSWORD>hunter2</T>",
        "<T><PASSWORD>&hunter2;</PASSWORD></T>",
        "<hunter2",
    ] {
        let error = parse(text).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn reads_the_xml_form() {
    let table = [
        ("<TEMPLATE/>", Vec::new()),
        ("<x></x>", Vec::new()),
        ("<T><A>b</A></T>", vec![single("A", "b")]),
        ("<?xml version='1.0'?>\n<!-- c --><T a='b'>\n <name c='d'> x </name>\n</T>\n", vec![single("NAME", "x")]),
        ("<T><A><![CDATA[ <b>&amp; ]]></A></T>", vec![single("A", "<b>&amp;")]),
        ("<T><A>a&amp;<![CDATA[&]]>&#66;<!-- - -->c</A></T>", vec![single("A", "a&&Bc")]),
        ("<T><A>1</A><B>x</B><A>2</A></T>", vec![single("A", "1"), single("B", "x"), single("A", "2")]),
        // Without a child there is no attribute; an empty CDATA section and blanks are children.
        ("<T><A/><B></B><C><![CDATA[]]></C><D> </D></T>", vec![single("C", ""), single("D", "")]),
        ("<T><A>\n<B>1</B>\n<c>2</c>\n<B>3</B></A></T>", vec![vector("A", &[("B", "1"), ("C", "2")])]),
        ("<T><A><B/><C></C><D><![CDATA[]]></D><E>1</E></A></T>", vec![vector("A", &[("E", "1")])]),
        ("<T><A><B/></A></T>", vec![vector("A", &[])]),
        ("<T><A>text<B>1</B>more</A></T>", vec![vector("A", &[("B", "1")])]),
        ("<T><A><B>1<C>2</C></B><D><E>3</E>4</D><F>5</F></A></T>", vec![vector("A", &[("F", "5")])]),
        ("<T><A>]]&gt;</A></T>", vec![single("A", "]]>")]),
        ("<T><A-b.c>1</A-b.c><É>2</É></T>", vec![single("A-B.C", "1"), single("É", "2")]),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text), Ok(Attributes(expected)), "{text}");
    }
    for text in [
        "<",
        "<>",
        "<T",
        "<T>",
        "<T></X>",
        "<T><A></T></A>",
        "<T/><T/>",
        "<T/>x",
        "<!-- only -->",
        "<?xml version='1.0'?>",
        "<!DOCTYPE T><T/>",
        "<!DOCTYPE T [<!ENTITY a 'b'>]><T><A>&a;</A></T>",
        "<T>&a;</T>",
        "<T>\u{1}</T>",
        "<T>&#1;</T>",
        "<1/>",
        "<T><1>x</1></T>",
        "<T><A><a:b>x</a:b></A></T>",
        "<T><A><b><-c/></b></A></T>",
        "<T><![CDATA[</T>",
        "<T a></T>",
        "<T><A>]]></A></T>",
        "<T><A b=c/></T>",
        "<T><A b='c></A></T>",
        "<T><?xml version='1.0'?></T>",
    ] {
        assert_eq!(parse(text), Err(Error::Malformed), "{text}");
    }
    assert_eq!(Error::Malformed.to_string(), "Parse error: XML Template malformed.");
}

#[test]
fn limits_hold_for_both_forms() {
    let limits = Limits { bytes: 400, attributes: 3, members: 2, depth: 5 };
    let what = |text: &str| match parse_within(text, &limits) {
        Err(Error::Limit { what, .. }) => Some(what),
        Ok(_) => None,
        Err(other) => panic!("{text}: {other}"),
    };
    assert_eq!(what(&format!("A={}", "b".repeat(399))), Some("bytes"));
    assert_eq!(what("A=1\nB=2\nC=3"), None);
    assert_eq!(what("A=1\nB=2\nC=3\nD=4"), Some("attributes"));
    assert_eq!(what("<T><A>1</A><B>1</B><C>1</C><D>1</D></T>"), Some("attributes"));
    assert_eq!(what("A=[B=1,C=2,B=3]"), None);
    assert_eq!(what("A=[B=1,C=2,D=3]"), Some("members in a vector"));
    assert_eq!(what("<T><A><B>1</B><C>2</C><D>3</D></A></T>"), Some("members in a vector"));
    assert_eq!(what(&format!("<T>{}{}</T>", "<A>".repeat(5), "</A>".repeat(5))), Some("elements inside each other"));
    let endless = "<A>".repeat(300_000);
    assert!(matches!(parse(&endless), Err(Error::Limit { .. })));
    let limit = Error::Limit { what: "attributes", limit: 3 };
    assert_eq!(limit.to_string(), "Parse error: the template has more than 3 attributes.");
    // Many members are looked through quickly, and the first of a name still wins.
    let names: Vec<String> = (0..500).map(|at| format!("M{at}=1")).collect();
    let text = format!("A=[{},{}]", names.join(","), names.join(",").replace("=1", "=2"));
    let attributes = parse(&text).expect("500 members");
    let pairs = attributes.vector("A").expect("a vector").pairs;
    assert_eq!(pairs.len(), 500);
    assert!(pairs.iter().all(|(_, value)| value == "1"));
}

#[test]
fn writes_both_forms() {
    let attributes = Attributes(vec![
        single("Z", "1"),
        vector("DISK", &[("SIZE", "2"), ("IMAGE", "a \"b\"")]),
        single("A", "x]]>y"),
        vector("DISK", &[]),
        single("A", "C:\\"),
        single("9 lives", "\u{1}\r"),
    ]);
    assert_eq!(
        to_text(&Attributes(attributes.0[..5].to_vec())),
        "Z=\"1\"\nDISK=[SIZE=\"2\",IMAGE=\"a \\\"b\\\"\"]\nA=\"x]]>y\"\nDISK=[]\nA=\"C:\\ \"\n"
    );
    let mut xml = String::from("<TEMPLATE>");
    to_xml(&attributes, &mut xml);
    assert_eq!(
        xml,
        "<TEMPLATE><_9_lives>\u{FFFD}&#13;</_9_lives><A>x]]&gt;y</A><A><![CDATA[C:\\]]></A><DISK>\
         <IMAGE><![CDATA[a \"b\"]]></IMAGE><SIZE><![CDATA[2]]></SIZE></DISK><DISK></DISK><Z><![CDATA[1]]></Z>"
    );
}

#[test]
fn merges_by_name() {
    let mut old = parse("A=1\nB=2\nA=3\nC=[D=4]\nE=[F=5,G=6]\nH=7").expect("old");
    merge(&mut old, parse("B=[X=1]\nA=9\nC=[]\nE=[F=0]\nB=2\nN=\n").expect("new"));
    assert_eq!(old, parse("H=7\nB=[X=1]\nA=9\nE=[F=0]\nB=2\nN=\n").expect("merged"));
}

#[test]
fn values_are_read_with_their_types() {
    let mut attributes =
        parse("CPU=0.5\nVCPU=2\nMEMORY=1.5\nE=\nVROUTER=yes\nN=no\nDISK=[SIZE=10,ID=-1,X=\"\",S=Yes]\nDISK=[SIZE=x]\nA=1\nA=2")
            .expect("a template");
    assert_eq!(attributes.decimal("CPU"), Ok(Some(0.5)));
    assert_eq!(attributes.integer::<u32>("VCPU"), Ok(Some(2)));
    assert_eq!(attributes.integer::<u32>("E"), Ok(None));
    assert_eq!(attributes.integer::<u32>("NONE"), Ok(None));
    assert_eq!(attributes.decimal("NONE"), Ok(None));
    let error = attributes.integer::<u32>("MEMORY").expect_err("a decimal number");
    assert_eq!(
        (error.field.as_str(), error.given.as_str(), error.wrong.as_str()),
        ("MEMORY", "1.5", "is not a whole number")
    );
    assert!(attributes.yes("VROUTER") && !attributes.yes("N") && !attributes.yes("E") && !attributes.yes("NONE"));
    assert_eq!(attributes.texts("A").collect::<Vec<_>>(), ["1", "2"]);
    assert!(attributes.has("DISK") && !attributes.has("disk"));
    let disks: Vec<_> = attributes.vectors("DISK").collect();
    assert_eq!(disks.len(), 2);
    assert_eq!(disks[0].integer::<i64>("ID"), Ok(Some(-1)));
    assert_eq!(disks[0].integer::<i64>("X"), Ok(None));
    assert_eq!((disks[0].text("X"), disks[0].given("X"), disks[0].text("Y")), (Some(""), None, None));
    assert_eq!(disks[0].decimal("SIZE"), Ok(Some(10.0)));
    assert!(disks[0].yes("S") && !disks[0].yes("X"));
    let error = disks[0].integer::<u8>("ID").expect_err("negative");
    assert_eq!((error.field.as_str(), error.wrong.as_str()), ("DISK/ID", "is outside the range of this attribute"));
    assert_eq!(disks[1].integer::<u8>("SIZE").expect_err("a word").field, "DISK/SIZE");
    assert_eq!(attributes.vector("A"), None);
    assert_eq!(attributes.take_text("A").as_deref(), Some("1"));
    assert_eq!(attributes.take("DISK").len(), 2);
    assert!(!attributes.has("A") && !attributes.has("DISK") && attributes.has("CPU"));
    for value in ["", "x", "nan", "inf", "1e999", "0x1", "1,5", " 1"] {
        assert!(decimal("A", value).is_err(), "{value}");
    }
    for value in ["", "+", "-", "1 ", "٣", "1e3"] {
        assert_eq!(integer::<i32>("A", value).expect_err(value).wrong, "is not a whole number");
    }
    assert!(integer::<u8>("A", "256").is_err() && integer::<u8>("A", "+255") == Ok(255));
    assert!(is_yes("YES") && is_yes("yEs") && !is_yes("true") && !is_yes("1") && !is_yes(""));
    assert_eq!(list(" 1, 2,,3 ,").collect::<Vec<_>>(), ["1", "2", "3"]);
}

struct Values;

impl Lookup for Values {
    fn single(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "NAME" => Some("web".into()),
            "DOLLAR" => Some("$NAME".into()),
            "LONG" => Some("x".repeat(1_000).into()),
            "_1" => Some("one".into()),
            _ => None,
        }
    }

    fn vector(&self, name: &str, attr: &str, filter: Option<(&str, &str)>) -> Option<Cow<'_, str>> {
        match (name, attr, filter) {
            ("NIC", "IP", None) => Some("10.0.0.1".into()),
            ("NETWORK", "DNS", Some(("NETWORK_ID", value))) => Some(format!("dns of {value}").into()),
            ("NETWORK", "DNS", Some(("NETWORK", value))) => Some(format!("dns of ({value})").into()),
            _ => None,
        }
    }
}

#[test]
fn substitutes_variables() {
    let table = [
        ("", ""),
        ("plain", "plain"),
        ("$NAME", "web"),
        ("$name", "web"),
        ("a-$NAME-b", "a-web-b"),
        ("$NAME.$_1", "web.one"),
        ("$NAME$NAME", "webweb"),
        ("$NAMEX", ""),
        ("$NAME_", ""),
        ("[$NONE]", "[]"),
        ("$DOLLAR", "$NAME"),
        ("\\$NAME", "\\$NAME"),
        ("\\\\$NAME", "\\\\web"),
        ("a\\b\\", "a\\b\\"),
        ("\\é$NAME", "\\éweb"),
        ("$", "$"),
        ("$$", "$$"),
        ("$$NAME", "$web"),
        ("5 $ (x) $(date) ${NAME}", "5 $ (x) $(date) ${NAME}"),
        ("$NIC[IP]", "10.0.0.1"),
        ("$nic[ ip ]!", "10.0.0.1!"),
        ("$NIC[MAC].", "."),
        ("$NETWORK[DNS, NETWORK_ID=3]", "dns of 3"),
        ("$NETWORK[DNS,NETWORK = \"a ]b\" ] x", "dns of (a ]b) x"),
        ("$network[dns, network=\"Lan\"]", "dns of (Lan)"),
        ("$NAME[", "web["),
        ("$NAME[]", "web[]"),
        ("$NAME[A,]", "web[A,]"),
        ("$NAME[A,B]", "web[A,B]"),
        ("$NAME[A,B=\"x]", "web[A,B=\"x]"),
        ("$NAME[A B]", "web[A B]"),
        ("é$NAMEé", "éwebé"),
    ];
    for (text, expected) in table {
        assert_eq!(substitute(text, &Values, 100).as_deref(), Ok(expected), "{text}");
    }
    assert!(substitute("$LONG", &Values, 999).is_err());
    assert!(substitute("$LONG", &Values, 1_000).is_ok());
    assert!(substitute(&"y".repeat(1_001), &Values, 1_000).is_err());
}

/// A text as parsing a template leaves it: without white space around it.
fn trimmed(text: &str) -> String {
    text.trim_matches([' ', '\t', '\n', '\r', '\u{B}', '\u{C}']).to_owned()
}

fn value() -> BoxedStrategy<String> {
    prop_oneof!["[ -~\n\té😀]{0,30}", "[\\\\\" a]{0,8}", any::<String>(),].prop_map(|text| trimmed(&text)).boxed()
}

fn attributes(value: BoxedStrategy<String>) -> impl Strategy<Value = Attributes> {
    let members = proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,2}", value.clone(), 0..5).prop_map(|map| {
        AttributeValue::Vector(map.into_iter().map(|(name, text)| (name.into(), text.into())).collect())
    });
    let text = value.prop_map(|text| AttributeValue::Text(text.into()));
    let attribute = ("[A-Z_][A-Z0-9_]{0,1}", prop_oneof![text, members]).prop_map(|(name, value)| (name.into(), value));
    proptest::collection::vec(attribute, 0..8).prop_map(Attributes)
}

fn sorted(mut attributes: Attributes) -> Attributes {
    attributes.0.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, value) in &mut attributes.0 {
        if let AttributeValue::Vector(pairs) = value {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }
    attributes
}

fn template_xml(attributes: &Attributes) -> String {
    let mut xml = String::from("<TEMPLATE>");
    to_xml(attributes, &mut xml);
    xml.push_str("</TEMPLATE>");
    xml
}

/// The attributes as a general XML parser sees them.
fn seen_by_roxmltree(xml: &str) -> Attributes {
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let content = |node: roxmltree::Node<'_, '_>| node.children().filter_map(|child| child.text()).collect::<String>();
    let attribute = |node: roxmltree::Node<'_, '_>| {
        let members: Vec<_> = node.children().filter(roxmltree::Node::is_element).collect();
        let value = if members.is_empty() {
            AttributeValue::Text(content(node).into())
        } else {
            let pairs = members.into_iter().map(|member| (member.tag_name().name().into(), content(member).into()));
            AttributeValue::Vector(pairs.collect())
        };
        (node.tag_name().name().into(), value)
    };
    Attributes(document.root_element().children().map(attribute).collect())
}

/// What of a text XML can carry.
fn carried(text: &str) -> String {
    text.chars().map(|c| if holm_one::xml::is_char(c) { c } else { '\u{FFFD}' }).collect()
}

fn map_values(attributes: &Attributes, change: impl Fn(&str) -> String) -> Attributes {
    let change_value = |value: &AttributeValue| match value {
        AttributeValue::Text(text) => AttributeValue::Text(change(text).into()),
        AttributeValue::Vector(pairs) => {
            AttributeValue::Vector(pairs.iter().map(|(name, text)| (name.clone(), change(text).into())).collect())
        }
    };
    Attributes(attributes.0.iter().map(|(name, value)| (name.clone(), change_value(value))).collect())
}

fn is_empty_vector(value: &AttributeValue) -> bool {
    matches!(value, AttributeValue::Vector(pairs) if pairs.is_empty())
}

proptest! {
    #[test]
    fn text_form_is_read_as_it_was_written(
        given in attributes(value().prop_filter("a value that text can hold", |value| !value.contains("]]>")).boxed())
    ) {
        let text = to_text(&given);
        prop_assert_eq!(parse_optional(&text), Ok(given), "{}", text);
    }

    #[test]
    fn what_was_read_is_written_and_read_the_same(text in "([A-C] ?= ?(\"[a\\\\\\\" \n]{0,5}\"|[a\\\\\"]{1,3}|\\[( ?[A-C] ?= ?\"?[a\\\\]{1,3}\"? ?,?){0,3}\\])[ \n]){0,4}") {
        if let Ok(once) = parse(&text) {
            let written = to_text(&once);
            prop_assert_eq!(parse(&written), Ok(once), "{:?} became {:?}", text, written);
        }
    }

    #[test]
    fn xml_form_says_the_same_to_every_parser(given in attributes(value())) {
        let xml = template_xml(&given);
        let expected = sorted(map_values(&given, carried));
        // An element without children is an empty vector or an empty text; other parsers cannot tell.
        let blind = |attributes: Attributes| Attributes(attributes.0.into_iter().map(|(name, value)| {
            let value = if is_empty_vector(&value) { AttributeValue::Text("".into()) } else { value };
            (name, value)
        }).collect());
        prop_assert_eq!(seen_by_roxmltree(&xml), blind(expected.clone()), "{}", &xml);
        // This reader trims, and drops elements without children and members without text.
        let mut own = map_values(&expected, trimmed);
        own.0.retain(|(_, value)| !is_empty_vector(value));
        let read = parse(&xml).expect("what was written is well-formed");
        prop_assert_eq!(read.0.len(), own.0.len());
        let texts = |attributes: &Attributes| -> Vec<(Word, Word)> {
            attributes.0.iter().flat_map(|(name, value)| match value {
                AttributeValue::Text(text) => vec![(name.clone(), text.clone())],
                AttributeValue::Vector(pairs) => pairs.iter().filter(|(_, text)| !text.is_empty()).cloned().collect(),
            }).collect()
        };
        prop_assert_eq!(texts(&read), texts(&own));
    }

    #[test]
    fn names_that_xml_cannot_have_leave_it_well_formed(name in any::<String>(), member in any::<String>()) {
        let given = Attributes(vec![vector(&name, &[(&member, "x")])]);
        let xml = template_xml(&given);
        prop_assert!(roxmltree::Document::parse(&xml).is_ok(), "{}", &xml);
        prop_assert!(parse(&xml).is_ok(), "{}", xml);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = parse(&text);
        let _ = parse(&format!("<{text}"));
        let _ = parse(&format!("<T>{text}</T>"));
        let _ = substitute(&text, &Values, 100);
    }

    #[test]
    fn any_arrangement_of_tokens_is_read_or_refused(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "A", "B", "=", "=", "[", "]", ",", "\"", "\\\"", "\\", "#", " ", "\n", "\r", "]]>", "é", "1", "\"x\"",
            "<A>", "</A>", "<A/>", "<![CDATA[", "&lt;", "&", "$A", "$", "[A,B=\"", "\t",
        ]), 0..40)
    ) {
        let text = tokens.concat();
        if let Err(Error::Syntax { line, first, last, .. }) = parse(&text) {
            prop_assert!(line >= 1 && first >= 1 && last >= first);
            prop_assert!(line <= text.matches('\n').count() + 1);
        }
        let _ = parse(&format!("<T>{text}</T>"));
        let _ = substitute(&text, &Values, 10_000);
    }

    #[test]
    fn what_is_read_as_xml_is_xml(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "<A>", "</A>", "<A", ">", "/>", "<A/>", " ", "b", "='c'", "=\"c\"", "=", "<![CDATA[x]]>", "&lt;", "&", ";", "&#65;",
            "<!--", "-->", "-", "\n", "é", "<b>", "</b>", "</", "<!", "]",
        ]), 0..12)
    ) {
        let text = format!("<T>{}</T>", tokens.concat());
        if parse(&text).is_ok() {
            let other = roxmltree::Document::parse(&text);
            // The one thing that is read although it is wrong: attributes of elements are not compared.
            let tolerated = matches!(other, Err(roxmltree::Error::DuplicatedAttribute(..)));
            prop_assert!(other.is_ok() || tolerated, "{}: {:?}", text, other.err());
        }
    }

    #[test]
    fn merging_follows_its_laws(old in attributes("[a-c]{0,1}".boxed()), new in attributes("[a-c]{0,1}".boxed())) {
        let mut merged = old.clone();
        merge(&mut merged, new.clone());
        for (name, _) in old.0.iter().chain(&new.0) {
            let of = |attributes: &Attributes| -> Vec<AttributeValue> {
                attributes.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
            };
            if new.has(name) {
                let mut expected = of(&new);
                expected.retain(|value| !is_empty_vector(value));
                prop_assert_eq!(of(&merged), expected, "names of the new ones are replaced whole");
            } else {
                prop_assert_eq!(of(&merged), of(&old), "other names stay, with their order");
            }
        }
        let mut twice = merged.clone();
        merge(&mut twice, new);
        prop_assert_eq!(sorted(twice), sorted(merged), "merging again changes nothing");
        let mut same = old.clone();
        merge(&mut same, Attributes::default());
        prop_assert_eq!(same, old, "merging nothing changes nothing");
    }
}
