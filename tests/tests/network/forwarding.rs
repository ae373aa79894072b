// SPDX-License-Identifier: Apache-2.0
//! The machine as a router: for interfaces that are no cards, and for no neighbour.

use anyhow::{Result, ensure};
use tests::lan::{self, Client};

/// Settings of a card and of an interface that is none, in the order of reading.
const SETTINGS: &str = "ipv6/conf/N/accept_ra ipv4/conf/N/rp_filter ipv4/conf/N/arp_ignore \
    ipv4/conf/N/send_redirects ipv4/conf/N/accept_redirects ipv6/conf/N/accept_redirects \
    ipv4/conf/N/accept_source_route";

/// Starts the service on two cards of a machine that forwards, beside a bridge.
fn start() -> Result<Client> {
    let mut client = Client::new()?;
    client.sh("echo 1 >/proc/sys/net/ipv4/ip_forward")?;
    client.sh("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")?;
    // The same as the sysctls of PID 1, for new interfaces.
    client.sh("echo 0 >/proc/sys/net/ipv6/conf/default/accept_ra")?;
    for n in 0..2 {
        client.card(&format!("eth{n}"), &format!("192.0.{n}.1/24"))?;
    }
    client.start(&["dhcp", "any"])?;
    for n in 0..2 {
        client.shows(&format!("link show eth{n}"), &["UP"], &["state DOWN"])?;
        client.ip(&format!("address add 192.0.{n}.9/24 dev eth{n}"))?;
        client.ip(&format!("address add 2001:db8:{n}::9/64 dev eth{n} nodad"))?;
    }
    client.ip("link add br0 type bridge")?;
    client.ip("link set br0 up")?;
    client.ip("address add 10.88.0.1/16 dev br0")?;
    client.ip("address add fd00:88::1/64 dev br0 nodad")?;
    Ok(client)
}

/// Asks the kernel for the route of a packet that arrives by `iif`; an error is a dropped packet.
fn way(client: &Client, from: &str, to: &str, iif: &str) -> Result<String> {
    client.ip(&format!("route get {to} from {from} iif {iif}"))
}

#[test]
fn packets_are_not_forwarded_between_cards() -> Result<()> {
    if !lan::inside("forwarding::packets_are_not_forwarded_between_cards")? {
        return Ok(());
    }
    let client = start()?;
    client.shows("-6 rule", &["iif eth1 blackhole"], &[])?;
    for (from, to, iif) in [
        ("192.0.0.77", "192.0.1.77", "eth0"),
        ("192.0.1.77", "192.0.0.77", "eth1"),
        ("192.0.0.77", "192.0.0.78", "eth0"),
        ("2001:db8:0::77", "2001:db8:1::77", "eth0"),
        ("2001:db8:1::77", "2001:db8:0::77", "eth1"),
    ] {
        let way = way(&client, from, to, iif);
        ensure!(way.is_err(), "{from} to {to}: {way:?}");
    }
    for (from, to, iif, by) in [
        ("192.0.0.77", "10.88.0.5", "eth0", "dev br0"),
        ("192.0.0.77", "192.0.0.9", "eth0", "local"),
        ("10.88.0.5", "192.0.1.77", "br0", "dev eth1"),
        ("2001:db8::77", "fd00:88::5", "eth0", "dev br0"),
        ("2001:db8::77", "2001:db8:0::9", "eth0", "local"),
        ("fd00:88::5", "2001:db8:1::77", "br0", "dev eth1"),
    ] {
        let way = way(&client, from, to, iif)?;
        ensure!(way.contains(by), "{from} to {to}: {way}");
    }
    Ok(())
}

#[test]
fn sysctls_of_cards_bridges_and_other_interfaces() -> Result<()> {
    if !lan::inside("forwarding::sysctls_of_cards_bridges_and_other_interfaces")? {
        return Ok(());
    }
    let client = start()?;
    client.ip("link add veth0 type veth peer name veth1")?;
    for (name, wanted) in [("eth0", "2 2 1 0 0 0 0"), ("eth1", "2 2 1 0 0 0 0")] {
        let said = client.sh(&format!(
            "cd /proc/sys/net; echo $(cat {})",
            SETTINGS.replace('N', name)
        ))?;
        ensure!(said.trim() == wanted, "{name}: {said}");
    }
    for name in ["br0", "veth0", "veth1"] {
        let said = client.sh(&format!("cat /proc/sys/net/ipv6/conf/{name}/accept_ra"))?;
        ensure!(said.trim() == "0", "{name}: {said}");
    }
    Ok(())
}
