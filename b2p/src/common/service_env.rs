// SPDX-License-Identifier: Apache-2.0
//! Environment of the commands for services: the connection to PID 1, directories of service files, and timing.

use std::path::PathBuf;
use std::time::Duration;

use control::{Name, RequestError};
use sys::error::Error;

use crate::common::control_client::{self, ControlClient};
use crate::common::paths::DEFINITIONS;

/// Directory of service files.
pub const USER_FILES: &str = "/var/lib/boot2podman/services";
/// Time between two reads of the status while PID 1 refuses a further follower.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Connection, directories and timing, which tests replace.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Connection to PID 1.
    pub control: ControlClient,
    /// Directory of service files.
    pub user_files: PathBuf,
    /// Directory from which PID 1 reads service files.
    pub loaded_files: PathBuf,
    /// Time between two reads of the status while PID 1 refuses a further follower.
    pub poll_interval: Duration,
    /// True if the services are units. Units limit the time of their starts themselves, so a command waits for a start
    /// that takes long.
    pub are_units: bool,
}

impl Environment {
    /// Returns the directories and timing of the machine.
    #[must_use]
    pub fn of(control: &ControlClient) -> Environment {
        Environment {
            control: control.clone(),
            user_files: USER_FILES.into(),
            loaded_files: control::SERVICES.into(),
            poll_interval: POLL_INTERVAL,
            are_units: false,
        }
    }

    /// Returns the environment in which definitions are those of units.
    #[must_use]
    pub fn of_units(&self) -> Environment {
        Environment {
            user_files: DEFINITIONS.into(),
            are_units: true,
            ..self.clone()
        }
    }
}

/// Returns the error of a failed request in words for users.
pub fn explain(error: &RequestError, verb: &str, name: &Name) -> Error {
    match error {
        RequestError::Refused(why) => Error::invalid(format!("{name}: {why}")),
        other => control_client::explain(other, &format!("b2p {verb} {name}")),
    }
}
