// SPDX-License-Identifier: Apache-2.0
//! Bridges, names between containers, published ports.

use crate::{SOON, detached_in_network, in_network};
use anyhow::{Result, ensure};
use tests::{Checks, Guest, eventually, http};

const PAGE: &str = "hello from the box";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("containers of a network find each other by name", || {
        names(guest)
    });
    checks.check("a published port from inside the machine", || {
        from_inside(guest)
    });
    checks.check("a published port from the host", || from_outside(guest));
    checks.check("connections to a port that is being published end", || {
        while_published(guest)
    });
    checks.check("a container reaches the machine's gateway", || {
        gateway(guest)
    });
    checks.check("containers do not reach the machine's ssh server", || {
        no_ssh(guest)
    });
    checks.check("nor at another port of sshd", || {
        no_ssh_at_another_port(guest)
    });
    checks.check("nor by IPv6, link-local addresses included", || {
        no_ssh_by_ipv6(guest)
    });
    checks.check("networks go away", || removed(guest));
}

/// Starts a web server: busybox's, with one page. The engine has then started the server, which may
/// not listen yet.
fn server(guest: &Guest, name: &str, options: &[&str]) -> Result<()> {
    let httpd = ["httpd", "-f", "-p", "80", "-h", "/www"];
    detached_in_network(guest, name, options, &httpd)?;
    eventually(SOON, || {
        let page = ["exec", name, "wget", "-q", "-O", "-", "http://127.0.0.1/"];
        guest.podman(&page).map(drop)
    })
}

/// Capability for busybox's ping, which opens a raw socket; podman's containers lack it by default.
const PING: &str = "--cap-add=NET_RAW";

fn names(guest: &Guest) -> Result<()> {
    guest.podman(&["network", "create", "pond"])?;
    server(guest, "web", &["--network", "pond"])?;
    let script = "ping -c 1 -W 60 web >/dev/null && wget -q -T 10 -O - http://web/";
    let said = in_network(guest, &["--network", "pond", PING], &["sh", "-c", script])?;
    ensure!(said == PAGE, "{said}");
    // A container on another network does not know the name.
    let elsewhere = [
        "run",
        "--rm",
        tests::image::NAME,
        "wget",
        "-q",
        "-T",
        "10",
        "-O",
        "-",
        "http://web/",
    ];
    let out = guest.podman_out(&elsewhere)?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        said.contains("bad address"),
        "web can be reached from everywhere: {out:?}"
    );
    Ok(())
}

fn from_inside(guest: &Guest) -> Result<()> {
    server(guest, "published", &["--publish", "8080:80"])?;
    let address = guest.address()?;
    for address in [address.as_str(), "127.0.0.1"] {
        let said = guest.sh(&format!("wget -q -T 10 -O - http://{address}:8080/"))?;
        ensure!(said == PAGE, "{address}: {said}");
    }
    Ok(())
}

fn from_outside(guest: &Guest) -> Result<()> {
    let port = guest.vm.port("web")?;
    let answer = eventually(SOON, || http::get_tcp(port, "/"))?;
    ensure!(
        answer.status == 200 && answer.body.contains(PAGE),
        "{answer:?}"
    );
    Ok(())
}

/// Connects without pause and without a time limit while podman publishes a port: each connection is refused or reset
/// until the container's rules exist, and none waits in the queue of the socket with which podman reserves the port. For
/// a container with a user namespace, podman makes the rules later.
fn while_published(guest: &Guest) -> Result<()> {
    for namespace in ["", "--uidmap=0:200000:5000"] {
        guest.sh(
            "rm -f /run/published /run/connected; cat >/run/connect <<'END'
for n in $(seq 600); do
    (echo begun; nc 127.0.0.1 8090 </dev/zero >/dev/null 2>&1; echo ended) >>/run/connected &
    sleep 0.03
    test ! -e /run/published || break
done
END
            sh /run/connect >/dev/null 2>&1 </dev/null &",
        )?;
        let options: Vec<&str> = ["--publish", "8090:80", namespace]
            .into_iter()
            .filter(|option| !option.is_empty())
            .collect();
        detached_in_network(guest, "published-late", &options, &["sleep", "1000"])?;
        guest.sh("touch /run/published")?;
        let counts = "sleep 1; for word in begun ended; do grep -c $word /run/connected; done";
        eventually(SOON, || {
            let said = guest.sh(counts)?;
            let counts: Vec<&str> = said.lines().collect();
            ensure!(
                counts.len() == 2 && counts[0] == counts[1],
                "{namespace}: {said}"
            );
            Ok(())
        })?;
        guest.podman(&["rm", "-f", "-t", "0", "published-late"])?;
    }
    Ok(())
}

/// Pings 10.0.2.2, which QEMU itself answers without any network outside.
fn gateway(guest: &Guest) -> Result<()> {
    in_network(guest, &[PING], &["ping", "-c", "1", "-W", "60", "10.0.2.2"]).map(drop)
}

/// Tries the addresses of the bridge and of the card from podman's default network, then a
/// published port, which the rule for port 22 leaves alone.
fn no_ssh(guest: &Guest) -> Result<()> {
    let address = guest.address()?;
    let ssh = |address: &str| format!("echo | nc -w 3 {address} 22 | grep SSH || echo none");
    let script = format!("{}; {}", ssh("10.88.0.1"), ssh(&address));
    let said = in_network(guest, &[], &["sh", "-c", &script])?;
    ensure!(said == "none\nnone", "{said}");
    let url = format!("http://{address}:8080/");
    let said = in_network(guest, &[], &["wget", "-q", "-T", "10", "-O", "-", &url])?;
    ensure!(said == PAGE, "{said}");
    let dropped =
        guest.sh("nft list chain inet boot2podman ssh | grep -c 'packets 0 bytes' || true")?;
    ensure!(dropped == "0", "nothing was dropped");
    Ok(())
}

/// Tries a further port of the owner's sshd_config(5), which the console names as well.
fn no_ssh_at_another_port(guest: &Guest) -> Result<()> {
    let config = "/etc/ssh/sshd_config";
    guest.sh(&format!(
        "cp {config} /root/kept && (echo Port 2222; echo Port 22; cat /root/kept) >{config} && b2p restart sshd"
    ))?;
    eventually(SOON, || {
        let said = guest.sh("sort -n /run/boot2podman/sshd.ports")?;
        ensure!(said == "22\n2222", "{said}");
        Ok(())
    })?;
    // The rules are looked at when a container starts.
    in_network(guest, &[], &["true"])?;
    eventually(SOON, || {
        guest.sh("nft list chain inet boot2podman ssh | grep 'dport { 22, 2222 }'")
    })?;
    let script =
        "for port in 22 2222; do echo | nc -w 3 10.88.0.1 $port | grep SSH; done; echo none";
    let said = in_network(guest, &[], &["sh", "-c", script])?;
    ensure!(said == "none", "{said}");
    let banner = guest.sh("echo | nc -w 9 127.0.0.1 2222 | head -c 4")?;
    ensure!(banner == "SSH-", "{banner}");
    let console = guest.sh("sed -i 2d /run/boot2podman/sshd.ports; b2p console status")?;
    guest.sh(&format!("mv /root/kept {config} && b2p restart sshd"))?;
    eventually(SOON, || guest.sh("grep -x 22 /run/boot2podman/sshd.ports"))?;
    ensure!(console.contains("  ssh -p 2222 core@10."), "{console}");
    Ok(())
}

/// Expects that packets from a new network to each IPv6 address of its bridge are dropped.
fn no_ssh_by_ipv6(guest: &Guest) -> Result<()> {
    // The bridge has a name that is like no other bridge's.
    let create = [
        "network",
        "create",
        "--ipv6",
        "--interface-name",
        "lan7",
        "six",
    ];
    guest.podman(&create)?;
    detached_in_network(guest, "six", &["--network", "six"], &["sleep", "1000"])?;
    let format = "{{.NetworkInterface}}";
    let bridge = guest.sh(&format!("podman network inspect six --format '{format}'"))?;
    let chain = "nft list chain inet boot2podman ssh";
    eventually(SOON, || {
        let said = guest.sh(chain)?;
        // No bridge is named: the rule is there before the next one is.
        let is_for_all = said.contains("meta iifkind \"bridge\" tcp dport 22");
        ensure!(is_for_all, "{said}");
        Ok(())
    })?;
    let counted = || -> Result<u64> {
        let said = guest.sh(&format!("{chain} | grep -o 'packets [0-9]*'"))?;
        Ok(said.trim_start_matches("packets ").parse()?)
    };
    let said = eventually(SOON, || {
        let said = guest.sh(&format!("ip -6 -o addr show dev {bridge}"))?;
        let is_usable = said.lines().count() == 2 && !said.contains("tentative");
        ensure!(is_usable, "{said}");
        Ok(said)
    })?;
    let words = said.lines().filter_map(|l| l.split_whitespace().nth(3));
    for address in words.filter_map(|word| word.split('/').next()) {
        let before = counted()?;
        let zone = if address.starts_with("fe80") {
            "%eth0"
        } else {
            ""
        };
        let script = format!("echo | nc -w 3 {address}{zone} 22 | grep SSH || echo none");
        let said = guest.podman(&["exec", "six", "sh", "-c", &script])?;
        ensure!(said == "none", "{address}: {said}");
        ensure!(counted()? > before, "{address}: nothing was dropped");
    }
    guest.podman(&["rm", "-f", "-t", "0", "six"])?;
    guest.podman(&["network", "rm", "six"]).map(drop)
}

fn removed(guest: &Guest) -> Result<()> {
    guest.podman(&["rm", "--force", "--time", "0", "web", "published"])?;
    guest.podman(&["network", "rm", "pond"])?;
    let left = guest.sh("ip -o link show | grep -c ': podman1' || true")?;
    ensure!(left == "0", "the bridge is still there");
    Ok(())
}
