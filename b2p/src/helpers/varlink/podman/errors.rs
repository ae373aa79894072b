// SPDX-License-Identifier: Apache-2.0
//! Errors of `io.podman`.

use varlink::{Failure, Value, json, map};

/// Result of a method or of a part of a method.
pub(super) type Outcome<T> = Result<T, Failure>;

/// Returns the error for everything else.
pub(super) fn occurred(reason: &str) -> Failure {
    error("ErrorOccurred", json!({ "reason": reason }))
}

/// Returns an error of the interface.
pub(super) fn error(name: &str, parameters: Value) -> Failure {
    Failure::new(&format!("io.podman.{name}"), map(parameters))
}
