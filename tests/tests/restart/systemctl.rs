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

/// A unit of root and one of core with the same name, whose containers have the same name as well.
pub fn of_one_name(guest: &Guest) -> Result<()> {
    let text = |owner: &str| {
        format!(
            "[Container]\nImage={}\nNetwork=none\nExec=sh -c \"echo said by {owner}; exec sleep 100000\"\n\
             [Service]\nTimeoutStopSec=5\n",
            image::NAME
        )
    };
    for (user, dir) in [("root", DIR), ("core", ".config/containers/systemd")] {
        let to = format!("cat >{dir}/same.container");
        tests::text(&guest.ssh_with(user, &to, text(user).as_bytes())?)?;
    }
    guest.sh("systemctl daemon-reload && systemctl start same core-same")?;
    for (options, right) in [
        ("-u same", "said by root"),
        ("--user -u same", "said by core"),
        ("_SYSTEMD_USER_UNIT=same.service", "said by core"),
        ("-u core-same", "said by core"),
        ("-t systemd-same", "said by core\nsaid by root"),
        ("CONTAINER_NAME=systemd-same", "said by core\nsaid by root"),
    ] {
        let command = format!("journalctl --no-pager {options} -o cat | grep 'said by' | sort");
        eventually(LIMIT, || {
            let said = guest.sh_as("core", &command)?;
            ensure!(said == right, "{options}: {said}");
            Ok(())
        })?;
    }
    let said = guest.sh_as(
        "core",
        "systemctl --user status same -n 20; journalctl -t systemd-same -o json; journalctl -t systemd-same -n 2",
    )?;
    let has = |part: &str| said.lines().any(|line| line.contains(part));
    let is_whole =
        has("\"_SYSTEMD_USER_UNIT\":\"same.service\",\"CONTAINER_NAME\":\"systemd-same\"")
            && has("\"_SYSTEMD_UNIT\":\"same.service\",\"CONTAINER_NAME\":\"systemd-same\"")
            && has("said by core")
            && !said.contains("1000/systemd-same");
    ensure!(is_whole, "{said}");
    guest.sh(&format!(
        "systemctl stop same core-same; rm {DIR}/same.container /home/core/.config/containers/systemd/same.container; \
         systemctl daemon-reload"
    ))
    .map(drop)
}
