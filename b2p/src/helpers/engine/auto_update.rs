// SPDX-License-Identifier: Apache-2.0
//! `b2p auto-update`: runs `podman auto-update` for root and for every user with containers. podman finds and pulls
//! newer images, requests restarts of the units ([`crate::helpers::unit_bus`]), and returns to the old image if a
//! unit does not become ready with the new one.

use std::time::Duration;

use log::info;
use sys::error::{Error, Result};

use super::{PodmanUser, side_by_side, users_with_containers};
use crate::common::degraded::Degraded;
use crate::common::tool;

/// Limit for the updates of a user: images are pulled.
const LIMIT: Duration = Duration::from_secs(3_600);
/// Line that podman prints for each container with a policy.
const FORMAT: &str = "{{.Unit}} {{.Image}} {{.Updated}}";

/// Outcome for a container (pkg/autoupdate/autoupdate.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The unit runs with a newer image.
    Updated,
    /// No newer image exists.
    Unchanged,
    /// The newer image does not become ready; the unit runs with the old one.
    RolledBack,
    /// The update has failed.
    Failed,
}

const OUTCOMES: [(&str, Outcome); 4] = [
    ("true", Outcome::Updated),
    ("false", Outcome::Unchanged),
    ("rolled back", Outcome::RolledBack),
    ("failed", Outcome::Failed),
];

/// Updates the containers of every user, and returns the exit status: 0 even if an update has failed, which is
/// reported.
pub fn main() -> i32 {
    let mut degraded = Degraded::of("auto-update");
    let users = users_with_containers();
    side_by_side::each(
        &users,
        |user| user.uid,
        update,
        |user, updated| match updated {
            Ok(lines) => lines.iter().for_each(|line| degraded.warn(line)),
            Err(why) => degraded.warn(format_args!("of {}: {why}", user.name)),
        },
    );
    degraded.report()
}

/// Updates the containers of a user, and returns the lines that report failed updates.
fn update(user: &PodmanUser) -> Result<Vec<String>> {
    let args = ["auto-update", "--format", FORMAT];
    let finished = tool::run_command(&mut user.podman(&args), LIMIT)?;
    let mut lines = Vec::new();
    for (unit, image, outcome) in finished.output.lines().filter_map(parse) {
        match outcome {
            Outcome::Updated => info!("auto-update: {unit} runs with the new {image}"),
            Outcome::Unchanged => {}
            Outcome::RolledBack => lines.push(format!(
                "{unit}: the new {image} does not become ready; it runs with the old one"
            )),
            Outcome::Failed => {
                lines.push(format!(
                    "{unit}: {image} cannot be updated; b2p log says more"
                ));
            }
        }
    }
    match finished.code {
        Some(0) => Ok(lines),
        _ if !lines.is_empty() => {
            info!("auto-update: {}", finished.last_lines);
            Ok(lines)
        }
        _ => Err(Error::invalid(finished.last_lines)),
    }
}

/// Reads a line of [`FORMAT`].
fn parse(line: &str) -> Option<(&str, &str, Outcome)> {
    let mut fields = line.splitn(3, ' ');
    let (unit, image, word) = (fields.next()?, fields.next()?, fields.next()?);
    let (_, outcome) = OUTCOMES.iter().find(|(known, _)| *known == word)?;
    unit.ends_with(".service")
        .then_some((unit, image, *outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_podman() {
        for (line, outcome) in [
            ("web.service localhost/box:1 true", Some(Outcome::Updated)),
            (
                "web.service localhost/box:1 rolled back",
                Some(Outcome::RolledBack),
            ),
            ("web.service localhost/box:1 failed", Some(Outcome::Failed)),
            (
                "web.service localhost/box:1 false",
                Some(Outcome::Unchanged),
            ),
            ("web.service localhost/box:1 pending", None),
            ("Trying to pull", None),
            ("Error: something has failed", None),
            ("", None),
        ] {
            assert_eq!(
                parse(line).map(|(_, _, outcome)| outcome),
                outcome,
                "{line}"
            );
        }
        let parsed = parse("core-web.service docker.io/library/nginx:latest true");
        let (unit, image) = parsed
            .map(|(unit, image, _)| (unit, image))
            .unwrap_or_default();
        assert_eq!(
            (unit, image),
            ("core-web.service", "docker.io/library/nginx:latest")
        );
    }
}
