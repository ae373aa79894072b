//! PID 1 of boot2podman, and the few programs that are the same binary under
//! other names. The boot itself is [`init::boot`]: read that first.
//!
//! This is C's `main`, not Rust's: what the standard library does before its own
//! ends the program where it fails, and this one must not end. It opens
//! /dev/null where a standard descriptor is closed, and asks for memory for a
//! signal stack (std/src/sys/pal/unix/mod.rs, `init`).
#![cfg_attr(not(test), no_main)]
#![expect(unsafe_code, reason = "C's main and its words")]

use std::ffi::{CStr, c_char, c_int};

use control::ShutdownKind;
use init::events::EventSources;
use init::power_button::PowerButtons;
use init::service_table::{Host, names};
use init::state::SystemState;
use init::{boot, coldplug, crash, modprobe, rescue, run, service_table, shutdown};
use services::Manager;
use sys::signals::Signals;
use sys::{config_sources, kmsg};

/// Where the kernel or a shell starts us.
///
/// # Safety
/// C's own start code calls it, once, with the words and a NULL.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let argc = usize::try_from(argc).unwrap_or(0);
    let word = |i: usize| match argc > i {
        // SAFETY: the words before argc are C strings that stay.
        true => unsafe { CStr::from_ptr(*argv.add(i)) }.to_bytes(),
        false => b"",
    };
    let name = run::base(word(0));
    let runs = run::NAMES.contains(&name);
    // Nothing before this allocates: without memory it must be in place.
    if std::process::id() == 1 && !runs {
        crash::open_standard();
        init([word(0), word(1), word(2)]);
    }
    if runs || (name == b"init" && word(1) == b"run") {
        let skip = usize::from(!runs);
        // SAFETY: as given; a word fewer where the first only says what to do.
        return unsafe { run::main(argc - skip, argv.add(skip)) };
    }
    let words: Vec<String> = (0..argc)
        .map(|i| String::from_utf8_lossy(word(i)).into_owned())
        .collect();
    other(&words)
}

/// PID 1. The kernel passes on every word of its command line that it does not
/// know, so only our own is looked at.
fn init(words: [&[u8]; 3]) -> ! {
    let (before, ending) = crash::before(words);
    // Known from the start: it may crash again before it is at the end once more.
    ending.into_iter().for_each(crash::set_shutdown);
    crash::install_handlers(before);
    let signals = loop {
        match Signals::block() {
            Ok(signals) => break signals,
            // Out of memory at the very start: nothing else to do than to wait,
            // and to obey meanwhile.
            Err(_) => crash::reap_once(),
        }
    };
    // Ctrl-Alt-Del is a signal to us now, and no reset; only once it is blocked
    // (reboot(2), RB_DISABLE_CAD).
    let _ = nix::sys::reboot::set_cad_enabled(false);
    if before == 0 {
        boot::run(signals)
    } else {
        after_crash(signals, ending)
    }
}

/// What is left to do after a crash: reap, obey signals, offer a shell.
fn after_crash(signals: Signals, ending: Option<ShutdownKind>) -> ! {
    kmsg::init_logger(log::LevelFilter::Info);
    let mut state = SystemState::new();
    state.config = config_sources::read_early();
    state.degraded(
        "init",
        "PID 1 crashed and was started again: services that still run go on unsupervised, and a scheduled end is forgotten",
    );
    let mut sources = EventSources {
        signals,
        uevents: None,
        buttons: PowerButtons::default(),
        control: None,
        // Signals were read by the program before that it did not live to act on.
        reap_pending: true,
    };
    if let Some(kind) = ending {
        // What it was at when it crashed. The services are children like others.
        let mut nobody = Manager::new(Vec::new(), None, kmsg::write_service_line);
        shutdown::run(kind, &mut nobody, &mut sources);
    }
    sources.buttons.open_all();
    sources.bind_control(&mut state);
    // The API's socket went with the old program; the other services did not.
    let api = service_table::find(names::PODMAN, &state.config, &Host::detect())
        .into_iter()
        .collect();
    rescue::for_ever(
        &mut state,
        &mut sources,
        api,
        "`reboot` starts again in order",
    )
}

/// The other names: the last part of the first word, or the word after it.
fn other(words: &[String]) -> i32 {
    let name = |w: &String| w.rsplit('/').next().unwrap_or("").to_owned();
    let own = words.first().map(name).unwrap_or_default();
    let (called, rest) = match (own.as_str(), words.get(1)) {
        ("init", Some(word)) => (word.clone(), words.get(2..)),
        _ => (own, words.get(1..)),
    };
    match called.as_str() {
        "modprobe" => modprobe::main(rest.unwrap_or_default()),
        "coldplug" => {
            kmsg::init_logger(log::LevelFilter::Info);
            coldplug::main()
        }
        name => {
            eprintln!("init {name}: as a command it is run, modprobe or coldplug; see b2p");
            1
        }
    }
}
