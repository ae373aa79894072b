// SPDX-License-Identifier: Apache-2.0
//! Decides whether the answer of a time server moves the clock. Pure.
//!
//! SNTP is not authenticated, and any machine that answers DHCP names the server: one answer must
//! not move the clock by years, which would make expired certificates valid, and the reverse. A
//! step of more than [`BOUND`] needs a second source. Small steps of one source add up to [`BOUND`],
//! and a minute a day.

use std::net::IpAddr;

use sys::error::{Error, Result};

use super::drift::{Ms, signed_seconds};

/// Largest step by one source, in milliseconds: 15 minutes. A hardware clock that loses 25 ppm,
/// which is common, is off by this much after more than a year; no certificate is issued for less.
pub const BOUND: Ms = 15 * 60 * 1000;

/// Part of the time that is taken off the sum of the steps of one source: a minute a day, ten times what a crystal without
/// a hardware clock beside it loses. Honest corrections do not add up to [`BOUND`] in months.
const FORGIVEN: Ms = 24 * 60;

/// Returns what is left of a sum of steps by one source after `elapsed`.
#[must_use]
pub fn remaining(alone: Ms, elapsed: Ms) -> Ms {
    let left = alone.saturating_abs() - elapsed.max(0) / FORGIVEN;
    alone.signum() * left.max(0)
}

/// Server that may be asked for the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub name: String,
    /// Card whose DHCP server names the time server; `None` for the user, by a flag.
    pub card: Option<String>,
}

/// Clocks beside the server's: for each, the milliseconds by which the system clock is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// True if nothing has set the clock yet, which begins at the date of the image.
    pub never_set: bool,
    /// A second answer of the server ([`vouches`]).
    pub again: Option<Ms>,
    /// The hardware clock.
    pub rtc: Option<Ms>,
    /// Servers that another card's DHCP server names.
    pub others: Vec<Ms>,
    /// Sum of the steps that one source alone has caused.
    pub alone: Ms,
}

/// Returns the sum of steps without a second source after a step of `offset`.
///
/// # Errors
/// The step needs a second source, and none agrees; the error lists the sources.
pub fn judge(offset: Ms, evidence: &Evidence) -> Result<Ms> {
    let distance = |other: Ms| offset.saturating_sub(other);
    let agrees = |other: &Ms| distance(*other).saturating_abs() <= BOUND;
    if evidence.never_set || evidence.again.is_some_and(|a| agrees(&a)) {
        return Ok(0);
    }
    if evidence.others.iter().any(agrees) {
        return Ok(0);
    }
    if let Some(rtc) = evidence.rtc.filter(agrees) {
        // Every step counts from the hardware clock, so that a server cannot move away from that
        // clock in small steps.
        return Ok(distance(rtc));
    }
    let alone = evidence.alone.saturating_add(offset);
    if alone.saturating_abs() <= BOUND {
        return Ok(alone);
    }
    let rtc = match evidence.rtc {
        Some(rtc) => format!("the hardware clock says {}", signed_seconds(rtc)),
        None => "there is no hardware clock".to_owned(),
    };
    Err(Error::invalid(format!(
        "says that the clock is off by {}, and nothing agrees: {rtc}; the clock stays",
        signed_seconds(offset)
    )))
}

/// Returns true for a server whose second answer counts: one that the user names. A name is resolved by servers
/// that DHCP names, so that only an address is the user's word, where a hardware clock has another.
#[must_use]
pub fn vouches(server: &Server, has_rtc: bool) -> bool {
    server.card.is_none() && (!has_rtc || server.name.parse::<IpAddr>().is_ok())
}

/// Returns the answers of those of `others` that are second sources beside `server`: other servers, named by
/// another card's DHCP server. A server that both name is one.
#[must_use]
pub fn independent(server: &Server, others: &[(Server, Ms)]) -> Vec<Ms> {
    let is_second =
        |(other, _): &&(Server, Ms)| other.card != server.card && other.name != server.name;
    let seconds = others.iter().filter(is_second);
    seconds.map(|(_, offset)| *offset).collect()
}

/// Returns the servers to ask: the user's, else those of DHCP. The file of the network service has
/// one server a line, after a line `# <card>`.
#[must_use]
pub fn servers(configured: Option<&str>, dhcp: &str) -> Vec<Server> {
    if let Some(name) = configured {
        return vec![Server {
            name: name.to_owned(),
            card: None,
        }];
    }
    let mut card = String::new();
    let mut servers = Vec::new();
    for line in dhcp.lines() {
        match line.strip_prefix("# ") {
            Some(name) => card = name.to_owned(),
            None => servers.push(Server {
                name: line.to_owned(),
                card: Some(card.clone()),
            }),
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEARS: Ms = 2_306_613_929_303;
    const MIN: Ms = 60_000;

    fn evidence(rtc: Option<Ms>) -> Evidence {
        Evidence {
            rtc,
            ..Evidence::default()
        }
    }

    #[test]
    fn honest_corrections_do_not_add_up() {
        // 100 ppm, corrected once a day by a server that nothing vouches for.
        let (day, drift) = (24 * 60 * 60 * 1000, 8_640);
        let mut alone = 0;
        for _ in 0..400 {
            let evidence = Evidence {
                alone: remaining(alone, day),
                ..Evidence::default()
            };
            alone = judge(drift, &evidence).unwrap_or(Ms::MAX);
            assert!(alone <= drift);
        }
        assert_eq!(remaining(-90_000, day), -30_000);
        assert_eq!(
            (remaining(90_000, 0), remaining(90_000, -5)),
            (90_000, 90_000)
        );
        assert_eq!(remaining(Ms::MIN, 0), Ms::MIN + 1);
    }

    #[test]
    fn a_large_step_needs_a_second_source() {
        let with = |change: fn(&mut Evidence)| {
            let mut all = evidence(Some(0));
            change(&mut all);
            all
        };
        for (offset, evidence, after) in [
            (YEARS, evidence(Some(0)), None),
            (-YEARS, evidence(Some(0)), None),
            (YEARS, evidence(None), None),
            (86_400_000, evidence(Some(0)), None),
            (BOUND + 1, evidence(Some(0)), None),
            (-BOUND - 1, evidence(None), None),
            (BOUND, evidence(Some(0)), Some(BOUND)),
            (-MIN, evidence(None), Some(-MIN)),
            // The machine stood still, and its hardware clock did not.
            (YEARS, evidence(Some(YEARS - MIN)), Some(MIN)),
            // A wrong hardware clock is no evidence about a small step.
            (MIN, evidence(Some(-YEARS)), Some(MIN)),
            (YEARS, with(|e| e.never_set = true), Some(0)),
            (YEARS, with(|e| e.again = Some(YEARS + 1)), Some(0)),
            (YEARS, with(|e| e.again = Some(0)), None),
            (YEARS, with(|e| e.others = vec![3, YEARS + MIN]), Some(0)),
            (YEARS, with(|e| e.others = vec![3, -YEARS]), None),
            (
                10 * MIN,
                with(|e| {
                    e.rtc = None;
                    e.alone = 6 * MIN
                }),
                None,
            ),
            (Ms::MAX, evidence(Some(Ms::MIN)), None),
            (Ms::MIN, with(|e| e.alone = Ms::MIN), None),
        ] {
            assert_eq!(
                judge(offset, &evidence).ok(),
                after,
                "{offset} {evidence:?}"
            );
        }
        let refused = judge(YEARS, &evidence(Some(0))).map_err(|e| e.to_string());
        let why = refused.err().unwrap_or_default();
        assert!(
            why.contains("+2306613929.303 s, and nothing agrees"),
            "{why}"
        );
    }

    #[test]
    fn small_steps_do_not_add_up_to_a_large_one() {
        for has_rtc in [true, false] {
            let (mut moved, mut alone) = (0, 0);
            for _ in 0..100 {
                let evidence = Evidence {
                    rtc: has_rtc.then_some(-moved),
                    alone,
                    ..Evidence::default()
                };
                if let Ok(after) = judge(4 * MIN, &evidence) {
                    alone = after;
                    moved += 4 * MIN;
                }
            }
            assert!(moved <= BOUND, "{moved}");
        }
    }

    #[test]
    fn a_server_is_no_second_source_beside_itself() {
        let server = |name: &str, card: &str| Server {
            name: name.to_owned(),
            card: Some(card.to_owned()),
        };
        let others = [
            (server("10.0.0.1", "eth0"), 1),
            (server("10.0.0.2", "eth0"), 2),
            (server("10.0.0.3", "eth1"), 3),
        ];
        for (name, card, seconds) in [
            ("10.0.0.9", "eth1", &[1, 2][..]),
            ("10.0.0.1", "eth1", &[2]),
            ("10.0.0.9", "eth0", &[3]),
            ("10.0.0.3", "eth0", &[]),
        ] {
            assert_eq!(independent(&server(name, card), &others), seconds, "{name}");
        }
    }

    #[test]
    fn a_server_given_by_name_is_not_trusted_against_the_hardware_clock() {
        let server = |name: &str, card: Option<&str>| Server {
            name: name.to_owned(),
            card: card.map(str::to_owned),
        };
        for (name, card, with_rtc, without) in [
            ("10.0.0.1", None, true, true),
            ("fe80::1", None, true, true),
            ("ntp.example", None, false, true),
            ("10.0.0.1", Some("eth0"), false, false),
            ("ntp.example", Some("eth0"), false, false),
        ] {
            let server = server(name, card);
            let found = [vouches(&server, true), vouches(&server, false)];
            assert_eq!(found, [with_rtc, without], "{name}");
        }
    }

    #[test]
    fn a_flag_wins_over_dhcp_and_without_both_no_server_is_asked() {
        let named = |configured, dhcp| {
            let all = servers(configured, dhcp).into_iter();
            all.map(|s| (s.name, s.card)).collect::<Vec<_>>()
        };
        let text = "# eth0\n10.0.0.1\n10.0.0.2\n# eth1\n10.1.0.1\n";
        let of = |name: &str, card: &str| (name.to_owned(), Some(card.to_owned()));
        assert_eq!(
            named(Some("ntp.example"), text),
            [("ntp.example".to_owned(), None)]
        );
        let all = [
            of("10.0.0.1", "eth0"),
            of("10.0.0.2", "eth0"),
            of("10.1.0.1", "eth1"),
        ];
        assert_eq!(named(None, text), all);
        assert!(servers(None, "").is_empty());
    }
}
