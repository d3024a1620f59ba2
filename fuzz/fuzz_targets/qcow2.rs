//! The header of a disk image somebody else made: whatever its bytes, it is accepted with sane figures or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u64, &[u8])| {
    let (file_size, head) = input;
    if let Ok(facts) = holm_blobs::qcow2::inspect(head, file_size) {
        assert!(facts.virtual_size <= 64 << 40, "an absurd size was accepted");
    }
    // The same bytes with a right magic get further.
    let mut magic = head.to_vec();
    if let Some(start) = magic.get_mut(..4) {
        start.copy_from_slice(b"QFI\xfb");
        let _ = holm_blobs::qcow2::inspect(&magic, file_size);
    }
});
