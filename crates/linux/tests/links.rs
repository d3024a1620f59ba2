//! Networks, ports, filters and the address service on a real kernel, inside a network namespace of its own.
//!
//! Each test runs itself again inside fresh namespaces, so nothing of the machine's own network is ever touched.
#![allow(missing_docs, reason = "tests")]

use holm_driver::{Links, Port};
use holm_linux::LinuxSettings;
use holm_linux::links::HostLinks;
use holm_model::host_plan::{NetworkPlan, NicPlan};
use holm_model::networks::{MacAddr, NetworkDraft, NetworkSpec};
use holm_model::vms::{Bandwidth, NicLimits};
use holm_model::{NetworkId, VmId};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs `name` again in new namespaces; true in the outer process, which has nothing more to do.
fn outside(name: &str) -> bool {
    if std::env::var_os("HOLM_LINUX_INSIDE").is_some() {
        sh("ip link set lo up; mount -t sysfs sysfs /sys");
        return false;
    }
    assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces and needs root");
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "slave"])
        .arg(std::env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("HOLM_LINUX_INSIDE", "1")
        .status()
        .expect("unshare (package util-linux) runs");
    assert!(status.success(), "failed inside the namespaces");
    true
}

fn try_sh(script: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-c", script]).output().expect("sh runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn sh(script: &str) -> String {
    let (ok, text) = try_sh(script);
    assert!(ok, "{script}: {text}");
    text
}

/// What the machine's network looks like.
fn picture() -> String {
    sh(
        "ip -o link | sed 's/^[0-9]*: //;s/ state .*//'; ip -o addr | awk '{print $2,$3,$4}'; ip route; ip -6 route; nft list ruleset; \
        sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding",
    )
}

fn ground(directory: &std::path::Path) -> LinuxSettings {
    LinuxSettings {
        instance: "holm-links-test".into(),
        data_dir: directory.join("data"),
        run_dir: directory.join("run"),
        ..LinuxSettings::default()
    }
}

fn network(id: u32, draft: NetworkDraft) -> NetworkPlan {
    NetworkPlan::new(NetworkId(id), format!("n{id}"), NetworkSpec::try_from(draft).expect("valid"))
}

fn nat(id: u32) -> NetworkPlan {
    network(
        id,
        NetworkDraft {
            name: format!("n{id}"),
            kind: "nat".into(),
            subnet4: Some(format!("10.{}.0.0/16", 70 + id)),
            subnet6: Some(format!("fd{}::/64", 70 + id)),
            dns: vec!["9.9.9.9".into()],
            mtu: Some(1400),
            ..NetworkDraft::default()
        },
    )
}

fn port(vm: u32, network: u32) -> Port {
    let ip4 = std::net::Ipv4Addr::new(
        10,
        70 + u8::try_from(network).expect("small"),
        0,
        10 + u8::try_from(vm).expect("small"),
    );
    Port {
        vm: VmId(vm),
        hostname: format!("guest-{vm}"),
        nic: NicPlan::new(
            0,
            NetworkId(network),
            MacAddr::for_nic(VmId(vm), 0, Some(ip4)),
            Some(ip4),
            Some(format!("fd{}::{}", 70 + network, 10 + vm).parse().expect("an address")),
        ),
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test);
}

#[test]
fn networks_and_ports_come_stay_and_go_without_a_trace() {
    if outside("networks_and_ports_come_stay_and_go_without_a_trace") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let before = picture();
        let links = HostLinks::new(&ground(directory.path()));
        links.ensure_network(&nat(0)).await.expect("made");
        links.ensure_network(&nat(1)).await.expect("made");
        let name = links.ensure_port(&port(1, 0)).await.expect("made");
        assert_eq!(name, "ht1-0");
        links.ensure_port(&port(2, 1)).await.expect("made");
        let start = Instant::now();
        for _ in 0..20 {
            links.ensure_network(&nat(0)).await.expect("is there");
            links.ensure_port(&port(1, 0)).await.expect("is there");
        }
        eprintln!("nothing to do, network and port: {:?}", start.elapsed() / 20);
        let start = Instant::now();
        for vm in 20..40 {
            links.ensure_port(&port(vm, 0)).await.expect("made");
        }
        eprintln!("a new port: {:?}", start.elapsed() / 20);
        let made = sh("ip -d link show ht1-0; nft list ruleset; ip addr show hb0");
        for wanted in [
            "master hb0",
            "mtu 1400",
            "persist on",
            "user 1900000001",
            "masquerade",
            "jump ht1-0",
            "10.70.0.1/16",
            "fd70::1/64",
        ] {
            assert!(made.contains(wanted), "{wanted} is not in {made}");
        }

        // Another set of drivers sees the same, and mends rules that somebody removed.
        let second = HostLinks::new(&ground(directory.path()));
        assert_eq!(second.survey().await.expect("seen"), links.survey().await.expect("seen"));
        let whole = sh("nft list ruleset | sed 's/counter.*//'");
        sh("nft flush ruleset");
        second.survey().await.expect("mended");
        let mended = sh("nft list ruleset | sed 's/counter.*//'");
        assert_eq!(whole.lines().count(), mended.lines().count(), "{mended}");

        // A dead address service is started again by itself.
        // Other agents on this machine have such processes too; this one names our directory.
        let service = || -> Option<u32> {
            let ours = directory.path().join("run/links/hb0.hosts");
            std::fs::read_dir("/proc").expect("read").flatten().find_map(|entry| {
                let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                String::from_utf8_lossy(&line).contains(ours.to_str()?).then_some(pid)
            })
        };
        let old = service().expect("serves");
        sh(&format!("kill -9 {old}"));
        let start = Instant::now();
        while service().is_none_or(|pid| pid == old) {
            assert!(start.elapsed() < Duration::from_secs(10), "the address service did not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        links.ensure_network_absent(NetworkId(0)).await.expect_err("ports are on it");
        for vm in [1, 2].into_iter().chain(20..40) {
            second.ensure_ports_absent(VmId(vm)).await.expect("removed");
        }
        links.ensure_network_absent(NetworkId(0)).await.expect("removed");
        links.ensure_network_absent(NetworkId(1)).await.expect("removed");
        links.purge().await.expect("nothing left to remove");
        assert_eq!(before, picture());
        assert_eq!(service(), None, "the address service was left running");
        assert!(!directory.path().join("run/links").exists());
    });
}

#[test]
fn the_host_knows_its_guests_without_asking() {
    if outside("the_host_knows_its_guests_without_asking") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let links = HostLinks::new(&ground(directory.path()));
        links.ensure_network(&nat(0)).await.expect("made");
        let known = || {
            let mut all: Vec<String> = sh("ip neigh show dev hb0; ip -6 neigh show dev hb0")
                .lines()
                .map(str::trim_end)
                .filter(|line| line.ends_with("PERMANENT"))
                .map(|line| line.replace(" lladdr ", "=").replace(" PERMANENT", ""))
                .collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (mac1, mac2) = ("02:00:0a:46:00:0b", "02:00:0a:46:00:0c");
        let of = |mac: &str, addresses: &[&str]| addresses.iter().map(|a| format!("{a}={mac}")).collect::<Vec<_>>();

        let mut one = port(1, 0);
        links.ensure_port(&one).await.expect("made");
        assert_eq!(known(), of(mac1, &["10.70.0.11", "fd70::11"]));
        links.ensure_port(&port(2, 0)).await.expect("made");
        // An alias comes, and goes to the other guest.
        one.nic.more_ip4 = vec!["10.70.0.99".parse().expect("an address")];
        links.ensure_port(&one).await.expect("changed");
        let both = |first: &[&str], second: &[&str]| {
            let mut all = [of(mac1, first), of(mac2, second)].concat();
            all.sort_unstable();
            all
        };
        assert_eq!(known(), both(&["10.70.0.11", "10.70.0.99", "fd70::11"], &["10.70.0.12", "fd70::12"]));
        one.nic.more_ip4.clear();
        links.ensure_port(&one).await.expect("changed");
        let mut two = port(2, 0);
        two.nic.more_ip4 = vec!["10.70.0.99".parse().expect("an address")];
        links.ensure_port(&two).await.expect("changed");
        assert_eq!(known(), both(&["10.70.0.11", "fd70::11"], &["10.70.0.12", "10.70.0.99", "fd70::12"]));

        links.ensure_ports_absent(VmId(1)).await.expect("removed");
        assert_eq!(known(), of(mac2, &["10.70.0.12", "10.70.0.99", "fd70::12"]));
        // Somebody else tidied up; nothing comes of it.
        sh("ip neigh del 10.70.0.12 dev hb0");
        links.ensure_ports_absent(VmId(2)).await.expect("removed");
        assert_eq!(known(), Vec::<String>::new());
        links.ensure_network_absent(NetworkId(0)).await.expect("removed");
    });
}

/// A guest as a namespace behind a veth pair whose near end stands in for the tap: same bridge, same rules.
fn guest(vm: u32, mac: &str, addresses: &[&str]) {
    let port = format!("ht{vm}-0");
    sh(&format!(
        "alias=$(cat /sys/class/net/{port}/ifalias); ip link del {port}; ip netns add guest{vm}; \
         ip link add {port} type veth peer name eth0 netns guest{vm}; ip link set {port} alias \"$alias\" master hb0 up; ip -n guest{vm} link set eth0 address {mac} mtu 1400 up; ip -n guest{vm} link set lo up; \
         ip netns exec guest{vm} sysctl -q -w net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.accept_ra=0"
    ));
    for address in addresses {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        sh(&format!("ip -n guest{vm} addr add {address} dev eth0 {nodad}"));
    }
    sh(&format!("ip -n guest{vm} route add default via 10.70.0.1"));
}

/// Two guests of one NAT network, on a machine whose `/run/netns` is its own.
async fn two_guests(directory: &std::path::Path) -> (HostLinks, Port, Port) {
    // /run/netns of the machine must not see these.
    sh("mount -t tmpfs none /run; mkdir -p /run/netns");
    let links = HostLinks::new(&ground(directory));
    links.ensure_network(&nat(0)).await.expect("made");
    let (one, two) = (port(1, 0), port(2, 0));
    for port in [&one, &two] {
        links.ensure_port(port).await.expect("made");
    }
    guest(1, &one.nic.mac.to_string(), &["10.70.0.11/16", "fd70::11/64"]);
    guest(2, &two.nic.mac.to_string(), &["10.70.0.12/16", "fd70::12/64"]);
    (links, one, two)
}

/// Takes away what [`two_guests`] made.
async fn no_guests(links: &HostLinks) {
    sh("for n in guest1 guest2; do ip netns del $n; done");
    for vm in [1, 2] {
        links.ensure_ports_absent(VmId(vm)).await.expect("removed");
    }
    links.ensure_network_absent(NetworkId(0)).await.expect("removed");
}

fn reaches(vm: u32, arguments: &str) -> bool {
    try_sh(&format!("ip netns exec guest{vm} busybox ping -c 1 -W 1 {arguments}")).0
}

#[test]
fn guests_reach_what_they_should_and_cannot_lie() {
    if outside("guests_reach_what_they_should_and_cannot_lie") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let (links, one, _two) = two_guests(directory.path()).await;
        // The outside: a machine that knows nothing of the guests' network.
        sh(
            "ip netns add world; ip link add up0 type veth peer name eth0 netns world; ip addr add 192.0.2.1/24 dev up0; \
            ip link set up0 up; ip -n world addr add 192.0.2.9/24 dev eth0; ip -n world link set eth0 up; \
            ip -n world link set lo up",
        );

        assert!(reaches(1, "10.70.0.1"), "the router answers");
        assert!(reaches(1, "10.70.0.12"), "guests of one network see each other");
        assert!(reaches(1, "fd70::12"), "also over IPv6");
        assert!(reaches(1, "fd70::1"), "the router answers over IPv6");
        assert!(reaches(1, "192.0.2.9"), "masquerading works: the world has no route back");
        assert!(try_sh("busybox ping -c 1 -W 1 10.70.0.11").0, "the host reaches its guest");
        sh("ip -n world route add 10.70.0.0/16 via 192.0.2.1");
        assert!(
            !try_sh("ip netns exec world busybox ping -c 1 -W 1 10.70.0.11").0,
            "nobody outside opens a connection to a guest"
        );

        // The host's services are out of a guest's reach; the guest's are in the host's.
        let listen = "import socket,sys;s=socket.create_server((sys.argv[1],8099));sys.stdout.write('.');sys.stdout.flush();[c.close() for c,_ in iter(s.accept,None)]";
        let connect = "import socket,sys;socket.create_connection((sys.argv[1],8099),1)";
        let mut host = Command::new("python3").args(["-c", listen, "0.0.0.0"]).spawn().expect("python3");
        let mut served = Command::new("ip")
            .args(["netns", "exec", "guest2", "python3", "-c", listen, "0.0.0.0"])
            .spawn()
            .expect("python3");
        let start = Instant::now();
        while !try_sh(&format!("python3 -c \"{connect}\" 10.70.0.12 && python3 -c \"{connect}\" 127.0.0.1")).0 {
            assert!(start.elapsed() < Duration::from_secs(10), "the host reaches its guest's service");
        }
        for address in ["10.70.0.1", "192.0.2.1"] {
            let (open, _) = try_sh(&format!("ip netns exec guest1 python3 -c \"{connect}\" {address}"));
            assert!(!open, "a guest reached a service of the host at {address}");
        }
        assert!(
            try_sh(&format!("ip netns exec guest1 python3 -c \"{connect}\" 10.70.0.12")).0,
            "guests serve each other"
        );
        for child in [&mut host, &mut served] {
            child.kill().expect("ended");
            child.wait().expect("waited for");
        }

        // Lies: another IPv4 address, another IPv6 address, another Ethernet address, the router's.
        sh("ip -n guest1 addr add 10.70.0.77/16 dev eth0; ip -n guest1 addr add fd70::77/64 dev eth0 nodad");
        assert!(!reaches(1, "-I 10.70.0.77 10.70.0.12"), "a guest lied about its IPv4 address");
        assert!(!reaches(1, "-I fd70::77 fd70::12"), "a guest lied about its IPv6 address");
        assert!(reaches(1, "-I 10.70.0.11 10.70.0.12"), "what is true still passes");
        sh("ip -n guest1 link set eth0 address 02:00:00:00:00:66; ip -n guest2 neigh flush all");
        assert!(!reaches(1, "-I 10.70.0.11 10.70.0.12"), "a guest lied about its Ethernet address");
        sh(&format!("ip -n guest1 link set eth0 address {}", one.nic.mac));
        let counted = sh("nft list chain bridge holm-links-test ht1-0");
        assert!(counted.lines().any(|l| l.contains("ether saddr !=") && !l.contains("packets 0")), "{counted}");

        // ARP: claiming the router's address must not change what another guest believes.
        sh("ip -n guest1 addr add 10.70.0.1/16 dev eth0; ip netns exec guest2 busybox ping -c 1 -W 1 10.70.0.1");
        let (_, _) = try_sh("ip netns exec guest1 busybox arping -c 2 -A -I eth0 10.70.0.1");
        let neighbors = sh("ip -n guest2 neigh show 10.70.0.1");
        assert!(!neighbors.contains(&one.nic.mac.to_string()), "{neighbors}");

        sh("ip netns del world");
        no_guests(&links).await;
    });
}

/// How long 1.2 MB take from one place to another over TCP. A place is a network namespace, or the host.
fn transfer(from: &str, to: &str, address: &str) -> Duration {
    let place = |name: &str| match name {
        "host" => Command::new("python3"),
        guest => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", guest, "python3"]);
            command
        }
    };
    let take = "import socket,sys\ns=socket.create_server((sys.argv[1],8098))\nprint('listens',flush=True)\n\
                c,_=s.accept()\nn=0\nwhile n<1200000:\n  d=c.recv(65536)\n  assert d\n  n+=len(d)\nc.sendall(b'k')";
    let give = "import socket,sys,time\ns=socket.create_connection((sys.argv[1],8098),60)\nt=time.monotonic()\n\
                s.sendall(b'x'*1200000)\nassert s.recv(1)==b'k'\nprint(time.monotonic()-t)";
    let mut taker = place(to).args(["-c", take, address]).stdout(Stdio::piped()).spawn().expect("python3");
    let mut said = String::new();
    BufReader::new(taker.stdout.take().expect("a pipe")).read_line(&mut said).expect("read");
    assert_eq!(said.trim(), "listens");
    let told = place(from).args(["-c", give, address]).output().expect("python3");
    let _ = taker.kill();
    let _ = taker.wait();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let seconds: f64 =
        text.trim().parse().unwrap_or_else(|_| panic!("{text}: {}", String::from_utf8_lossy(&told.stderr)));
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_guest_gets_and_sends_no_more_than_its_card_may() {
    if outside("a_guest_gets_and_sends_no_more_than_its_card_may") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let (links, mut one, _two) = two_guests(directory.path()).await;
        let way = Some(Bandwidth { rate: 200_000, peak: 400_000, burst: 0 });
        let free = [transfer("host", "guest1", "10.70.0.11"), transfer("guest1", "guest2", "10.70.0.12")];
        // The limits come while the guest runs.
        one.nic.limits = Some(Box::new(NicLimits { inbound: way, outbound: way }));
        links.ensure_port(&one).await.expect("changed");
        let limited = [transfer("host", "guest1", "10.70.0.11"), transfer("guest1", "guest2", "10.70.0.12")];
        eprintln!("1.2 MB in and out, without limits {free:?}, at 200 kB a second {limited:?}");
        // The first burst, and for what comes from the guest the first second, are for nothing.
        assert!(limited[0] > Duration::from_millis(4_500), "too much came in: {limited:?}");
        assert!(limited[1] > Duration::from_millis(3_500), "too much went out: {limited:?}");
        // What there is of limits, and what is left when they are taken away.
        let there = || sh("tc qdisc show dev ht1-0 root; nft list chain bridge holm-links-test ht1-0");
        assert!(there().contains("tbf 1: root") && there().contains("limit rate over"), "{}", there());
        one.nic.limits = None;
        for _ in 0..2 {
            links.ensure_port(&one).await.expect("changed");
            assert!(!there().contains("tbf") && !there().contains("limit rate"), "{}", there());
        }
        assert!(transfer("host", "guest1", "10.70.0.11") < limited[0]);

        no_guests(&links).await;
    });
}

#[test]
fn an_interface_goes_under_a_bridge_and_back() {
    if outside("an_interface_goes_under_a_bridge_and_back") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        sh("mount -t tmpfs none /run; mkdir -p /run/netns; ip netns add world; \
            ip link add up0 type veth peer name eth0 netns world; ip addr add 192.0.2.1/24 dev up0; \
            ip addr add 2001:db8::1/64 dev up0 nodad; ip link set up0 up; ip route add default via 192.0.2.9; \
            ip route add 198.51.100.0/24 via 192.0.2.8 metric 50; ip -n world addr add 192.0.2.9/24 dev eth0; \
            ip -n world link set eth0 up");
        let start = Instant::now();
        while !try_sh("busybox ping -c 1 -W 1 192.0.2.9").0 {
            assert!(start.elapsed() < Duration::from_secs(10), "the world is there");
        }
        let before = picture();
        let links = HostLinks::new(&ground(directory.path()));
        let plan = network(
            5,
            NetworkDraft {
                name: "lan".into(),
                kind: "bridge".into(),
                interface: Some("up0".into()),
                ..NetworkDraft::default()
            },
        );
        links.ensure_network(&plan).await.expect("taken");
        links.ensure_network(&plan).await.expect("is there");
        let taken = sh("ip -o addr show hb5; ip route; ip -o link show up0");
        for wanted in [
            "192.0.2.1/24",
            "2001:db8::1/64",
            "default via 192.0.2.9 dev hb5",
            "198.51.100.0/24 via 192.0.2.8 dev hb5",
            "master hb5",
        ] {
            assert!(taken.contains(wanted), "{wanted} is not in {taken}");
        }
        assert!(try_sh("busybox ping -c 1 -W 2 192.0.2.9").0, "the machine is still reachable");
        links.ensure_network_absent(NetworkId(5)).await.expect("given back");
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&before), sorted(&picture()));

        // A bridge of the host is joined and never changed.
        sh("ip link add br9 type bridge; ip link set br9 up");
        let joined = network(
            6,
            NetworkDraft {
                name: "j".into(),
                kind: "bridge".into(),
                interface: Some("br9".into()),
                ..NetworkDraft::default()
            },
        );
        links.ensure_network(&joined).await.expect("joined");
        let mut guest = port(1, 6);
        (guest.nic.ip4, guest.nic.ip6) = (None, None);
        links.ensure_port(&guest).await.expect("made");
        assert!(sh("ip -o link show ht1-0").contains("master br9"));
        links.ensure_ports_absent(VmId(1)).await.expect("removed");
        links.ensure_network_absent(NetworkId(6)).await.expect("left");
        assert!(try_sh("ip link show br9").0, "a bridge that was there before was removed");
        let missing = network(
            7,
            NetworkDraft {
                name: "m".into(),
                kind: "bridge".into(),
                interface: Some("nope0".into()),
                ..NetworkDraft::default()
            },
        );
        let fault = links.ensure_network(&missing).await.expect_err("no such interface");
        assert!(fault.says.contains("nope0") && fault.says.contains("up0"), "{fault}");
    });
}

#[test]
fn the_address_service_answers_known_guests() {
    if outside("the_address_service_answers_known_guests") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        sh("mount -t tmpfs none /run; mkdir -p /run/netns");
        let links = HostLinks::new(&ground(directory.path()));
        links.ensure_network(&nat(0)).await.expect("made");
        let one = port(1, 0);
        links.ensure_port(&one).await.expect("made");
        sh(&format!(
            "ip link del ht1-0; ip netns add guest1; ip link add ht1-0 type veth peer name eth0 netns guest1; \
             ip link set ht1-0 master hb0 up; ip -n guest1 link set eth0 address {} up",
            one.nic.mac
        ));
        let script = directory.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"lease=$ip/$mask router=$router dns=$dns mtu=$mtu name=$hostname\"\nexit 0\n")
            .expect("written");
        sh(&format!("chmod 755 {}", script.display()));
        let lease = sh(&format!(
            "ip netns exec guest1 busybox udhcpc -f -q -n -t 10 -T 1 -i eth0 -O mtu -s {}",
            script.display()
        ));
        assert!(lease.contains("lease=10.70.0.11/16 router=10.70.0.1 dns=9.9.9.9 mtu=1400 name=guest-1"), "{lease}");
        links.ensure_ports_absent(VmId(1)).await.expect("removed");

        // The same address under another Ethernet address is lent at once.
        let mut two = port(1, 0);
        two.vm = VmId(2);
        two.nic.mac = "02:00:00:00:00:22".parse().expect("an address");
        links.ensure_port(&two).await.expect("made");
        sh(&format!(
            "ip netns del guest1; ip link del ht2-0; ip netns add guest2; ip link add ht2-0 type veth peer name eth0 netns guest2; \
             ip link set ht2-0 master hb0 up; ip -n guest2 link set eth0 address {} up",
            two.nic.mac
        ));
        let lease =
            sh(&format!("ip netns exec guest2 busybox udhcpc -f -q -n -t 10 -T 1 -i eth0 -s {}", script.display()));
        assert!(lease.contains("lease=10.70.0.11/16"), "{lease}");
        links.purge().await.expect("removed");
    });
}
