// SPDX-License-Identifier: Apache-2.0
//! Times of the health checks of a container.

use std::time::Duration;

/// Line that podman prints for a container, so that no JSON has to be read.
pub const FORMAT: &str = "{{.ID}} {{.State.Pid}} \
{{with .Config.Healthcheck}}{{.Interval.Nanoseconds}} {{.Timeout.Nanoseconds}} {{.StartPeriod.Nanoseconds}} {{.StartInterval.Nanoseconds}}{{else}}0 0 0 0{{end}} \
{{with .Config.StartupHealthCheck}}{{.Interval.Nanoseconds}} {{.Successes}}{{else}}0 0{{end}} {{.Name}}";

/// Shortest interval between two checks; a container cannot request a shorter one.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// Intervals of a container's checks, from `podman inspect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// First process of the container.
    pub pid: i32,
    /// Name of the container.
    pub name: String,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    startup_interval: Duration,
    /// Number of startup checks that have to pass yet.
    startup_left: u64,
}

impl Schedule {
    /// Reads a line of [`FORMAT`]. Returns `None` if the container does not run, has no check,
    /// or one that is for people to call (`--health-interval=disable`).
    pub fn parse(output: &str, id: &str) -> Option<Schedule> {
        let line = output.lines().find_map(|l| l.strip_prefix(id))?;
        let mut fields = line.trim_start().splitn(8, ' ');
        let pid = fields.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let mut number = || fields.next()?.parse::<u64>().ok();
        let nanos = Duration::from_nanos;
        let mut schedule = Schedule {
            pid,
            interval: nanos(number()?),
            timeout: nanos(number()?),
            start_period: nanos(number()?),
            start_interval: nanos(number()?),
            startup_interval: nanos(number()?),
            startup_left: number()?,
            name: String::new(),
        };
        schedule.name = fields.next().unwrap_or(id).to_owned();
        // Without a number of successes, one is enough.
        if !schedule.startup_interval.is_zero() {
            schedule.startup_left = schedule.startup_left.max(1);
        }
        (!schedule.interval.is_zero()).then_some(schedule)
    }

    /// Returns the time from the end of a check to the next one, for a container of this age.
    pub fn next_delay(&self, age: Duration) -> Duration {
        let interval = if self.startup_left > 0 {
            self.startup_interval
        } else if age < self.start_period && !self.start_interval.is_zero() {
            self.start_interval
        } else {
            self.interval
        };
        interval.max(MIN_INTERVAL)
    }

    /// Takes the result of a check.
    pub fn record(&mut self, passed: bool) {
        self.startup_left = self.startup_left.saturating_sub(u64::from(passed));
    }

    /// Returns the time after which the command of a check is killed; podman 5.4 checks the time
    /// only when the command has ended.
    pub fn kill_after(&self) -> Option<Duration> {
        let limited = !self.timeout.is_zero();
        limited.then(|| self.timeout.saturating_add(Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const S: u64 = 1_000_000_000;

    fn schedule(fields: &str) -> Option<Schedule> {
        let id = "0f".repeat(32);
        Schedule::parse(&format!("WARN[0000] x\n{id} {fields}\n"), &id)
    }

    #[test]
    fn next_delay_subtracts_the_time_since_the_last_check() {
        let s = schedule(&format!("7 {} {} {} {} 0 0 web", 30 * S, 5 * S, 60 * S, S)).unwrap();
        assert_eq!((s.pid, s.name.as_str()), (7, "web"));
        assert_eq!(s.next_delay(Duration::from_secs(9)), Duration::from_secs(1));
        assert_eq!(
            s.next_delay(Duration::from_secs(60)),
            Duration::from_secs(30)
        );
        assert_eq!(s.kill_after(), Some(Duration::from_secs(6)));
        let s = schedule("7 1 0 0 0 0 0 web").unwrap();
        assert_eq!(
            (s.next_delay(Duration::ZERO), s.kill_after()),
            (MIN_INTERVAL, None)
        );
    }

    #[test]
    fn a_startup_check_comes_first() {
        let mut s = schedule(&format!("7 {} 0 0 0 {} 2 web", 30 * S, 2 * S)).unwrap();
        for passed in [false, true, true] {
            assert_eq!(s.next_delay(Duration::ZERO), Duration::from_secs(2));
            s.record(passed);
        }
        assert_eq!(s.next_delay(Duration::ZERO), Duration::from_secs(30));
    }

    #[test]
    fn containers_without_interval_or_pid_have_no_schedule() {
        assert_eq!(schedule("0 30 30 0 0 0 0 web"), None);
        assert_eq!(schedule("7 0 30 0 0 0 0 web"), None);
        assert_eq!(schedule("7 30 x 0 0 0 0 web"), None);
        assert_eq!(Schedule::parse("", &"0f".repeat(32)), None);
    }
}
