// SPDX-License-Identifier: Apache-2.0
//! Children of a parent whose signals, descriptors, limits and variables are all wrong: a child
//! inherits none of these. The test is a separate program, since these properties belong to the
//! whole process.
#![expect(unsafe_code, reason = "system calls that make the parent strange")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;

use services::spawn::{Child, Failure, Inherit, spawn};
use services::{ReadyWhen, ServiceDef, Step, User};

static ONE: Mutex<()> = Mutex::new(());

/// Blocks or ignores every signal, those of libc included, opens descriptors that are not
/// close-on-exec at low and high numbers, and sets a umask, a directory, variables and limits.
fn be_strange() {
    // SAFETY: plain data and constants; no other test of this process runs.
    unsafe {
        let ignore = [libc::SIG_IGN as u64, 0, 0, 0];
        let none = std::ptr::null_mut::<u64>();
        for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGUSR2, 32, 33, 35, 64] {
            let set = libc::SYS_rt_sigaction;
            assert_eq!(libc::syscall(set, signal, ignore.as_ptr(), none, 8), 0);
        }
        let all = u64::MAX;
        let block = libc::SIG_BLOCK;
        libc::syscall(libc::SYS_rt_sigprocmask, block, &raw const all, none, 8);
        for fd in [3, 4, 5, 7, 63, 200] {
            if libc::fcntl(fd, libc::F_GETFD) < 0 {
                assert_eq!(libc::dup2(1, fd), fd);
            }
        }
        libc::umask(0o077);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        std::env::set_var("STRANGE", "1");
        std::env::set_var("HOME", "/strange");
        std::env::set_var("NOTIFY_SOCKET", "/strange");
        let files = libc::rlimit {
            rlim_cur: 300,
            rlim_max: 4_096,
        };
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files), 0);
    }
    std::env::set_current_dir("/tmp").unwrap();
}

fn wait(child: &Child) -> i32 {
    let mut status = 0;
    // SAFETY: waits for a child of this process.
    unsafe { libc::waitpid(child.pid, &raw mut status, 0) };
    status
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap()
}

fn shell(def: ServiceDef, script: &str) -> ServiceDef {
    let script: &'static str = script.to_owned().leak();
    ServiceDef {
        name: "t",
        argv: vec!["/bin/sh", "-c", script].leak(),
        ..def
    }
}

/// Returns the output of the script, run as `def`.
fn output(def: ServiceDef, script: &str, inherit: Inherit<'_>) -> String {
    let (ours, theirs) = pipe();
    let output = Some(theirs.as_fd());
    let child = spawn(&shell(def, script), &Inherit { output, ..inherit }).unwrap();
    drop(theirs);
    let mut text = String::new();
    File::from(ours).read_to_string(&mut text).unwrap();
    wait(&child);
    text
}

fn failures(child: Child) -> Vec<Failure> {
    wait(&child);
    let mut bytes = Vec::new();
    File::from(child.failure).read_to_end(&mut bytes).unwrap();
    let records = bytes.chunks(Failure::LENGTH);
    records.map(|r| Failure::read(r).unwrap()).collect()
}

/// Returns true if this process has a capability by its number (capabilities(7)), and not only
/// within a user namespace.
fn has_capability(capability: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    let set = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
    let ids = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let whole = ids.split_whitespace().eq(["0", "0", "4294967295"]);
    whole && set & (1 << capability) != 0
}

#[test]
fn a_strange_parent_has_clean_children() {
    let _one = ONE.lock();
    be_strange();
    the_default_definition_applies();
    another_definition_applies();
    descriptors_have_their_numbers();
    a_user_is_that_user();
    steps_that_fail_are_named();
}

fn the_default_definition_applies() {
    let script = "cat /proc/self/status; echo FDS:; ls /proc/$$/fd; echo UMASK: $(umask); \
        echo DIR: $(pwd); echo LIMIT: $(ulimit -Sn) $(ulimit -Hn); \
        echo OOM: $(cat /proc/self/oom_score_adj); echo SESSION: $(cut -d' ' -f5-7 /proc/$$/stat) $$; \
        echo IN: $(readlink /proc/$$/fd/0); echo ENV:; exec env";
    let def = ServiceDef {
        oom_score_adj: 100,
        ..ServiceDef::DEFAULT
    };
    let text = output(def, script, Inherit::default());
    let line = |start: &str| {
        let found = text.lines().find_map(|l| l.strip_prefix(start));
        found.unwrap_or_else(|| panic!("{start} in {text}")).trim()
    };
    for mask in ["SigBlk:", "SigIgn:", "SigCgt:", "SigPnd:", "ShdPnd:"] {
        assert_eq!(line(mask), "0000000000000000", "{mask}");
    }
    assert!(text.contains("\nFDS:\n0\n1\n2\nUMASK:"), "{text}");
    assert_eq!(line("UMASK:"), "0022");
    assert_eq!(line("DIR:"), "/");
    assert_eq!(line("OOM:"), "100");
    assert_eq!(line("IN:"), "/dev/null");
    // Raising the hard limit needs CAP_SYS_RESOURCE.
    let hard = if has_capability(24) {
        "1048576"
    } else {
        "4096"
    };
    assert_eq!(line("LIMIT:"), format!("1024 {hard}"));
    // The process leads its group and session, and has no terminal.
    let own: Vec<&str> = line("SESSION:").split(' ').collect();
    assert_eq!((own[0], own[1], own[2]), (own[3], own[3], "0"));
    let mut env: Vec<&str> = text.split_once("ENV:\n").unwrap().1.lines().collect();
    // Variables of the shell.
    env.retain(|v| {
        !v.starts_with("PWD=")
            && !v.starts_with("_=")
            && !v.starts_with("SHLVL=")
            && !v.starts_with("OLDPWD=")
    });
    env.sort_unstable();
    let expected = [
        "HOME=/root",
        "LANG=C.UTF-8",
        "LOGNAME=root",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SHELL=/bin/bash",
        "USER=root",
    ];
    assert_eq!(env, expected);
}

fn another_definition_applies() {
    let def = ServiceDef {
        env: &["PATH=/bin:/usr/bin", "EXTRA=a=b"],
        dir: "/usr",
        umask: 0o027,
        nofile: (64, 128),
        ..ServiceDef::DEFAULT
    };
    let script = "env | grep -c ^PATH=; echo $PATH $EXTRA; umask; pwd; ulimit -Sn; ulimit -Hn";
    let text = output(def, script, Inherit::default());
    assert_eq!(text, "1\n/bin:/usr/bin a=b\n0027\n/usr\n64\n128\n");
}

/// The socket is 3 and the readiness pipe has its defined number, for any earlier numbers of the
/// socket and the two pipes.
fn descriptors_have_their_numbers() {
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    for number in (4..40).chain([60, 255]) {
        let (ours, theirs) = pipe();
        let def = ServiceDef {
            ready: ReadyWhen::Fd(number),
            ..ServiceDef::DEFAULT
        };
        let script = format!(
            "echo $LISTEN_FDS $((LISTEN_PID - $$)); ls /proc/$$/fd; readlink /proc/$$/fd/3; echo >/proc/self/fd/{number}"
        );
        let inherit = Inherit {
            listen: Some(socket.as_fd()),
            ready: Some(theirs.as_fd()),
            ..Inherit::default()
        };
        let text = output(def, &script, inherit);
        drop(theirs);
        let mut lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.pop().unwrap().starts_with("socket:["),
            "{number}: {text}"
        );
        assert_eq!(lines.remove(0), "1 0", "{number}: {text}");
        let mut open: Vec<i32> = lines.iter().map(|l| l.parse().unwrap()).collect();
        open.sort_unstable();
        assert_eq!(open, [0, 1, 2, 3, number], "{text}");
        let mut written = String::new();
        File::from(ours).read_to_string(&mut written).unwrap();
        assert_eq!(written, "\n", "{number}");
        // A failed step is reported beside them.
        let (_ours, theirs) = pipe();
        let gone = ServiceDef {
            argv: &["/nonexistent"],
            ..def
        };
        let inherit = Inherit {
            listen: Some(socket.as_fd()),
            ready: Some(theirs.as_fd()),
            ..Inherit::default()
        };
        let failed = failures(spawn(&gone, &inherit).unwrap());
        assert_eq!(failed.len(), 1, "{number}");
        assert_eq!(
            (failed[0].step, failed[0].errno as i32),
            (Step::Exec, libc::ENOENT)
        );
    }
    let taken = ServiceDef {
        ready: ReadyWhen::Fd(3),
        ..ServiceDef::DEFAULT
    };
    let inherit = Inherit {
        listen: Some(socket.as_fd()),
        ..Inherit::default()
    };
    assert!(
        spawn(&shell(taken, "true"), &inherit).is_err(),
        "3 is the socket"
    );
    assert!(socket.as_raw_fd() > 2);
}

const SOMEBODY: User = User {
    uid: 12_345,
    gid: 23_456,
    groups: &[34_567, 45_678],
    name: "somebody",
    home: "/home/somebody",
    shell: "/bin/other",
};

fn a_user_is_that_user() {
    let def = ServiceDef {
        user: Some(SOMEBODY),
        ..ServiceDef::DEFAULT
    };
    let script = "grep -E '^(Uid|Gid|Groups|Cap(Prm|Eff|Amb))' /proc/self/status; \
        echo $HOME $USER $LOGNAME $SHELL";
    let failed = failures(spawn(&shell(def, "true"), &Inherit::default()).unwrap());
    let (setgid, setuid) = (6, 7);
    if has_capability(setgid) && has_capability(setuid) {
        assert_eq!(failed, []);
    }
    if failed.is_empty() {
        let text = output(def, script, Inherit::default());
        let words: Vec<&str> = text.split_whitespace().collect();
        let [u, g] = ["12345", "23456"];
        let none = "0000000000000000";
        let expected = [
            "Uid:",
            u,
            u,
            u,
            u,
            "Gid:",
            g,
            g,
            g,
            g,
            "Groups:",
            "34567",
            "45678",
            "CapPrm:",
            none,
            "CapEff:",
            none,
            "CapAmb:",
            none,
            "/home/somebody",
            "somebody",
            "somebody",
            "/bin/other",
        ];
        assert_eq!(words, expected);
    } else {
        assert!(failed[0].fatal());
        assert!([Step::Groups, Step::Gid, Step::Uid].contains(&failed[0].step));
    }
}

/// Returns the path of an executable file with this text.
fn script(text: &str) -> &'static str {
    use std::os::unix::fs::PermissionsExt;
    let name = format!("services-script-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    Box::leak(path.display().to_string().into_boxed_str())
}

fn steps_that_fail_are_named() {
    let read_only = File::open("/dev/null").unwrap();
    let none = Inherit::default;
    let wrong_group = || Inherit {
        cgroup: Some(read_only.as_fd()),
        ..none()
    };
    let program = |argv| ServiceDef {
        argv,
        ..ServiceDef::DEFAULT
    };
    let gone = program(&["/nonexistent"]);
    let nowhere = ServiceDef {
        dir: "/nonexistent",
        ..program(&["/bin/true"])
    };
    let mute = ServiceDef {
        tty: Some(services::Tty { path: "/dev/null" }),
        ..program(&["/bin/true"])
    };
    let failed = |def: &ServiceDef, inherit: Inherit<'_>| -> Vec<(Step, i32)> {
        let failures = failures(spawn(def, &inherit).unwrap());
        failures.iter().map(|f| (f.step, f.errno as i32)).collect()
    };
    use Step::{Cgroup, Directory, Exec, Script, Terminal, UserCgroup};
    let windows = (Script, libc::EILSEQ);
    for (text, wanted) in [
        ("#!/bin/sh\n", vec![]),
        ("#!/bin/sh\n\r\n", vec![windows]),
        ("#!/bin/sh\r\n", vec![windows, (Exec, libc::ENOENT)]),
        ("\u{feff}#!/bin/sh\n", vec![windows, (Exec, libc::ENOEXEC)]),
    ] {
        let argv: &'static [&'static str] = Box::leak(Box::new([script(text)]));
        let def = ServiceDef {
            argv,
            ..ServiceDef::DEFAULT
        };
        assert_eq!(failed(&def, none()), wanted, "{text:?}");
        std::fs::remove_file(argv[0]).unwrap();
    }
    assert_eq!(failed(&gone, none()), [(Exec, libc::ENOENT)]);
    assert_eq!(
        failed(&program(&["/etc/passwd"]), none()),
        [(Exec, libc::EACCES)]
    );
    assert_eq!(failed(&program(&[]), none()), [(Exec, libc::EINVAL)]);
    assert_eq!(failed(&nowhere, none()), [(Directory, libc::ENOENT)]);
    assert_eq!(failed(&mute, none()), [(Terminal, libc::ENOTTY)]);
    // A cgroup that cannot be joined is reported, and the service starts.
    assert_eq!(
        failed(&program(&["/bin/true"]), wrong_group()),
        [(Cgroup, libc::ENOTDIR)]
    );
    let both = [(Cgroup, libc::ENOTDIR), (Exec, libc::ENOENT)];
    assert_eq!(failed(&gone, wrong_group()), both);
    // A service of another user does not start in the cgroup of its parent, for any number of the
    // user.
    let of_user = ServiceDef {
        user: Some(SOMEBODY),
        ..gone
    };
    assert_eq!(
        failed(&of_user, wrong_group()),
        [(UserCgroup, libc::ENOTDIR)]
    );
    assert_eq!(failed(&program(&["/bin/true"]), none()), []);
}
