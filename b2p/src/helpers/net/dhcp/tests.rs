use super::*;
use crate::helpers::net::packet::tests::reply;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const HOUR: &[&[u8]] = &[&[51, 4, 0, 0, 0x0e, 0x10]];
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

fn bound() -> Client {
    let mut c = Client::new(MAC, "box");
    assert!(
        matches!(&c.carrier(true, 0, 9)[..], [Output::Broadcast(a)] if a.discover && a.xid == 9)
    );
    let out = c.message(&reply(9, OFFER, HOUR), 1, 0);
    assert!(
        matches!(&out[..], [Output::Broadcast(a)] if !a.discover && a.want == Some(Ipv4Addr::new(10, 0, 2, 15)))
    );
    let out = c.message(&reply(9, ACK, HOUR), 2, 0);
    assert!(matches!(&out[..], [Output::Apply(_)]));
    c
}

#[test]
fn the_straight_way() {
    let c = bound();
    assert_eq!(c.deadline(), Some(1_800_002));
}

#[test]
fn silence_is_asked_ever_less_often() {
    let mut c = Client::new(MAC, "");
    c.carrier(true, 0, 9);
    let (mut now, mut sent) = (0, 1);
    while now < 3_600_000 {
        now = c.deadline().expect("it never gives up");
        sent += c.tick(now, 1).len();
    }
    assert!((60..80).contains(&sent), "{sent} messages in an hour");
}

#[test]
fn an_offer_that_is_not_granted_starts_over() {
    let mut c = Client::new(MAC, "");
    c.carrier(true, 0, 9);
    c.message(&reply(9, OFFER, HOUR), 1, 0);
    let mut last = Vec::new();
    for _ in 0..REQUESTS {
        last = c.tick(c.deadline().unwrap_or(0), 77);
    }
    assert!(
        matches!(&last[..], [Output::Broadcast(a)] if a.discover && a.xid == 77),
        "{last:?}"
    );
}

#[test]
fn a_nak_waits_before_it_starts_over() {
    let mut c = Client::new(MAC, "");
    c.carrier(true, 0, 9);
    c.message(&reply(9, OFFER, HOUR), 1, 0);
    assert_eq!(c.message(&reply(9, NAK, &[]), 2, 5), []);
    assert!(c.deadline().is_some_and(|at| at >= 1000));
}

#[test]
fn renews_rebinds_and_lets_go() {
    let mut c = bound();
    let out = c.tick(1_800_002, 11);
    assert!(
        matches!(&out[..], [Output::Unicast(a, s)] if a.xid == 11 && *s == Ipv4Addr::new(10, 0, 2, 2))
    );
    let mut seen = Vec::new();
    while !seen.contains(&Output::Drop) {
        let at = c.deadline().expect("a next step");
        seen.extend(c.tick(at, 12));
        assert!(at <= 3_600_002);
    }
    assert!(
        seen.iter()
            .any(|o| matches!(o, Output::Unicast(_, s) if s.is_broadcast()))
    );
    assert!(matches!(seen.last(), Some(Output::Broadcast(a)) if a.discover));
    assert!(c.lease().is_none());
}

#[test]
fn a_renewal_starts_the_times_again() {
    let mut c = bound();
    c.tick(1_800_002, 11);
    assert!(matches!(
        &c.message(&reply(11, ACK, HOUR), 1_800_010, 0)[..],
        [Output::Apply(_)]
    ));
    assert_eq!(c.deadline(), Some(3_600_010));
}

const ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// RFC 2131, 4.3.2: the address as an option, nobody's name, and no address of ours.
fn asks_whether_it_is_still_ours(out: &[Output], xid: u32) -> bool {
    let right = |a: &Ask| {
        (a.discover, a.want, a.server, a.have, a.xid)
            == (false, Some(ADDR), None, Ipv4Addr::UNSPECIFIED, xid)
    };
    matches!(out, [Output::Broadcast(a)] if right(a))
}

#[test]
fn a_link_that_returns_asks_for_the_old_address_and_keeps_it() {
    let mut c = bound();
    assert_eq!(c.carrier(false, 10, 0), []);
    assert!(asks_whether_it_is_still_ours(&c.carrier(true, 20, 13), 13));
    assert!(c.lease().is_some());
    let out = c.message(&reply(13, ACK, HOUR), 30, 0);
    assert!(matches!(&out[..], [Output::Apply(_)]));
    assert_eq!(c.deadline(), Some(1_800_030));
}

#[test]
fn in_another_network_the_old_address_goes_at_the_first_no() {
    let mut c = bound();
    c.carrier(false, 10, 0);
    c.carrier(true, 20, 13);
    assert_eq!(c.message(&reply(13, NAK, &[]), 30, 14), [Output::Drop]);
    let out = c.tick(c.deadline().unwrap_or(0), 0);
    assert!(matches!(&out[..], [Output::Broadcast(a)] if a.discover && a.want.is_none()));
}

#[test]
fn where_nobody_knows_the_old_address_a_new_one_is_asked_for() {
    let mut c = bound();
    c.carrier(false, 10, 0);
    c.carrier(true, 20, 13);
    let mut last = Vec::new();
    for _ in 0..REQUESTS {
        last = c.tick(c.deadline().unwrap_or(0), 77);
    }
    assert!(matches!(&last[..], [Output::Broadcast(a)] if a.discover && a.want == Some(ADDR)));
    assert!(c.lease().is_some(), "kept until it ends");
    // To the millisecond, though the next try is a minute away.
    let mut at = 0;
    while c.lease().is_some() {
        at = c.deadline().unwrap_or(0);
        c.tick(at, 78);
    }
    assert_eq!(at, 3_600_002);
}

#[test]
fn after_a_sleep_that_no_clock_saw_it_asks_whether_the_address_is_still_ours() {
    let mut c = bound();
    assert!(asks_whether_it_is_still_ours(&c.doubt(10, 13), 13));
    assert_eq!(c.doubt(11, 14), [], "once");
    assert_eq!(Client::new(MAC, "").doubt(0, 1), []);
}

#[test]
fn a_lease_that_ends_while_the_link_is_down_is_dropped() {
    let mut c = bound();
    c.carrier(false, 10, 0);
    assert_eq!(c.tick(3_600_002, 0), [Output::Drop]);
    assert_eq!(c.deadline(), None);
}

#[test]
fn unasked_answers_change_nothing() {
    let mut c = bound();
    for kind in [OFFER, ACK, NAK] {
        assert_eq!(c.message(&reply(9, kind, HOUR), 5, 0), []);
    }
    assert!(c.lease().is_some());
}
