// SPDX-License-Identifier: Apache-2.0
//! `start --time`: where the time of a start went.

use crate::keeper::tunnel::{ALIVE, host_alias};
use crate::store::Machine;
use crate::tool;
use serde_json::Value;
use std::process::Command as Process;
use std::time::{Duration, Instant};

/// Moment of a start, and the test for an event that means it.
type Moment = (&'static str, fn(&Value) -> bool);

/// Moments of a start, in the order in which they come.
const MOMENTS: [Moment; 3] = [
    ("QEMU runs", |event| event["phase"] == "Starting"),
    ("machine is ready", |event| event["ready"].is_string()),
    ("podman API answers", |event| event["phase"] == "Running"),
];

/// Times of a start.
#[derive(Debug)]
pub struct StartTimes {
    begin: Instant,
    seen: [Option<Duration>; MOMENTS.len()],
}

impl StartTimes {
    /// Begins to count.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            begin: Instant::now(),
            seen: [None; MOMENTS.len()],
        }
    }

    /// Notes the moment that an event of the keeper means, if any.
    pub fn see(&mut self, event: &Value) {
        self.note(event, self.begin.elapsed());
    }

    fn note(&mut self, event: &Value, after: Duration) {
        for (seen, (_, is)) in self.seen.iter_mut().zip(MOMENTS) {
            if is(event) {
                seen.get_or_insert(after);
            }
        }
    }

    /// Returns the lines of the moments.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let moments = self.seen.iter().zip(MOMENTS);
        let lines = moments.filter_map(|(seen, (what, _))| {
            let seconds = seen.as_ref()?.as_secs_f64();
            Some(format!("({name}) {seconds:8.3} s  {what}\n"))
        });
        lines.collect()
    }
}

/// Returns the chart that the machine itself draws of its boot.
pub fn of_guest(machine: &Machine) -> anyhow::Result<String> {
    let mut ssh = Process::new("ssh");
    ssh.arg("-F").arg(machine.file("ssh_config"));
    ssh.args(ALIVE);
    let chart = tool::output(
        ssh.arg(host_alias(&machine.name))
            .args(["--", "sudo b2p boot"]),
    )?;
    // The guest's text is written to the user's terminal.
    let lines = chart.lines().map(vmm::without_controls);
    Ok(lines.map(|line| line + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_of_each_moment_counts() {
        let mut times = StartTimes::begin();
        for (event, millis) in [
            (json!({"phase": "Starting"}), 210),
            (json!({"degraded": "x: y"}), 4000),
            (json!({"ready": "boot2podman: ready"}), 5000),
            (json!({"ready": "boot2podman: ready"}), 5500),
            (json!({"phase": "Running"}), 6125),
        ] {
            times.note(&event, Duration::from_millis(millis));
        }
        assert_eq!(
            times.text("box"),
            "(box)    0.210 s  QEMU runs\n(box)    5.000 s  machine is ready\n(box)    6.125 s  podman API answers\n"
        );
    }
}
