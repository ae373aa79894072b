// SPDX-License-Identifier: Apache-2.0
//! The first example of docs/guide/quadlets.md, unchanged.

use anyhow::{Result, ensure};
use tests::{Guest, guide};

/// Runs the example, and removes its quadlets, volume, network and secret.
pub fn example_runs(guest: &Guest) -> Result<()> {
    for (name, text) in guide::images() {
        let build = format!("mkdir -p /run/empty && podman build -q -t {name} -f - /run/empty");
        tests::text(&guest.ssh_with("root", &build, text.as_bytes())?)?;
    }
    let example = guide::commands(guide::IN_A_MACHINE)?;
    let out = guest.ssh_with("root", "sh -e", example.as_bytes())?;
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
