// SPDX-License-Identifier: Apache-2.0
//! The example of docs/guide/quadlets.md, as it is written. The images of its names are made by hand,
//! because tests cannot reach a registry.

use crate::image;
use anyhow::{Context, Result};
use std::fs;

/// Heading of the first half, whose commands write the files.
pub const IN_A_MACHINE: &str = "## From nothing to curl";
/// Heading of the second half.
pub const FROM_THE_HOST: &str = "## On a new machine, from the host";

/// Images, by the names of the example, with the programs that the example needs: a database that is
/// healthy a moment after its start, if it has its password and its volume, and a web server.
const IMAGES: &[(&str, &str)] = &[
    (
        "docker.io/library/postgres:17",
        "RUN printf '#!/bin/sh\\nexec test \"$*\" = \"-U postgres\" -a -e /var/lib/postgresql/data/up' >/bin/pg_isready && \
         busybox chmod 755 /bin/pg_isready\n\
         CMD [\"sh\", \"-c\", \"trap 'exit 0' TERM; sleep 2; cat $POSTGRES_PASSWORD_FILE >/var/lib/postgresql/data/up; \
         while :; do sleep 1000 & wait; done\"]\n",
    ),
    (
        "docker.io/library/nginx",
        "CMD [\"busybox\", \"httpd\", \"-f\", \"-h\", \"/www\"]\n",
    ),
];

/// Returns the names of the example's images and the Containerfiles that make them from the image of the tests.
pub fn images() -> impl Iterator<Item = (&'static str, String)> {
    let text = |lines: &str| format!("FROM {}\n{lines}", image::NAME);
    IMAGES.iter().map(move |(name, lines)| (*name, text(lines)))
}

/// Returns the commands below a heading of the page.
///
/// # Errors
/// The page cannot be read, or has no such commands.
pub fn commands(heading: &str) -> Result<String> {
    let guide = fs::read_to_string(initramfs::paths::root().join("docs/guide/quadlets.md"))?;
    let (_, rest) = guide.split_once(heading).context("no heading")?;
    let block = rest.split("```\n").nth(1).context("no commands")?;
    Ok(block.to_owned())
}

/// Returns the files that the commands of the first half write: name and text.
///
/// # Errors
/// The page has no such commands.
pub fn files() -> Result<Vec<(String, String)>> {
    let commands = commands(IN_A_MACHINE)?;
    let blocks = commands.split("cat >").skip(1);
    let file = |block: &str| {
        let (name, rest) = block.split_once(" <<'END'\n")?;
        let (text, _) = rest.split_once("END\n")?;
        Some((name.to_owned(), text.to_owned()))
    };
    Ok(blocks.filter_map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_four_files_and_two_lists_of_commands() -> Result<()> {
        let files = files()?;
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "data.volume",
                "app.network",
                "db.container",
                "web.container"
            ]
        );
        assert!(files.iter().all(|(_, text)| text.starts_with('[')));
        assert!(commands(FROM_THE_HOST)?.contains("podman-machine create --quadlet"));
        Ok(())
    }
}
