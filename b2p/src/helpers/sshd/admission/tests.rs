// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

const LIMITS: Limits = Limits {
    sessions: 8,
    working: 3,
    silent: 2,
    waiting: 100,
    waiting_per_source: 90,
    unread: 10_000,
};
const NOW: Millis = 100_000;

fn source(addr: &str) -> Source {
    addr.parse::<IpAddr>().unwrap().into()
}

const SOFTWARE: Software = 7;

fn client(addr: &str, has_identified: bool) -> Client {
    Client {
        source: source(addr),
        software: has_identified.then_some(SOFTWARE),
    }
}

/// A client: its address, and true if its identification string has arrived.
type Comer<'a> = (&'a str, bool);

/// Returns an admission where these clients wait, the first the oldest; their numbers are their
/// places.
fn waiting(clients: &[Comer<'_>]) -> Admission {
    let mut admission = Admission::new(LIMITS);
    for (id, (addr, has_identified)) in (0..).zip(clients) {
        assert_eq!(admission.add(id, source(addr), NOW), None);
        if *has_identified {
            admission.identify(id, SOFTWARE);
        }
    }
    admission
}

/// A session that certainly has no login.
fn session(addr: &str, age: Millis, unanswered: Millis) -> Session {
    Session {
        client: client(addr, true),
        since: NOW - age,
        has_no_login: true,
        is_working: unanswered == 0,
        unanswered,
        is_ending: false,
    }
}

fn step(clients: &[Comer<'_>], sessions: &[Session]) -> Option<Step> {
    waiting(clients).next(sessions, NOW)
}

fn start(id: Id, addr: &str) -> Option<Step> {
    Some(Step::Start(id, client(addr, true)))
}

#[test]
fn limits_follow_the_memory() {
    for (mib, cpus, sessions, working, waiting, unread_mib) in [
        (0, 0, 4, 2, 512, 2),
        (64, 1, 4, 2, 512, 2),
        (128, 2, 4, 2, 640, 2),
        (256, 4, 8, 4, 1_280, 4),
        (1_024, 64, 24, 16, 4_096, 16),
        (u64::MAX / 2, 2, 24, 2, 4_096, 32),
    ] {
        let want = Limits {
            sessions,
            working,
            silent: sessions / 4,
            waiting,
            waiting_per_source: waiting / 4 * 3,
            unread: unread_mib << 20,
        };
        assert_eq!(Limits::of_machine(mib, cpus), want, "{mib}");
        // A packet of each connection has room.
        assert!(want.unread > waiting as u64 * 1_280, "{mib}");
    }
}

#[test]
fn a_source_is_an_address_or_a_64() {
    for (a, b, same) in [
        ("10.0.2.2", "10.0.2.2", true),
        ("10.0.2.2", "::ffff:10.0.2.2", true),
        ("10.0.2.2", "10.0.2.3", false),
        ("2001:db8::1", "2001:db8::ffff:2", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
        ("::1", "0.0.0.1", false),
    ] {
        assert_eq!(source(a) == source(b), same, "{a} {b}");
    }
}

const USER: &str = "10.0.2.2";
const OTHER: &str = "192.0.2.1";

#[test]
fn an_idle_machine_serves_each_client_at_once() {
    for has_identified in [true, false] {
        let started = Step::Start(0, client(USER, has_identified));
        assert_eq!(step(&[(USER, has_identified)], &[]), Some(started));
    }
    assert_eq!(step(&[], &[]), None);
}

#[test]
fn clients_that_sent_no_banner_wait() {
    let few = [session(USER, 500, 400); 2];
    let mut clients = vec![(USER, false); 50];
    assert_eq!(step(&clients, &few), None);
    clients[20].1 = true;
    assert_eq!(step(&clients, &few), start(20, USER));
    // No session loses a slot to a silent client, or shares the processors with one.
    let full = [session(USER, 20_000, 20_000); 8];
    assert_eq!(step(&clients[..20], &full), None);
    assert_eq!(step(&clients[..20], &[session(USER, 50, 0)]), None);
}

#[test]
fn the_newest_of_the_source_with_the_fewest_sessions_comes_first() {
    let sessions = [session(USER, 500, 9), session(USER, 400, 9)];
    let clients = [(USER, true), (OTHER, true), (OTHER, true), (USER, true)];
    assert_eq!(step(&clients, &sessions), start(2, OTHER));
    assert_eq!(step(&clients, &[]), start(3, USER));
}

#[test]
fn another_program_at_the_same_address_is_another_client() {
    let mut admission = waiting(&[(USER, false), (USER, true), (USER, true)]);
    admission.identify(0, SOFTWARE + 1);
    let mut sessions = vec![session(USER, 500, 9); 2];
    let user = Client {
        software: Some(SOFTWARE + 1),
        ..client(USER, true)
    };
    assert_eq!(admission.next(&sessions, NOW), Some(Step::Start(0, user)));
    // The newest have turns.
    sessions[0].client = user;
    assert_eq!(admission.next(&sessions, NOW), start(1, USER));
    assert_eq!(admission.next(&sessions, NOW), start(2, USER));
}

#[test]
fn with_all_slots_taken_the_session_that_owes_an_answer_ends() {
    let newcomer = [(USER, true)];
    let mut sessions = [session(USER, 9_000, 100); 8];
    assert_eq!(step(&newcomer, &sessions), None, "all log in");
    sessions[3] = session(USER, 3_000, 2_500);
    assert_eq!(step(&newcomer, &sessions), Some(Step::End(3)));
    // One that answers now and then, for longer than a login takes.
    sessions[3] = session(USER, 10_000, 100);
    assert_eq!(step(&newcomer, &sessions), Some(Step::End(3)));
    // A session with a login, or one that starts, is never ended.
    sessions[3].has_no_login = false;
    sessions[3].unanswered = 90_000;
    assert_eq!(step(&newcomer, &sessions), None);
}

#[test]
fn no_more_work_at_once_than_the_processors_have_time_for() {
    let newcomer = [(USER, true)];
    let mut sessions = [session(USER, 100, 0); 3];
    assert_eq!(step(&newcomer, &sessions), None);
    sessions[1].is_working = false;
    assert_eq!(step(&newcomer, &sessions), None, "many have no login");
    sessions[2].is_working = false;
    assert_eq!(step(&newcomer, &sessions), start(0, USER));
}

#[test]
fn sessions_end_one_by_one_and_those_of_the_heaviest_source_first() {
    let mut sessions = [session(OTHER, 5_000, 4_000); 8];
    sessions[0] = session("192.0.2.7", 8_000, 8_000);
    sessions[5].since = NOW - 6_000;
    let mut admission = waiting(&[(USER, true)]);
    assert_eq!(admission.next(&sessions, NOW), Some(Step::End(5)));
    assert_eq!(admission.next(&sessions, NOW + PACE - 1), None);
    sessions[5].is_ending = true;
    assert_eq!(
        admission.next(&sessions, NOW + PACE),
        None,
        "one is on its way out"
    );
    sessions[5].is_ending = false;
    assert_eq!(admission.next(&sessions, NOW + PACE), Some(Step::End(5)));
}

#[test]
fn a_freed_slot_goes_to_the_client_it_was_freed_for() {
    let sessions = [session(OTHER, 5_000, 4_000); 8];
    for is_removed in [false, true] {
        let mut admission = waiting(&[(OTHER, true), (USER, true)]);
        assert_eq!(admission.next(&sessions, NOW), Some(Step::End(0)));
        assert_eq!(admission.add(2, source(OTHER), NOW), None);
        admission.identify(2, SOFTWARE);
        if is_removed {
            admission.remove(1);
        }
        let next = admission.next(&sessions[1..], NOW);
        let want = if is_removed {
            start(0, OTHER)
        } else {
            start(1, USER)
        };
        assert_eq!(next, want);
    }
}

#[test]
fn too_many_are_closed_the_oldest_silent_of_the_heaviest_source_first() {
    let mut clients = vec![(OTHER, true); 59];
    clients.push((OTHER, false));
    clients.extend([(USER, false); 40]);
    let mut admission = waiting(&clients);
    assert_eq!(admission.add(100, source(USER), NOW), Some(59));
    assert_eq!(admission.add(101, source(USER), NOW), Some(0));
    assert_eq!(admission.shed(), Some(1));
    // One source does not get all slots, even where there is no other.
    let mut admission = waiting(&[(OTHER, true); 90]);
    assert_eq!(admission.add(90, source(OTHER), NOW), Some(90));
    assert_eq!(admission.add(91, source(USER), NOW), None);
}

#[test]
fn a_source_with_a_login_comes_before_any_number_of_others() {
    let mut admission = waiting(&[(USER, true), (OTHER, true)]);
    for n in 0..50 {
        assert_eq!(
            admission.add(2 + n, source(&format!("198.51.100.{n}")), NOW),
            None
        );
        admission.identify(2 + n, SOFTWARE);
    }
    admission.note_login(source(USER));
    // The result holds also for a source with many sessions, of which some may be an attacker's at
    // its address.
    let sessions = vec![session(USER, 500, 9); 3];
    assert_eq!(admission.next(&sessions, NOW), start(0, USER));
    let next = admission.next(&sessions, NOW);
    assert!(matches!(next, Some(Step::Start(49.., _))), "{next:?}");
}

/// An attacker may share an address with a logged-in user, as behind one gateway.
#[test]
fn a_source_with_a_login_does_not_exclude_others() {
    let mut admission = waiting(&[(USER, true)]);
    admission.note_login(source(OTHER));
    for n in 1..80 {
        let _ = admission.add(n, source(OTHER), NOW);
        admission.identify(n, SOFTWARE);
    }
    let starts: Vec<_> = (0..4).map(|_| admission.next(&[], NOW)).collect();
    let of_user = starts.iter().filter(|s| **s == start(0, USER)).count();
    assert_eq!(of_user, 1, "{starts:?}");
}

#[test]
fn logins_are_remembered_up_to_a_number() {
    let mut admission = waiting(&[]);
    for n in (0..MAX_KNOWN).chain([0, MAX_KNOWN]) {
        admission.note_login(source(&format!("10.0.0.{n}")));
    }
    assert_eq!(admission.known.len(), MAX_KNOWN);
    // The second one is forgotten: its login is the oldest.
    let known = |addr| admission.known.contains(&source(addr));
    assert!(known("10.0.0.0") && !known("10.0.0.1") && known("10.0.0.64"));
}

#[test]
fn where_no_source_has_many_the_oldest_is_closed() {
    let mut admission = Admission::new(LIMITS);
    for n in 0..100 {
        assert_eq!(admission.add(n, source(&format!("192.0.2.{n}")), NOW), None);
    }
    // An address that is higher than all others, or lower, is no disadvantage.
    assert_eq!(admission.add(100, source("2001:db8::1"), NOW), Some(0));
    assert_eq!(admission.add(101, source("1.2.3.4"), NOW), Some(1));
    admission.identify(2, SOFTWARE);
    assert_eq!(admission.shed(), Some(3), "the silent first");
}

#[test]
fn the_client_that_has_sent_most_is_closed_at_the_common_limit() {
    let mut admission = waiting(&[(OTHER, true), (USER, true), (OTHER, false)]);
    assert_eq!(admission.weigh(0, 6_000), None);
    assert_eq!(admission.weigh(2, 3_000), None);
    assert_eq!(admission.weigh(1, 1_000), None);
    assert_eq!(admission.weigh(1, 1_001), Some(0), "10,001 bytes");
    assert_eq!(admission.weigh(2, 9_000), Some(2));
    // A connection that is gone weighs nothing, and neither does one that is served.
    assert_eq!(admission.weigh(2, 90_000), None);
    assert_eq!(admission.next(&[], NOW), start(1, USER));
    let _ = admission.add(3, source(USER), NOW);
    assert_eq!(admission.weigh(3, 10_000), None);
    // One that has too much by itself is closed.
    assert_eq!(admission.weigh(3, 10_001), Some(3));
    assert!(admission.is_idle());
}

#[test]
fn the_silent_are_closed_when_the_time_for_a_login_is_over() {
    let mut admission = waiting(&[(OTHER, false), (USER, true), (USER, false)]);
    assert_eq!(admission.expired(NOW + LOGIN_GRACE - 1), None);
    let late = NOW + LOGIN_GRACE;
    let expired = [(); 3].map(|()| admission.expired(late));
    assert_eq!(expired, [Some(0), Some(2), None]);
}
