//! Security groups with real packets: guests are namespaces behind veth pairs whose near ends stand in for taps.
//!
//! Each test runs itself again inside fresh namespaces, so nothing of the machine's own network is ever touched.
#![allow(missing_docs, reason = "tests")]

use holm_driver::{Links, Port};
use holm_linux::LinuxSettings;
use holm_linux::links::HostLinks;
use holm_model::host_plan::{GroupPlan, Guard, GuardedCard, NetworkPlan, NicPlan, RulePlan};
use holm_model::networks::{MacAddr, NetworkDraft, NetworkKind, NetworkSpec};
use holm_model::security_groups::{Direction, Protocol};
use holm_model::{NetworkId, SecurityGroupId, VmId};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs `name` again in new namespaces; true in the outer process, which has nothing more to do.
fn outside(name: &str) -> bool {
    if std::env::var_os("HOLM_LINUX_INSIDE").is_some() {
        sh("ip link set lo up; mount -t sysfs sysfs /sys; mount -t tmpfs none /run; mkdir -p /run/netns");
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

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test);
}

fn settings(directory: &std::path::Path) -> LinuxSettings {
    LinuxSettings {
        instance: "holm-guard-test".into(),
        data_dir: directory.join("data"),
        run_dir: directory.join("run"),
        ..LinuxSettings::default()
    }
}

fn nat() -> NetworkPlan {
    let draft = NetworkDraft {
        name: "n0".into(),
        kind: "nat".into(),
        subnet4: Some("10.70.0.0/16".into()),
        subnet6: Some("fd70::/64".into()),
        ..NetworkDraft::default()
    };
    NetworkPlan::new(NetworkId(0), "n0".into(), NetworkSpec::try_from(draft).expect("valid"))
}

fn port(vm: u32) -> Port {
    let ip4 = Ipv4Addr::new(10, 70, 0, 10 + u8::try_from(vm).expect("small"));
    let ip6 = format!("fd70::{}", 10 + vm).parse().expect("an address");
    let mac = MacAddr::of_ip4(ip4);
    Port {
        vm: VmId(vm),
        hostname: format!("guest-{vm}"),
        nic: NicPlan::new(0, NetworkId(0), mac, Some(ip4), Some(ip6)),
    }
}

/// A guest in a namespace of its own that answers on some ports of every protocol.
struct Guest {
    vm: u32,
    servers: Child,
}

/// Echoes over TCP and UDP, IPv4 and IPv6, on these ports, and says when it is ready.
const SERVE: &str = r"
import socket, sys, threading
def tcp(port):
    server = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
    def one(c):
        try:
            while data := c.recv(1000): c.sendall(data)
        except OSError: pass
    def many():
        while True: threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()
    threading.Thread(target=many, daemon=True).start()
def udp(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(('::', port))
    def many():
        while True:
            data, peer = s.recvfrom(9000)
            try: s.sendto(data, peer)
            except OSError: pass
    threading.Thread(target=many, daemon=True).start()
for port in map(int, sys.argv[1:]): tcp(port); udp(port)
print('ready', flush=True)
threading.Event().wait()
";

/// Asks a server for an echo.
const ASK: &str = r"
import socket, sys
kind, host, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.settimeout(1)
s.connect((host, port))
s.send(b'x' * size)
sys.exit(0 if s.recv(9000) else 1)
";

/// Keeps one connection open; each line on its input becomes an echo, and `ok` or `cut` on its output.
const TALK: &str = r"
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
s.settimeout(2)
print('ok', flush=True)
for line in sys.stdin:
    try:
        s.sendall(line.encode())
        print('ok' if s.recv(1000) else 'cut', flush=True)
    except OSError: print('cut', flush=True)
";

impl Guest {
    async fn start(links: &HostLinks, vm: u32) -> Self {
        let plan = port(vm);
        links.ensure_port(&plan).await.expect("made");
        let (ip4, ip6) = (plan.nic.ip4.expect("has one"), plan.nic.ip6.expect("has one"));
        sh(&format!(
            "ip link del ht{vm}-0; ip netns add guest{vm}; ip link add ht{vm}-0 type veth peer name eth0 netns guest{vm}; \
             ip link set ht{vm}-0 master hb0 up; ip -n guest{vm} link set eth0 address {} up; \
             ip -n guest{vm} link set lo up; \
             ip netns exec guest{vm} sysctl -q -w net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth0.accept_ra=0; \
             ip -n guest{vm} addr add {ip4}/16 dev eth0; ip -n guest{vm} addr add {ip6}/64 dev eth0 nodad; \
             ip -n guest{vm} route add default via 10.70.0.1; ip -n guest{vm} -6 route add default via fd70::1",
            plan.nic.mac
        ));
        let mut servers =
            inside(vm, SERVE, &["22", "53", "80", "8080"]).stdout(Stdio::piped()).spawn().expect("python3");
        let mut line = String::new();
        BufReader::new(servers.stdout.as_mut().expect("piped")).read_line(&mut line).expect("says so");
        assert_eq!(line, "ready\n");
        Self { vm, servers }
    }

    fn asks(&self, kind: &str, host: &str, port: u16) -> bool {
        self.asks_for(kind, host, port, 10)
    }

    fn asks_for(&self, kind: &str, host: &str, port: u16, size: u32) -> bool {
        let arguments = [kind, host, &port.to_string(), &size.to_string()];
        inside(self.vm, ASK, &arguments).stderr(Stdio::null()).status().expect("python3").success()
    }

    fn pings(&self, host: &str) -> bool {
        try_sh(&format!("ip netns exec guest{} busybox ping -c 1 -W 1 {host}", self.vm)).0
    }

    fn talks(&self, host: &str, port: u16) -> Talk {
        let mut child = inside(self.vm, TALK, &[host, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let words = BufReader::new(child.stdout.take().expect("piped"));
        let mut talk = Talk { input: child.stdin.take().expect("piped"), words, child };
        assert_eq!(talk.word(), "ok\n", "the connection opens");
        talk
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.servers.kill();
        let _ = self.servers.wait();
        let _ = try_sh(&format!("ip netns del guest{}", self.vm));
    }
}

fn inside(vm: u32, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &format!("guest{vm}"), "python3", "-c", script]).args(arguments);
    command
}

/// An open connection.
struct Talk {
    child: Child,
    input: ChildStdin,
    words: BufReader<ChildStdout>,
}

impl Talk {
    fn word(&mut self) -> String {
        let mut line = String::new();
        self.words.read_line(&mut line).expect("says something");
        line
    }

    fn holds(&mut self) -> bool {
        self.input.write_all(b"more\n").expect("listens");
        self.word() == "ok\n"
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rule(protocol: Protocol, direction: Direction) -> RulePlan {
    RulePlan { protocol, direction, ports: Vec::new(), icmp_type: None, peers: None }
}

fn inbound(port: u16) -> RulePlan {
    RulePlan { ports: vec![(port, port)], ..rule(Protocol::Tcp, Direction::Inbound) }
}

fn everything_out() -> RulePlan {
    rule(Protocol::All, Direction::Outbound)
}

/// The network with one group of these rules on the card of VM 2.
fn with(rules: Vec<RulePlan>) -> NetworkPlan {
    let group = SecurityGroupId(5);
    let cards = vec![GuardedCard { vm: VmId(2), nic: 0, groups: vec![group] }];
    NetworkPlan { guard: Guard { cards, groups: vec![GroupPlan { id: group, version: 1, rules }] }, ..nat() }
}

fn peers(first: &str, last: &str) -> Option<Vec<(IpAddr, IpAddr)>> {
    Some(vec![(first.parse().expect("valid"), last.parse().expect("valid"))])
}

#[test]
fn what_groups_allow_passes_and_nothing_else() {
    if outside("what_groups_allow_passes_and_nothing_else") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let links = HostLinks::new(&settings(directory.path()));
        links.ensure_network(&with(vec![inbound(22), everything_out()])).await.expect("made");
        let (one, two) = (Guest::start(&links, 1).await, Guest::start(&links, 2).await);

        for host in ["10.70.0.12", "fd70::12"] {
            assert!(one.asks("tcp", host, 22), "port 22 is open at {host}");
            assert!(!one.asks("tcp", host, 80), "port 80 is closed at {host}");
            assert!(!one.asks("udp", host, 53), "UDP is closed at {host}");
            assert!(!one.pings(host), "{host} answers no ping");
        }
        // Answers come back, whatever the guest began, in pieces as well, also from beyond the bridge.
        for host in ["10.70.0.11", "fd70::11"] {
            assert!(two.asks("tcp", host, 80) && two.asks("udp", host, 53) && two.pings(host), "answers from {host}");
            assert!(two.asks_for("udp", host, 53, 4000), "answers in pieces from {host}");
        }
        assert!(two.pings("10.70.0.1") && two.pings("fd70::1"), "the router answers");
        assert!(!try_sh("busybox ping -c 1 -W 1 10.70.0.12").0, "the host begins nothing either");
        sh(
            "ip netns add world; ip link add up0 type veth peer name eth0 netns world; ip addr add 192.0.2.1/24 dev up0; \
            ip link set up0 up; ip -n world addr add 192.0.2.9/24 dev eth0; ip -n world link set eth0 up",
        );
        assert!(two.pings("192.0.2.9"), "through address translation and back");

        // Outbound: UDP to one range of peers, one ICMP type, nothing else.
        let dns = RulePlan {
            ports: vec![(53, 53)],
            peers: peers("10.70.0.5", "10.70.0.11"),
            ..rule(Protocol::Udp, Direction::Outbound)
        };
        let ping6 = RulePlan { icmp_type: Some(128), ..rule(Protocol::Icmpv6, Direction::Outbound) };
        links.ensure_network(&with(vec![inbound(22), inbound(80), dns.clone(), ping6])).await.expect("changed");
        assert!(one.asks("tcp", "10.70.0.12", 22) && one.asks("tcp", "fd70::12", 80), "answers to what may come in");
        assert!(two.asks("udp", "10.70.0.11", 53), "what is allowed goes out");
        assert!(!two.asks("udp", "10.70.0.11", 80), "no other port");
        assert!(!two.asks("udp", "fd70::11", 53), "no other peer");
        assert!(!two.asks("tcp", "10.70.0.11", 53), "no other protocol");
        assert!(two.pings("fd70::11") && !two.pings("10.70.0.11"), "ICMPv6 echo only");

        // Nothing at all, and what the guest's address is may still be asked.
        links.ensure_network(&with(Vec::new())).await.expect("changed");
        assert!(!one.asks("tcp", "10.70.0.12", 22) && !two.asks("udp", "10.70.0.11", 8080));
        sh("ip -n guest1 neigh flush all; ip netns exec guest1 busybox arping -c 1 -w 1 -I eth0 10.70.0.12");
        // A second group on the card adds to the first.
        let mut both = with(vec![inbound(22)]);
        both.guard.cards[0].groups.push(SecurityGroupId(6));
        both.guard.groups.push(GroupPlan { id: SecurityGroupId(6), version: 1, rules: vec![inbound(8080)] });
        links.ensure_network(&both).await.expect("changed");
        assert!(one.asks("tcp", "10.70.0.12", 22) && one.asks("tcp", "10.70.0.12", 8080));
        assert!(!one.asks("tcp", "10.70.0.12", 80));

        // Somebody empties the table: the next look mends it.
        sh("nft delete table bridge holm-guard-test-guard");
        assert!(one.asks("tcp", "10.70.0.12", 80), "the rules are gone");
        links.survey().await.expect("mended");
        assert!(!one.asks("tcp", "10.70.0.12", 80) && one.asks("tcp", "10.70.0.12", 8080));

        // No groups any more: everything passes, and nothing is left of them.
        links.ensure_network(&nat()).await.expect("changed");
        assert!(one.asks("tcp", "10.70.0.12", 80) && one.asks("udp", "10.70.0.12", 53));
        let left = sh("nft list table bridge holm-guard-test-guard");
        assert!(!left.contains("ht2-0") && !left.contains("n0g"), "{left}");
        // A lie is a lie with groups as without.
        links.ensure_network(&with(vec![everything_out()])).await.expect("changed");
        sh("ip -n guest2 addr add 10.70.0.99/16 dev eth0");
        let lied = try_sh("ip netns exec guest2 busybox ping -c 1 -W 1 -I 10.70.0.99 10.70.0.11").0;
        assert!(!lied, "a guest lied about its address");
        drop((one, two));
        links.purge().await.expect("removed");
        assert!(!sh("nft list tables").contains("holm-guard-test"));
    });
}

#[test]
fn rules_change_without_cutting_what_is_open() {
    if outside("rules_change_without_cutting_what_is_open") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let links = HostLinks::new(&settings(directory.path()));
        links.ensure_network(&with(vec![inbound(22), everything_out()])).await.expect("made");
        let (one, two) = (Guest::start(&links, 1).await, Guest::start(&links, 2).await);
        let mut came = one.talks("10.70.0.12", 22);
        let mut went = two.talks("fd70::11", 80);
        for rules in [vec![inbound(80)], Vec::new(), vec![inbound(22), everything_out()]] {
            let start = Instant::now();
            links.ensure_network(&with(rules.clone())).await.expect("changed");
            eprintln!("a change of rules: {:?}", start.elapsed());
            assert!(came.holds(), "a connection to the guest was cut by {rules:?}");
            assert!(went.holds(), "a connection of the guest was cut by {rules:?}");
            assert_eq!(one.asks("tcp", "10.70.0.12", 22), rules.contains(&inbound(22)));
            assert_eq!(two.asks("udp", "10.70.0.11", 53), rules.contains(&everything_out()));
        }
        drop((came, went, one, two));
        links.purge().await.expect("removed");
    });
}

fn over(id: u32, kind: NetworkKind) -> NetworkPlan {
    let spec = NetworkSpec { mtu: 1400, ..NetworkSpec::new(kind) };
    NetworkPlan::new(NetworkId(id), format!("n{id}"), spec)
}

#[test]
fn guests_of_isolated_networks_see_each_other_only() {
    if outside("guests_of_isolated_networks_see_each_other_only") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let links = HostLinks::new(&settings(directory.path()));
        links.ensure_network(&over(0, NetworkKind::Isolated)).await.expect("made");
        let (one, two) = (Guest::start(&links, 1).await, Guest::start(&links, 2).await);
        assert!(one.asks("tcp", "10.70.0.12", 80) && two.pings("fd70::11"));
        assert_eq!(sh("ip -o addr show dev hb0").trim(), "", "the host has no address there");
        let out = sh(
            "ip netns exec guest1 ip neigh flush all; ip netns exec guest1 busybox arping -c 1 -w 1 -I eth0 10.70.0.1 || true",
        );
        assert!(out.contains("Received 0"), "{out}");
        drop((one, two));
        links.purge().await.expect("removed");
    });
}

#[test]
fn a_vxlan_carries_frames_between_hosts() {
    if outside("a_vxlan_carries_frames_between_hosts") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let links = HostLinks::new(&settings(directory.path()));
        // Another host: the same segment made by hand.
        sh(
            "ip netns add other; ip link add up0 type veth peer name eth0 netns other; ip addr add 192.0.2.1/24 dev up0; \
            ip link set up0 up; ip -n other addr add 192.0.2.2/24 dev eth0; ip -n other link set eth0 up; \
            ip -n other link add vx type vxlan id 70001 dev eth0 group 239.1.17.113 dstport 8472; \
            ip -n other addr add 10.70.0.200/16 dev vx; ip -n other link set vx mtu 1400 up",
        );
        let kind = |interface: &str, id| NetworkKind::Vxlan { interface: interface.into(), id, multicast: None };
        let plan = over(0, kind("up0", 70_001));
        links.ensure_network(&plan).await.expect("made");
        links.ensure_network(&plan).await.expect("is there");
        let made = sh("ip -d link show hs0");
        for wanted in ["vxlan id 70001", "group 239.1.17.113", "master hb0", "mtu 1400", "dstport 8472"] {
            assert!(made.contains(wanted), "{wanted} is not in {made}");
        }
        let one = Guest::start(&links, 1).await;
        let start = Instant::now();
        while !one.pings("10.70.0.200") {
            assert!(start.elapsed() < Duration::from_secs(10), "frames do not reach the other host");
        }
        // A second network of the same segment is on the same bridge, and leaves it alone when it goes.
        let twin = over(8, kind("up0", 70_001));
        links.ensure_network(&twin).await.expect("shared");
        assert!(!try_sh("ip link show hb8").0);
        links.ensure_network_absent(NetworkId(8)).await.expect("left");
        assert!(one.pings("10.70.0.200"), "the other network went on");
        let fault = links.ensure_network(&over(9, kind("nope0", 5))).await.expect_err("no such interface");
        assert!(fault.says.contains("nope0") && fault.says.contains("up0"), "{fault}");
        // Another process adopts it, another number replaces it.
        drop(one);
        let second = HostLinks::new(&settings(directory.path()));
        second.ensure_ports(VmId(1), &std::collections::BTreeSet::new()).await.expect("removed");
        second.ensure_network(&over(0, kind("up0", 70_002))).await.expect("made anew");
        assert!(sh("ip -d link show hs0").contains("vxlan id 70002"));
        second.purge().await.expect("removed");
        assert!(!try_sh("ip link show hs0").0 && !try_sh("ip link show hb0").0);
        sh("ip netns del other");
    });
}

#[test]
fn a_vlan_carries_tagged_frames() {
    if outside("a_vlan_carries_tagged_frames") {
        return;
    }
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let links = HostLinks::new(&settings(directory.path()));
        sh("ip netns add other; ip link add up0 type veth peer name eth0 netns other; ip link set up0 up; \
            ip -n other link set eth0 up");
        let plan = over(0, NetworkKind::Vlan { interface: "up0".into(), id: 70 });
        let supported = try_sh("ip link add link up0 name probe type vlan id 9").0;
        if !supported {
            // This machine's kernel has no VLANs; then the host must say so and leave nothing behind it could not use.
            let fault = links.ensure_network(&plan).await.expect_err("no VLANs here");
            assert!(fault.says.contains("knows no vlan interfaces"), "{fault}");
            links.purge().await.expect("removed");
            assert!(!try_sh("ip link show hb0").0);
            eprintln!("this kernel has no VLANs: tagged frames were not tried");
            return;
        }
        sh("ip link del probe; ip -n other link add link eth0 name tag type vlan id 70; \
            ip -n other addr add 10.70.0.200/16 dev tag; ip -n other link set tag up");
        links.ensure_network(&plan).await.expect("made");
        let made = sh("ip -d link show hs0");
        assert!(made.contains("vlan protocol 802.1Q id 70") && made.contains("master hb0"), "{made}");
        let one = Guest::start(&links, 1).await;
        assert!(one.pings("10.70.0.200"));
        drop(one);
        links.purge().await.expect("removed");
        sh("ip netns del other");
    });
}
