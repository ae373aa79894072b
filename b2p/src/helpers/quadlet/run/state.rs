// SPDX-License-Identifier: Apache-2.0
//! State of a unit that PID 1 has no model of, which `b2p unit-run` passes to `systemctl` in a file. The
//! file of starts counts for `StartLimitBurst=`.

use std::fs;
use std::path::Path;

use nix::libc::pid_t;
use sys::clock::Millis;
use sys::printable::is_control;

/// State of a unit's processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Main process; 0 without one.
    pub main: pid_t,
    /// Stage of the life, in the words of systemd.
    pub stage: String,
    /// Cause of the end, in the words of `Result=` of systemctl(1).
    pub result: String,
    /// Last text of `STATUS=`.
    pub status: String,
    /// Number of reloads that are over.
    pub reloads: u32,
    /// Exit status of the last reload.
    pub reload_status: i32,
}

/// Longest text of `STATUS=` that is kept, in characters.
const MAX_STATUS: usize = 200;

impl State {
    /// Returns the state as lines.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "main={}\nstage={}\nresult={}\nreloads={}\nreload={}\nstatus={}\n",
            self.main, self.stage, self.result, self.reloads, self.reload_status, self.status
        )
    }

    /// Reads lines. A missing or wrong value has its default; control characters are left out, since the file is
    /// the user's.
    #[must_use]
    pub fn parse(text: &str) -> State {
        let mut state = State::default();
        let printable = |value: &str| -> String {
            let characters = value.chars().filter(|c| !is_control(*c));
            characters.take(MAX_STATUS).collect()
        };
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "main" => state.main = value.parse().unwrap_or(0),
                "stage" => state.stage = printable(value),
                "result" => state.result = printable(value),
                "status" => state.status = printable(value),
                "reloads" => state.reloads = value.parse().unwrap_or(0),
                "reload" => state.reload_status = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        state
    }

    /// Reads the file of a unit; the default if there is none.
    #[must_use]
    pub fn read(path: &Path) -> State {
        let text = sys::files::read_text(path).unwrap_or_default();
        State::parse(&text)
    }

    /// Sets the text of `STATUS=`, of which control characters are left out.
    pub fn set_status(&mut self, text: &str) {
        let printable = text.chars().filter(|c| !c.is_control() && !is_control(*c));
        self.status = printable.take(MAX_STATUS).collect();
    }
}

/// Notes a start at `now`, and returns false if the start exceeds `limit`: a number of starts within a
/// time.
#[must_use]
pub fn may_start(path: &Path, now: Millis, limit: (usize, Millis)) -> bool {
    let text = sys::files::read_text(path).unwrap_or_default();
    let starts = text.lines().filter_map(|line| line.parse::<Millis>().ok());
    let mut recent: Vec<Millis> = starts
        .filter(|at| *at <= now && now - at < limit.1)
        .collect();
    if recent.len() >= limit.0 {
        return false;
    }
    recent.push(now);
    let text: String = recent.iter().map(|at| format!("{at}\n")).collect();
    // Without the file the start counts as the first.
    let _ = fs::write(path, text);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_round_trips() {
        let mut state = State {
            main: 12,
            stage: "running".to_owned(),
            reloads: 2,
            reload_status: 4,
            ..State::default()
        };
        state.set_status("a=b\nmain=3\u{1b}");
        assert_eq!(State::parse(&state.text()), state);
        assert_eq!(state.status, "a=bmain=3");
        assert_eq!(State::parse("main=x\nfrob\n"), State::default());
        let forged = State::parse("status=\u{1b}[2Jup\u{202e}\nstage=a\rb\nresult=\u{9b}x\n");
        assert_eq!(
            [forged.status, forged.stage, forged.result],
            ["[2Jup", "ab", "x"]
        );
    }

    #[test]
    fn start_limit_burst_applies_within_its_interval() {
        let temp = crate::common::testing::Temp::new();
        let path = temp.path("starts");
        let started = [0, 10, 20, 99, 100, 105].map(|now| may_start(&path, now, (3, 100)));
        assert_eq!(started, [true, true, true, false, true, false]);
        let _ = fs::remove_file(&path);
        assert!(may_start(&path, 106, (3, 100)));
    }
}
