// SPDX-License-Identifier: Apache-2.0
//! systemctl and journalctl as people use them: timers, the units of `podman generate systemd`, and the log of
//! containers that a unit does not name.

use anyhow::{Result, ensure};
use tests::{Guest, eventually, image};

use crate::LIMIT;

/// Directory of the files.
const DIR: &str = "/var/lib/boot2podman/quadlet";

/// A timer that is copied from elsewhere runs its service, now and after a boot.
pub fn timers(guest: &Guest) -> Result<()> {
    guest.sh(&format!(
        "cd {DIR} && printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c \"echo x >>/run/tick\"\\n' >tick.service && \
         printf '[Timer]\\nOnActiveSec=1s\\nOnUnitActiveSec=1h\\n[Install]\\nWantedBy=timers.target\\n' >tick.timer && \
         printf '[Socket]\\nListenStream=80\\n' >no.socket && systemctl daemon-reload && \
         grep 'no.socket: units of this kind' /run/boot2podman/degraded && ! systemctl enable no.socket && \
         rm no.socket && systemctl daemon-reload && ! systemctl is-active tick.timer && systemctl enable --now tick.timer"
    ))?;
    ticked(guest)?;
    guest.sh(
        "systemctl status tick.timer | grep -q 'active (waiting)' && systemctl is-enabled tick.timer && \
         systemctl list-timers --no-legend | grep -q 'tick.timer  *tick.service$' && \
         systemctl stop tick.timer && ! systemctl is-active tick.timer && systemctl restart tick.timer && \
         systemctl is-active tick.timer",
    )?;
    guest.sh(
        "systemctl enable --now podman-auto-update.timer && systemctl is-active podman-auto-update.timer && \
         systemctl list-timers | grep -q podman-auto-update.timer && \
         systemctl disable --now podman-auto-update.timer && systemctl stop podman-auto-update.timer && \
         ! systemctl is-enabled podman-auto-update.timer",
    )
    .map(drop)
}

/// Expects that the timer runs, and has run its service once in this boot.
pub fn ticked(guest: &Guest) -> Result<()> {
    eventually(LIMIT, || {
        guest.sh("systemctl is-active tick.timer && grep -c x /run/tick")
    })
    .map(drop)
}

/// Units as `podman generate systemd` writes them run, with the output of their containers in the log.
pub fn generated(guest: &Guest) -> Result<()> {
    let image = image::NAME;
    let program = "echo from gen; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";
    guest.sh(&format!(
        "podman create -q --name gen {image} sh -c \"{program}\" && cd {DIR} && \
         podman generate systemd --name gen >old.service && podman generate systemd --new --name gen >new.service && \
         systemctl daemon-reload"
    ))?;
    for unit in ["old", "new"] {
        guest.sh(&format!(
            "systemctl start {unit} && systemctl is-active {unit}"
        ))?;
        eventually(LIMIT, || {
            let said = guest.sh(&format!("journalctl -u {unit} -o cat --no-pager"))?;
            ensure!(said.contains("from gen"), "{said}");
            Ok(())
        })?;
        guest.sh(&format!(
            "systemctl stop {unit} && ! systemctl is-active {unit}"
        ))?;
    }
    guest
        .sh(&format!(
            "rm {DIR}/old.service {DIR}/new.service && systemctl daemon-reload && podman rm -i gen"
        ))
        .map(drop)
}

/// The log of units, by the options and matches that people type.
pub fn journal(guest: &Guest) -> Result<()> {
    for (line, right) in [
        // The container of a Kubernetes file, whose name the unit does not tell.
        ("-u y -o cat", "from the pod"),
        ("-u y.service -p info -o cat", "from the pod"),
        ("_SYSTEMD_UNIT=well.service -o cat", "to the log"),
        (
            "CONTAINER_NAME=systemd-well -o json",
            "\"_SYSTEMD_UNIT\":\"well.service\"",
        ),
        (
            "-u 'wel[l]*' -g 'TO|x the' --case-sensitive=no -o cat",
            "to the log",
        ),
        ("-k -n 1 -r -o json", "\"_TRANSPORT\":\"kernel\""),
        (
            "-b all -t systemd-well -o verbose",
            "    CONTAINER_NAME=systemd-well",
        ),
        ("--list-boots", "  0 "),
        ("-u none --since -1h", "-- No entries --"),
        ("--version", "systemd 257"),
    ] {
        let said = guest.sh(&format!("journalctl --no-pager {line}"))?;
        ensure!(said.contains(right), "{line}: {said}");
    }
    guest
        .sh("test $(journalctl -b all -o json | grep -vc '^{') = 0")
        .map(drop)
}
