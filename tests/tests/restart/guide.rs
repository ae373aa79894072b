// SPDX-License-Identifier: Apache-2.0
//! The first example of docs/guide/quadlets.md, unchanged. The images of its names are made by hand,
//! because tests cannot reach a registry.

use anyhow::{Context, Result, ensure};
use std::fs;
use tests::{Guest, image};

/// Heading of the example.
const HEADING: &str = "## From nothing to curl";

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

/// Returns the commands of the example.
fn example() -> Result<String> {
    let guide = fs::read_to_string(initramfs::paths::root().join("docs/guide/quadlets.md"))?;
    let (_, rest) = guide.split_once(HEADING).context("no example")?;
    let block = rest.split("```\n").nth(1).context("no commands")?;
    Ok(block.to_owned())
}

/// Runs the example, and removes its quadlets, volume, network and secret.
pub fn example_runs(guest: &Guest) -> Result<()> {
    for (name, lines) in IMAGES {
        let text = format!("FROM {}\n{lines}", image::NAME);
        let build = format!("mkdir -p /run/empty && podman build -q -t {name} -f - /run/empty");
        tests::text(&guest.ssh_with("root", &build, text.as_bytes())?)?;
    }
    let out = guest.ssh_with("root", "sh -e", example()?.as_bytes())?;
    let said = tests::text(&out)?;
    ensure!(said.ends_with("hello from the box"), "{said}");
    let said = guest.sh(
        "systemctl is-active web db && podman exec systemd-db cat /var/lib/postgresql/data/up && \
         cat /run/boot2podman/degraded",
    )?;
    ensure!(said == "active\nactive\nsecret", "{said}");
    guest
        .sh("systemctl stop db data-volume app-network && cd /var/lib/boot2podman/quadlet && \
             rm data.volume app.network db.container web.container && systemctl daemon-reload && \
             podman volume rm systemd-data && podman network rm systemd-app && podman secret rm db-password")
        .map(drop)
}
