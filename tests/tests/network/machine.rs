// SPDX-License-Identifier: Apache-2.0
//! A whole machine in a network where this test is the name server and the time server: QEMU's user
//! network forwards requests to 10.0.2.3 (names) and 10.0.2.2 to the loopback of the test's
//! namespace.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::{Checks, Guest, eventually, http, image, lan};

const SOON: Duration = Duration::from_secs(90);
/// Address of the name server in the second card's network.
const SECOND: &str = "10.0.9.7";

#[test]
fn name_servers_time_servers_and_listening_ports() -> Result<()> {
    if !lan::inside("machine::name_servers_time_servers_and_listening_ports")? {
        return Ok(());
    }
    let resolv = std::env::temp_dir().join(format!("b2p-resolv-{}", std::process::id()));
    fs::write(&resolv, "nameserver 127.0.0.1\n")?;
    let path = resolv.display().to_string();
    lan::run("mount", &["--bind", &path, "/etc/resolv.conf"])?;
    lan::names::serve()?;
    lan::time::serve()?;
    let guest = Guest::boot("network", |machine| {
        machine
            .memory_mib(1536)
            .qemu_args(&["-rtc", "base=2031-02-03T04:05:06"])
            .qemu_args(&["-device", "pcie-root-port,id=port1,chassis=1"])
            .append("ntpserver=10.0.2.2 b2p.data=off")
    })?;
    let mut checks = Checks::new("network");
    checks.check("a time server puts the clock right", || clock(&guest));
    checks.check("containers ask the machine's name server", || {
        containers(&guest)
    });
    checks.check("routers count on cards alone", || routers(&guest));
    checks.check(
        "a card that is plugged in brings another, and they follow",
        || plugged(&guest),
    );
    checks.check(
        "a neighbour does not reach what containers do not publish",
        || neighbour(&guest),
    );
    checks.check("nothing listens but what is in the table", || {
        // A question to a name server or a time server has a socket for a moment.
        eventually(SOON, || listening(&guest))
    });
    checks.check(
        "a card that is pulled out takes its name server along",
        || pulled(&guest),
    );
    checks.check("a card in the network of containers keeps it", || {
        overlapping(&guest)
    });
    let done = checks.finish(&guest);
    fs::remove_file(resolv)?;
    done
}

/// Expects one logged step from 2031 to now.
fn clock(guest: &Guest) -> Result<()> {
    let said = eventually(SOON, || {
        alone(guest, "dmesg | grep 'clock stepped by -.* s: 10.0.2.2'")
    })?;
    ensure!(said.lines().count() == 1, "{said}");
    let host = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|d| d.as_secs())
    };
    let before = host()?;
    let there: u64 = alone(guest, "date +%s")?.parse()?;
    let after = host()?;
    ensure!(
        before <= there + 2 && there <= after + 2,
        "{before} {there} {after}"
    );
    Ok(())
}

/// Runs one container on podman's default network, and one on a network with names.
fn containers(guest: &Guest) -> Result<()> {
    let archive = image::archive(guest.vm.dir())?.display().to_string();
    guest.podman(&["load", "-i", &archive])?;
    guest.podman(&["network", "create", "pond"])?;
    for (name, network) in [("plain", "podman"), ("named", "pond")] {
        let options = ["run", "--detach", "--name", name, "--network", network];
        guest.podman(&[&options[..], &[image::NAME, "sleep", "10000"]].concat())?;
        eventually(SOON, || resolves(guest, name))?;
    }
    let own = inside(guest, "named", &["cat", "/etc/resolv.conf"])?;
    ensure!(
        !own.contains("10.0.2.3"),
        "it has no name server of its own: {own}"
    );
    Ok(())
}

/// Expects that no host may advertise itself as a router on podman's bridges, with IPv6 and
/// without, and on the containers' ends.
fn routers(guest: &Guest) -> Result<()> {
    guest.podman(&["network", "create", "--ipv6", "lake"])?;
    let options = ["run", "--detach", "--name", "swan", "--network", "lake"];
    guest.podman(&[&options[..], &[image::NAME, "sleep", "10000"]].concat())?;
    let said = guest.sh("cd /proc/sys/net/ipv6/conf; grep . */accept_ra")?;
    let has = |line: &str| said.lines().any(|said| said == line);
    ensure!(has("eth0/accept_ra:2"), "{said}");
    for name in "podman0 podman1 podman2 veth0 veth1 veth2 default".split(' ') {
        ensure!(has(&format!("{name}/accept_ra:0")), "{name}: {said}");
    }
    guest.podman(&["rm", "--force", "--time", "0", "swan"])?;
    guest.podman(&["network", "rm", "lake"]).map(drop)
}

fn inside(guest: &Guest, name: &str, command: &[&str]) -> Result<String> {
    guest.podman(&[&["exec", name], command].concat())
}

fn resolves(guest: &Guest, name: &str) -> Result<()> {
    let said = inside(guest, name, &["nslookup", "some.test."])?;
    ensure!(said.contains("192.0.2.77"), "{name}: {said}");
    Ok(())
}

/// Plugs a card; the first name server is unreachable by then.
fn plugged(guest: &Guest) -> Result<()> {
    guest.sh("ip route add blackhole 10.0.2.3")?;
    ensure!(resolves(guest, "named").is_err(), "10.0.2.3 is still asked");
    let net = json!({"type": "user", "id": "net1", "net": "10.0.9.0/24", "dns": SECOND});
    guest.vm.qmp_with("netdev_add", &net)?;
    let card = json!({"driver": "virtio-net-pci", "netdev": "net1", "id": "card1", "bus": "port1"});
    guest.vm.qmp_with("device_add", &card)?;
    let both = format!("nameserver 10.0.2.3\nnameserver {SECOND}");
    eventually(SOON, || {
        let said = guest.sh("cat /etc/resolv.conf")?;
        ensure!(said.contains(&both), "{said}");
        Ok(())
    })?;
    eventually(SOON, || {
        let routes = guest.sh("ip route")?;
        let first = routes.lines().next().unwrap_or_default();
        ensure!(first.contains("default via 10.0.2.2"), "{routes}");
        ensure!(routes.contains("default via 10.0.9.2"), "{routes}");
        Ok(())
    })?;
    // docs/guide/network.md documents this value.
    let filters = guest.sh("cat /proc/sys/net/ipv4/conf/{all,default,eth0,eth1}/rp_filter")?;
    ensure!(filters == "0\n0\n2\n2", "rp_filter: {filters}");
    for name in ["named", "plain"] {
        eventually(SOON, || resolves(guest, name))?;
    }
    let own = inside(guest, "plain", &["cat", "/etc/resolv.conf"])?;
    ensure!(own.contains(&both), "{own}");
    guest.sh("ip route del blackhole 10.0.2.3").map(drop)
}

fn pulled(guest: &Guest) -> Result<()> {
    guest.vm.qmp_with("device_del", &json!({"id": "card1"}))?;
    eventually(SOON, || {
        let said = guest.sh("cat /etc/resolv.conf; ip route")?;
        ensure!(!said.contains("10.0.9."), "{said}");
        Ok(())
    })?;
    // Containers follow the machine.
    eventually(SOON, || {
        let own = inside(guest, "plain", &["cat", "/etc/resolv.conf"])?;
        ensure!(own.contains("10.0.2.3") && !own.contains(SECOND), "{own}");
        Ok(())
    })?;
    ["named", "plain"]
        .iter()
        .try_for_each(|name| eventually(SOON, || resolves(guest, name)))
}

/// Port of the test that leads to ssh by the card in 10.88.0.0/16.
const SSH: u16 = 4003;

/// Plugs a card into the network that podman0 has, and then starts the containers again.
fn overlapping(guest: &Guest) -> Result<()> {
    let forward = format!("tcp:127.0.0.1:{SSH}-10.88.2.15:22");
    let net =
        json!({"type": "user", "id": "net2", "net": "10.88.0.0/16", "hostfwd": [{"str": forward}]});
    guest.vm.qmp_with("netdev_add", &net)?;
    let card = json!({"driver": "virtio-net-pci", "netdev": "net2", "id": "card2", "bus": "port1"});
    eventually(SOON, || guest.vm.qmp_with("device_add", &card))?;
    let line = "net: the network 10.88.0.0/16 of the bridge podman0 overlaps 10.88.0.0/16 of eth1";
    eventually(SOON, || {
        let said = guest.sh("cat /run/boot2podman/degraded; ip -4 address; ip rule; ip route")?;
        ensure!(
            said.contains(line) && said.contains("10.88.2.15/16"),
            "{said}"
        );
        Ok(())
    })?;
    // The answers leave by the card, though the bridge's route takes precedence.
    eventually(SOON, banner)?;
    guest.sh("ip route get 10.88.2.3 | grep eth1")?;
    // IPv6, and a route within a bridge's network.
    guest.sh(
        "ip route add 10.89.0.128/25 dev eth1; ip address add fd00:88::1/64 dev podman0; \
         ip address add fd00:88::2/72 dev eth1",
    )?;
    let podman1 = "podman1 overlaps 10.89.0.128/25 of eth1";
    for line in ["podman0 overlaps fd00:88::/72 of eth1", podman1] {
        eventually(SOON, || {
            let said = guest.sh("cat /run/boot2podman/degraded")?;
            ensure!(said.contains(line), "{line}: {said}");
            Ok(())
        })?;
    }
    guest.sh("ip route del 10.89.0.128/25")?;
    guest.podman(&["rm", "--force", "--all", "--time", "0"])?;
    eventually(SOON, || {
        // No rule of a card that is gone is left.
        guest.sh("! ip rule | grep 10.0.9")?;
        let said = guest.sh("cat /run/boot2podman/degraded; grep default_subnet /usr/share/containers/containers.conf")?;
        ensure!(said == "default_subnet = \"10.87.0.0/16\"", "{said}");
        Ok(())
    })?;
    // The API's process, which had read its configuration before, has ended.
    let options = [
        "run",
        "--detach",
        "--name",
        "moved",
        image::NAME,
        "sleep",
        "10000",
    ];
    guest.podman(&options)?;
    let bridge = guest.sh("ip -4 address show podman0")?;
    ensure!(bridge.contains("10.87.0.1/16"), "{bridge}");
    eventually(SOON, banner)?;
    guest
        .vm
        .qmp_with("device_del", &json!({"id": "card2"}))
        .map(drop)
}

/// Reads the first bytes that sshd sends.
fn banner() -> Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", SSH))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut bytes = [0; 4];
    socket.read_exact(&mut bytes)?;
    ensure!(&bytes == b"SSH-", "{bytes:?}");
    Ok(())
}

/// Sends packets for the bridge's network as a neighbour: the host is one here, and QEMU sends its
/// packets to the card. proxy_arp makes the machine answer for the network, as a router would.
fn neighbour(guest: &Guest) -> Result<()> {
    guest.sh("echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp")?;
    let container = [
        "inspect",
        "--format",
        "{{.NetworkSettings.Networks.pond.IPAddress}}",
        "named",
    ];
    let container = guest.podman(&container)?;
    guest.podman(&[
        "exec", "--detach", "named", "httpd", "-f", "-p", "80", "-h", "/www",
    ])?;
    let forward = |port: u16, to: &str| -> Result<u16> {
        let line = format!("hostfwd_add net0 tcp:127.0.0.1:{port}-{to}");
        let say = json!({"command-line": line});
        let said = guest.vm.qmp_with("human-monitor-command", &say)?;
        ensure!(said == "", "{line}: {said}");
        Ok(port)
    };
    let direct = forward(4001, &format!("{container}:80"))?;
    let dropped = "nft list chain inet boot2podman ways-in | grep 10.89.0.0/24";
    eventually(SOON, || {
        // No answer arrives: the test waits for the rule's counter.
        let socket = TcpStream::connect(("127.0.0.1", direct))?;
        let said = guest.sh(dropped)?;
        drop(socket);
        ensure!(!said.contains("packets 0 "), "{said}");
        Ok(())
    })?;
    // Without the rule, the same packets arrive. The published port is always open.
    guest.sh("nft delete table inet boot2podman")?;
    let open = eventually(SOON, || http::get_tcp(direct, "/"))?;
    ensure!(open.status == 200, "{open:?}");
    guest.sh("b2p restart net")?;
    eventually(SOON, || guest.sh(dropped))?;
    let options = [
        "run",
        "--detach",
        "--name",
        "web",
        "--network",
        "pond",
        "--publish",
        "8080:80",
    ];
    let server = ["httpd", "-f", "-p", "80", "-h", "/www"];
    guest.podman(&[&options[..], &[image::NAME], &server].concat())?;
    let published = forward(4002, "10.0.2.15:8080")?;
    let said = eventually(SOON, || http::get_tcp(published, "/"))?;
    ensure!(said.status == 200, "{said:?}");
    guest
        .podman(&["rm", "--force", "--time", "0", "web"])
        .map(drop)
}

/// Sockets that docs/guide/network.md explains: table, address, port.
const ALLOWED: &[(&str, &str, u16)] = &[
    ("tcp", "0.0.0.0", 22),
    ("tcp6", "::", 22),
    ("udp", "10.89.0.1", 53),
    ("tcp", "10.89.0.1", 53),
];

/// Compares all socket tables of the kernel, in the machine's own network namespace.
fn listening(guest: &Guest) -> Result<()> {
    let script = "cd /proc/net; for t in tcp tcp6 udp udp6 udplite udplite6 raw raw6 icmp icmp6; \
                  do test -e $t && sed \"1d;s/^/$t /\" $t; done; sed '1d;s/^/packet /' packet";
    let said = guest.sh(script)?;
    let mut seen = Vec::new();
    for line in said.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.first() == Some(&"packet") {
            // b2p net has one packet socket per card: IPv4 (0800), filtered to DHCP's answers.
            ensure!(fields.get(4) == Some(&"0800"), "{line}");
            continue;
        }
        let (table, local, state) = (fields[0], fields[2], fields[4]);
        // TCP_LISTEN; a UDP socket without a peer (net/tcp_states.h).
        let wanted = if table.starts_with("tcp") { "0A" } else { "07" };
        if state == wanted {
            seen.push(socket(table, local).with_context(|| line.to_owned())?);
        }
    }
    let allowed = |s: &(String, String, u16)| {
        ALLOWED
            .iter()
            .any(|(t, a, p)| (*t, *a, *p) == (s.0.as_str(), s.1.as_str(), s.2))
    };
    let strange: Vec<_> = seen.iter().filter(|s| !allowed(s)).collect();
    ensure!(strange.is_empty(), "{strange:?} in\n{said}");
    ensure!(
        seen.len() == ALLOWED.len(),
        "{seen:?}: less than is in the table"
    );
    Ok(())
}

/// Parses `0100007F:0016`: words in the machine's own byte order, and the port.
fn socket(table: &str, local: &str) -> Option<(String, String, u16)> {
    let (address, port) = local.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_le_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let address = match *bytes.as_slice() {
        [a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
        _ => std::net::Ipv6Addr::from(*bytes.first_chunk::<16>()?).to_string(),
    };
    Some((
        table.to_owned(),
        address,
        u16::from_str_radix(port, 16).ok()?,
    ))
}

/// Uses a connection of its own: a step of the clock may have broken the shared one.
fn alone(guest: &Guest, script: &str) -> Result<String> {
    tests::text(&guest.ssh_alone("root", script)?)
}
