//! The envelopes as Python's own XML-RPC library sees them, and its calls as they are read here: most clients of the
//! interface are written with it.

use holm_one::xml::Xml;
use holm_one::xmlrpc::{Answer, Fault, Limits, Outcome, Params, Piece, Reply, Response, Value, decode, multicall};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs a Python program with `input` on its standard input and returns what it prints.
fn python(program: &str, input: &[u8]) -> String {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is installed where the tests run");
    // A program that does not read its input is a failed one, which the status below tells.
    let _ = child.stdin.take().expect("standard input is piped").write_all(input);
    let output = child.wait_with_output().expect("python3 ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("Python prints ASCII here")
}

/// What `xmlrpc.client` makes of the body: the result in Python's ASCII notation, or the fault.
fn loaded(reply: impl Into<Reply>) -> String {
    let program = "
import sys, xmlrpc.client
try:
    result, method = xmlrpc.client.loads(sys.stdin.buffer.read())
    assert method is None
    print(ascii(result), end='')
except xmlrpc.client.Fault as fault:
    print('fault', fault.faultCode, ascii(fault.faultString), end='')
";
    python(program, &reply.into().encode().into_bytes())
}

#[test]
fn python_reads_the_envelopes() {
    assert_eq!(loaded(Response::int(-1)), "([True, -1, 0],)");
    assert_eq!(loaded(Response::int(1 << 40)), "([True, 1099511627776, 0],)");
    assert_eq!(loaded(Response::Success(Answer::Long(5))), "([True, 5, 0],)");
    assert_eq!(loaded(Response::Success(Answer::Bool(false))), "([True, False, 0],)");
    let text = "<VM>&amp;\r\n\té \"quoted\" ]]></VM>";
    assert_eq!(loaded(Response::text(text)), "([True, '<VM>&amp;\\r\\n\\t\\xe9 \"quoted\" ]]></VM>', 0],)");
    let failure = Response::Failure { message: "[one.vm.info] <no>".to_owned(), code: 1024, object: 7 };
    assert_eq!(loaded(failure), "([False, '[one.vm.info] <no>', 1024, 7, -1],)");
    assert_eq!(loaded(Fault::new(Fault::INDEX, "a & b")), "fault -502 'a & b'");
    assert_eq!(loaded(Value::Array(vec![Value::Text("x".to_owned()), Value::Nil])), "(['x', None],)");
    let capability =
        Value::Struct(vec![("specVersion".to_owned(), Value::Int(1)), ("d".to_owned(), Value::Double(0.5))]);
    assert_eq!(loaded(capability), "({'specVersion': 1, 'd': 0.5},)");
}

#[test]
fn python_reads_a_document_out_of_pieces() {
    let program = "
import sys, xmlrpc.client
import xml.etree.ElementTree as tree
(ok, document, code), = xmlrpc.client.loads(sys.stdin.buffer.read())[0]
pool = tree.fromstring(document)
print(ok, code, pool.tag, [(vm.find('ID').text, ascii(vm.find('TEMPLATE/NOTE').text)) for vm in pool], end='')
";
    let notes = ["plain", "]]> <&>", "one\r\ntwo", "é\u{1F600}\u{2028}"];
    let mut pieces = vec![Piece::escape("<VM_POOL>")];
    for (id, note) in notes.into_iter().enumerate() {
        let mut xml = Xml::new();
        xml.within("VM", |xml| {
            xml.text("ID", id).within("TEMPLATE", |xml| {
                xml.cdata("NOTE", note);
            });
        });
        pieces.push(Piece::escape(xml.as_str()));
    }
    pieces.push(Piece::escape("</VM_POOL>"));
    let body = Reply::from(Response::Success(Answer::Pieces(pieces))).encode();
    assert_eq!(
        python(program, &body.into_chunks(64).collect::<Vec<_>>().concat()),
        "True 0 VM_POOL [('0', \"'plain'\"), ('1', \"']]> <&>'\"), ('2', \"'one\\\\r\\\\ntwo'\"), \
         ('3', \"'\\\\xe9\\\\U0001f600\\\\u2028'\")]"
    );
}

#[test]
fn calls_of_python_are_read() {
    let program = r#"
import sys, datetime, xmlrpc.client
call = ("oneadmin:p<&>w", 3, True, -1.5, "", "a\nb é", [1, 2], {"k": "v"}, None, xmlrpc.client.Binary(b"text"))
sys.stdout.write(ascii_safe := xmlrpc.client.dumps(call, "one.test", allow_none=True)
    .encode("ascii", "xmlcharrefreplace").decode())
"#;
    let body = python(program, b"");
    let call = decode(body.as_bytes(), &Limits::default()).expect("a call");
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = Params::from(vec![
        text("oneadmin:p<&>w"),
        Value::Int(3),
        Value::Bool(true),
        Value::Double(-1.5),
        text(""),
        text("a\nb é"),
        Value::Array(vec![Value::Int(1), Value::Int(2)]),
        Value::Struct(vec![("k".to_owned(), text("v"))]),
        Value::Nil,
        text("text"),
    ]);
    assert_eq!(call.method, "one.test");
    assert!(call.params == expected, "{body}");
}

#[test]
fn a_multicall_of_python_goes_there_and_back() {
    let program = "
import sys, xmlrpc.client
calls = [{'methodName': 'one.system.version', 'params': ['a:b']}, {'methodName': 'one.no', 'params': []}]
sys.stdout.write(xmlrpc.client.dumps((calls,), 'system.multicall'))
";
    let call = decode(python(program, b"").as_bytes(), &Limits::default()).expect("a call");
    assert_eq!(call.method, "system.multicall");
    let calls = multicall(call.params, &Limits::default()).expect("two calls");
    let outcomes = calls.into_iter().map(|call| match call.expect("a call").method.as_str() {
        "one.system.version" => Outcome::from(Response::text("7.0.0")),
        method => Outcome::from(Fault::no_such_method(method)),
    });
    let program = "
import sys, xmlrpc.client
results = xmlrpc.client.MultiCallIterator(xmlrpc.client.loads(sys.stdin.buffer.read())[0][0])
print(results[0], end=' ')
try:
    results[1]
except xmlrpc.client.Fault as fault:
    print(fault.faultCode, end='')
";
    let body = Reply::Many(outcomes.collect()).encode().into_bytes();
    assert_eq!(python(program, &body), "[True, '7.0.0', 0] -506");
}
