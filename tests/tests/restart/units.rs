// SPDX-License-Identifier: Apache-2.0
//! Units of each kind: a pod, Kubernetes' YAML, a build, an image of a file, templates, conditions, health
//! checks, plain unit files, and units of core.

use anyhow::{Result, ensure};
use tests::{Guest, eventually, image};

use crate::LIMIT;

/// Directory of the files.
const DIR: &str = "/var/lib/boot2podman/quadlet";
/// A program that ends at SIGTERM.
const LOOP: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

/// Files without those that name the image.
const FILES: &[(&str, &str)] = &[
    ("grp.pod", "[Pod]\n[Service]\nTimeoutStartSec=600\n"),
    (
        "fetched.image",
        "[Image]\nImage=docker-archive:/root/box.tar\n[Service]\nTimeoutStartSec=600\n",
    ),
    (
        "built.build",
        "[Build]\nImageTag=localhost/built:1\nSetWorkingDirectory=unit\nNetwork=none\nPull=never\n[Service]\nTimeoutStartSec=600\n",
    ),
    (
        "y.kube",
        "[Kube]\nYaml=y.yaml\n[Service]\nTimeoutStartSec=600\n",
    ),
    (
        "plain.service",
        "[Unit]\nPartOf=app.target\n[Service]\nEnvironmentFile=-/run/plain.env\n\
         ExecStartPre=/bin/sh -c 'echo WHICH=new >/run/plain.env'\n\
         ExecStart=/bin/sh -c 'echo begin %N $$WHICH; exec sleep 100000'\n\
         ExecReload=/bin/sh -c 'echo again $$MAINPID'\nStandardOutput=append:/run/plain.out\n\
         [Install]\nWantedBy=multi-user.target\n",
    ),
    // The daemon writes its PID file after its parent has ended, as nginx(8) does.
    (
        "forks.service",
        "[Service]\nType=forking\nPIDFile=forks.pid\n\
         ExecStart=/bin/sh -c \"sh -c 'sleep 1; echo $$$$ >/run/forks.pid; exec sleep 100000' & exit 0\"\n\
         ExecStopPost=/bin/sh -c 'echo $$SERVICE_RESULT $$EXIT_CODE ${EXIT_STATUS} >/run/forks.end'\n",
    ),
    (
        "leaves.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'sleep 100000 & exit 0'\n",
    ),
    (
        "short.service",
        "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n\
         Restart=on-failure\n",
    ),
    (
        "left.service",
        "[Unit]\nConditionPathExists=/none\n[Service]\nExecStart=/bin/sh -c 'exec sleep 100000'\nRestart=always\n",
    ),
    (
        "again.service",
        "[Service]\nExecStart=/bin/sh -c 'echo x >>/run/again; test $$(wc -l </run/again) -lt 3'\nRestart=on-success\n\
         RestartSec=100ms\n",
    ),
    (
        "loose.service",
        "[Service]\nExecStart=/bin/sh -c 'exec sleep 100000'\nKillMode=none\nExecStop=/bin/touch /run/loose\n",
    ),
    (
        "needy.service",
        "[Unit]\nRequires=short.service\nAfter=short.service\n[Service]\nExecStart=/bin/sh -c 'exec sleep 100000'\n",
    ),
];

/// Writes the files, and has them read.
pub fn begin(guest: &Guest) -> Result<()> {
    let image = image::NAME;
    let own = [
        (
            "member.container",
            format!(
                "[Container]\nImage={image}\nPod=grp.pod\nExec=sh -c \"{LOOP}\"\n[Service]\nTimeoutStartSec=600\n"
            ),
        ),
        (
            "well.container",
            format!(
                "[Container]\nImage={image}\nNetwork=none\nNotify=healthy\nHealthCmd=test -e /tmp/well\nHealthInterval=2s\n\
                 Exec=sh -c \"echo to the log; sleep 3; touch /tmp/well; {LOOP}\"\n[Service]\nTimeoutStartSec=600\n"
            ),
        ),
        (
            "t@.container",
            format!(
                "[Container]\nImage={image}\nNetwork=none\nEnvironment=WHICH=%i\nExec=sh -c \"{LOOP}\"\n\
                 [Service]\nTimeoutStartSec=600\nMemoryMax=96M\nTasksMax=77\nCPUQuota=150%\n[Install]\nDefaultInstance=own\n"
            ),
        ),
        ("Containerfile", format!("FROM {image}\nENV MADE=here\n")),
        (
            "y.yaml",
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: y\nspec:\n  containers:\n  - name: c\n    \
                 image: {image}\n    imagePullPolicy: Never\n    command: [sh, -c, \"echo from the pod; exec sleep 100000\"]\n"
            ),
        ),
    ];
    let all = FILES.iter().map(|(name, text)| (*name, (*text).to_owned()));
    for (name, text) in all.chain(own) {
        let written = guest.ssh_with("root", &format!("cat >{DIR}/{name}"), text.as_bytes())?;
        tests::text(&written)?;
    }
    guest.sh(&format!("podman save -q -o /root/box.tar {image}"))?;
    guest.sh(&format!(
        "mkdir -p {DIR}/t@.container.d && printf '[Container]\\nEnvironment=MORE=%%i\\n' >{DIR}/t@.container.d/a.conf"
    ))?;
    guest.sh("systemctl daemon-reload")?;
    let said = guest.sh("grep ^quadlet: /run/boot2podman/degraded")?;
    let named = "plain.service: without effect, as no such unit is read here: PartOf=app.target;";
    ensure!(said.lines().count() == 3 && said.contains(named), "{said}");
    Ok(())
}

/// Starts one unit of each kind, by the name of its unit.
pub fn start(guest: &Guest) -> Result<()> {
    guest.sh(
        "systemctl start --no-block grp-pod.service y well t@2.service built-build fetched-image left plain forks leaves",
    )?;
    // A build without RemainAfterExit= has done its work, and so has a unit whose condition does not hold.
    let right = [
        "active", "active", "active", "active", "inactive", "active", "inactive", "active",
        "active", "active",
    ];
    eventually(LIMIT, || {
        let said = guest.sh(
            "systemctl is-active grp-pod y well t@2 built-build fetched-image left plain forks leaves || true",
        )?;
        ensure!(said.lines().eq(right), "{said}");
        Ok(())
    })?;
    // The pod has started its container, which it wants.
    eventually(LIMIT, || guest.sh("systemctl is-active member").map(drop))?;
    let pods = guest.sh("podman pod ps --format '{{.Name}} {{.Status}}' | sort")?;
    ensure!(
        pods.contains("systemd-grp Running") && pods.contains("y Running"),
        "{pods}"
    );
    let env = guest.sh("podman exec systemd-t_2 env")?;
    ensure!(env.contains("WHICH=2") && env.contains("MORE=2"), "{env}");
    // The limits hold for the container, which is in the cgroup of the unit. The default instance is a unit.
    let said = guest.sh(
        "cd /sys/fs/cgroup/system/t-2 && cat memory.max pids.max cpu.max && systemctl list-unit-files --no-legend t@own.service",
    )?;
    ensure!(
        said.starts_with("100663296\n77\n150000 100000\nt@own.service"),
        "{said}"
    );
    eventually(LIMIT, || {
        let made = guest.sh("podman image inspect --format '{{.Config.Env}}' localhost/built:1")?;
        ensure!(made.contains("MADE=here"), "{made}");
        Ok(())
    })?;
    guest.sh("test -e /proc/$(systemctl show -P MainPID well) && systemctl status well | grep -q 'Active: active (running)'")?;
    // The output of a container is in the log of its unit, and in podman's.
    let said = guest.sh("journalctl -u well -o cat --no-pager; podman logs systemd-well")?;
    ensure!(said.matches("to the log").count() == 2, "{said}");
    eventually(LIMIT, || {
        let said = guest
            .sh("! systemctl is-active left; systemctl show -p ConditionResult,SubState left")?;
        ensure!(
            said.ends_with("ConditionResult=no\nSubState=dead"),
            "{said}"
        );
        Ok(())
    })
}

/// The PID file names the main process, the variables of the end have its result, and a one-shot has left a process
/// that its stop ends.
fn ends(guest: &Guest) -> Result<()> {
    let main = "systemctl show -P MainPID forks";
    guest.sh(&format!("test $({main}) = $(cat /run/forks.pid)"))?;
    let sleeps = "find /sys/fs/cgroup/system/leaves -name cgroup.procs -exec cat {} + 2>/dev/null | \
                  while read -r p; do cat /proc/$p/comm; done | grep -cx sleep || true";
    ensure!(guest.sh(sleeps)? == "1");
    guest.sh("systemctl stop forks leaves")?;
    ensure!(guest.sh(sleeps)? == "0");
    let said = guest.sh("cat /run/forks.end; ls /run/forks.pid 2>/dev/null || true")?;
    ensure!(said == "success killed TERM", "{said}");
    Ok(())
}

/// A plain unit is reloaded, enabled and signalled; a failing unit is given up, and a unit that needs it
/// fails.
pub fn verbs(guest: &Guest) -> Result<()> {
    ends(guest)?;
    let main = guest.sh("systemctl show -P MainPID plain")?;
    guest.sh("systemctl reload plain")?;
    let said = guest.sh("cat /run/plain.out")?;
    ensure!(said == format!("begin plain new\nagain {main}"), "{said}");
    guest.sh(
        "! systemctl is-enabled plain && systemctl enable plain && systemctl is-enabled plain t@2",
    )?;
    guest.sh("! systemctl enable t@2 2>/run/said; grep 'is transient or generated' /run/said")?;
    let said =
        guest.sh("systemctl start needy; echo $?; systemctl is-active short needy; echo $?")?;
    ensure!(said.starts_with("1\n"), "{said}");
    eventually(LIMIT, || {
        let said = guest.sh("systemctl is-failed short; systemctl show -P Result short")?;
        ensure!(said == "failed\nstart-limit-hit", "{said}");
        Ok(())
    })?;
    let line = "grep '^short: exited with status' /run/boot2podman/degraded";
    guest.sh(&format!("{line} && ! systemctl is-system-running -q"))?;
    guest.sh("systemctl stop needy; systemctl reset-failed; systemctl is-active short | grep -x inactive")?;
    guest.sh(&format!("! {line}"))?;
    guest.sh("systemctl kill -s KILL plain")?;
    eventually(LIMIT, || guest.sh("! systemctl is-active plain").map(drop))?;
    guest.sh("systemctl start plain")?;
    guest.sh(
        "systemctl status 'pl*' | grep -q 'plain.service' && systemctl is-active 'pl[a-z]in.service'",
    )?;
    let list = guest.sh("systemctl list-units --no-legend --plain -t service 'pl*' && systemctl list-dependencies --plain member")?;
    ensure!(
        list.contains("plain.service loaded active running plain.service"),
        "{list}"
    );
    ensure!(list.contains("member.service\n  grp-pod.service"), "{list}");
    Ok(())
}

/// A unit starts again after success alone, and one with `KillMode=none` leaves its processes.
pub fn end_as_asked(guest: &Guest) -> Result<()> {
    guest.sh("systemctl start again loose")?;
    eventually(LIMIT, || {
        guest.sh("systemctl is-failed again && test $(wc -l </run/again) = 3")
    })?;
    let main = guest.sh("systemctl show -P MainPID loose")?;
    guest
        .sh(&format!(
            "systemctl stop loose && test -e /run/loose && ! systemctl is-active loose && \
             grep -q ^sleep /proc/{main}/cmdline && kill {main} && systemctl reset-failed again"
        ))
        .map(drop)
}

/// The end of a pod is that of its containers' units, which are bound to it; a restart brings both back.
pub fn bound(guest: &Guest) -> Result<()> {
    guest.sh("podman pod stop -t 1 systemd-grp")?;
    eventually(LIMIT, || {
        let said = guest.sh("systemctl is-active grp-pod member || true")?;
        ensure!(said == "inactive\ninactive", "{said}");
        Ok(())
    })?;
    guest.sh("systemctl start member && systemctl is-active grp-pod member")?;
    // A restart starts a pod that has ended before its container, and the containers of a pod after it.
    guest.sh("podman pod stop -t 1 systemd-grp")?;
    eventually(LIMIT, || {
        guest.sh("! systemctl is-active grp-pod").map(drop)
    })?;
    guest.sh("systemctl restart member && systemctl is-active grp-pod member")?;
    guest.sh("systemctl stop grp-pod && systemctl restart grp-pod")?;
    eventually(LIMIT, || {
        guest.sh("systemctl is-active grp-pod && systemctl is-active member")
    })?;
    let id = guest.sh("podman inspect --format '{{.Id}}' systemd-member")?;
    guest.sh("systemctl restart grp-pod && systemctl is-active grp-pod member")?;
    let now = guest.sh("podman inspect --format '{{.Id}}' systemd-member")?;
    ensure!(now != id, "{now}");
    // A restart without a waiting client does the same.
    guest.sh("systemctl restart --no-block grp-pod")?;
    eventually(LIMIT, || {
        let later = guest.sh("podman inspect --format '{{.Id}}' systemd-member")?;
        ensure!(later != now, "{later}");
        guest.sh("systemctl is-active grp-pod && systemctl is-active member")
    })?;
    for unit in [
        "grp-pod",
        "y",
        "well",
        "t@2",
        "built-build fetched-image plain",
    ] {
        guest.sh(&format!("systemctl stop {unit}"))?;
    }
    let left = guest.sh(
        "podman ps -a --format '{{.Names}}' | grep -E '^systemd-(grp|member|well|t_2)' || true",
    )?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

/// core changes its own units, and no other's.
pub fn of_core(guest: &Guest) -> Result<()> {
    let said = guest.sh_as(
        "core",
        "systemctl --user daemon-reload && systemctl --user is-active own && systemctl --user restart own && systemctl --user status own | head -3; \
         systemctl --user list-units --no-legend --plain; systemctl --user stop web; echo $?; \
         journalctl --user -u own -n 3 --no-pager >/dev/null && systemctl --user stop own && \
         systemctl --user is-active own; systemctl --user start own",
    )?;
    let version = guest.sh_as("core", "systemctl --version; systemctl -Z; echo $?")?;
    ensure!(
        version.starts_with("systemd 257 (boot2podman "),
        "{version}"
    );
    ensure!(version.ends_with("\n1"), "{version}");
    for part in [
        "active\n\u{25cf} own.service",
        "Active: active (running) since",
        "own.service loaded active running",
        "\n5\ninactive",
    ] {
        ensure!(said.contains(part), "{part}: {said}");
    }
    guest.sh("systemctl is-active web core-own").map(drop)
}

/// A hundred units with long names start side by side, and stop.
pub fn hundred(guest: &Guest) -> Result<()> {
    let name = "a-unit-with-a-name-of-more-than-thirty-two-characters";
    guest.sh(&format!(
        "cd {DIR} && for n in $(seq 100); do printf '[Service]\\nExecStart=/bin/sh -c \"exec sleep 100000\"\\n' \
         >{name}-$n.service; done; systemctl daemon-reload"
    ))?;
    guest.sh(&format!("systemctl start '{name}-*'"))?;
    let up =
        format!("systemctl list-units --no-legend --plain '{name}-*' | grep -c 'active running'");
    let count = guest.sh(&up)?;
    ensure!(count == "100", "{count}");
    guest.sh(&format!("rm {DIR}/{name}-* && systemctl daemon-reload"))?;
    eventually(LIMIT, || {
        let count = guest.sh(&format!("{up} || true"))?;
        ensure!(count == "0", "{count}");
        Ok(())
    })?;
    more_names(guest, name)
}

/// PID 1 has forgotten the hundred, so that a hundred others have room.
fn more_names(guest: &Guest, gone: &str) -> Result<()> {
    eventually(LIMIT, || {
        let said = guest.sh(&format!(
            "systemctl list-units --all --no-legend '{gone}-*'; systemctl status {gone}-1; echo $?"
        ))?;
        ensure!(said == "4", "{said}");
        Ok(())
    })?;
    let other = "another-unit-of-the-same-kind-with-a-name-that-is-long";
    guest.sh(&format!(
        "cd {DIR} && for n in $(seq 100); do printf '[Service]\\nExecStart=/bin/true\\n' >{other}-$n.service; done; \
         systemctl daemon-reload"
    ))?;
    let count = guest.sh(&format!(
        "systemctl list-units --all --no-legend '{other}-*' | wc -l; systemctl start {other}-100"
    ))?;
    ensure!(count == "100", "{count}");
    guest
        .sh(&format!("rm {DIR}/{other}-* && systemctl daemon-reload"))
        .map(drop)
}

/// Directories of podman-systemd.unit(5), each with a file, and the owners of their units.
pub fn directories(guest: &Guest) -> Result<()> {
    guest.sh(
        "for d in /etc/containers/systemd /run/containers/systemd /etc/containers/systemd/users \
         /etc/containers/systemd/users/1000 /run/user/1000/containers/systemd; do mkdir -p $d; done; \
         printf '[Volume]\n' | tee /etc/containers/systemd/of-etc.volume /run/containers/systemd/of-run.volume \
         /etc/containers/systemd/users/of-users.volume /etc/containers/systemd/users/1000/of-uid.volume \
         /run/user/1000/containers/systemd/of-runtime.volume && \
         printf '[Volume]\nVolumeName=first\n' >/run/containers/systemd/twice.volume && \
         printf '[Volume]\nVolumeName=second\n' >/etc/containers/systemd/twice.volume && systemctl daemon-reload && \
         systemctl start of-etc-volume of-run-volume twice-volume core-of-users-volume core-of-uid-volume core-of-runtime-volume",
    )?;
    let said = guest.sh("podman volume ls -q | grep -xE 'systemd-of-.*|first|second' | sort")?;
    ensure!(said == "first\nsystemd-of-etc\nsystemd-of-run", "{said}");
    let said = guest.sh_as(
        "core",
        "podman volume ls -q | grep -x 'systemd-of-.*' | sort",
    )?;
    ensure!(
        said == "systemd-of-runtime\nsystemd-of-uid\nsystemd-of-users",
        "{said}"
    );
    guest
        .sh(
            "rm -r /etc/containers/systemd /run/user/1000/containers && rm /run/containers/systemd/*.volume && \
             systemctl daemon-reload",
        )
        .map(drop)
}
