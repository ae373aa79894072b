// SPDX-License-Identifier: Apache-2.0
//! Fuzz targets: the properties of every parser that hold for any input.
//!
//! Each target is one function with three uses: cargo-fuzz (`main.rs`), a short run of
//! libFuzzer with the stable compiler (`examples/run.rs`), and `cargo test` (`tests/corpus.rs`: the
//! corpus, and reproducible mutations of the corpus).

mod account;
pub mod cloud;
pub mod cmdline;
pub mod control;
pub mod dbus;
pub mod dhcp;
pub mod extension;
pub mod ignition;
pub mod input;
pub mod iso;
pub mod kmsg;
pub mod module_record;
pub mod modules_dep;
pub mod mountinfo;
pub mod mutator;
pub mod notify;
pub mod remote_log;
pub mod report;
pub mod router;
pub mod service_file;
pub mod supervisor_events;
pub mod syslog;
pub mod template;
pub mod uevent;
pub mod units;
pub mod varlink_message;
pub mod varlink_path;
pub mod varlink_stream;

/// Fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of its module, its program and its directory in `corpus/`.
    pub name: &'static str,
    /// Function that panics if a property does not hold.
    pub run: fn(&[u8]),
    /// Tokens of its input format, which mutations insert.
    pub dictionary: &'static [&'static str],
}

/// Makes the target of a module.
macro_rules! target {
    ($name:ident) => {
        Target {
            name: stringify!($name),
            run: $name::$name,
            dictionary: $name::DICTIONARY,
        }
    };
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target!(cloud),
    target!(cmdline),
    target!(control),
    target!(dbus),
    target!(dhcp),
    target!(extension),
    target!(ignition),
    target!(iso),
    target!(kmsg),
    target!(module_record),
    target!(modules_dep),
    target!(mountinfo),
    target!(notify),
    target!(remote_log),
    target!(report),
    target!(router),
    target!(service_file),
    target!(supervisor_events),
    target!(syslog),
    target!(template),
    target!(uevent),
    target!(units),
    target!(varlink_message),
    target!(varlink_path),
    target!(varlink_stream),
];

/// Variable of the environment that names the target of the program.
pub const TARGET_VARIABLE: &str = "FUZZ_TARGET";

/// Returns the function of the target that the environment names.
///
/// # Panics
/// The environment names no target.
#[must_use]
pub fn chosen() -> fn(&[u8]) {
    let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => target.run,
        None => panic!("{TARGET_VARIABLE}={name}: no such target"),
    }
}

/// Runs a target on the files in the arguments.
pub fn replay(run: fn(&[u8])) {
    for file in std::env::args_os().skip(1) {
        match std::fs::read(&file) {
            Ok(bytes) => run(&bytes),
            Err(why) => eprintln!("{}: {why}", file.display()),
        }
    }
}
