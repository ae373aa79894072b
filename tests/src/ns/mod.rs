// SPDX-License-Identifier: Apache-2.0
//! PID 1 as the real PID 1 of namespaces of its own: no QEMU, no privilege,
//! and a boot is milliseconds.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use tests::ns::{Namespace, READY};
//! let pid1 = Namespace::new()?.start()?;
//! pid1.says(READY, Duration::from_secs(10))?;
//! pid1.signal(libc::SIGUSR2)?;
//! assert_eq!(pid1.end(Duration::from_secs(10))?, tests::ns::POWERED_OFF);
//! # Ok(())
//! # }
//! ```
//!
//! The root is a tmpfs with PID 1, a busybox and a few files of /etc. What the
//! harness does in there, before PID 1 is executed, is a list of steps ([`step`]).

mod child;
pub mod inject;
mod running;
pub mod step;
pub mod syscalls;
pub mod trial;
pub mod visit;

use std::ffi::{CStr, CString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use initramfs::{paths, programs as build};

pub use running::{End, Running};
use step::Step;

/// Begins the line that says that the machine is ready.
pub const READY: &str = "boot2podman: ready ";
/// Is part of the line that a rescue shell begins with.
pub const RESCUE: &str = "boot2podman: rescue shell";
/// How the kernel ends a PID 1 that called reboot(2) for power off or halt
/// (kernel/pid_namespace.c, reboot_pid_ns).
pub const POWERED_OFF: End = End::Killed(libc::SIGINT);
/// The same for a restart.
pub const RESTARTED: End = End::Killed(libc::SIGHUP);
/// As long as anything in a namespace may take on a machine that does other
/// things too. Nothing waits for it when all is well.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Nothing is asked for that a namespace cannot give.
const FLAGS: &str = "b2p.net=off b2p.sshd=off b2p.podman=off b2p.console=off b2p.loglevel=debug";
/// Where init is in the root.
pub const INIT: &str = "/usr/lib/boot2podman/init";
/// Programs of busybox that have a name of their own.
const APPLETS: &[&str] = &[
    "sh", "cat", "ls", "ps", "sleep", "kill", "true", "mount", "readlink", "seq", "grep",
];
/// Devices of the host that are bound into /dev.
const NODES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Which users the namespace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// Root and 65,535 more; only root can give these.
    Many,
    /// Root alone, who is the caller outside; or, where that is root, nobody.
    One,
}

/// What is at /proc when PID 1 starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proc {
    /// The real one, with our command line.
    Good,
    /// A tmpfs with files that hold nonsense.
    Garbage,
    /// Nothing, and it cannot be mounted.
    None,
}

/// A namespace to be: what it has, and what it lacks.
#[derive(Clone, Debug)]
pub struct Namespace {
    init: &'static [u8],
    busybox: &'static [u8],
    /// Which users there are.
    pub users: Users,
    /// The kernel's command line.
    pub flags: String,
    /// What is at /proc.
    pub proc: Proc,
    /// Whether there is a /dev.
    pub dev: bool,
    /// A /run that is there already: the options of its tmpfs.
    pub run: Option<String>,
    /// A script in the place of the `late-drivers` service: PID 1 runs from elsewhere then.
    pub late_drivers: Option<String>,
    /// Whether cgroups can be mounted.
    pub cgroup: bool,
    /// Whether something of a disk is mounted, which the end must unmount.
    pub disk: bool,
    /// Whether descriptors 0, 1 and 2 are open.
    pub stdio: bool,
    /// Resource limits: which, and how much.
    pub limits: Vec<(u32, u64)>,
    /// Programs and files besides: path and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// The words that PID 1 is called with.
    pub argv: Vec<String>,
    /// Faults, if any are to be injected.
    pub plan: Option<inject::Plan>,
}

impl Namespace {
    /// An ordinary one: everything that a namespace can have.
    pub fn new() -> Result<Namespace> {
        let programs = programs()?;
        let many = running::am_root();
        Ok(Namespace {
            init: &programs.init,
            busybox: &programs.busybox,
            users: if many { Users::Many } else { Users::One },
            flags: FLAGS.to_owned(),
            proc: Proc::Good,
            dev: true,
            run: None,
            late_drivers: None,
            cgroup: true,
            disk: false,
            stdio: true,
            limits: Vec::new(),
            files: Vec::new(),
            argv: vec![INIT.to_owned()],
            plan: None,
        })
    }

    /// The same with faults.
    #[must_use]
    pub fn with(&self, plan: inject::Plan) -> Namespace {
        let mut other = self.clone();
        other.plan = Some(plan);
        other
    }

    /// Starts it.
    pub fn start(&self) -> Result<Running> {
        Running::start(self)
    }

    /// Everything between the clone and the exec.
    fn steps(&self) -> Vec<Step> {
        let mut all = vec![
            Step::private(),
            Step::mount("tmpfs", "/tmp", "mode=0755"),
            Step::chdir("/tmp"),
        ];
        let dirs = "usr usr/bin usr/lib usr/lib/boot2podman etc proc sys run dev tmp root var var/lib home";
        all.extend(dirs.split(' ').map(Step::mkdir));
        all.push(Step::link("usr/bin", "bin"));
        match &self.late_drivers {
            None => all.push(Step::file(&INIT[1..], self.init, 0o755)),
            Some(script) => {
                let script = format!("#!/bin/sh\n{script}\n");
                all.push(Step::file(&INIT[1..], script.as_bytes(), 0o755));
                all.push(Step::file("init", self.init, 0o755));
            }
        }
        all.push(Step::file("usr/bin/busybox", self.busybox, 0o755));
        all.extend(
            APPLETS
                .iter()
                .map(|a| Step::link("busybox", &format!("usr/bin/{a}"))),
        );
        all.push(Step::file(
            "etc/passwd",
            b"root:x:0:0::/root:/bin/sh\n",
            0o644,
        ));
        all.push(Step::file(
            "etc/group",
            b"root:x:0:\npodman:x:982:\n",
            0o644,
        ));
        all.push(Step::file("etc/os-release", b"ID=boot2podman\n", 0o644));
        for (path, bytes) in &self.files {
            all.push(Step::file(path, bytes, 0o755));
        }
        all.extend(self.mounts());
        all.push(Step::Pivot);
        all
    }

    fn mounts(&self) -> Vec<Step> {
        let mut all = Vec::new();
        match self.proc {
            Proc::Good => {
                all.push(Step::mount("proc", "proc", ""));
                let flags = format!("{}\n", self.flags);
                all.push(Step::file("etc/cmdline", flags.as_bytes(), 0o644));
                all.push(Step::bind("etc/cmdline", "proc/cmdline"));
            }
            Proc::Garbage => {
                all.push(Step::mount("tmpfs", "proc", ""));
                all.extend(["proc/1", "proc/self", "proc/sys"].map(Step::mkdir));
                let junk: Vec<u8> = (0..=255).cycle().take(5000).collect();
                let names = "1/stat self/mountinfo self/stat cmdline filesystems meminfo mounts";
                all.extend(
                    names
                        .split(' ')
                        .map(|n| Step::file(&format!("proc/{n}"), &junk, 0o644)),
                );
            }
            Proc::None => {}
        }
        all.push(Step::mount("sysfs", "sys", ""));
        if self.dev {
            all.push(Step::mount("tmpfs", "dev", "mode=0755"));
            for node in NODES {
                all.push(Step::file(&format!("dev/{node}"), b"", 0o600));
                all.push(Step::bind(&format!("/dev/{node}"), &format!("dev/{node}")));
            }
        }
        if let Some(options) = &self.run {
            all.push(Step::mount("tmpfs", "run", options));
        }
        if self.disk {
            all.push(Step::file("disk", b"", 0o644));
            all.push(Step::bind("/etc/passwd", "disk"));
        }
        all
    }

    fn program(&self) -> &'static CStr {
        if self.late_drivers.is_some() {
            c"/init"
        } else {
            c"/usr/lib/boot2podman/init"
        }
    }

    fn argv(&self) -> Result<Vec<CString>> {
        let words = self.argv.iter().map(|w| CString::new(w.as_str()));
        Ok(words.collect::<Result<_, _>>()?)
    }
}

/// What is read once.
struct Programs {
    path: PathBuf,
    init: Vec<u8>,
    busybox: Vec<u8>,
}

/// PID 1 as it is shipped, and a busybox.
fn programs() -> Result<&'static Programs> {
    static READ: OnceLock<Result<Programs, String>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let all = || -> Result<_> {
            let path = build::build(build::Target::choose())?.init;
            let (init, busybox) = (fs::read(&path)?, fs::read(busybox()?)?);
            Ok(Programs {
                path,
                init,
                busybox,
            })
        };
        all().map_err(|e| format!("{e:#}"))
    });
    read.as_ref().map_err(|e| anyhow::anyhow!("{e}"))
}

/// Where the program under test is, for those who run it as a plain command.
pub fn program() -> Result<&'static Path> {
    Ok(&programs()?.path)
}

/// A static busybox: `make image` leaves one.
fn busybox() -> Result<PathBuf> {
    let cache = paths::cache();
    let read = fs::read_dir(&cache)
        .with_context(|| format!("{}: `make image` makes it", cache.display()))?;
    let found = read
        .flatten()
        .map(|e| e.path().join("usr/bin/busybox"))
        .find(|p| p.is_file());
    found.with_context(|| {
        format!(
            "no busybox below {}: `make image` leaves one",
            cache.display()
        )
    })
}

/// Fails, and says so, where this machine cannot make namespaces.
pub fn possible() -> Result<()> {
    let clone = fs::read_to_string("/proc/sys/user/max_user_namespaces")?;
    ensure!(
        clone.trim() != "0",
        "user.max_user_namespaces is 0: this machine makes no namespaces"
    );
    Ok(())
}
