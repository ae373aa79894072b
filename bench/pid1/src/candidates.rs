// SPDX-License-Identifier: Apache-2.0
//! Candidates, and the configuration with which each runs the one service. docs/measured/bench.md
//! gives the reasons.

/// Path of the service in every candidate's root.
const WORK: &str = "/usr/lib/bench/work";

/// A candidate.
#[derive(Debug)]
pub struct Candidate {
    /// Name in the figures.
    pub name: &'static str,
    /// Path of the program.
    pub program: &'static str,
    /// Arguments, the program's name first.
    pub words: &'static [&'static str],
    /// Files that are made in its /run.
    pub run: &'static [Made],
    /// True if the candidate restarts the service.
    pub restarts: bool,
}

/// A file that is made before the candidate is executed.
#[derive(Debug)]
pub enum Made {
    /// Directory.
    Dir(&'static str),
    /// Symbolic link: path, target.
    Link(&'static str, &'static str),
    /// File: path, content.
    File(&'static str, &'static str),
    /// Directory with an old time stamp: runsvdir waits for a second with one that has just changed
    /// (runsvdir.c).
    Old(&'static str),
}

/// Service directory for runit, whose program is the service itself, without a shell.
const RUNIT: &[Made] = &[
    Made::Dir("/run/service"),
    Made::Dir("/run/service/work"),
    Made::Link("/run/service/work/run", WORK),
    Made::Old("/run/service"),
];

/// Service directory for s6. s6-supervise restarts a service that was ready at once, any other
/// after a second (s6-supervise.html).
const S6: &[Made] = &[
    Made::Dir("/run/service"),
    Made::Dir("/run/service/work"),
    Made::Link("/run/service/work/run", WORK),
    Made::File("/run/service/work/notification-fd", "3\n"),
];

/// Every candidate.
#[rustfmt::skip]
pub const ALL: &[Candidate] = &[
    Candidate { name: "init", program: "/usr/lib/boot2podman/init", words: &["/init"], run: &[], restarts: true },
    Candidate { name: "busybox", program: "/usr/bin/busybox", words: &["init"], run: &[], restarts: true },
    Candidate { name: "s6", program: "/usr/bin/s6-svscan", words: &["s6-svscan", "/run/service"], run: S6, restarts: true },
    Candidate { name: "runit", program: "/usr/sbin/runit", words: &["runit"], run: RUNIT, restarts: true },
    Candidate { name: "systemd", program: "/usr/lib/systemd/systemd", words: &["systemd", "--unit=bench.target", "--log-target=null", "--show-status=0"], run: &[], restarts: true },
    Candidate { name: "run", program: "/usr/lib/boot2podman/init", words: &["podman-init", "--", WORK], run: &[], restarts: false },
    Candidate { name: "tini", program: "/usr/bin/tini-static", words: &["tini", "--", WORK], run: &[], restarts: false },
    Candidate { name: "catatonit", program: "/usr/bin/catatonit", words: &["catatonit", "--", WORK], run: &[], restarts: false },
    Candidate { name: "dumb-init", program: "/usr/bin/dumb-init", words: &["dumb-init", "--", WORK], run: &[], restarts: false },
];
