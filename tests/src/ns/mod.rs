// SPDX-License-Identifier: Apache-2.0
//! The shipped PID 1 as PID 1 of namespaces: without QEMU or privileges, booted in milliseconds.
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
//! The root is a tmpfs with PID 1, a busybox and a few files of /etc. The harness prepares the root
//! in a list of steps ([`step`]) before the execution of PID 1.

mod child;
mod end;
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

pub use end::End;
pub use running::Running;
use step::Step;

/// Start of the ready line.
pub const READY: &str = "boot2podman: ready ";
/// Text in the first line of a rescue shell.
pub const RESCUE: &str = "boot2podman: rescue shell";
/// Status of a PID 1 that called reboot(2) for power off or halt (kernel/pid_namespace.c,
/// reboot_pid_ns).
pub const POWERED_OFF: End = End::Killed(libc::SIGINT);
/// Status of a PID 1 that called reboot(2) for a restart.
pub const RESTARTED: End = End::Killed(libc::SIGHUP);
/// Time limit of any step in a namespace on a busy host; a step that succeeds takes less.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Flags that ask for nothing that a namespace cannot provide.
const FLAGS: &str = "b2p.net=off b2p.sshd=off b2p.podman=off b2p.console=off b2p.loglevel=debug";
/// Path of init in the root.
pub const INIT: &str = "/usr/lib/boot2podman/init";
/// busybox applets that have a link of their own.
const APPLETS: &[&str] = &[
    "sh", "cat", "ls", "ps", "sleep", "kill", "true", "mount", "readlink", "seq", "grep",
];
/// Devices of the host that are bind-mounted into /dev.
const NODES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Users of the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// Root and 65,535 more, which only root can map.
    Many,
    /// Root alone, mapped to the caller, or to the user `nobody` if the caller is root.
    One,
}

/// State of /proc when PID 1 starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proc {
    /// The real /proc, with the command line of the test.
    Good,
    /// A tmpfs with files that hold garbage.
    Garbage,
    /// Missing, and not mountable.
    None,
}

/// Description of a namespace: its features, and its lacks.
#[derive(Clone, Debug)]
pub struct Namespace {
    init: &'static [u8],
    busybox: &'static [u8],
    /// Users of the namespace.
    pub users: Users,
    /// Kernel command line.
    pub flags: String,
    /// State of /proc.
    pub proc: Proc,
    /// True if there is a /dev.
    pub dev: bool,
    /// Mount options of the tmpfs on /run, if /run is mounted beforehand.
    pub run: Option<String>,
    /// Script in place of the `late-drivers` service; PID 1 then runs from another path.
    pub late_drivers: Option<String>,
    /// True if cgroups can be mounted.
    pub cgroup: bool,
    /// True if a disk's file system is mounted, which the shutdown must unmount.
    pub disk: bool,
    /// True if descriptors 0, 1 and 2 are open.
    pub stdio: bool,
    /// Signals that PID 1 inherits as ignored.
    pub ignored: Vec<libc::c_int>,
    /// True if PID 1 has the restrictions of docker's containers: no CAP_SYS_BOOT, and a clone3(2)
    /// that does not exist, because a seccomp filter cannot read its flags.
    pub docker: bool,
    /// Resource limits: resource and value.
    pub limits: Vec<(u32, u64)>,
    /// Further programs and files: path and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Arguments of PID 1.
    pub argv: Vec<String>,
    /// Faults to inject, if any.
    pub plan: Option<inject::Plan>,
}

/// Files of /etc that PID 1 reads.
const ETC_FILES: [(&str, &str); 3] = [
    ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
    ("etc/group", "root:x:0:\npodman:x:982:\n"),
    ("etc/os-release", "ID=boot2podman\n"),
];

impl Namespace {
    /// Returns an ordinary namespace with everything that a namespace can have.
    pub fn new() -> Result<Namespace> {
        let programs = programs()?;
        let many = step::am_root();
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
            ignored: Vec::new(),
            docker: false,
            limits: Vec::new(),
            files: Vec::new(),
            argv: vec![INIT.to_owned()],
            plan: None,
        })
    }

    /// Adds faults.
    #[must_use]
    pub fn with(&self, plan: inject::Plan) -> Namespace {
        let mut other = self.clone();
        other.plan = Some(plan);
        other
    }

    /// Starts PID 1 in the namespace.
    pub fn start(&self) -> Result<Running> {
        Running::start(self)
    }

    /// Returns the steps between the clone and the exec.
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
        for (path, text) in ETC_FILES {
            all.push(Step::file(path, text.as_bytes(), 0o644));
        }
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

/// Programs, read once.
struct Programs {
    path: PathBuf,
    init: Vec<u8>,
    busybox: Vec<u8>,
}

/// Returns the shipped PID 1 and a busybox.
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

/// Returns the path of the program under test, for tests that run the program as a plain command.
pub fn program() -> Result<&'static Path> {
    Ok(&programs()?.path)
}

/// Returns a static busybox, which `make image` leaves behind.
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

/// Fails with the reason where the host does not permit namespaces.
pub fn possible() -> Result<()> {
    let clone = fs::read_to_string("/proc/sys/user/max_user_namespaces")?;
    ensure!(
        clone.trim() != "0",
        "user.max_user_namespaces is 0: this machine makes no namespaces"
    );
    Ok(())
}
