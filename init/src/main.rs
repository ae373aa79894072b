// SPDX-License-Identifier: Apache-2.0
//! PID 1 of boot2podman, and the applets that are the same binary under other names. The boot itself is
//! [`init::boot`]: read that file first.
//!
//! The entry point is C's `main` and not Rust's, because a failure in the preparations of Rust's
//! `main` ends the program: the standard library opens /dev/null for standard descriptors that are
//! closed, and allocates a signal stack (std/src/sys/pal/unix/mod.rs, `init`). PID 1 must not end.
#![cfg_attr(not(test), no_main)]
#![expect(unsafe_code, reason = "C's main and its arguments, a disposition")]

use std::ffi::{CStr, c_char, c_int};

use init::{coldplug, crash, modprobe, recovery, run, startup};
use sys::kmsg;
use sys::signals::Signals;

/// Entry point, called by the kernel or by another program.
///
/// # Safety
/// C's start code calls the function, once, with the arguments and a NULL.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let argc = usize::try_from(argc).unwrap_or(0);
    let arg = |i: usize| match argc > i {
        // SAFETY: the arguments before argc are C strings that live as long as the program.
        true => unsafe { CStr::from_ptr(*argv.add(i)) }.to_bytes(),
        false => b"",
    };
    let name = run::base(arg(0));
    let is_run = run::NAMES.contains(&name);
    // Nothing before `crash::install_handlers` allocates: without the handlers, a failed allocation would end PID 1.
    if std::process::id() == 1 && !is_run {
        crash::open_standard();
        pid1([arg(0), arg(1), arg(2)]);
    }
    if is_run || (name == b"init" && arg(1) == b"run") {
        let skip = usize::from(!is_run);
        // SAFETY: as above, without the first argument if that only names the applet.
        return unsafe { run::main(argc - skip, argv.add(skip)) };
    }
    let args = (0..argc).map(|i| String::from_utf8_lossy(arg(i)).into_owned());
    run_applet(&args.collect::<Vec<String>>())
}

/// Runs as PID 1. The kernel passes on all words of its command line that it does not know, so
/// only the arguments of [`crash`] are read.
fn pid1(args: [&[u8]; 3]) -> ! {
    let before = crash::Crashes::before(args);
    crash::install_handlers(before);
    // An earlier program may have ignored SIGCHLD, which survives execve(2): the kernel would then reap children
    // itself, and PID 1 would see the end of no service (wait(2), NOTES).
    // SAFETY: SIG_DFL is no function.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    let signals = loop {
        match Signals::block() {
            Ok(signals) => break signals,
            // signalfd(2) failed for lack of memory: PID 1 tries again each second. Meanwhile it reaps children, and a
            // signal that requests a shutdown calls reboot(2) at once.
            Err(_) => crash::reap_and_wait_a_second(),
        }
    };
    // Ctrl-Alt-Del sends a signal from here on instead of a reset. The signal is blocked already
    // (reboot(2), RB_DISABLE_CAD).
    let _ = nix::sys::reboot::set_cad_enabled(false);
    sys::heap::keep_groups();
    match before.in_a_row {
        0 => startup::run(signals),
        crashes => recovery::run(signals, crashes, before.shutdown),
    }
}

/// Runs the applet that is named by the last component of the first argument, or by the second
/// argument if that component is `init`. Returns the exit status.
fn run_applet(args: &[String]) -> i32 {
    let own_name = args.first().map_or("", String::as_str);
    let own_name = own_name.rsplit('/').next().unwrap_or_default();
    let (applet, rest) = match (own_name, args.get(1)) {
        ("init", Some(applet)) => (applet.as_str(), args.get(2..)),
        _ => (own_name, args.get(1..)),
    };
    match applet {
        "modprobe" => modprobe::main(rest.unwrap_or_default()),
        "coldplug" => {
            kmsg::init_logger(log::LevelFilter::Info);
            coldplug::main()
        }
        name => {
            eprintln!(
                "init: {name}: unknown applet; the applets are run, modprobe and coldplug. b2p controls the machine"
            );
            1
        }
    }
}
