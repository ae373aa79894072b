// SPDX-License-Identifier: Apache-2.0
//! `b2p containers-start`: starts at boot the containers whose restart policy requests the start.
//!
//! podman's own service for this is `podman start --all --filter restart-policy=always`
//! (podman-restart.service(8)); this helper does the same for every user. `unless-stopped` is for
//! containers that ran when the machine ended. podman forgets at the first start after a boot which
//! containers a person has stopped, but their times show the stop: a container that was stopped has
//! a time of its end after that of its start; one that ran until the machine ended has not, because
//! neither a power cut nor `b2p containers-stop` lets podman record an end.

use std::time::Duration;

use log::info;

use sys::error::{Error, Result};

use super::{PodmanUser, is_id, side_by_side, users_with_containers};
use crate::common::degraded::Degraded;
use crate::common::tool;

/// Limit for a query: podman waits for locks, and first opens its database.
const QUERY_LIMIT: Duration = Duration::from_secs(120);
/// Limit for the start of all containers of a user.
const START_LIMIT: Duration = Duration::from_secs(900);

/// Line that podman prints for each container. The last field is the unit of the container, if any.
const FORMAT: &str = "{{.ID}} {{.State.StartedAt.UnixMilli}} {{.State.FinishedAt.UnixMilli}} {{.HostConfig.RestartPolicy.Name}} {{.Name}} {{index .Config.Labels \"PODMAN_SYSTEMD_UNIT\"}}";

/// A container that is due.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    id: String,
    name: String,
}

/// Starts the containers of every user, and returns the exit status: 0 even if one cannot be
/// started, which is reported.
pub fn main() -> i32 {
    let mut degraded = Degraded::of("containers");
    let users = users_with_containers();
    side_by_side::each(
        &users,
        |user| user.uid,
        start,
        |user, started| {
            if let Err(why) = started {
                degraded.warn(format_args!("of {}: {why}", user.name));
            }
        },
    );
    degraded.report()
}

fn start(user: &PodmanUser) -> Result<()> {
    let ids = candidates(user)?;
    if ids.is_empty() {
        return Ok(());
    }
    let inspect = ["container", "inspect", "--format", FORMAT];
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let lines = run_podman(user, &[&inspect[..], &ids].concat(), QUERY_LIMIT)?;
    let due: Vec<Container> = lines.lines().filter_map(parse_due).collect();
    if due.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = due.iter().map(|c| c.id.as_str()).collect();
    run_podman(user, &[&["start"], &ids[..]].concat(), START_LIMIT)?;
    let names: Vec<&str> = due.iter().map(|c| c.name.as_str()).collect();
    info!("containers of {}: {}", user.name, names.join(", "));
    Ok(())
}

/// Returns the ids of the containers with a policy that may hold across a boot.
fn candidates(user: &PodmanUser) -> Result<Vec<String>> {
    let args = [
        "ps",
        "--all",
        "--quiet",
        "--no-trunc",
        "--filter",
        "restart-policy=always",
        "--filter",
        "restart-policy=unless-stopped",
    ];
    let output = run_podman(user, &args, QUERY_LIMIT)?;
    let ids = output.lines().filter(|l| is_id(l)).map(str::to_owned);
    Ok(ids.collect())
}

/// Runs podman and returns its output, warnings included.
fn run_podman(user: &PodmanUser, args: &[&str], limit: Duration) -> Result<String> {
    let finished = tool::run_command(&mut user.podman(args), limit)?;
    match finished.code {
        Some(0) => Ok(finished.output),
        _ => Err(Error::invalid(
            error_lines(&finished.output).unwrap_or(finished.last_lines),
        )),
    }
}

/// Returns the error lines of podman's output: `podman start` also prints the ids of the started
/// containers. podman marks errors by their text alone.
fn error_lines(output: &str) -> Option<String> {
    let lines = output.lines().filter_map(|l| l.strip_prefix("Error: "));
    let lines: Vec<&str> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Reads a line of [`FORMAT`]; returns a container that is due. A container of a unit is started by the unit.
fn parse_due(line: &str) -> Option<Container> {
    let mut fields = line.splitn(6, ' ');
    let id = fields.next().filter(|id| is_id(id))?;
    let started: i64 = fields.next()?.parse().ok()?;
    let finished: i64 = fields.next()?.parse().ok()?;
    let due = match fields.next()? {
        "always" => true,
        "unless-stopped" => started > finished,
        _ => false,
    };
    let name = fields.next().unwrap_or(id).to_owned();
    let is_free = fields.next().is_none_or(|unit| unit.trim().is_empty());
    let id = id.to_owned();
    (due && is_free).then_some(Container { id, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Go's zero time in milliseconds since 1970.
    const NEVER: &str = "-62135596800000";

    #[test]
    fn restart_policy_decides_which_containers_start() {
        let id = "0f".repeat(32);
        let names = |line: &str| {
            let line = line.replace("ID", &id);
            parse_due(&line)
                .map(|c| c.name)
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names("ID 10 20 always web"),
            ["web"],
            "stopped, and started all the same"
        );
        assert_eq!(names("ID 10 20 always web "), ["web"]);
        assert_eq!(names(&format!("ID 10 {NEVER} unless-stopped web")), ["web"]);
        assert_eq!(
            names("ID 30 20 unless-stopped web"),
            ["web"],
            "stopped before, started again"
        );
        for not in [
            "ID 10 20 unless-stopped web".to_owned(),
            format!("ID {NEVER} {NEVER} unless-stopped never-started"),
            "ID 30 20 on-failure web".to_owned(),
            "ID 30 20 no web".to_owned(),
            "ID 30 x always web".to_owned(),
            "ID 10 20 always web web.service".to_owned(),
            "WARN[0000] something".to_owned(),
            String::new(),
        ] {
            assert!(names(&not).is_empty(), "{not}");
        }
    }

    #[test]
    fn only_errors_of_podman_are_reported() {
        let output = "0f0f\nError: unable to start container \"x\": no such file\n";
        assert_eq!(
            error_lines(output).as_deref(),
            Some("unable to start container \"x\": no such file")
        );
        assert_eq!(error_lines("0f0f\n"), None);
    }
}
