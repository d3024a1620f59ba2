//! Every method with every sort of wrong parameters: refused, never a crash.

use crate::cloud::{Cloud, Got, P, params};
use holm_one::registry::{Coverage, sheet};

/// Methods whose success changes what later calls need.
const NOT_HERE: &[&str] = &[];

fn answered() -> impl Iterator<Item = &'static str> {
    sheet().filter(|(name, _, coverage)| *coverage == Coverage::Done && !NOT_HERE.contains(name)).map(|(name, ..)| name)
}

#[tokio::test]
async fn a_method_without_a_session_is_a_fault() {
    let cloud = Cloud::new().await;
    for method in answered() {
        let got = cloud.raw(method, &[]).await;
        assert!(matches!(got, Got::Fault(-502, _)), "{method}: {got:?}");
        let got = cloud.raw(method, &[P::I(3)]).await;
        assert!(matches!(got, Got::Fault(-501, _)), "{method}: {got:?}");
        let got = cloud.raw(method, params!["nobody:nothing"]).await;
        assert!(matches!(got, Got::Refused(256, _)), "{method}: {got:?}");
    }
    assert!(matches!(cloud.raw("one.vm.dance", params!["a:b"]).await, Got::Fault(-506, _)));
}

#[tokio::test]
async fn wrong_parameters_never_break_anything() {
    let cloud = Cloud::new().await;
    let wrong: Vec<P> = vec![
        P::I(-1),
        P::I(2_147_483_647),
        P::I(-2_147_483_648),
        P::I(9_000_000_000),
        P::S(String::new()),
        P::S("]]><&\"'\u{0}\n$X[\u{FFFF}".into()),
        P::S("NAME=[A=".into()),
        P::S("<TEMPLATE><A>".into()),
        P::B(true),
        P::D(1.5),
        P::Nil,
    ];
    for method in answered() {
        for value in &wrong {
            for count in 0..=12 {
                let params = vec![value.clone(); count];
                // Whatever comes back came back: a panic would end the test.
                let got = cloud.call(method, &params).await;
                if let Got::Fault(code, message) = &got {
                    assert!([-501, -502].contains(code), "{method} with {count} x {value:?}: {message}");
                }
                if let Got::Refused(code, message) = &got {
                    assert!(
                        [256, 512, 1024, 2048, 4096, 8192, 16384, 32768].contains(code),
                        "{method} with {count} x {value:?}: {code} {message}"
                    );
                    assert!(message.starts_with(&format!("[{method}] ")), "{message}");
                }
            }
        }
    }
}

/// Methods that can be called with an id that nothing has.
#[tokio::test]
async fn unknown_ids_are_unknown() {
    let cloud = Cloud::new().await;
    for (name, noun) in [
        ("one.vm.info", "virtual machine"),
        ("one.template.info", "virtual machine template"),
        ("one.vmgroup.info", "vm group"),
        ("one.image.info", "image"),
        ("one.vn.info", "virtual network"),
        ("one.host.info", "host"),
        ("one.datastore.info", "datastore"),
        ("one.cluster.info", "cluster"),
        ("one.secgroup.info", "security group"),
        ("one.document.info", "document"),
    ] {
        cloud.refused(name, params![12_345], 1024, &format!("Error getting {noun} [12345].")).await;
    }
}
