// SPDX-License-Identifier: Apache-2.0
//! Recovery from a crash of PID 1: the new program takes over what still runs.
//!
//! While the machine is served, PID 1 keeps a record of what its services are to do in a file in
//! memory, whose descriptor the new program inherits ([`crash::RECORD_FD`]). The record tells what
//! is to run; what does run, the kernel tells: a process counts if it is a child of PID 1 in the
//! cgroup of the service. A service that has ended meanwhile is reaped and started again by its
//! policy.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use control::{Name, ShutdownKind};
use nix::sys::memfd::{MFdFlags, memfd_create};
use services::manager::InheritedPipes;
use services::{Intent, Manager, Millis, Pid};
use sys::clock::now;
use sys::modules::Modules;
use sys::signals::Signals;
use sys::uevent::UeventSocket;
use sys::{config_sources, kmsg, syscall};

use crate::event_sources::EventSources;
use crate::service_table::{self, Platform};
use crate::state::{ScheduledShutdown, SystemState};
use crate::{boot, control_requests, crash, data_disk, rescue, root, shutdown};

/// Maximum size of a record in bytes: 128 services of a line each.
const MAX_BYTES: u64 = 64 * 1024;
/// First line of a record.
const TITLE: &str = "boot2podman services";
/// Pause before the services are taken over, after the second crash in a row, in milliseconds. It
/// doubles with each further one: a crash loop costs little, and ends by itself.
const PAUSE_MS: Millis = 1_000;
/// Longest pause, in milliseconds.
const MAX_PAUSE_MS: Millis = 30_000;

/// File in memory with the record.
#[derive(Debug)]
pub struct RecordFile {
    file: File,
    text: String,
}

impl RecordFile {
    /// Creates the file; `None` without memory or a descriptor. A crash then loses what is to run.
    #[must_use]
    pub fn create() -> Option<RecordFile> {
        let file = memfd_create(c"boot2podman", MFdFlags::MFD_CLOEXEC).ok()?;
        let file = File::from(crash::keep_record(file)?);
        let text = String::new();
        Some(RecordFile { file, text })
    }

    /// Writes the record if it has changed.
    pub fn update(&mut self, state: &SystemState, manager: &Manager) {
        self.write(Record::text(state, manager));
    }

    /// Writes a text that is not written yet. Of two texts, one is whole or none is; after a write
    /// that fails, the next call tries again.
    fn write(&mut self, text: String) {
        if text == self.text {
            return;
        }
        let cut = self.file.set_len(0);
        let written = cut.and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
        self.text = match written {
            Ok(()) => text,
            Err(_) => {
                let _ = self.file.set_len(0);
                String::new()
            }
        };
    }
}

/// Service of a record.
#[derive(Debug, PartialEq, Eq)]
struct Recorded<'a> {
    name: &'a str,
    intent: Intent,
    pid: Option<Pid>,
}

/// Content of a record.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record<'a> {
    started: Millis,
    ready: Option<Millis>,
    verify_modules: bool,
    scheduled: Option<ScheduledShutdown>,
    /// Lines of [`crate::degraded::DegradedList::record`].
    degraded: Vec<&'a str>,
    services: Vec<Recorded<'a>>,
}

impl<'a> Record<'a> {
    fn text(state: &SystemState, manager: &Manager) -> String {
        use std::fmt::Write;
        let mut text = format!("{TITLE}\nstarted {}\n", state.started);
        // Writing to a string cannot fail.
        if let Some(at) = state.ready {
            let _ = writeln!(text, "ready {at}");
        }
        if state.verify_modules {
            text.push_str("verify\n");
        }
        if let Some(ScheduledShutdown { kind, at }) = state.scheduled {
            let _ = writeln!(text, "end {} {at}", char::from(kind.letter()));
        }
        let s = manager.supervisor();
        for (id, def) in s.ids().filter_map(|id| Some((id, s.definition(id)?))) {
            let pid = s.state(id).pid().unwrap_or(0);
            let _ = writeln!(text, "{} {pid} {}", s.intent(id).word(), def.name);
        }
        // Last, because their number has no bound.
        for line in state.degraded.record() {
            let line = format!("degraded\t{line}\n");
            if (text.len() + line.len()) as u64 > MAX_BYTES {
                break;
            }
            text.push_str(&line);
        }
        text
    }

    /// Parses a record; lines that are none are left out. `None` if there is no record.
    fn parse(text: &'a str) -> Option<Record<'a>> {
        let (title, lines) = text.split_once('\n')?;
        let mut record = Record::default();
        for line in lines.lines() {
            if let Some(line) = line.strip_prefix("degraded\t") {
                record.degraded.push(line);
                continue;
            }
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["started", at] => record.started = at.parse().unwrap_or(0),
                ["ready", at] => record.ready = at.parse().ok(),
                ["verify"] => record.verify_modules = true,
                ["end", kind, at] => record.scheduled = scheduled(kind, at),
                [word, pid, name] => record.services.extend(service(word, pid, name)),
                _ => {}
            }
        }
        (title == TITLE).then_some(record)
    }
}

fn scheduled(kind: &str, at: &str) -> Option<ScheduledShutdown> {
    let kind = ShutdownKind::from_letter(*kind.as_bytes().first()?)?;
    let at = at.parse().ok()?;
    Some(ScheduledShutdown { kind, at })
}

fn service<'a>(word: &str, pid: &str, name: &'a str) -> Option<Recorded<'a>> {
    Some(Recorded {
        name,
        intent: Intent::from_word(word)?,
        pid: pid.parse().ok().filter(|pid| *pid > 1),
    })
}

/// Continues after a crash: the services go on, and so does a shutdown that had begun.
pub fn run(signals: Signals, crashes: u8, shutdown: Option<ShutdownKind>) -> ! {
    let mut inherited = crash::inherited();
    kmsg::init_logger(log::LevelFilter::Info);
    let mut sources = EventSources::new(signals);
    if let Some(kind) = shutdown {
        end(kind, &mut sources);
    }
    sources.buttons.open_all();
    let pause = pause_ms(crashes);
    if let Some(kind) = sources.wait_for_shutdown(now().saturating_add(pause)) {
        end(kind, &mut sources);
    }
    crash::set_paused();
    // The program before may have read signals and not have acted on them.
    sources.reap_pending = true;
    let mut state = SystemState::new();
    root::restore_container(!syscall::in_initial_namespaces());
    state.config = config_sources::read().0;
    log::set_max_level(kmsg::level_filter(state.config.loglevel));
    let text = take_record(&mut inherited);
    let record = Record::parse(&text);
    let lines = record.iter().flat_map(|record| &record.degraded);
    lines.for_each(|line| state.degraded.restore(line));
    let crash = report(crashes, pause);
    state.degraded.set("init", [("init", crash.as_str())]);
    match record {
        Some(record) => take_over(state, sources, &record, inherited),
        None if root::has_userland() => {
            let pipes = InheritedPipes::of(inherited);
            boot::continue_boot(&mut state, &mut sources, Some(pipes))
        }
        None => {
            let message = "`reboot` starts again in order";
            rescue::serve_forever(&mut state, &mut sources, Vec::new(), message)
        }
    }
}

fn report(crashes: u8, pause: Millis) -> String {
    let times = match crashes {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    };
    format!(
        "PID 1 crashed ({times} in a row) and was started again after {pause} ms: the services go on; please report the lines before this one"
    )
}

/// Shuts the machine down. The services are children like all others.
fn end(kind: ShutdownKind, sources: &mut EventSources) -> ! {
    let mut no_services = Manager::new(Vec::new(), None, kmsg::write_service_line);
    sources.reap_pending = true;
    shutdown::run(kind, &mut no_services, sources)
}

/// Returns the time for which the program waits before it takes the services over.
fn pause_ms(crashes: u8) -> Millis {
    match crashes {
        0 | 1 => 0,
        n => (PAUSE_MS << (n - 2).min(8)).min(MAX_PAUSE_MS),
    }
}

fn take_record(inherited: &mut Vec<OwnedFd>) -> String {
    let is_record = |fd: &OwnedFd| fd.as_raw_fd() == crash::RECORD_FD;
    let Some(at) = inherited.iter().position(is_record) else {
        return String::new();
    };
    let file = File::from(inherited.swap_remove(at));
    let mut bytes = vec![0; file.metadata().map_or(0, |m| m.len().min(MAX_BYTES)) as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn take_over(
    mut state: SystemState,
    mut sources: EventSources,
    record: &Record<'_>,
    inherited: Vec<OwnedFd>,
) -> ! {
    state.started = record.started;
    state.ready = record.ready;
    state.scheduled = record.scheduled;
    state.verify_modules = record.verify_modules;
    data_disk::load_report(&mut state);
    reopen_devices(&mut state, &mut sources);
    let defs = service_table::select(&state.config, &Platform::detect(&state.config));
    let cgroups = Path::new(sys::paths::SERVICE_CGROUPS);
    let mut manager = Manager::new(defs, Some(cgroups), kmsg::write_service_line);
    let mut pipes = InheritedPipes::of(inherited);
    for service in &record.services {
        resume(&mut manager, service, &mut pipes);
    }
    drop(pipes);
    state.degraded.set_err("control", sources.bind_control());
    if state.ready.is_some() {
        state.degraded.publish();
    }
    boot::serve(&mut state, &mut sources, &mut manager)
}

/// Opens the sources of device events again, and looks at devices that have come meanwhile.
fn reopen_devices(state: &mut SystemState, sources: &mut EventSources) {
    let uevents = UeventSocket::open();
    state.degraded.set_err("devices", uevents.as_ref());
    sources.uevents = uevents.ok();
    if !root::in_container() {
        state.modules = Modules::open(Path::new("/")).ok();
    }
    if let Some(modules) = state.modules.as_mut() {
        modules.configure(&state.config.blacklist, state.verify_modules);
    }
    state.loader.add_all();
}

fn resume(manager: &mut Manager, service: &Recorded<'_>, pipes: &mut InheritedPipes) {
    let found = |manager: &Manager| manager.supervisor().find(service.name);
    if found(manager).is_none()
        && let Some(name) = Name::new(service.name)
        && let Err(e) = control_requests::load_file(manager, &name)
    {
        log::warn!("{}: {e}", service.name);
    }
    if let Some(id) = found(manager) {
        manager.resume(now(), id, service.intent, service.pid, pipes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::{Input, ServiceDef, ServiceId};

    #[test]
    fn what_is_written_is_read() {
        let mut state = SystemState {
            started: 12,
            verify_modules: true,
            ..SystemState::default()
        };
        let def = |name| ServiceDef {
            name,
            ..ServiceDef::DEFAULT
        };
        let mut manager = Manager::new(vec![def("net"), def("sshd")], None, |_, _| {});
        manager.note(0, Input::Start(ServiceId::new(1)));
        manager.decide(0);
        manager.note(0, Input::Spawned(ServiceId::new(1), 77));
        for scheduled in [None, Some((ShutdownKind::Halt, 99))] {
            state.scheduled = scheduled.map(|(kind, at)| ScheduledShutdown { kind, at });
            state.ready = scheduled.map(|(_, at)| at);
            let text = Record::text(&state, &manager);
            let record = Record::parse(&text).expect("a record");
            assert_eq!((record.started, record.ready), (12, state.ready));
            assert_eq!(record.scheduled, state.scheduled);
            assert!(record.verify_modules);
            let services: Vec<_> = record
                .services
                .iter()
                .map(|s| (s.name, s.intent, s.pid))
                .collect();
            let expected = [("net", Intent::Off, None), ("sshd", Intent::On, Some(77))];
            assert_eq!(services, expected);
        }
    }

    #[test]
    fn degraded_lines_without_number_cost_no_service() {
        let mut state = SystemState::default();
        for n in 0..2_000 {
            state
                .degraded
                .restore(&format!("data\tdata\t{n} {}", "x".repeat(100)));
        }
        let def = ServiceDef {
            name: "last",
            ..ServiceDef::DEFAULT
        };
        let manager = Manager::new(vec![def], None, |_, _| {});
        let text = Record::text(&state, &manager);
        assert!(text.len() as u64 <= MAX_BYTES && text.ends_with('\n'));
        let record = Record::parse(&text).expect("a record");
        assert_eq!(record.services.len(), 1);
        assert!(record.degraded.len() > 100, "{}", record.degraded.len());
    }

    #[test]
    fn a_record_that_cannot_be_written_is_written_later() {
        let full = File::options().write(true).open("/dev/full");
        let mut record = RecordFile {
            file: full.expect("/dev/full"),
            text: "the text before".into(),
        };
        record.write("a text".into());
        assert_eq!(record.text, "");
        record.file = memfd_create(c"test", MFdFlags::empty())
            .expect("memory")
            .into();
        record.write("a text".into());
        assert_eq!(record.text, "a text");
        let mut written = [0; 6];
        record.file.read_exact_at(&mut written, 0).expect("written");
        assert_eq!(&written, b"a text");
    }

    #[test]
    fn a_damaged_record_is_read_as_far_as_it_goes() {
        for text in ["", "\n", "boot2podman services", "other\non 7 net\n"] {
            assert_eq!(Record::parse(text), None, "{text:?}");
        }
        let text = format!("{TITLE}\non -1 a\non 1 b\non 0 c\nmaybe 9 d\non 9\n\non 9 e f\non x g");
        let record = Record::parse(&text).expect("a record");
        let names: Vec<_> = record.services.iter().map(|s| (s.name, s.pid)).collect();
        assert_eq!(names, [("a", None), ("b", None), ("c", None), ("g", None)]);
        let text = format!("{TITLE}\nstarted x\nready -1\nend z 9\nend r x\n");
        assert_eq!(Record::parse(&text), Some(Record::default()));
    }

    #[test]
    fn a_crash_loop_is_slowed_down_with_a_bound() {
        let pauses: Vec<Millis> = (1..=9).map(pause_ms).collect();
        assert_eq!(
            pauses,
            [
                0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        assert_eq!(pause_ms(u8::MAX), MAX_PAUSE_MS);
    }
}
