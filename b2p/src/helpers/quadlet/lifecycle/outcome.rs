// SPDX-License-Identifier: Apache-2.0
//! Outcome of a life, for `systemctl`, for PID 1, and for the commands of the end.

use services::exit_status::signal_name;

use super::{Exit, Lifecycle, Stage};

/// Exit status of a unit that is left out: a condition does not hold. Its service has done its work.
pub const SKIPPED: u8 = 253;
/// Exit status of a unit that is given up, with any `Restart=`: an assertion does not hold, there were more
/// starts than `StartLimitBurst=`, or `Restart=on-abort` and its like do not apply to the failure.
pub const GIVEN_UP: u8 = 254;

impl Lifecycle {
    /// Cause of the end, in the words of `Result=` (systemd.exec(5), "$SERVICE_RESULT").
    #[must_use]
    pub fn result(&self) -> &'static str {
        self.failure.map_or("success", |failure| failure.result)
    }

    /// Variables of the commands of a stage (systemd.exec(5), "$SERVICE_RESULT", "$EXIT_CODE").
    #[must_use]
    pub fn variables(&self, stage: Stage) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if let Some(main) = self.main {
            variables.push(("MAINPID", main.to_string()));
        }
        if [Stage::Stop, Stage::StopPost].contains(&stage) {
            variables.push(("SERVICE_RESULT", self.result().to_owned()));
            let (code, status) = match self.exit {
                Some(Exit::Code(code)) => ("exited", code.to_string()),
                Some(Exit::Signal(signal)) => ("killed", name(signal)),
                None => return variables,
            };
            variables.push(("EXIT_CODE", code.to_owned()));
            variables.push(("EXIT_STATUS", status));
        }
        variables
    }

    /// Exit status of the first process for the end of the life: for an end that `RestartPreventExitStatus=` has,
    /// one after which PID 1 does not start the unit again. The two with a meaning to the service are no
    /// process's own.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        let is_final = self.exit.filter(|exit| self.plan.prevents.contains(exit));
        match (self.failure, is_final) {
            (None, None) => 0,
            (None, Some(_)) => SKIPPED,
            (Some(failure), _) if failure.is_left_out() => SKIPPED,
            (Some(_), Some(Exit::Signal(_))) => GIVEN_UP,
            (Some(failure), _) if !self.plan.restarts(failure) => GIVEN_UP,
            (Some(failure), _) => match u8::try_from(failure.status).unwrap_or(1) {
                SKIPPED | GIVEN_UP => SKIPPED - 1,
                status => status,
            },
        }
    }
}

/// Name of a signal without `SIG`.
fn name(signal: i32) -> String {
    let name = signal_name(signal).and_then(|name| name.strip_prefix("SIG"));
    name.map_or_else(|| signal.to_string(), str::to_owned)
}
