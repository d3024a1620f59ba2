//! XML-RPC: what is read, what is refused and how, and the exact bytes that are written.

use bytes::Bytes;
use holm_one::xml::{self, Xml};
use holm_one::xmlrpc::{
    Answer, Call, Fault, Limits, Outcome, Params, Piece, Reply, Response, Value, decode, multicall,
};
use proptest::prelude::*;

fn limits() -> Limits {
    Limits { bytes: 100_000, depth: 4, params: 8, values: 500, calls: 3 }
}

fn call(params: &str) -> String {
    format!("<?xml version='1.0'?><methodCall><methodName>one.vm.info</methodName>{params}</methodCall>")
}

fn one_value(value: &str) -> Result<Value, Fault> {
    let body = call(&format!("<params><param>{value}</param></params>"));
    decode(body.as_bytes(), &limits()).map(|call| call.params.into_values().remove(0))
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn reads_every_type() {
    let nested = Value::Array(vec![
        Value::Int(1),
        Value::Struct(vec![("a b".to_owned(), text("x")), ("c".to_owned(), Value::Array(Vec::new()))]),
    ]);
    let table = [
        ("<value><i4>-7</i4></value>", Value::Int(-7)),
        ("<value><int>+2147483647</int></value>", Value::Int(2_147_483_647)),
        ("<value><i8>-9223372036854775808</i8></value>", Value::Int(i64::MIN)),
        ("<value><boolean>0</boolean></value>", Value::Bool(false)),
        ("<value>\n <boolean>1</boolean>\n</value>", Value::Bool(true)),
        ("<value><string>one:two</string></value>", text("one:two")),
        ("<value><string/></value>", text("")),
        ("<value><string></string></value>", text("")),
        ("<value/>", text("")),
        ("<value></value>", text("")),
        ("<value> untyped\ttext </value>", text(" untyped\ttext ")),
        (
            "<value><string> a &lt;b&gt; &amp;amp; &quot;&apos;&#233;&#x1F600; </string></value>",
            text(" a <b> &amp; \"'é😀 "),
        ),
        (
            "<value><string><![CDATA[<A>&amp;</A>]]> and <!-- no --> more</string></value>",
            text("<A>&amp;</A> and  more"),
        ),
        ("<value><string>a\r\nb\rc&#13;d</string></value>", text("a\nb\nc\rd")),
        ("<value><double>-1.5e3</double></value>", Value::Double(-1500.0)),
        ("<value><base64> Z3LD\n vA== </base64></value>", text("grü")),
        ("<value><dateTime.iso8601>20260101T00:00:00</dateTime.iso8601></value>", text("20260101T00:00:00")),
        ("<value><nil/></value>", Value::Nil),
        ("<value><array><data/></array></value>", Value::Array(Vec::new())),
        (
            "<value><array><data> <value><int>1</int></value><value><struct><member><name>a b</name><value>x</value>\
             </member> <member><name>c</name><value><array><data></data></array></value></member></struct></value>\
             </data></array></value>",
            nested,
        ),
    ];
    for (xml, expected) in table {
        assert!(one_value(xml).as_ref() == Ok(&expected), "{xml}: {:?}", one_value(xml));
    }
}

#[test]
fn reads_whole_calls() {
    let expected = Call { method: "system.listMethods".to_owned(), params: Params::default() };
    for body in [
        "<methodCall><methodName>system.listMethods</methodName></methodCall>",
        "\u{FEFF}<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\r\n<!-- hello --><?pi?>\n<methodCall a='b'>\n \
         <methodName>system.listMethods</methodName>\n <params>\n </params>\n</methodCall>\n",
        "<methodCall><methodName >system.listMethods</methodName ><params/></methodCall>",
    ] {
        assert!(decode(body.as_bytes(), &limits()) == Ok(expected.clone()), "{body}");
    }
}

#[test]
fn refuses_with_the_code_of_the_reason() {
    let deep = |levels: usize| {
        format!("{}<value/>{}", "<value><array><data>".repeat(levels), "</data></array></value>".repeat(levels))
    };
    let param = |value: &str| call(&format!("<params><param>{value}</param></params>"));
    let table: Vec<(i32, String)> = vec![
        (Fault::PARSE, String::new()),
        (Fault::PARSE, "   ".to_owned()),
        (Fault::PARSE, "hello".to_owned()),
        (Fault::PARSE, "<methodCall>".to_owned()),
        (Fault::PARSE, "<methodCall></methodCall>".to_owned()),
        (Fault::PARSE, "<methodResponse><methodName>a</methodName></methodResponse>".to_owned()),
        (Fault::PARSE, "<methodCall><methodName></methodName></methodCall>".to_owned()),
        (Fault::PARSE, "<methodCall><methodName>a b</methodName></methodCall>".to_owned()),
        (Fault::PARSE, format!("<methodCall><methodName>{}</methodName></methodCall>", "a".repeat(257))),
        (Fault::PARSE, "<methodCall><methodName>a</methodName></methodCall><methodCall/>".to_owned()),
        (Fault::PARSE, "<methodCall><methodName>a</methodName></methodCall>trailing".to_owned()),
        (Fault::PARSE, "<methodCall><methodName>a</methodName><params/><params/></methodCall>".to_owned()),
        (Fault::PARSE, "<methodCall>junk<methodName>a</methodName></methodCall>".to_owned()),
        (Fault::PARSE, "<!DOCTYPE methodCall><methodCall><methodName>a</methodName></methodCall>".to_owned()),
        (
            Fault::PARSE,
            "<!DOCTYPE a [<!ENTITY b \"c\">]><methodCall><methodName>&b;</methodName></methodCall>".to_owned(),
        ),
        (Fault::PARSE, param("<value>&unknown;</value>")),
        (Fault::PARSE, param("<value>&#0;</value>")),
        (Fault::PARSE, param("<value>&#xFFFE;</value>")),
        (Fault::PARSE, param("<value>&#xD800;</value>")),
        (Fault::PARSE, param("<value>&amp</value>")),
        (Fault::PARSE, param("<value>\u{1}</value>")),
        (Fault::PARSE, param("<value>\u{FFFF}</value>")),
        (Fault::PARSE, param("<value><string>a</int></value>")),
        (Fault::PARSE, param("<value><string>a</string><string>b</string></value>")),
        (Fault::PARSE, param("<value>a<string>b</string></value>")),
        (Fault::PARSE, param("<value><string>b</string>a</value>")),
        (Fault::PARSE, param("<value><string><b/></string></value>")),
        (Fault::PARSE, param("<value><secret>b</secret></value>")),
        (Fault::PARSE, param("<value/><value/>")),
        (Fault::PARSE, param("")),
        (Fault::PARSE, param("<value><array></array></value>")),
        (Fault::PARSE, param("<value><array><data/><data/></array></value>")),
        (Fault::PARSE, param("<value><struct><member><value/></member></struct></value>")),
        (Fault::PARSE, call("<params><value/></params>")),
        (Fault::PARSE, call("<params>")),
        (Fault::TYPE, param("<value><i4>2147483648</i4></value>")),
        (Fault::TYPE, param("<value><int>-2147483649</int></value>")),
        (Fault::TYPE, param("<value><i8>9223372036854775808</i8></value>")),
        (Fault::TYPE, param("<value><int>1.0</int></value>")),
        (Fault::TYPE, param("<value><int> 1</int></value>")),
        (Fault::TYPE, param("<value><int></int></value>")),
        (Fault::TYPE, param("<value><boolean>true</boolean></value>")),
        (Fault::TYPE, param("<value><boolean>2</boolean></value>")),
        (Fault::TYPE, param("<value><double>nan</double></value>")),
        (Fault::TYPE, param("<value><double>inf</double></value>")),
        (Fault::TYPE, param("<value><double>1e999</double></value>")),
        (Fault::TYPE, param("<value><base64>*</base64></value>")),
        (Fault::TYPE, param("<value><nil>0</nil></value>")),
        (Fault::UTF8, param("<value><base64>//8=</base64></value>")),
        (Fault::LIMIT, param(&deep(5))),
        (Fault::LIMIT, call(&format!("<params>{}</params>", "<param><value/></param>".repeat(9)))),
        (Fault::LIMIT, param(&format!("<value><array><data>{}</data></array></value>", "<value/>".repeat(500)))),
        (
            Fault::LIMIT,
            param(&format!(
                "<value><struct><member><name>{}</name><value/></member></struct></value>",
                "n".repeat(257)
            )),
        ),
        (Fault::LIMIT, param(&format!("<value>{}</value>", "x".repeat(100_001)))),
    ];
    for (code, body) in &table {
        let shown: String = body.chars().take(200).collect();
        match decode(body.as_bytes(), &limits()) {
            Err(fault) => assert_eq!(fault.code, *code, "{shown}: {fault}"),
            Ok(call) => panic!("{shown}: accepted as {call:?}"),
        }
    }
    let fault = decode(b"<methodCall>\xFF", &limits()).expect_err("not UTF-8");
    assert_eq!((fault.code, fault.message.contains("byte 13")), (Fault::UTF8, true), "{fault}");
    // The deepest that is allowed.
    assert!(decode(param(&deep(4)).as_bytes(), &limits()).is_ok());
}

#[test]
fn endless_nesting_is_refused_without_a_deep_stack() {
    let generous = Limits { bytes: 1 << 26, depth: usize::MAX, params: 8, values: usize::MAX, calls: 1 };
    for piece in ["<value><array><data>", "<value><struct><member><name>a</name>", "<x>"] {
        let body = call(&format!("<params><param>{}", piece.repeat(500_000)));
        assert!(decode(body.as_bytes(), &generous).is_err(), "{piece}");
    }
    let levels = Limits::DEEPEST;
    let deepest =
        format!("{}<value/>{}", "<value><array><data>".repeat(levels), "</data></array></value>".repeat(levels));
    let body = call(&format!("<params><param>{deepest}</param></params>"));
    assert!(decode(body.as_bytes(), &generous).is_ok());
}

#[test]
fn no_fault_and_no_debug_output_repeats_a_parameter() {
    let secret = "hunter2";
    let bodies = [
        call(&format!("<params><param><value><int>{secret}</int></value></param></params>")),
        call(&format!("<params><param><value><i8>{secret}</i8></value></param></params>")),
        call(&format!("<params><param><value><boolean>{secret}</boolean></value></param></params>")),
        call(&format!("<params><param><value><double>{secret}</double></value></param></params>")),
        call(&format!("<params><param><value><base64>{secret}</base64></value></param></params>")),
        call(&format!("<params><param><value><nil>{secret}</nil></value></param></params>")),
        call(&format!("<params><param><value><{secret}/></value></param></params>")),
        call(&format!("<params><param><value>&{secret};</value></param></params>")),
        call(&format!("<params><{secret}/></params>")),
        call(&format!("<params>{secret}</params>")),
        format!("<{secret}/>"),
        format!("<methodCall><methodName>a {secret}</methodName></methodCall>"),
    ];
    for body in bodies {
        let fault = decode(body.as_bytes(), &limits()).expect_err(&body);
        assert!(!format!("{fault} {fault:?}").contains(secret), "{fault:?}");
    }
    let body = call(&format!("<params><param><value>oneadmin:{secret}</value></param></params>"));
    let call = decode(body.as_bytes(), &limits()).expect("a call");
    let shown = format!("{call:?} {:?} {:?}", call.params.get(0), call.params);
    assert!(!shown.contains(secret), "{shown}");
    for fault in [
        call.params.int(0).map(drop),
        call.params.bool(0).map(drop),
        call.params.ints(0).map(drop),
        call.params.double(0).map(drop),
        call.params.long(0).map(drop),
    ] {
        let fault = fault.expect_err("a string is none of these");
        assert_eq!(fault.code, Fault::TYPE);
        assert!(!fault.message.contains(secret), "{fault}");
    }
}

#[test]
fn parameters_by_type() {
    let params = Params::from(vec![
        text("oneadmin:x"),
        Value::Int(7),
        Value::Bool(true),
        Value::Int(1 << 40),
        Value::Array(vec![Value::Int(1), Value::Int(-2)]),
        Value::Array(vec![Value::Int(1), text("2")]),
        Value::Double(0.5),
    ]);
    assert_eq!(params.text(0), Ok("oneadmin:x"));
    assert_eq!(params.int(1), Ok(7));
    assert_eq!(params.int_or(1, 3), Ok(7));
    assert_eq!(params.bool(2), Ok(true));
    assert_eq!(params.long(3), Ok(1 << 40));
    assert_eq!(params.ints(4), Ok(vec![1, -2]));
    assert_eq!(params.double(6), Ok(0.5));
    // Missing ones.
    assert_eq!(params.int_or(7, 3), Ok(3));
    assert_eq!(params.long_or(7, 4), Ok(4));
    assert_eq!(params.bool_or(7, true), Ok(true));
    assert_eq!(params.text_or(7, "none"), Ok("none"));
    assert_eq!(params.ints_or_empty(7), Ok(Vec::new()));
    let missing = [
        params.int(7).map(drop),
        params.long(7).map(drop),
        params.text(usize::MAX - 1).map(drop),
        params.bool(7).map(drop),
        params.ints(7).map(drop),
        params.double(7).map(drop),
    ];
    for fault in missing {
        assert_eq!(fault.map_err(|fault| fault.code), Err(Fault::INDEX));
    }
    // Wrong ones; a default does not hide a wrong type.
    let wrong = [
        params.int(0).map(drop),
        params.int(2).map(drop),
        params.int(3).map(drop),
        params.int_or(3, 1).map(drop),
        params.long_or(0, 1).map(drop),
        params.text(1).map(drop),
        params.text_or(1, "").map(drop),
        params.bool(1).map(drop),
        params.bool_or(1, true).map(drop),
        params.ints(5).map(drop),
        params.ints_or_empty(1).map(drop),
        params.double(1).map(drop),
    ];
    for (at, fault) in wrong.into_iter().enumerate() {
        assert_eq!(fault.map_err(|fault| fault.code), Err(Fault::TYPE), "row {at}");
    }
    assert_eq!(
        params.int(0).expect_err("a string").message,
        "Parameter 1 is a string, and must be an integer of 32 bits."
    );
}

fn encoded(reply: impl Into<Reply>) -> String {
    let body = reply.into().encode();
    let length = body.len();
    let bytes = body.into_bytes();
    assert_eq!(bytes.len(), length);
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>";
const TAIL: &str = "</methodResponse>\r\n";

#[test]
fn envelopes_are_exact() {
    let success = |value: &str| {
        format!(
            "{HEAD}<params><param><value><array><data>\r\n<value><boolean>1</boolean></value>\r\n<value>{value}</value>\
             \r\n<value><i4>0</i4></value>\r\n</data></array></value></param></params>{TAIL}"
        )
    };
    assert_eq!(encoded(Response::int(42)), success("<i4>42</i4>"));
    assert_eq!(encoded(Response::int(1 << 33)), success("<i8>8589934592</i8>"));
    assert_eq!(encoded(Response::Success(Answer::Long(3))), success("<i8>3</i8>"));
    assert_eq!(encoded(Response::Success(Answer::Bool(true))), success("<boolean>1</boolean>"));
    assert_eq!(encoded(Response::text("a<b>&\r\u{7}")), success("<string>a&lt;b>&amp;&#13;\u{FFFD}</string>"));
    let pieces = vec![Piece::escape("<VM_POOL>"), Piece::default(), Piece::escape("</VM_POOL>")];
    assert_eq!(
        encoded(Response::Success(Answer::Pieces(pieces))),
        success("<string>&lt;VM_POOL>&lt;/VM_POOL></string>")
    );
    let failure = Response::Failure { message: "Error getting host [7].".to_owned(), code: 1024, object: -1 };
    assert_eq!(
        encoded(failure),
        format!(
            "{HEAD}<params><param><value><array><data>\r\n<value><boolean>0</boolean></value>\r\n\
             <value><string>Error getting host [7].</string></value>\r\n<value><i4>1024</i4></value>\r\n\
             <value><i4>-1</i4></value>\r\n<value><i8>-1</i8></value>\r\n</data></array></value></param></params>{TAIL}"
        )
    );
    let fault_struct = "<struct><member><name>faultCode</name><value><i4>-501</i4></value></member>\
                        <member><name>faultString</name><value><string>a &amp; b</string></value></member></struct>";
    assert_eq!(
        encoded(Fault::new(Fault::TYPE, "a & b")),
        format!("{HEAD}<fault><value>{fault_struct}</value></fault>{TAIL}")
    );
    let many = Reply::Many(vec![
        Outcome::Fault(Fault::new(Fault::TYPE, "a & b")),
        Outcome::Value(Value::Array(vec![text("x"), Value::Nil])),
    ]);
    assert_eq!(
        encoded(many),
        format!(
            "{HEAD}<params><param><value><array><data><value>{fault_struct}</value><value><array><data><value><array>\
             <data><value><string>x</string></value><value><nil/></value></data></array></value></data></array></value>\
             </data></array></value></param></params>{TAIL}"
        )
    );
}

#[test]
fn chunks_hold_the_body_and_share_large_parts() {
    let large = Piece::escape(&"x".repeat(1_000));
    let mut pieces = vec![large.clone()];
    pieces.extend((0..100).map(|at| Piece::escape(&format!("<VM>{at}</VM>"))));
    pieces.push(large.clone());
    let body = Reply::from(Response::Success(Answer::Pieces(pieces))).encode();
    let whole = body.clone().into_bytes();
    for size in [1, 7, 100, 512, 1_000, 2_000, 1 << 20] {
        let chunks: Vec<Bytes> = body.clone().into_chunks(size).collect();
        assert_eq!(chunks.concat(), whole, "chunks of {size}");
        assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= size), "chunks of {size}");
        let fewest = whole.len().div_ceil(size);
        assert!(chunks.len() <= 3 * fewest + 4, "{} chunks of {size}, {fewest} would do", chunks.len());
    }
    let shared = body.into_chunks(1_000).filter(|chunk| chunk.as_ptr() == large.bytes().as_ptr()).count();
    assert_eq!(shared, 2, "large pieces are passed on as they are");
}

#[test]
fn multicalls() {
    let inner = |method: &str, params: Value| {
        Value::Struct(vec![("methodName".to_owned(), text(method)), ("params".to_owned(), params)])
    };
    let none = || Value::Array(Vec::new());
    let calls = Params::from(vec![Value::Array(vec![
        inner("one.vm.info", Value::Array(vec![text("s"), Value::Int(1)])),
        inner("system.multicall", none()),
        text("x"),
    ])]);
    let calls = multicall(calls, &limits()).expect("three calls");
    let expected = Call { method: "one.vm.info".to_owned(), params: Params::from(vec![text("s"), Value::Int(1)]) };
    assert_eq!(calls[0], Ok(expected));
    assert_eq!(calls[1].as_ref().map_err(|fault| fault.code), Err(Fault::REFUSED));
    assert_eq!(calls[2].as_ref().map_err(|fault| fault.code), Err(Fault::TYPE));
    let code = |params: Vec<Value>| multicall(Params::from(params), &limits()).map_err(|fault| fault.code);
    assert_eq!(code(Vec::new()), Err(Fault::INDEX));
    assert_eq!(code(vec![Value::Int(1)]), Err(Fault::TYPE));
    assert_eq!(code(vec![Value::Array(vec![Value::Nil; 4])]), Err(Fault::LIMIT));
    let first =
        |call: Value| multicall(Params::from(vec![Value::Array(vec![call])]), &limits()).expect("one call").remove(0);
    assert_eq!(first(inner("a b", none())).map_err(|fault| fault.code), Err(Fault::PARSE));
    assert_eq!(first(inner("a", text("x"))).map_err(|fault| fault.code), Err(Fault::TYPE));
    assert_eq!(first(Value::Struct(Vec::new())).map_err(|fault| fault.code), Err(Fault::INDEX));
    assert_eq!(first(inner("a", Value::Array(vec![Value::Nil; 9]))).map_err(|fault| fault.code), Err(Fault::LIMIT));
}

#[test]
fn a_name_in_a_fault_is_short_and_harmless() {
    let fault = Fault::no_such_method(&format!("<&\n{}", "x".repeat(10_000)));
    assert_eq!(fault.code, -506);
    assert!(fault.message.len() < 200 && !fault.message.contains('\n'), "{fault}");
}

#[test]
fn documents_are_written_as_told() {
    let mut xml = Xml::with_capacity(10);
    xml.open("VM").text("ID", 7).flag("RESCHED", true).flag("X", false).escaped("NAME", "a<b>&c");
    xml.cdata("VM_MAD", "<kvm>").cdata("E", "").empty("SNAPSHOTS").raw("<R/>").text("D", format_args!("{}&", "<"));
    xml.within("IDS", |xml| {
        for id in 1..3 {
            xml.text("ID", id);
        }
    });
    xml.close("VM");
    assert_eq!(xml.len(), xml.as_str().len());
    assert_eq!(
        xml.into_string(),
        "<VM><ID>7</ID><RESCHED>1</RESCHED><X>0</X><NAME>a&lt;b>&amp;c</NAME><VM_MAD><![CDATA[<kvm>]]></VM_MAD>\
         <E><![CDATA[]]></E><SNAPSHOTS/><R/><D>&lt;&amp;</D><IDS><ID>1</ID><ID>2</ID></IDS></VM>"
    );
}

#[test]
fn names_of_elements() {
    let named = |name: &str| {
        let mut out = String::new();
        xml::name_into(&mut out, name);
        out
    };
    for (name, expected) in [
        ("NAME", "NAME"),
        ("A-B.C_9é", "A-B.C_9é"),
        ("9A", "_9A"),
        ("-A", "_-A"),
        ("", "_"),
        ("A B", "A_B"),
        ("a:b", "a_b"),
        ("<", "__"),
    ] {
        assert_eq!(named(name), expected);
        assert_eq!(xml::is_name(name), name == expected, "{name:?}");
        assert!(xml::is_name(&named(name)), "{name:?}");
    }
}

/// What a parser sees of a text after it was written: the characters that XML cannot carry are replaced.
fn carried(text: &str) -> String {
    text.chars().map(|character| if xml::is_char(character) { character } else { '\u{FFFD}' }).collect()
}

fn read_back(xml: &str) -> String {
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    document.root_element().children().filter_map(|node| node.text()).collect()
}

fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\]>\r\n\t&<\"' a\u{0}-\u{1F}\u{FFFC}-\u{FFFF}é😀]{0,30}",
        Just("]]>".to_owned()),
        Just("a]]]]>>".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        (-1.0e9..1.0e9_f64).prop_map(Value::Double),
        odd_text().prop_map(|text| Value::Text(carried(&text))),
        Just(Value::Nil),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec(("[a-z &<]{0,8}", inner), 0..4).prop_map(Value::Struct),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_call_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, &limits());
    }

    #[test]
    fn any_arrangement_of_the_right_words_is_a_call_or_a_fault(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "<methodCall>", "</methodCall>", "<methodName>", "</methodName>", "<params>", "</params>", "<param>",
            "</param>", "<value>", "</value>", "<value/>", "<int>", "</int>", "1", "a", "<array>", "</array>", "<data>",
            "</data>", "<struct>", "</struct>", "<member>", "</member>", "<name>", "</name>", "&amp;", "&", "<![CDATA[",
            "]]>", "<!--", "-->", "<?", "?>", " ", "<", ">", "</>", "<!DOCTYPE", "é",
        ]), 0..60)
    ) {
        let body = words.concat();
        let _ = decode(body.as_bytes(), &limits());
        let _ = decode(call(&body).as_bytes(), &limits());
    }

    #[test]
    fn what_is_written_is_read_again(values in proptest::collection::vec(value(), 0..5)) {
        // A response and a call hold values in the same notation.
        let written = encoded(Value::Array(values.clone()));
        let inside = written
            .strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(TAIL)).expect("the envelope");
        let body = format!("<methodCall><methodName>a</methodName>{inside}</methodCall>");
        let call = decode(body.as_bytes(), &Limits::default()).expect("a call");
        prop_assert!(call.params.into_values() == vec![Value::Array(values)], "{}", body);
    }

    #[test]
    fn text_survives_as_text_and_as_cdata(text in odd_text()) {
        let mut xml = Xml::new();
        xml.escaped("A", &text);
        prop_assert_eq!(read_back(xml.as_str()), carried(&text));
        let mut xml = Xml::new();
        xml.cdata("A", &text);
        prop_assert_eq!(read_back(xml.as_str()), carried(&text));
        let mut xml = Xml::new();
        xml.text("A", &text);
        prop_assert_eq!(read_back(xml.as_str()), carried(&text));
        let piece = Piece::escape(&text);
        prop_assert_eq!(piece.bytes(), &Bytes::from(xml::escape(&text)));
    }

    #[test]
    fn any_text_can_become_a_name(text in any::<String>()) {
        let mut out = String::new();
        xml::name_into(&mut out, &text);
        prop_assert!(roxmltree::Document::parse(&format!("<{out}/>")).is_ok(), "{}", out);
    }

    #[test]
    fn chunks_of_any_size_make_the_body(
        pieces in proptest::collection::vec("[a-z]{0,40}", 0..40), size in 1_usize..200
    ) {
        let pieces = pieces.iter().map(|piece| Piece::escape(piece)).collect();
        let body = Reply::from(Response::Success(Answer::Pieces(pieces))).encode();
        let chunks: Vec<Bytes> = body.clone().into_chunks(size).collect();
        prop_assert!(chunks.iter().all(|chunk| chunk.len() <= size));
        prop_assert_eq!(chunks.concat(), body.into_bytes());
    }
}
