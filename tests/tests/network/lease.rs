// SPDX-License-Identifier: Apache-2.0
//! DHCP (RFC 2131), on one card.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::eventually;
use tests::lan::dhcp::{Call, DISCOVER, Policy, REQUEST, Say, Server};
use tests::lan::{self, Client, LIMIT, RESOLV, holds, run};

const OWN: [u8; 4] = [192, 0, 2, 1];
const ADDR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 50);
const NTP: &str = "/run/boot2podman/ntp";

/// Starts one card, one server, and the service.
fn start(policy: Policy) -> Result<(Client, Server)> {
    let mut client = Client::new()?;
    client.card("eth0", "192.0.2.1/24")?;
    let server = Server::on("eth0", OWN, policy)?;
    client.start(&["dhcp", "any"])?;
    Ok((client, server))
}

fn leased(policy: Policy) -> Result<(Client, Server)> {
    let (client, server) = start(policy)?;
    client.ready()?;
    server.until(|c| c.kind == REQUEST)?;
    Ok((client, server))
}

/// Returns true for a message of INIT-REBOOT (RFC 2131, 4.3.2), which asks the server to confirm an
/// address.
fn asks_whether_it_is_still_its_own(call: &Call) -> bool {
    let Call {
        kind,
        unicast,
        have,
        want,
        server,
        ..
    } = call;
    (*kind, *unicast, *want, *server) == (REQUEST, false, Some(ADDR), None) && have.is_unspecified()
}

#[test]
fn every_option_of_a_lease_applies_and_is_removed_at_its_expiry() -> Result<()> {
    if !lan::inside("lease::every_option_of_a_lease_applies_and_is_removed_at_its_expiry")? {
        return Ok(());
    }
    let policy = Policy {
        times: [2, 4, 7],
        options: [
            Policy::default().options,
            vec![
                (12, b"leased".to_vec()),
                (15, b"lan.test".to_vec()),
                (26, vec![5, 120]),
                (42, vec![192, 0, 2, 123]),
            ],
        ]
        .concat(),
        ..Policy::default()
    };
    let (client, server) = leased(policy)?;
    client.shows(
        "-4 address show eth0",
        &["192.0.2.50/24", "brd 192.0.2.255", "mtu 1400"],
        &[],
    )?;
    client.shows("route", &["default via 192.0.2.1 dev eth0 metric"], &[])?;
    holds(RESOLV, "search lan.test\nnameserver 192.0.2.53\n")?;
    holds(NTP, "192.0.2.123\n")?;
    holds("/etc/hostname", "leased\n")?;
    holds("/proc/sys/kernel/hostname", "leased\n")?;
    renewed(&client, &server)?;
    ends(&client, &server)
}

/// At T1 the server itself is asked, and grants other options.
fn renewed(client: &Client, server: &Server) -> Result<()> {
    server.now(|p| p.options = vec![(3, vec![192, 0, 2, 2]), (6, vec![192, 0, 2, 54])]);
    // A first request that was repeated because its answer was late has no address yet.
    let call = server.until(|c| c.have == ADDR)?;
    ensure!(call.kind == REQUEST && call.unicast, "{call:?}");
    ensure!(call.want.is_none() && call.server.is_none(), "{call:?}");
    holds(RESOLV, "nameserver 192.0.2.54\n")?;
    holds(NTP, "")?;
    client.shows("-4 address show eth0", &["192.0.2.50/24", "mtu 1500"], &[])?;
    client.shows("route", &["default via 192.0.2.2"], &["192.0.2.1 "])
}

/// The server then falls silent. The client asks this server at T1 and every server at T2, and the
/// lease ends.
fn ends(client: &Client, server: &Server) -> Result<()> {
    server.now(|p| p.say = Say::Nothing);
    // An earlier renewal is granted.
    let first = server.until(|c| c.said == Say::Nothing)?;
    let second = server.next()?;
    ensure!(first.unicast && first.have == ADDR, "at T1: {first:?}");
    ensure!(!second.unicast && second.have == ADDR, "at T2: {second:?}");
    // Two seconds and five, as far as both ends get a processor in time.
    let between = second.at - first.at;
    let right = Duration::from_millis(1000)..Duration::from_secs(6);
    ensure!(right.contains(&between), "T2 is {between:?} after T1");
    let third = server.until(|c| c.kind == DISCOVER)?;
    let between = third.at - first.at;
    let right = Duration::from_secs(4)..Duration::from_secs(12);
    ensure!(right.contains(&between), "the end is {between:?} after T1");
    client.shows("address show eth0", &["eth0"], &["inet "])?;
    client.shows("route show table all", &["local"], &["192.0.2."])?;
    holds(RESOLV, "")?;
    eventually(LIMIT, || {
        let log = client.log();
        ensure!(log.contains("eth0: the lease has ended"), "{log}");
        Ok(())
    })?;
    server.now(|p| p.say = Say::Yes);
    client.shows("-4 address show eth0", &["192.0.2.50/24"], &[])
}

#[test]
fn a_lease_is_confirmed_when_the_carrier_returns() -> Result<()> {
    if !lan::inside("lease::a_lease_is_confirmed_when_the_carrier_returns")? {
        return Ok(());
    }
    let (client, server) = leased(Policy::default())?;
    let link = |state| run("ip", &["link", "set", "to-eth0", state]);
    link("down")?;
    client.shows("address show eth0", &["NO-CARRIER", "192.0.2.50/24"], &[])?;
    server.during(Duration::ZERO)?; // a request of before that was repeated
    let calls = server.during(Duration::from_millis(700))?;
    ensure!(calls.is_empty(), "asks a link that is not there: {calls:?}");
    link("up")?;
    let call = server.next()?;
    ensure!(asks_whether_it_is_still_its_own(&call), "{call:?}");
    client.shows("route", &["default via 192.0.2.1"], &[])?;
    // The interruption is so short that only the kernel's counter shows it.
    link("down")?;
    link("up")?;
    let call = server.next()?;
    ensure!(asks_whether_it_is_still_its_own(&call), "{call:?}");
    another_network(&client, &server, link)
}

/// Moves the link to another network, where the address is refused.
fn another_network(
    client: &Client,
    server: &Server,
    link: impl Fn(&'static str) -> Result<String>,
) -> Result<()> {
    link("down")?;
    client.shows("address show eth0", &["NO-CARRIER"], &[])?;
    server.now(|p| {
        p.say = Say::No;
        p.address = [192, 0, 2, 60];
    });
    link("up")?;
    let call = server.next()?;
    ensure!(asks_whether_it_is_still_its_own(&call), "{call:?}");
    client.shows("address show eth0", &["eth0"], &["192.0.2.50"])?;
    server.now(|p| p.say = Say::Yes);
    let call = server.until(|c| c.kind == DISCOVER)?;
    ensure!(call.want.is_none(), "{call:?}");
    client.shows("address show eth0", &["192.0.2.60/24"], &[])?;
    client.shows("route", &["default via 192.0.2.1"], &[])
}

#[test]
fn a_silent_slow_or_refusing_server_is_asked_again() -> Result<()> {
    if !lan::inside("lease::a_silent_slow_or_refusing_server_is_asked_again")? {
        return Ok(());
    }
    let (client, server) = start(Policy {
        say: Say::Nothing,
        ..Policy::default()
    })?;
    let calls = server.during(Duration::from_secs(6))?;
    ensure!((3..=5).contains(&calls.len()), "in six seconds: {calls:?}");
    ensure!(calls.iter().all(|c| c.kind == DISCOVER), "{calls:?}");
    ensure!(
        calls
            .iter()
            .all(|c| c.name.as_deref() == Some("boot2podman")),
        "{calls:?}"
    );
    // The server refuses its own offer, and is not asked endlessly.
    server.now(|p| p.say = Say::No);
    let calls = server.during(Duration::from_secs(6))?;
    ensure!(calls.iter().any(|c| c.kind == REQUEST), "{calls:?}");
    ensure!(calls.len() <= 14, "in six seconds: {calls:?}");
    // The delay is longer than the first two tries.
    server.now(|p| {
        p.say = Say::Yes;
        p.delay = Duration::from_millis(1600);
    });
    client.ready()?;
    client.shows("address show eth0", &["192.0.2.50/24"], &[])
}

/// Addresses that a user adds stay: in the same network, which depends on the first address there,
/// and in others.
#[test]
fn addresses_that_a_person_added_stay() -> Result<()> {
    if !lan::inside("lease::addresses_that_a_person_added_stay")? {
        return Ok(());
    }
    let (client, server) = start(Policy {
        say: Say::Nothing,
        times: [2, 4, 6],
        ..Policy::default()
    })?;
    client.ip("address add 198.51.100.1/24 dev eth0")?;
    server.now(|p| p.say = Say::Yes);
    client.ready()?;
    let own: Vec<String> = (100..250)
        .flat_map(|n| [format!("192.0.2.{n}/24"), format!("10.0.{n}.1/24")])
        .collect();
    let lines: String = own
        .iter()
        .map(|a| format!("address add {a} dev eth0\n"))
        .collect();
    fs::write("/run/batch", lines)?;
    client.ip("-batch /run/batch")?;
    // Another address, then none.
    server.now(|p| p.address = [192, 0, 2, 70]);
    client.shows("address show eth0", &["192.0.2.70/24"], &["192.0.2.50/"])?;
    server.now(|p| p.say = Say::Nothing);
    client.shows("address show eth0", &["eth0"], &["192.0.2.70/"])?;
    let said = client.ip("-4 address show eth0")?;
    let gone: Vec<_> = own.iter().filter(|a| !said.contains(a.as_str())).collect();
    ensure!(
        gone.is_empty() && said.contains("198.51.100.1/24"),
        "{gone:?} {said}"
    );
    Ok(())
}

/// The kernel knows the lifetime of an address, in case the service has ended by then.
#[test]
fn addresses_of_a_stopped_b2p_net_expire() -> Result<()> {
    if !lan::inside("lease::addresses_of_a_stopped_b2p_net_expire")? {
        return Ok(());
    }
    let (client, server) = leased(Policy {
        times: [600, 600, 600],
        ..Policy::default()
    })?;
    client.shows("address show eth0", &["192.0.2.50/24"], &[])?;
    drop(server);
    let begun = Instant::now();
    eventually(LIMIT, || {
        let said = client.ip("address show eth0")?;
        let left = said
            .split("valid_lft ")
            .nth(1)
            .and_then(|t| t.split("sec").next());
        let left: u64 = left.unwrap_or_default().parse()?;
        ensure!(left <= 598, "{left} after {:?}", begun.elapsed());
        Ok(())
    })
}
