// SPDX-License-Identifier: Apache-2.0
//! Tests of the inheritance of a child and of the records that it writes.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::child::write_digits;
use std::io::Read;
use std::os::fd::AsFd;

fn run(script: &'static str, listen: Option<BorrowedFd<'_>>) -> String {
    let argv: &'static [&'static str] = Box::leak(Box::new(["/bin/sh", "-c", script]));
    let def = ServiceDef {
        name: "t",
        argv,
        env: &["EXTRA=1"],
        ..ServiceDef::DEFAULT
    };
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let inherit = Inherit {
        listen,
        output: Some(write.as_fd()),
        ..Inherit::default()
    };
    let child = spawn(&def, &inherit).unwrap();
    drop(write);
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text).unwrap();
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(child.pid, std::ptr::null_mut(), 0) };
    text
}

#[test]
fn signals_are_clean_even_when_the_parents_are_not() {
    // SAFETY: changes this test thread's mask and an unused signal only.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
    }
    let text = run("grep -E '^Sig(Blk|Ign)' /proc/self/status", None);
    for line in text.lines() {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn environment_is_constant_and_descriptors_are_three() {
    let text = run("env; ls /proc/self/fd | tr '\\n' ' '; umask; pwd", None);
    assert!(
        text.contains("HOME=/root\n") && text.contains("EXTRA=1\n"),
        "{text}"
    );
    assert!(
        !text.contains("CARGO") && !text.contains("LISTEN"),
        "{text}"
    );
    // 3 is ls reading the directory.
    assert!(text.contains("0 1 2 3 0022\n/\n"), "{text}");
}

#[test]
fn the_socket_is_descriptor_three_and_the_pid_is_right() {
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let script = "[ $LISTEN_PID = $$ ] && echo $LISTEN_FDS 1; readlink /proc/$$/fd/3";
    let text = run(script, Some(socket.as_fd()));
    assert!(text.starts_with("1 1\nsocket:["), "{text}");
}

#[test]
fn a_missing_program_is_reported_by_step_and_errno() {
    let def = ServiceDef {
        argv: &["/nonexistent"],
        ..ServiceDef::DEFAULT
    };
    let child = spawn(&def, &Inherit::default()).unwrap();
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(child.pid, std::ptr::null_mut(), 0) };
    let mut record = Vec::new();
    std::fs::File::from(child.failure)
        .read_to_end(&mut record)
        .unwrap();
    let failed = Failure {
        step: Step::Exec,
        errno: Errno::ENOENT,
    };
    assert_eq!(Failure::read(&record), Some(failed));
    assert!(failed.fatal());
}

#[test]
fn a_malformed_failure_record_is_refused() {
    assert_eq!(Failure::read(b""), None);
    assert_eq!(Failure::read(b"\x09\x02"), None);
    assert_eq!(Failure::read(b"\xff\x02\0\0\0"), None);
}

#[test]
fn digits_have_no_leading_zeros() {
    for pid in [1, 42, 4_194_304, i32::MAX] {
        let mut b = b"LISTEN_PID=0000000000\0".to_vec();
        write_digits(&mut b, pid);
        let text = b.split(|c| *c == 0).next().unwrap();
        assert_eq!(text, format!("LISTEN_PID={pid}").as_bytes());
    }
}
