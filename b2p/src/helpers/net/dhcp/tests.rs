// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::helpers::net::answer::tests::reply;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const HOUR: &[&[u8]] = &[&[51, 4, 0, 0, 0x0e, 0x10]];
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

fn bound() -> Client {
    let mut c = Client::new(MAC, "box");
    assert!(
        matches!(&c.set_carrier(true, 0, 9)[..], [Action::Broadcast(a)] if a.discover && a.xid == 9)
    );
    let out = c.on_message(&reply(9, OFFER, HOUR), 1, 0);
    assert!(
        matches!(&out[..], [Action::Broadcast(a)] if !a.discover && a.requested_addr == Some(Ipv4Addr::new(10, 0, 2, 15)))
    );
    let out = c.on_message(&reply(9, ACK, HOUR), 2, 0);
    assert!(matches!(&out[..], [Action::Apply(_)]));
    c
}

#[test]
fn discover_offer_request_and_ack_give_a_lease() {
    let c = bound();
    assert_eq!(c.deadline(), Some(1_800_001), "from the request on");
}

#[test]
fn discovers_without_answer_back_off() {
    let mut c = Client::new(MAC, "");
    c.set_carrier(true, 0, 9);
    let (mut now, mut sent) = (0, 1);
    while now < 3_600_000 {
        now = c.deadline().expect("it never gives up");
        sent += c.on_deadline(now, 1).len();
    }
    assert!((60..80).contains(&sent), "{sent} messages in an hour");
}

#[test]
fn an_offer_that_is_not_granted_starts_over() {
    let mut c = Client::new(MAC, "");
    c.set_carrier(true, 0, 9);
    c.on_message(&reply(9, OFFER, HOUR), 1, 0);
    let mut last = Vec::new();
    for _ in 0..MAX_REQUESTS {
        last = c.on_deadline(c.deadline().unwrap_or(0), 77);
    }
    assert!(
        matches!(&last[..], [Action::Broadcast(a)] if a.discover && a.xid == 77),
        "{last:?}"
    );
}

#[test]
fn a_nak_waits_before_it_starts_over() {
    let mut c = Client::new(MAC, "");
    c.set_carrier(true, 0, 9);
    c.on_message(&reply(9, OFFER, HOUR), 1, 0);
    assert_eq!(c.on_message(&reply(9, NAK, &[]), 2, 5), []);
    assert!(c.deadline().is_some_and(|at| at >= 1000));
}

#[test]
fn renews_rebinds_and_lets_go() {
    let mut c = bound();
    let out = c.on_deadline(1_800_002, 11);
    assert!(
        matches!(&out[..], [Action::SendUdp(a, s)] if a.xid == 11 && *s == Ipv4Addr::new(10, 0, 2, 2))
    );
    let mut seen = Vec::new();
    while !seen.contains(&Action::Remove) {
        let at = c.deadline().expect("a next step");
        seen.extend(c.on_deadline(at, 12));
        assert!(at <= 3_600_001);
    }
    assert!(
        seen.iter()
            .any(|o| matches!(o, Action::SendUdp(_, s) if s.is_broadcast()))
    );
    assert!(matches!(seen.last(), Some(Action::Broadcast(a)) if a.discover));
    assert!(c.lease().is_none());
}

#[test]
fn a_renewal_starts_the_times_again() {
    let mut c = bound();
    c.on_deadline(1_800_002, 11);
    assert!(matches!(
        &c.on_message(&reply(11, ACK, HOUR), 1_800_010, 0)[..],
        [Action::Apply(_)]
    ));
    assert_eq!(c.deadline(), Some(3_600_002));
}

const ADDR: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// Returns true for a REQUEST of INIT-REBOOT (RFC 2131, 4.3.2): the address as an option, no
/// server, and no `ciaddr`.
fn asks_whether_it_is_still_ours(out: &[Action], xid: u32) -> bool {
    let right = |a: &ClientMessage| {
        (a.discover, a.requested_addr, a.server, a.client_addr, a.xid)
            == (false, Some(ADDR), None, Ipv4Addr::UNSPECIFIED, xid)
    };
    matches!(out, [Action::Broadcast(a)] if right(a))
}

#[test]
fn a_link_that_returns_asks_for_the_old_address_and_keeps_it() {
    let mut c = bound();
    assert_eq!(c.set_carrier(false, 10, 0), []);
    assert!(asks_whether_it_is_still_ours(
        &c.set_carrier(true, 20, 13),
        13
    ));
    assert!(c.lease().is_some());
    let out = c.on_message(&reply(13, ACK, HOUR), 30, 0);
    assert!(matches!(&out[..], [Action::Apply(_)]));
    assert_eq!(c.deadline(), Some(1_800_020));
}

#[test]
fn a_nak_to_the_old_address_removes_it() {
    let mut c = bound();
    c.set_carrier(false, 10, 0);
    c.set_carrier(true, 20, 13);
    assert_eq!(c.on_message(&reply(13, NAK, &[]), 30, 14), [Action::Remove]);
    let out = c.on_deadline(c.deadline().unwrap_or(0), 0);
    assert!(matches!(&out[..], [Action::Broadcast(a)] if a.discover && a.requested_addr.is_none()));
}

#[test]
fn without_an_answer_about_the_old_address_a_new_one_is_requested() {
    let mut c = bound();
    c.set_carrier(false, 10, 0);
    c.set_carrier(true, 20, 13);
    let mut last = Vec::new();
    for _ in 0..MAX_REQUESTS {
        last = c.on_deadline(c.deadline().unwrap_or(0), 77);
    }
    assert!(
        matches!(&last[..], [Action::Broadcast(a)] if a.discover && a.requested_addr == Some(ADDR))
    );
    assert!(c.lease().is_some(), "kept until it ends");
    // The lease ends to the millisecond, though the next try is a minute away.
    let mut at = 0;
    while c.lease().is_some() {
        at = c.deadline().unwrap_or(0);
        c.on_deadline(at, 78);
    }
    assert_eq!(at, 3_600_001);
}

#[test]
fn after_an_unnoticed_sleep_the_lease_is_confirmed() {
    let mut c = bound();
    assert!(asks_whether_it_is_still_ours(&c.reconfirm(10, 13), 13));
    assert_eq!(c.reconfirm(11, 14), [], "once");
    assert_eq!(Client::new(MAC, "").reconfirm(0, 1), []);
}

#[test]
fn a_lease_that_ends_while_the_link_is_down_is_dropped() {
    let mut c = bound();
    c.set_carrier(false, 10, 0);
    assert_eq!(c.on_deadline(3_600_002, 0), [Action::Remove]);
    assert_eq!(c.deadline(), None);
}

#[test]
fn unasked_answers_change_nothing() {
    let mut c = bound();
    for kind in [OFFER, ACK, NAK] {
        assert_eq!(c.on_message(&reply(9, kind, HOUR), 5, 0), []);
    }
    assert!(c.lease().is_some());
}

#[test]
fn only_the_server_that_was_asked_refuses() {
    let nak = |c: &mut Client, xid| {
        let mut message = reply(xid, NAK, &[]);
        // The identifier of the server, after the type of the message.
        message[243..249].copy_from_slice(&[54, 4, 10, 0, 2, 99]);
        c.on_message(&message, 5, 1)
    };
    let is_ignored = |out: &[Action]| matches!(out, [Action::Refuse(_)]);
    let mut requesting = Client::new(MAC, "");
    requesting.set_carrier(true, 0, 9);
    requesting.on_message(&reply(9, OFFER, HOUR), 1, 0);
    assert!(is_ignored(&nak(&mut requesting, 9)));
    let mut renewing = bound();
    renewing.on_deadline(1_800_001, 33);
    assert!(is_ignored(&nak(&mut renewing, 33)));
    assert!(renewing.lease().is_some());
    // Asked of every server: after a link that was down, and where the own one is silent.
    let mut rebooting = bound();
    rebooting.set_carrier(false, 3, 0);
    rebooting.set_carrier(true, 4, 44);
    assert_eq!(nak(&mut rebooting, 44), [Action::Remove]);
}
