// SPDX-License-Identifier: Apache-2.0
//! Exit statuses of the tool.

pub const PANIC: i32 = 1;
pub const CANNOT_RESOLVE: i32 = 2;
pub const COMMAND_NOT_FOUND: i32 = 4;
pub const MISSING_ARGUMENT: i32 = 5;
pub const INVALID_ARGUMENT: i32 = 6;
pub const INVALID_JSON: i32 = 7;
pub const CANNOT_CONNECT: i32 = 8;
pub const TIMEOUT: i32 = 9;
pub const REMOTE_ERROR: i32 = 12;
pub const INVALID_MESSAGE: i32 = 13;
pub const CONNECTION_CLOSED: i32 = 14;

/// Failure of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit status.
    pub status: i32,
    /// Line for the standard error.
    pub text: Option<String>,
}

impl Failure {
    pub fn new(status: i32, text: impl Into<String>) -> Failure {
        Failure {
            status,
            text: Some(text.into()),
        }
    }

    /// The failure of an option or an argument.
    pub fn argument(text: impl Into<String>) -> Failure {
        Failure::new(INVALID_ARGUMENT, text)
    }

    /// The failure to reach a service. The first line is libvarlink's, followed by the cause.
    pub fn connect(cause: impl std::fmt::Display) -> Failure {
        let text = format!("Unable to connect: CannotConnect\n{cause}");
        Failure::new(CANNOT_CONNECT, text)
    }

    /// The end of the connection before the last reply.
    pub fn closed() -> Failure {
        Failure::new(CONNECTION_CLOSED, "Connection closed.")
    }
}
