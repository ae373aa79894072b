use super::*;
use crate::net::packet::tests::reply;

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

#[test]
fn a_link_that_returns_asks_for_the_old_address_and_keeps_it() {
    let mut c = bound();
    assert_eq!(c.carrier(false, 10, 0), []);
    let out = c.carrier(true, 20, 13);
    assert!(
        matches!(&out[..], [Output::Broadcast(a)] if a.want == Some(Ipv4Addr::new(10, 0, 2, 15)))
    );
    assert!(c.lease().is_some());
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
