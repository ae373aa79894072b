//! Who is measured, and how each is told to run the one service. docs/measured/bench.md says why
//! so.

/// What the service is called in each place.
const WORK: &str = "/usr/lib/bench/work";

/// A candidate.
#[derive(Debug)]
pub struct Candidate {
    /// Its name in the figures.
    pub name: &'static str,
    /// The program.
    pub program: &'static str,
    /// Its words, its own name first.
    pub words: &'static [&'static str],
    /// What is made in its /run.
    pub run: &'static [Made],
    /// Whether it starts the service again.
    pub restarts: bool,
}

/// Something that is made before it is executed.
#[derive(Debug)]
pub enum Made {
    /// A directory.
    Dir(&'static str),
    /// A link: path, target.
    Link(&'static str, &'static str),
    /// A file: path, content.
    File(&'static str, &'static str),
    /// The directory has not been changed for long: runsvdir waits for a second with
    /// one that has (runsvdir.c).
    Old(&'static str),
}

/// A directory for a service, whose program is the service itself: no shell between.
const RUNIT: &[Made] = &[
    Made::Dir("/run/service"),
    Made::Dir("/run/service/work"),
    Made::Link("/run/service/work/run", WORK),
    Made::Old("/run/service"),
];

/// The same. A service that is ready when it ends is started again at once, another after
/// a second (s6-supervise.html).
const S6: &[Made] = &[
    Made::Dir("/run/service"),
    Made::Dir("/run/service/work"),
    Made::Link("/run/service/work/run", WORK),
    Made::File("/run/service/work/notification-fd", "3\n"),
];

/// All of them.
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
