// SPDX-License-Identifier: Apache-2.0
//! Progress of a machine: the lines that a keeper writes to its followers, one JSON object each. `podman-machine events`
//! prints the objects, so their keys are a format that users read.

use super::forward::Forward;
use crate::state::State;
use serde_json::{Value, json};

/// Line of progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The machine has entered this state.
    State(State),
    /// Degraded line of the machine, or of its start.
    Degraded(String),
    /// The machine has written this ready line; the text is empty if the line was written before the memory was saved.
    Ready(String),
    /// The API has not answered yet, and may still answer.
    ApiLate(String),
    /// The machine is paused for this reason.
    Paused(String),
    /// Other fault of a machine that runs: for the most part, its API does not answer.
    Trouble(String),
    /// A port of the machine is published on the host.
    Published(Forward),
    /// A port of the machine is no longer published.
    Unpublished(Forward),
    /// The request of this connection is refused.
    Refused(String),
    /// QEMU has ended.
    Ended {
        /// Reason.
        why: String,
        /// True if the machine powered off, was saved, or was killed by a command.
        orderly: bool,
    },
}

impl Progress {
    /// Returns the object of the line.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Progress::State(state) => json!({"phase": state.word()}),
            Progress::Degraded(line) => json!({"degraded": line}),
            Progress::Ready(line) => json!({"ready": line}),
            Progress::ApiLate(why) => json!({"trouble": why, "late": true}),
            Progress::Paused(why) => json!({"trouble": why, "paused": true}),
            Progress::Trouble(why) => json!({"trouble": why}),
            Progress::Published(forward) => json!({"published": forward}),
            Progress::Unpublished(forward) => json!({"unpublished": forward}),
            Progress::Refused(why) => json!({"error": why}),
            Progress::Ended { why, orderly } => json!({"ended": why, "clean": orderly}),
        }
    }

    /// Reads an object. The keeper may be that of another version of this program: an object that is not known is
    /// `None`.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Progress> {
        let keys = ["ended", "trouble", "phase", "degraded", "ready", "error"];
        let found = keys
            .into_iter()
            .find_map(|key| Some((key, value[key].as_str()?)));
        let Some((key, text)) = found else {
            return forward(value);
        };
        let why = text.to_owned();
        Some(match key {
            "ended" => Progress::Ended {
                why,
                orderly: value["clean"] == true,
            },
            "trouble" if value["late"] == true => Progress::ApiLate(why),
            "trouble" if value["paused"] == true => Progress::Paused(why),
            "trouble" => Progress::Trouble(why),
            "phase" => Progress::State(State::parse(text)?),
            "degraded" => Progress::Degraded(why),
            "ready" => Progress::Ready(why),
            _ => Progress::Refused(why),
        })
    }
}

/// Reads an object about a port.
fn forward(value: &Value) -> Option<Progress> {
    let read = |key: &str| serde_json::from_value::<Forward>(value[key].clone()).ok();
    let published = read("published").map(Progress::Published);
    published.or_else(|| read("unpublished").map(Progress::Unpublished))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_read_as_it_was_written() {
        let forward = Forward {
            protocol: "tcp".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: 8080,
            guest: 80,
        };
        let text = || "x".to_owned();
        for progress in [
            Progress::State(State::Starting),
            Progress::Degraded(text()),
            Progress::Ready(text()),
            Progress::Ready(String::new()),
            Progress::ApiLate(text()),
            Progress::Paused(text()),
            Progress::Trouble(text()),
            Progress::Published(forward.clone()),
            Progress::Unpublished(forward),
            Progress::Refused(text()),
            Progress::Ended {
                why: text(),
                orderly: false,
            },
        ] {
            assert_eq!(Progress::from_json(&progress.to_json()), Some(progress));
        }
    }

    #[test]
    fn the_keys_of_events_are_a_format() {
        let ended = Progress::Ended {
            why: "powered off".to_owned(),
            orderly: true,
        };
        let expected = json!({"ended": "powered off", "clean": true});
        assert_eq!(ended.to_json(), expected);
        let late = Progress::ApiLate("no".to_owned());
        assert_eq!(late.to_json(), json!({"trouble": "no", "late": true}));
        let state = Progress::State(State::Running);
        assert_eq!(state.to_json(), json!({"phase": "Running"}));
    }

    #[test]
    fn lines_of_another_version_are_ignored() {
        for value in [json!({"phase": "Flying"}), json!({"new": 1}), json!([])] {
            assert_eq!(Progress::from_json(&value), None, "{value}");
        }
    }
}
