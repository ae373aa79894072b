// SPDX-License-Identifier: Apache-2.0
//! `start --time`: where the time of a start went.

use crate::keeper::tunnel::{ALIVE, host_alias};
use crate::state::State;
use crate::store::Machine;
use crate::store::progress::Progress;
use crate::tool;
use std::process::Command as Process;
use std::time::{Duration, Instant};

/// Moment of a start, and the test for a line of progress that means it.
type Moment = (&'static str, fn(&Progress) -> bool);

/// Moments of a start, in their order.
const MOMENTS: [Moment; 3] = [
    ("QEMU runs", |progress| {
        *progress == Progress::State(State::Starting)
    }),
    ("machine is ready", |progress| {
        matches!(progress, Progress::Ready(_))
    }),
    ("podman API answers", |progress| {
        *progress == Progress::State(State::Running)
    }),
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

    /// Records the time of the moment that a line of progress means, if any.
    pub fn record(&mut self, progress: &Progress) {
        self.record_at(progress, self.begin.elapsed());
    }

    fn record_at(&mut self, progress: &Progress, after: Duration) {
        for (seen, (_, is)) in self.seen.iter_mut().zip(MOMENTS) {
            if is(progress) {
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

    #[test]
    fn the_first_of_each_moment_counts() {
        let mut times = StartTimes::begin();
        let ready = || Progress::Ready("boot2podman: ready".to_owned());
        for (progress, millis) in [
            (Progress::State(State::Starting), 210),
            (Progress::Degraded("x: y".to_owned()), 4000),
            (ready(), 5000),
            (ready(), 5500),
            (Progress::State(State::Running), 6125),
        ] {
            times.record_at(&progress, Duration::from_millis(millis));
        }
        assert_eq!(
            times.text("box"),
            "(box)    0.210 s  QEMU runs\n(box)    5.000 s  machine is ready\n(box)    6.125 s  podman API answers\n"
        );
    }
}
