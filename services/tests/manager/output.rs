// SPDX-License-Identifier: Apache-2.0
//! Output of services and its rate limit.

use super::*;
use services::Restart;

#[test]
fn a_flood_of_output_is_limited_and_dropped_lines_are_counted() {
    let flood = shell("flood", "echo begin; exec yes");
    let quiet = shell("quiet", "exec sleep 100");
    let mut w = World::new(vec![flood, quiet]);
    (0..2).for_each(|n| w.input(Input::Start(id(n))));
    w.until("over", |w| w.m.deadline().is_some());
    let (start, turns) = (now(), w.turns);
    let mut rested = 0;
    let is_report = |line: &String| line.ends_with("lines dropped");
    w.until("a report", |_| logged().iter().any(is_report));
    while now() < start + 2_000 {
        rested += usize::from(w.m.watched().len() == 1);
        w.turn(1_000);
    }
    let turns = w.turns - turns;
    // The loop wakes every 5 ms to reap children, and every 10 ms to read the flood.
    let took = (now() - start) as usize;
    assert!(turns < took / 2, "{turns} turns in {took} ms");
    assert!(
        rested > turns / 10,
        "not polled meanwhile: {rested} of {turns}"
    );
    let lines = logged();
    assert!(
        lines.len() < 500 + 50 * (took / 1_000 + 2),
        "{}",
        lines.len()
    );
    assert_eq!(lines[0], "flood: begin");
    let lost: u64 = lines
        .iter()
        .filter_map(|l| l.strip_prefix("flood: ")?.strip_suffix(" lines dropped"))
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    // The service is blocked for at most 10 ms at a time, until its pipe is read.
    assert!(lost > 100_000, "{lost} lines: it is not blocked");
    w.stop_all();
    w.until("the last report", |w| w.m.deadline().is_none());
}

#[test]
fn a_flood_of_empty_lines_is_a_flood() {
    let flood = shell("flood", "exec yes ''");
    let mut w = World::new(vec![flood]);
    w.input(Input::Start(id(0)));
    w.until("over", |w| w.m.deadline().is_some());
    let (start, turns) = (now(), w.turns);
    while now() < start + 500 {
        w.turn(1_000);
    }
    let (turns, took) = (w.turns - turns, (now() - start) as usize);
    assert!(turns < took / 2, "{turns} turns in {took} ms");
    let lines = logged();
    assert!(
        !lines.iter().any(|l| l == "flood: "),
        "an empty line was logged"
    );
    w.stop_all();
}

#[test]
fn the_last_line_without_a_newline_is_logged() {
    let mut w = World::new(vec![ServiceDef {
        restart: Restart::Never,
        ..shell("once", "printf 'one\\ntwo'; exit 3")
    }]);
    w.input(Input::Start(id(0)));
    w.until("ended", is(id(0), State::Failed));
    assert!(was_logged("once: one") && was_logged("once: two"));
    assert_eq!(w.m.deadline(), None);
}
