// SPDX-License-Identifier: Apache-2.0
//! State that survives a crash of PID 1: the requested states of services, and the past events of the machine. PID 1
//! saves the state in a file in memory ([`crate::state_file`]).

use control::ShutdownKind;
use services::{Manager, Millis, Pid, StateToRestore};

use crate::state::{ScheduledShutdown, SystemState};
use crate::state_file::MAX_BYTES;

/// First line of the file.
const TITLE: &str = "boot2podman services";
/// Last line of the text. Lines after this line belong to an earlier text.
const END: &str = "end";

/// Saved record of a service.
#[derive(Debug, PartialEq, Eq)]
pub struct SavedService<'a> {
    /// Name of the service.
    pub name: &'a str,
    /// State that the service is to have.
    pub state: StateToRestore,
    /// Main process of the service.
    pub pid: Option<Pid>,
}

/// Content of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SavedState<'a> {
    /// Start of the first execution of PID 1.
    pub started: Millis,
    /// Time of the ready line.
    pub ready: Option<Millis>,
    /// True if signatures of modules are verified.
    pub verify_modules: bool,
    /// True if the machine has reported by a virtio port to the host that it is ready.
    pub ready_reported_on_virtio_port: bool,
    /// True if the machine has reported by vsock to the host that it is ready.
    pub ready_reported_on_vsock: bool,
    /// Shutdown that was requested for later.
    pub scheduled: Option<ScheduledShutdown>,
    /// Lines of [`crate::degraded::DegradedList::to_saved`].
    pub degraded: Vec<&'a str>,
    /// Services, in the order of the table.
    pub services: Vec<SavedService<'a>>,
}

impl<'a> SavedState<'a> {
    /// Returns the text of the file for this state.
    #[must_use]
    pub fn text(state: &SystemState, manager: &Manager) -> String {
        use std::fmt::Write;
        let mut text = format!("{TITLE}\nstarted {}\n", state.started);
        // Writing to a string cannot fail.
        if let Some(at) = state.ready {
            let _ = writeln!(text, "ready {at}");
        }
        let marks = [
            (state.verify_modules, "verify\n"),
            (state.ready_reported_on_virtio_port, "virtio-told\n"),
            (state.ready_reported_on_vsock, "vsock-told\n"),
        ];
        for (_, mark) in marks.iter().filter(|(is_set, _)| *is_set) {
            text.push_str(mark);
        }
        if let Some(ScheduledShutdown { kind, at }) = state.scheduled {
            let _ = writeln!(text, "shutdown {} {at}", char::from(kind.letter()));
        }
        let s = manager.supervisor();
        for (id, def) in s.ids().filter_map(|id| Some((id, s.definition(id)?))) {
            // Most services have no process, and the formatting of a line costs ten times as much as its copy.
            text.push_str(s.state_to_restore(id).word());
            match s.state(id).pid() {
                Some(pid) => drop(write!(text, " {pid} ")),
                None => text.push_str(" 0 "),
            }
            text.push_str(def.name);
            text.push('\n');
        }
        // The degraded lines are last, because their number has no bound.
        for line in state.degraded.to_saved() {
            let line = format!("degraded\t{line}\n");
            if (text.len() + line.len() + END.len() + 1) as u64 > MAX_BYTES {
                break;
            }
            text.push_str(&line);
        }
        text + END + "\n"
    }

    /// Parses the text of the file and leaves out lines that are damaged. `None` if the text has
    /// another first line.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<SavedState<'a>> {
        let (title, lines) = text.split_once('\n')?;
        let mut saved = SavedState::default();
        for line in lines.lines().take_while(|line| *line != END) {
            if let Some(line) = line.strip_prefix("degraded\t") {
                saved.degraded.push(line);
                continue;
            }
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["started", at] => saved.started = at.parse().unwrap_or(0),
                ["ready", at] => saved.ready = at.parse().ok(),
                ["verify"] => saved.verify_modules = true,
                ["virtio-told"] => saved.ready_reported_on_virtio_port = true,
                ["vsock-told"] => saved.ready_reported_on_vsock = true,
                ["shutdown", kind, at] => saved.scheduled = scheduled(kind, at),
                [word, pid, name] => saved.services.extend(service(word, pid, name)),
                _ => {}
            }
        }
        (title == TITLE).then_some(saved)
    }
}

fn scheduled(kind: &str, at: &str) -> Option<ScheduledShutdown> {
    let kind = ShutdownKind::from_letter(*kind.as_bytes().first()?)?;
    let at = at.parse().ok()?;
    Some(ScheduledShutdown { kind, at })
}

fn service<'a>(word: &str, pid: &str, name: &'a str) -> Option<SavedService<'a>> {
    Some(SavedService {
        name,
        state: StateToRestore::from_word(word)?,
        pid: pid.parse().ok().filter(|pid| *pid > 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::{Input, ServiceDef, ServiceId};

    #[test]
    fn a_saved_state_is_parsed_as_it_was_written() {
        let mut state = SystemState {
            started: 12,
            verify_modules: true,
            ready_reported_on_virtio_port: true,
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
            let text = SavedState::text(&state, &manager);
            let saved = SavedState::parse(&text).expect("a state");
            assert_eq!((saved.started, saved.ready), (12, state.ready));
            assert_eq!(saved.scheduled, state.scheduled);
            assert!(
                saved.verify_modules
                    && saved.ready_reported_on_virtio_port
                    && !saved.ready_reported_on_vsock
            );
            let services: Vec<_> = saved
                .services
                .iter()
                .map(|s| (s.name, s.state, s.pid))
                .collect();
            let expected = [
                ("net", StateToRestore::Off, None),
                ("sshd", StateToRestore::On, Some(77)),
            ];
            assert_eq!(services, expected);
            // A crash between the two calls that write the file leaves a part of the earlier text.
            let with_rest = format!("{text}on 9 old\nshutdown r 7\ndegraded\tx\n");
            assert_eq!(SavedState::parse(&with_rest), Some(saved));
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
        let text = SavedState::text(&state, &manager);
        assert!(text.len() as u64 <= MAX_BYTES && text.ends_with('\n'));
        let saved = SavedState::parse(&text).expect("a state");
        assert_eq!(saved.services.len(), 1);
        assert!(saved.degraded.len() > 100, "{}", saved.degraded.len());
    }

    #[test]
    fn a_damaged_file_is_read_as_far_as_it_goes() {
        for text in ["", "\n", "boot2podman services", "other\non 7 net\n"] {
            assert_eq!(SavedState::parse(text), None, "{text:?}");
        }
        let text = format!("{TITLE}\non -1 a\non 1 b\non 0 c\nmaybe 9 d\non 9\n\non 9 e f\non x g");
        let saved = SavedState::parse(&text).expect("a state");
        let names: Vec<_> = saved.services.iter().map(|s| (s.name, s.pid)).collect();
        assert_eq!(names, [("a", None), ("b", None), ("c", None), ("g", None)]);
        let text = format!("{TITLE}\nstarted x\nready -1\nshutdown z 9\nshutdown r x\n");
        assert_eq!(SavedState::parse(&text), Some(SavedState::default()));
    }
}
