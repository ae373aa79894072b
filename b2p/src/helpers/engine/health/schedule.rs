//! When a health check is due.

use std::time::Duration;

/// What podman is asked about a container: one line, so that no JSON is read.
pub const FORMAT: &str = "{{.ID}} {{.State.Pid}} \
{{with .Config.Healthcheck}}{{.Interval.Nanoseconds}} {{.Timeout.Nanoseconds}} {{.StartPeriod.Nanoseconds}} {{.StartInterval.Nanoseconds}}{{else}}0 0 0 0{{end}} \
{{with .Config.StartupHealthCheck}}{{.Interval.Nanoseconds}} {{.Successes}}{{else}}0 0{{end}} {{.Name}}";

/// No check comes more often, whatever is asked for.
const LEAST: Duration = Duration::from_millis(500);

/// What a container's checks are, as `podman inspect` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its first process.
    pub pid: i32,
    /// How it is called.
    pub name: String,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    startup_interval: Duration,
    startup_left: u64,
}

impl Plan {
    /// Reads the answer; `None` where the container does not run, has no check, or
    /// one that is for people to call (`--health-interval=disable`).
    pub fn parse(output: &str, id: &str) -> Option<Plan> {
        let line = output.lines().find_map(|l| l.strip_prefix(id))?;
        let mut words = line.trim_start().splitn(8, ' ');
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let nanos = Duration::from_nanos;
        let mut plan = Plan {
            pid,
            interval: nanos(number()?),
            timeout: nanos(number()?),
            start_period: nanos(number()?),
            start_interval: nanos(number()?),
            startup_interval: nanos(number()?),
            startup_left: number()?,
            name: String::new(),
        };
        plan.name = words.next().unwrap_or(id).to_owned();
        // Without a number of successes one is enough.
        if !plan.startup_interval.is_zero() {
            plan.startup_left = plan.startup_left.max(1);
        }
        (!plan.interval.is_zero()).then_some(plan)
    }

    /// How long after the end of one check, `age` after the container began, the
    /// next one comes.
    pub fn next(&self, age: Duration) -> Duration {
        let interval = if self.startup_left > 0 {
            self.startup_interval
        } else if age < self.start_period && !self.start_interval.is_zero() {
            self.start_interval
        } else {
            self.interval
        };
        interval.max(LEAST)
    }

    /// A check has ended, well or not.
    pub fn ended(&mut self, well: bool) {
        self.startup_left = self.startup_left.saturating_sub(u64::from(well));
    }

    /// How long its command may take before it is killed; podman 5.4 looks at the
    /// time only when the command has ended.
    pub fn most(&self) -> Option<Duration> {
        let some = !self.timeout.is_zero();
        some.then(|| self.timeout.saturating_add(Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const S: u64 = 1_000_000_000;

    fn plan(words: &str) -> Option<Plan> {
        let id = "0f".repeat(32);
        Plan::parse(&format!("WARN[0000] x\n{id} {words}\n"), &id)
    }

    #[test]
    fn intervals() {
        let p = plan(&format!("7 {} {} {} {} 0 0 web", 30 * S, 5 * S, 60 * S, S)).unwrap();
        assert_eq!((p.pid, p.name.as_str()), (7, "web"));
        assert_eq!(p.next(Duration::from_secs(9)), Duration::from_secs(1));
        assert_eq!(p.next(Duration::from_secs(60)), Duration::from_secs(30));
        assert_eq!(p.most(), Some(Duration::from_secs(6)));
        let p = plan("7 1 0 0 0 0 0 web").unwrap();
        assert_eq!((p.next(Duration::ZERO), p.most()), (LEAST, None));
    }

    #[test]
    fn a_startup_check_comes_first() {
        let mut p = plan(&format!("7 {} 0 0 0 {} 2 web", 30 * S, 2 * S)).unwrap();
        for well in [false, true, true] {
            assert_eq!(p.next(Duration::ZERO), Duration::from_secs(2));
            p.ended(well);
        }
        assert_eq!(p.next(Duration::ZERO), Duration::from_secs(30));
    }

    #[test]
    fn who_has_none_or_does_not_run() {
        assert_eq!(plan("0 30 30 0 0 0 0 web"), None);
        assert_eq!(plan("7 0 30 0 0 0 0 web"), None);
        assert_eq!(plan("7 30 x 0 0 0 0 web"), None);
        assert_eq!(Plan::parse("", &"0f".repeat(32)), None);
    }
}
