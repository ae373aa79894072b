// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

const LIMITS: Limits = Limits {
    sessions: 8,
    busy: 3,
    silent: 2,
    waiting: 100,
};
const NOW: Millis = 100_000;

fn source(addr: &str) -> Source {
    addr.parse::<IpAddr>().unwrap().into()
}

fn waits(addr: &str, since: Millis, has_spoken: bool) -> Waiting {
    Waiting {
        source: source(addr),
        since,
        has_spoken,
        is_promised: false,
    }
}

/// A session that certainly has no login.
fn session(addr: &str, age: Millis, owing: Millis) -> Session {
    Session {
        source: source(addr),
        since: NOW - age,
        has_no_login: true,
        owing,
        is_ending: false,
    }
}

fn step(waiting: &[Waiting], sessions: &[Session]) -> Option<Step> {
    next(waiting, sessions, LIMITS, NOW, None)
}

/// The end of a session for the first that waits.
fn end(session: usize) -> Step {
    Step::End {
        session,
        waiting: 0,
    }
}

#[test]
fn limits_follow_the_memory() {
    for (mib, cpus, sessions, busy, waiting) in [
        (0, 0, 4, 3, 512),
        (64, 1, 4, 3, 512),
        (128, 2, 8, 4, 640),
        (256, 4, 16, 8, 1_280),
        (1_024, 64, 24, 16, 4_096),
        (u64::MAX / 5, 2, 24, 4, 4_096),
    ] {
        let want = Limits {
            sessions,
            busy,
            silent: sessions / 4,
            waiting,
        };
        assert_eq!(Limits::of_machine(mib, cpus), want, "{mib}");
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

#[test]
fn whoever_comes_to_an_idle_machine_is_served_at_once() {
    for has_spoken in [true, false] {
        let one = [waits("10.0.2.2", NOW, has_spoken)];
        assert_eq!(step(&one, &[]), Some(Step::Start(0)), "{has_spoken}");
    }
    assert_eq!(step(&[], &[]), None);
}

#[test]
fn the_silent_wait_and_who_speaks_does_not() {
    let few = [session("10.0.2.2", 500, 400); 2];
    let mut waiting = vec![waits("10.0.2.2", NOW - 9, false); 50];
    assert_eq!(step(&waiting, &few), None);
    waiting.insert(20, waits("10.0.2.2", NOW - 5, true));
    assert_eq!(step(&waiting, &few), Some(Step::Start(20)));
    // Nobody loses a slot for one who is silent.
    let full = [session("10.0.2.2", 20_000, 20_000); 8];
    assert_eq!(step(&waiting[..20], &full), None);
}

#[test]
fn the_newest_of_the_source_with_the_fewest_sessions_comes_first() {
    let sessions = [session("10.0.2.2", 500, 9), session("10.0.2.2", 400, 9)];
    let waiting = [
        waits("10.0.2.2", NOW - 1, true),
        waits("10.0.2.9", NOW - 500, true),
        waits("10.0.2.9", NOW - 400, true),
        waits("10.0.2.2", NOW, true),
    ];
    assert_eq!(step(&waiting, &sessions), Some(Step::Start(2)));
    assert_eq!(step(&waiting, &[]), Some(Step::Start(3)));
}

#[test]
fn where_all_slots_are_taken_the_one_that_owes_an_answer_ends() {
    let newcomer = [waits("10.0.2.2", NOW, true)];
    let busy = session("10.0.2.2", 9_000, 100);
    let mut sessions = [busy; 8];
    assert_eq!(step(&newcomer, &sessions), None, "all log in");
    sessions[3] = session("10.0.2.2", 3_000, 2_500);
    assert_eq!(step(&newcomer, &sessions), Some(end(3)));
    // One that answers now and then, for longer than a login takes.
    sessions[3] = session("10.0.2.2", 10_000, 100);
    assert_eq!(step(&newcomer, &sessions), Some(end(3)));
    // A session with a login, or one that starts, is never ended.
    sessions[3].has_no_login = false;
    sessions[3].owing = 90_000;
    assert_eq!(step(&newcomer, &sessions), None);
}

#[test]
fn no_more_work_at_once_than_the_processors_have_time_for() {
    let newcomer = [waits("10.0.2.2", NOW, true)];
    let mut sessions = [session("10.0.2.2", 100, 0); 3];
    assert_eq!(step(&newcomer, &sessions), None);
    sessions[1].owing = 1;
    assert_eq!(step(&newcomer, &sessions), Some(Step::Start(0)));
}

#[test]
fn sessions_end_one_by_one_and_those_of_the_heaviest_source_first() {
    let newcomer = [waits("10.0.2.2", NOW, true)];
    let mut sessions = [session("192.0.2.1", 5_000, 4_000); 8];
    sessions[0] = session("192.0.2.7", 8_000, 8_000);
    sessions[5].since = NOW - 6_000;
    assert_eq!(step(&newcomer, &sessions), Some(end(5)));
    let paced = |last| next(&newcomer, &sessions, LIMITS, NOW, Some(last));
    assert_eq!(paced(NOW - 999), None);
    assert_eq!(paced(NOW - 1_000), Some(end(5)));
    sessions[5].is_ending = true;
    assert_eq!(step(&newcomer, &sessions), None, "one is on its way out");
}

#[test]
fn too_many_are_closed_the_oldest_silent_of_the_heaviest_source_first() {
    let mut waiting = vec![waits("192.0.2.1", NOW - 50, true); 60];
    waiting.extend(vec![waits("192.0.2.2", NOW - 900, false); 40]);
    assert_eq!(surplus(&waiting, LIMITS), None);
    waiting.push(waits("192.0.2.1", NOW - 10, false));
    waiting.push(waits("192.0.2.1", NOW - 20, false));
    assert_eq!(surplus(&waiting, LIMITS), Some(101));
    waiting.truncate(100);
    waiting.push(waits("192.0.2.1", NOW - 60, true));
    assert_eq!(surplus(&waiting, LIMITS), Some(100));
}

/// A flood from the owner's own address, as QEMU's user network shows it: 1,000 clients that
/// send a version and no more, each back at once when it is dropped.
#[test]
fn a_flood_from_the_owners_own_address_does_not_keep_the_owner_out() {
    let mut sessions: Vec<Session> = Vec::new();
    let mut waiting = vec![waits("10.0.2.2", 0, true); 1_000];
    let limits = Limits {
        waiting: 4_096,
        ..LIMITS
    };
    let (mut last_end, mut served_at) = (None, None);
    const OWNER: Millis = 7_777;
    for now in (0..60_000 as Millis).step_by(50) {
        if now == 7_750 {
            waiting.push(waits("10.0.2.2", OWNER, true));
        }
        for session in &mut sessions {
            // A key exchange takes 400 ms of the processors.
            session.owing = now.saturating_sub(session.since + 400);
        }
        while let Some(step) = next(&waiting, &sessions, limits, now, last_end) {
            match step {
                Step::Start(index) => {
                    let started = waiting.remove(index);
                    if started.since == OWNER {
                        served_at = served_at.or(Some(now));
                    }
                    let begun = Session {
                        since: now,
                        ..session("10.0.2.2", 0, 0)
                    };
                    sessions.push(begun);
                }
                Step::End {
                    session,
                    waiting: index,
                } => {
                    sessions.remove(session);
                    waiting[index].is_promised = true;
                    waiting.push(waits("10.0.2.2", now, true));
                    last_end = Some(now);
                }
            }
        }
    }
    let waited = served_at.unwrap() - OWNER;
    assert!(waited < 1_500, "{waited} ms");
}
