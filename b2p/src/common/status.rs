// SPDX-License-Identifier: Apache-2.0
//! Services in the report of PID 1, and the words for them.

use config::canonical_service_name;
use control::{LastExit, Name, Report, Service};
use services::ExitStatus;
use sys::error::Error;

/// Returns the service of this name.
#[must_use]
pub fn with_name<'a>(report: &Report<'a>, name: &Name) -> Option<Service<'a>> {
    let mut services = report.services.iter();
    services.find(|s| s.name == name.as_str()).copied()
}

/// Returns the service of this name, or of the name that this former name stands for.
pub fn find<'a, 'b>(report: &'b Report<'a>, name: &str) -> Option<&'b Service<'a>> {
    let with_name = |name: &str| report.services.iter().find(|s| s.name == name);
    with_name(name).or_else(|| with_name(&canonical_service_name(name)))
}

/// Returns the error for a name that no service has, with the most similar one.
pub fn unknown_service(report: &Report<'_>, name: &str) -> Error {
    let suggestion = config::suggest(name, &mut report.services.iter().map(|s| s.name));
    let advice = suggestion.map_or(String::new(), |name| format!("; did you mean {name}?"));
    Error::invalid(format!("{name}: no such service{advice}"))
}

/// Returns the host name of the machine.
#[must_use]
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_ascii().to_owned()
}

/// Returns `exited with status 1` or `killed by SIGKILL`.
pub fn describe_end(last: LastExit) -> String {
    let status = match last {
        LastExit::Exited(code) => ExitStatus::Exited(code),
        LastExit::Killed(signal) => ExitStatus::Killed(signal),
    };
    status.to_string()
}
