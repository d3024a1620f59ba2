//! VM templates as text, and what they mean.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use holm_desk::vm_template::devices::take;
use holm_desk::vm_template::inputs::complete;
use holm_desk::vm_template::schedule::{members, single};
use holm_model::attributes::Reading as _;
use holm_model::schedule::{Due, ScheduledAction};
use holm_model::{AttributeValue, Attributes, Invalid, Timestamp, Word};
use holm_one::template::parse;

#[test]
fn disks_keep_what_is_not_modelled() {
    let mut given = parse(
        "DISK=[IMAGE_ID=7,DEV_PREFIX=sd,READONLY=YES,CACHE=none,DISK_ID=4,TYPE=FILE]\n\
         DISK=[IMAGE=debian,IMAGE_UNAME=anna]\nDISK=[TYPE=swap,SIZE=512,TARGET=vdc]\nDISK=[]",
    )
    .expect("is a template");
    let (disks, nics) = take(&mut given).expect("are disks");
    assert!(given.0.is_empty() && nics.is_empty());
    let pair = |name: &str, value: &str| (Word::from(name), Word::from(value));
    assert_eq!(disks.len(), 3);
    assert_eq!((disks[0].image.as_deref(), disks[0].read_only), (Some("7"), Some(true)));
    assert_eq!(disks[0].attributes, [pair("DEV_PREFIX", "sd"), pair("CACHE", "none")]);
    assert_eq!((disks[1].image.as_deref(), disks[1].image_owner.as_deref()), (Some("debian"), Some("anna")));
    assert_eq!((&disks[2].image, disks[2].size_mib), (&None, Some(512)));
    assert_eq!(disks[2].attributes, [pair("TYPE", "swap"), pair("TARGET", "vdc")]);
    for bad in ["DISK=[TYPE=fs]", "DISK=[TYPE=file,SIZE=1]", "DISK=[SIZE=1]", "DISK=[IMAGE_ID=x]", "DISK=[IMAGE_ID=-1]"]
    {
        assert!(take(&mut parse(bad).expect("is a template")).is_err(), "{bad}");
    }
}

#[test]
fn cards_take_defaults_and_aliases_find_their_card() {
    let mut given = parse(
        "NIC_DEFAULT=[MODEL=virtio,NETWORK=no]\nNIC=[NETWORK_ID=0,IP=10.0.0.4,SECURITY_GROUPS=\"0, 101\"]\n\
         NIC=[NETWORK=x,NAME=second,MODEL=e1000]\nNIC_ALIAS=[PARENT=second,NETWORK_ID=3]\nNIC=[NETWORK_MODE=auto,SCHED_RANK=\"FREE\"]",
    )
    .expect("is a template");
    let (_, nics) = take(&mut given).expect("are cards");
    assert_eq!(nics.len(), 4);
    assert_eq!(nics[0].security_groups, ["0", "101"]);
    assert_eq!(nics[0].attributes, [("MODEL".into(), "virtio".into())]);
    assert_eq!(nics[1].attributes.len(), 2);
    assert!(nics[2].auto.as_ref().is_some_and(|auto| auto.rank.as_deref() == Some("FREE")));
    assert_eq!(nics[3].alias_of, Some(1));
    assert!(given.has("NIC_DEFAULT"));
    for bad in [
        "NIC=[MODEL=virtio]",
        "NIC=[NETWORK_ID=0,IP=x]",
        "NIC_ALIAS=[NETWORK_ID=0,PARENT=NIC0]",
        "NIC=[NETWORK_ID=0,MAC=zz]",
    ] {
        assert!(take(&mut parse(bad).expect("is a template")).is_err(), "{bad}");
    }
}

#[test]
fn mandatory_inputs_are_demanded_and_defaults_taken() {
    let complete_of = |text: &str| {
        let mut merged = parse(text).expect("is a template");
        complete(&mut merged).map(|()| merged)
    };
    let inputs = "USER_INPUTS=[SITE=\"M|text|Where\",SIZE=\"O|number|How big\",COLOR=\"M|list|Which|red,blue|blue\"]\n";
    assert_eq!(complete_of(inputs).expect_err("SITE is missing").field, "USER_INPUTS/SITE");
    let merged = complete_of(&format!("{inputs}SITE=here")).expect("all there");
    assert_eq!((merged.text("SITE"), merged.text("COLOR"), merged.text("SIZE")), (Some("here"), Some("blue"), None));
    assert!(complete_of(&format!("{inputs}CONTEXT=[SITE=\"$SITE\"]")).is_err());
    assert!(complete_of(&format!("{inputs}CONTEXT=[SITE=there]")).is_ok());
}

fn read(text: &str) -> Result<ScheduledAction, Invalid> {
    single(&parse(&format!("SCHED_ACTION=[{text}]")).expect("is a template"), 3, None)
}

#[test]
fn actions_read_back_as_they_are_written() {
    for text in [
        "ACTION=poweroff,TIME=1700000000",
        "ACTION=snapshot-create,ARGS=nightly,TIME=+60,REPEAT=0,DAYS=\"1,5\",END_TYPE=0",
        "ACTION=reboot,TIME=1,REPEAT=3,DAYS=12,END_TYPE=1,END_VALUE=7,WARNING=5",
        "ACTION=stop,TIME=1,REPEAT=1,DAYS=31,END_TYPE=2,END_VALUE=2000000000",
    ] {
        let action = read(text).expect(text);
        let again = Attributes(vec![("SCHED_ACTION".into(), AttributeValue::Vector(members(&action, 9)))]);
        assert_eq!(single(&again, 3, None).expect(text), action);
    }
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "TIME=1",
        "ACTION=stop",
        "ACTION=stop,TIME=-5",
        "ACTION=stop,TIME=99999999999999999",
        "ACTION=stop,TIME=1,REPEAT=0",
        "ACTION=stop,TIME=1,REPEAT=0,DAYS=7",
        "ACTION=stop,TIME=1,REPEAT=9,DAYS=1",
        "ACTION=stop,TIME=1,REPEAT=3,DAYS=0",
        "ACTION=stop,TIME=1,REPEAT=3,DAYS=1,END_TYPE=1",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn an_update_keeps_what_it_does_not_name() {
    let before = read("ACTION=stop,TIME=1,REPEAT=1,DAYS=31").expect("is one");
    let change = parse("SCHED_ACTION=[TIME=5]").expect("is a template");
    let after = single(&change, 3, Some(&before)).expect("is one");
    assert_eq!((after.due, &after.repeat, &after.action), (Due::At(Timestamp(5000)), &before.repeat, &before.action));
}
