//! The way to PID 1.

use std::path::PathBuf;
use std::time::Duration;

use control::{Report, Request, RequestError, State};

/// How long PID 1 may take to answer. It answers within a turn of its loop.
const PATIENCE: Duration = Duration::from_secs(2);

/// A socket, and how long is waited for an answer.
#[derive(Clone, Debug)]
pub struct ControlClient {
    /// Where PID 1 listens.
    pub path: PathBuf,
    /// As long as an answer may take.
    pub patience: Duration,
}

impl ControlClient {
    /// The machine's own.
    #[must_use]
    pub fn real() -> ControlClient {
        ControlClient {
            path: control::PATH.into(),
            patience: PATIENCE,
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// A refusal, or why there is no answer.
    pub fn ask(&self, request: &Request) -> Result<String, RequestError> {
        control::ask(&self.path, request, self.patience)
    }
}

/// What went wrong, as one line; who lacks the right is told how to get it.
#[must_use]
pub fn line(failure: &RequestError, command: &str) -> String {
    match failure {
        RequestError::NotRoot => format!("b2p: only root may: sudo {command}"),
        failure => format!("b2p: {failure}"),
    }
}

/// Whether a service does what it is there for.
#[must_use]
pub fn good(state: State) -> bool {
    matches!(state, State::Up | State::Armed | State::Done)
}

/// Whether it has come to rest, so that another file can take its place.
#[must_use]
pub fn resting(state: State) -> bool {
    matches!(state, State::Off | State::Done | State::Failed)
}

/// One word for the whole machine, those of `systemctl is-system-running`.
#[must_use]
pub fn machine_state(report: &Report<'_>) -> &'static str {
    let now = report.machine.now.unwrap_or(0);
    match report.machine.ready {
        _ if report.shutdown.is_some_and(|s| s.at <= now) => "stopping",
        None => "starting",
        Some(_) if report.degraded.is_empty() => "running",
        Some(_) => "degraded",
    }
}
