//! Odd names and values: what was written comes back, and every document stays well-formed.

use crate::cloud::{Cloud, params};
use crate::schema;
use proptest::prelude::*;

const ODD: &[&str] = &[
    "]]>",
    "a]]>b]]>",
    "<b>&amp;</b>",
    "\"quoted\" and 'single'",
    "line one\nline two\n\nline four",
    "tab\there",
    "Zürich 東京 🦀 \u{202E}right to left",
    "back\\slash \\\" \\",
    "a,b=c[d]#e",
    "$NAME ${X} $X[Y]",
    "\u{FEFF}bom",
    "%s%n%x",
];

fn as_xml(pairs: &[(&str, &str)]) -> String {
    let body: String =
        pairs.iter().map(|(name, value)| format!("<{name}>{}</{name}>", holm_one::xml::escape(value))).collect();
    format!("<TEMPLATE>{body}</TEMPLATE>")
}

#[tokio::test]
async fn odd_values_come_back_as_they_were() {
    let cloud = Cloud::new().await;
    for odd in ODD {
        let template = as_xml(&[("CPU", "0.1"), ("MEMORY", "64"), ("ODD", odd)]);
        let id = cloud.int("one.vm.allocate", params![template, true]).await;
        let vm = cloud.vm(id).await;
        assert_eq!(vm.at("USER_TEMPLATE/ODD"), odd.trim_matches([' ', '\t', '\n']), "{odd:?}");
        let escaped = holm_one::xml::escape(odd);
        let vector = format!("<TEMPLATE><V><M>{escaped}</M></V><LABELS>{escaped}</LABELS></TEMPLATE>");
        cloud.int("one.vm.update", params![id, vector, 1]).await;
        assert_eq!(cloud.vm(id).await.at("USER_TEMPLATE/V/M"), odd.trim_matches([' ', '\t', '\n']), "{odd:?}");
        let pool = cloud.xml("one.vmpool.info", params![-2, id, id, -1]).await;
        assert_eq!(pool.at("VM/USER_TEMPLATE/LABELS"), odd.trim_matches([' ', '\t', '\n']));
        // The short form has of what users wrote what lists and schedulers need.
        assert!(pool.all("VM/USER_TEMPLATE/ODD").is_empty() && pool.all("VM/USER_TEMPLATE/V").is_empty());
        let pool = cloud.xml("one.vmpool.infoextended", params![-2, id, id, -1]).await;
        assert_eq!(pool.at("VM/USER_TEMPLATE/V/M"), odd.trim_matches([' ', '\t', '\n']));
    }
    for name in ["Zürich 東京", "a.b-c_d (1)", "x"] {
        let id = cloud
            .int("one.vm.allocate", params![as_xml(&[("CPU", "1"), ("MEMORY", "64"), ("NAME", name)]), true])
            .await;
        assert_eq!(cloud.vm(id).await.at("NAME"), name);
    }
    for name in ["a<b", "a:b", "$x"] {
        let template = as_xml(&[("CPU", "1"), ("MEMORY", "64"), ("NAME", name)]);
        match cloud.call("one.vm.allocate", params![template, true]).await {
            crate::cloud::Got::Refused(code, _) => assert!([16384, 8192].contains(&code)),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn many_disks_are_shown_and_too_many_refused() {
    let cloud = Cloud::new().await;
    let disks = |count: usize| format!("CPU=1\nMEMORY=64\n{}", "DISK=[TYPE=fs,SIZE=1]\n".repeat(count));
    let id = cloud.int("one.vm.allocate", params![disks(24), true]).await;
    let vm = cloud.vm(id).await;
    assert_eq!(vm.all("TEMPLATE/DISK/DISK_ID").len(), 24);
    let mut targets = vm.all("TEMPLATE/DISK/TARGET");
    targets.sort();
    targets.dedup();
    assert_eq!(targets.len(), 24, "no two disks have one name");
    cloud.refused("one.vm.allocate", params![disks(2000)], 16384, "").await;
}

#[tokio::test]
async fn a_vms_own_document_makes_the_same_vm_again() {
    let cloud = Cloud::new().await;
    let template = "CPU=0.25\nMEMORY=64\nVCPU=2\nOS=[ARCH=x86_64,BOOT=disk0]\nFEATURES=[ACPI=yes,APIC=no]\n\
                    DISK=[TYPE=fs,SIZE=5,DEV_PREFIX=sd,CACHE=none]\nGRAPHICS=[TYPE=VNC,KEYMAP=de]\n\
                    CONTEXT=[NETWORK=YES,A=\"1\",USER_DATA=\"#cloud-config\"]\nINPUT=[TYPE=tablet,BUS=usb]";
    let first = cloud.int("one.vm.allocate", params![template, true]).await;
    let core = |doc: &crate::cloud::Doc| {
        let from = doc.0.find("<TEMPLATE>").expect("has one");
        let to = doc.0.find("</TEMPLATE>").expect("ends") + "</TEMPLATE>".len();
        doc.0[from..to].to_owned()
    };
    let shown = core(&cloud.vm(first).await);
    let second = cloud.int("one.vm.allocate", params![shown.clone(), true]).await;
    let again = core(&cloud.vm(second).await);
    let same = |text: &str, id: i64| {
        text.replace(&format!("<VMID><![CDATA[{id}]]></VMID>"), "").replace(&format!("[{}]", 5900 + id), "[PORT]")
    };
    assert_eq!(same(&again, second).replace(&(5900 + first).to_string(), "PORT"), same(&shown, first));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever attributes a VM has, its documents are of the schema and the attributes come back.
    #[test]
    fn random_attributes_round_trip(
        singles in prop::collection::btree_map("[A-Z][A-Z0-9_]{0,8}X", any::<String>(), 0..5),
        vectors in prop::collection::btree_map("[A-Z][A-Z0-9_]{0,8}Y", prop::collection::btree_map("[A-Z]{1,6}", any::<String>(), 1..4), 0..3),
    ) {
        let carried = |text: &str| -> String {
            text.chars().filter(|c| holm_one::xml::is_char(*c)).collect::<String>()
        };
        let trim = |text: &str| text.trim_matches([' ', '\t', '\n', '\r', '\u{B}', '\u{C}']).to_owned();
        let singles: Vec<(String, String)> =
            singles.into_iter().map(|(name, text)| (name, trim(&carried(&text)))).filter(|(_, text)| !text.is_empty()).collect();
        let vectors: Vec<(String, Vec<(String, String)>)> = vectors
            .into_iter()
            .map(|(name, members)| {
                let members: Vec<_> = members.into_iter().map(|(name, text)| (name, trim(&carried(&text)))).filter(|(_, text)| !text.is_empty()).collect();
                (name, members)
            })
            .filter(|(_, members)| !members.is_empty())
            .collect();
        let mut template = String::from("<TEMPLATE><CPU>1</CPU><MEMORY>64</MEMORY>");
        for (name, text) in &singles {
            template.push_str(&format!("<{name}>{}</{name}>", holm_one::xml::escape(text)));
        }
        for (name, members) in &vectors {
            template.push_str(&format!("<{name}>"));
            for (member, text) in members {
                template.push_str(&format!("<{member}>{}</{member}>", holm_one::xml::escape(text)));
            }
            template.push_str(&format!("</{name}>"));
        }
        template.push_str("</TEMPLATE>");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let cloud = Cloud::new().await;
            let id = cloud.int("one.vm.allocate", params![template, true]).await;
            let vm = cloud.vm(id).await;
            for (name, text) in &singles {
                assert_eq!(&vm.at(&format!("USER_TEMPLATE/{name}")), text);
            }
            for (name, members) in &vectors {
                for (member, text) in members {
                    assert_eq!(&vm.at(&format!("USER_TEMPLATE/{name}/{member}")), text);
                }
            }
            let pool = cloud.text("one.vmpool.info", params![-2, -1, -1, -2]).await;
            schema::check(&pool);
        });
    }
}
