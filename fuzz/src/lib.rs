//! Everything that parses, and what holds for it whatever it is given. One
//! function a target, in three uses: cargo-fuzz (`fuzz_targets/`), a short run of
//! libFuzzer by the stable compiler (`examples/run.rs`), and `cargo test`
//! (`tests/corpus.rs`: the corpus, and mutations of it that are always the same).

pub mod cloud;
pub mod cmdline;
pub mod control;
pub mod dhcp;
pub mod extension;
pub mod input;
pub mod kmsg;
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
pub mod uevent;

/// Something that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the program, of the directory in `corpus/`, of the module.
    pub name: &'static str,
    /// Panics where what must hold does not.
    pub run: fn(&[u8]),
    /// Words that it knows, for mutations that get further than chance.
    pub words: &'static [&'static str],
}

/// The target of a module.
macro_rules! target {
    ($name:ident) => {
        Target {
            name: stringify!($name),
            run: $name::$name,
            words: $name::WORDS,
        }
    };
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target!(cloud),
    target!(cmdline),
    target!(control),
    target!(dhcp),
    target!(extension),
    target!(kmsg),
    target!(modules_dep),
    target!(mountinfo),
    target!(notify),
    target!(remote_log),
    target!(report),
    target!(router),
    target!(service_file),
    target!(supervisor_events),
    target!(syslog),
    target!(uevent),
];

/// Runs a target over the files that the command line names.
pub fn replay(run: fn(&[u8])) {
    for file in std::env::args_os().skip(1) {
        match std::fs::read(&file) {
            Ok(bytes) => run(&bytes),
            Err(why) => eprintln!("{}: {why}", file.display()),
        }
    }
}

/// The program of a target: libFuzzer's where it is linked, else [`replay`].
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name::$name(data));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay($crate::$name::$name);
        }
    };
}
