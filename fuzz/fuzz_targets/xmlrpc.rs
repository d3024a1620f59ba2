//! A request body of XML-RPC: whatever the bytes are, they are a call or a fault, and a call survives being written.
#![no_main]

use holm_one::xmlrpc::{Limits, Reply, Value, decode, multicall};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = Limits { bytes: 1 << 20, depth: 8, params: 16, values: 1_000, calls: 16 };
    let Ok(call) = decode(data, &limits) else { return };
    // A response writes values in the notation in which a call has them; one level of it is the array made here.
    let values = Value::Array(call.params.values().to_vec());
    let body = Reply::from(values.clone()).encode();
    let chunks: Vec<bytes::Bytes> = body.clone().into_chunks(1 + data.len() / 3).collect();
    let written = body.into_bytes();
    assert_eq!(chunks.concat(), written);
    let written = std::str::from_utf8(&written).expect("a response is UTF-8");
    let inside = written.split_once("<methodResponse>").and_then(|(_, rest)| rest.split_once("</methodResponse>"));
    let (inside, _) = inside.expect("a response has its envelope");
    let again = format!("<methodCall><methodName>a</methodName>{inside}</methodCall>");
    let wide = Limits { bytes: usize::MAX, depth: 9, values: 1_001, ..limits };
    let again = decode(again.as_bytes(), &wide).expect("what was read can be written and read");
    assert!(again.params.into_values() == [values]);
    let _ = multicall(call.params, &limits);
});
