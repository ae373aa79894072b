// SPDX-License-Identifier: Apache-2.0
//! Target `report`: report of PID 1, read by the parser of its clients.

use control::Report;

pub(crate) const DICTIONARY: &[&str] = &[
    "machine",
    "phase ",
    "service ",
    "degraded ",
    "shutdown ",
    "cut",
    "\n",
    " version=",
    " data=",
    " now=",
    " started=",
    " ready=",
    " since=",
    " pid=",
    " restarts=",
    " asked=",
    " spawned=",
    " next=",
    " late=",
    " grace=",
    " last=exited:",
    " last=killed:",
    "-2147483648",
    "18446744073709551615",
    "up",
    "off",
    "failed",
    "delayed",
    "poweroff",
    "reboot",
    "halt",
    " at=",
    ": ",
];

/// Checks that:
///
/// - Any text is a report, and each line gives at most one entry.
/// - A report that was read, and then written, is read as the same.
/// - A written report has no control characters except for the ends of lines.
pub fn report(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = Report::parse(&text);
    let entries = read.services.len() + read.phases.len() + read.degraded.len();
    assert!(entries <= text.lines().count());
    let once = written(&read);
    assert!(once.lines().all(crate::input::is_one_line), "{once:?}");
    let again = Report::parse(&once);
    assert_eq!(again.services.len(), read.services.len());
    assert_eq!(again.phases.len(), read.phases.len());
    assert_eq!(again.degraded.len(), read.degraded.len());
    assert_eq!(
        (again.shutdown, again.truncated),
        (read.shutdown, read.truncated)
    );
    assert_eq!(written(&again), once);
    if crate::input::is_one_line(&text.replace('\n', "")) {
        assert_eq!(again.services, read.services);
        assert_eq!(again.phases, read.phases);
        assert_eq!(again.machine, read.machine);
    }
}

fn written(report: &Report<'_>) -> String {
    let mut out = String::new();
    report.write(&mut out);
    out
}
