//! The agent link: any bytes are a message or an error, and a message survives the way back.
#![no_main]

use holm_wire::host::{Encoded, Message};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::from_binary(bytes::Bytes::copy_from_slice(data)) {
        assert!(matches!(message.encode(), Ok(Encoded::Binary(_))));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(message) = Message::from_text(text)
    {
        let Ok(Encoded::Text(again)) = message.encode() else { panic!("a frame became data, or nothing") };
        assert_eq!(Message::from_text(&again).expect("what was read can be written and read"), message);
    }
});
