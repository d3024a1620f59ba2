//! The context a guest reads as root: whatever a user writes into it, every line of `context.sh` stays one assignment
//! whose value is quoted whole, and the value that comes out of the quotes is the one that went in.
#![no_main]

use holm_model::vms::{Context, Vm, VmSpec};
use holm_model::{Attributes, CpuShare, GroupId, Meta, Name, Permissions, Timestamp, UserId, VmId};
use holm_store::{MemoryJournal, Mode, Store};
use std::collections::BTreeMap;
use std::sync::LazyLock;

static EMPTY: LazyLock<Store> = LazyLock::new(|| {
    Store::open(Box::new(MemoryJournal::new()), Mode::Inline, uuid::Uuid::nil()).expect("an empty store opens")
});

libfuzzer_sys::fuzz_target!(|input: (String, String, String, String)| {
    let (name, value, script, user_data) = input;
    let context = Context {
        environment: vec![("CHOSEN".into(), value.clone()), (name, value.clone())],
        start_script: Some(script),
        user_data: Some(user_data),
        network: true,
        ..Context::default()
    };
    if context.check().is_err() {
        return;
    }
    let vm = vm(context);
    let files = holm_plan::context::render(&vm, &[], &*EMPTY.read());
    let read = assignments(&files.context_sh);
    assert_eq!(read.get("CHOSEN"), Some(&value), "in:\n{}", files.context_sh);
});

/// Reads `NAME='value'` lines as a shell would; panics on anything else.
fn assignments(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let (name, after) = rest.split_once('=').expect("an assignment");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name:?} is no name");
        let mut value = String::new();
        rest = after;
        while !rest.starts_with('\n') && !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("\\'") {
                value.push('\'');
                rest = after;
            } else {
                let quoted = rest.strip_prefix('\'').expect("a quoted value");
                let (part, after) = quoted.split_once('\'').expect("the quote ends");
                value.push_str(part);
                rest = after;
            }
        }
        rest = rest.strip_prefix('\n').unwrap_or(rest);
        found.insert(name.to_owned(), value);
    }
    found
}

fn vm(context: Context) -> Vm {
    let name = Name::new("fuzzed").expect("a valid name");
    let owner = (UserId(0), GroupId(0));
    let meta = Meta::new(name, owner, Permissions::default(), Attributes::default(), Timestamp(0));
    let spec = VmSpec { context: context.into(), ..VmSpec::new(CpuShare(100), 1, 128) };
    Vm::new(VmId(7), meta, spec, Timestamp(0))
}
