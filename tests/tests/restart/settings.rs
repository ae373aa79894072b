// SPDX-License-Identifier: Apache-2.0
//! Units that are left out, masked or refused, and a container that reports its own readiness.

use anyhow::{Result, ensure};
use tests::{Guest, eventually, image};

use crate::LIMIT;

const DIR: &str = "/var/lib/boot2podman/quadlet";

/// Plain units: one that its command leaves out, one whose command has another name, one with values that have no
/// effect, one that is refused, one that enables another, and a one-shot that ends.
const FILES: &[(&str, &str)] = &[
    (
        "out.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecCondition=/bin/sh -c 'exit 7'\nExecStart=/bin/true\n\
         ExecStopPost=/bin/touch /run/out.post\n",
    ),
    (
        "named.service",
        "[Service]\nSyslogIdentifier=its-tag\nExecCondition=/bin/true\n\
         ExecStart=@/bin/sh other -c 'echo I am $$0 %g %o; exec sleep 100000'\nTasksMax=50%\nCPUWeight=idle\n\
         RuntimeDirectory=named\nStateDirectory=boot2podman/%N\nStateDirectoryMode=0700\n\
         ExecStartPre=/bin/sh -c 'echo x >$RUNTIME_DIRECTORY/x && echo x >$STATE_DIRECTORY/x'\n",
    ),
    (
        "odd.service",
        "[Service]\nExecStart=/bin/sleep 100000\nEnvironment=NOT A=1\nStandardOutput=socket\n",
    ),
    (
        "refused.service",
        "[Service]\nUser=nobody\nExecStart=/bin/sleep 100000\n",
    ),
    (
        "first.service",
        "[Service]\nExecStart=/bin/sleep 100000\n[Install]\nAlso=second.service\n",
    ),
    (
        "hangs.service",
        "[Service]\nExecStartPre=/bin/sh -c 'echo x >>/run/hangs'\nExecStart=/bin/sleep 100000\nWatchdogSec=2\n\
         Restart=on-watchdog\nRestartSec=100ms\n",
    ),
    (
        "exits.service",
        "[Service]\nExecStart=/bin/sh -c 'echo x >>/run/exits; exit 3'\nRestart=on-abnormal\nRestartSec=100ms\n",
    ),
    (
        "mixed.service",
        "[Service]\nExecStart=/bin/sh /run/family %N\nKillMode=mixed\nTimeoutStopSec=60\n",
    ),
    (
        "group.service",
        "[Service]\nExecStart=/bin/sh /run/family %N\nTimeoutStopSec=60\n",
    ),
    (
        "asks.service",
        "[Unit]\nRequisite=first.service\nAfter=first.service\n[Service]\nExecStart=/bin/sleep 100000\nRestart=always\n",
    ),
    (
        "second.service",
        "[Service]\nType=oneshot\nExecStart=/bin/sleep 2\n[Install]\nWantedBy=multi-user.target\n",
    ),
];

/// Writes the units and has them read.
pub fn begin(guest: &Guest) -> Result<()> {
    for (name, text) in FILES {
        let written = guest.ssh_with("root", &format!("cat >{DIR}/{name}"), text.as_bytes())?;
        tests::text(&written)?;
    }
    guest.sh("systemctl daemon-reload").map(drop)
}

/// A command that fails leaves a unit out, and `@` gives a program another name.
pub fn of_commands(guest: &Guest) -> Result<()> {
    let said = guest.sh(
        "systemctl start out named; systemctl is-active out named; systemctl show out -P Result; ls /run/out.post; \
         cat /sys/fs/cgroup/system/named/cpu.idle",
    )?;
    ensure!(
        said == "inactive\nactive\nsuccess\n/run/out.post\n1",
        "{said}"
    );
    let said = guest.sh(
        "cat /run/named/x /var/lib/boot2podman/named/x; stat -c %a /var/lib/boot2podman/named; systemctl restart named; \
         systemctl stop named; ls /run/named /var/lib/boot2podman/named 2>/dev/null; rm -r /var/lib/boot2podman/named; \
         systemctl start named",
    )?;
    ensure!(
        said == "x\nx\n700\n/var/lib/boot2podman/named:\nx",
        "{said}"
    );
    eventually(LIMIT, || {
        let said = guest.sh("journalctl -q -t its-tag -o cat")?;
        ensure!(said.contains("I am other root boot2podman"), "{said}");
        Ok(())
    })
}

/// A value that protects nothing is a degraded line; a unit that asks for fewer rights is refused, and named.
pub fn of_values(guest: &Guest) -> Result<()> {
    let said = guest.sh(
        "systemctl start odd && systemctl is-active odd; grep odd.service: /run/boot2podman/degraded; \
         systemctl show refused -P LoadState; systemctl status refused; echo $?; systemctl start refused 2>&1; echo $?; \
         systemctl list-unit-files --no-legend refused.service",
    )?;
    for part in [
        "active\n",
        "StandardOutput=socket Environment=NOT",
        "\nbad-setting\n",
        "Loaded: bad-setting (Reason: Unit refused.service has a bad unit file setting: User=nobody is not supported",
        "\n3\nFailed to start refused.service: Unit refused.service has a bad unit file setting: User=nobody",
        "\n1\nrefused.service bad",
    ] {
        ensure!(said.contains(part), "{part:?}: {said}");
    }
    Ok(())
}

/// A unit is masked and unmasked, and `Also=` and `--wait` are obeyed.
pub fn by_verbs(guest: &Guest) -> Result<()> {
    let said = guest.sh(
        "systemctl mask named 2>/dev/null; systemctl daemon-reload; systemctl mask absent 2>/dev/null; \
         systemctl is-enabled absent; systemctl start absent 2>&1; systemctl unmask absent 2>/dev/null; \
         systemctl is-enabled absent; systemctl mask sshd 2>/dev/null; echo $?",
    )?;
    let wanted =
        "masked\nFailed to start absent.service: Unit absent.service is masked.\nnot-found\n1";
    ensure!(said == wanted, "{said}");
    let said = guest.sh(
        "systemctl enable first 2>/dev/null; systemctl is-enabled second; systemctl disable first 2>/dev/null; \
         systemctl is-enabled second; systemctl start --wait second; systemctl is-active second; \
         systemctl is-system-running --wait >/dev/null; systemctl list-dependencies --plain | grep -x '  sshd.service'",
    )?;
    ensure!(
        said == "enabled\ndisabled\ninactive\n  sshd.service",
        "{said}"
    );
    masked_and_linked(guest)?;
    let said = guest.sh_as(
        "core",
        "systemctl --user status podman.socket -n 0 | head -1; systemctl --user mask --now q 2>/dev/null; \
         systemctl --user is-enabled q; systemctl --user unmask q 2>/dev/null; ls -A ~/.config/systemd/user",
    )?;
    ensure!(
        said.contains("podman.socket") && said.contains("masked"),
        "{said}"
    );
    Ok(())
}

/// A unit of a quadlet is masked, a template is enabled with its default instance, and core enables a file of all users.
fn masked_and_linked(guest: &Guest) -> Result<()> {
    let said = guest.sh(&format!(
        "printf '[Volume]\n' >{DIR}/veiled.volume; systemctl mask veiled-volume 2>/dev/null; \
         systemctl start veiled-volume 2>&1; systemctl unmask veiled-volume 2>/dev/null; \
         systemctl start veiled-volume && systemctl is-active veiled-volume; systemctl stop veiled-volume; \
         rm {DIR}/veiled.volume; systemctl daemon-reload"
    ))?;
    let wanted =
        "Failed to start veiled-volume.service: Unit veiled-volume.service is masked.\nactive";
    ensure!(said == wanted, "{said}");
    let said = guest.sh(&format!(
        "printf '[Service]\nExecStart=/bin/sleep 100000\n[Install]\nDefaultInstance=a\nWantedBy=%%p-x.service\n' \
         >{DIR}/many@.service; systemctl enable many@ 2>/dev/null; (cd {DIR}; ls many-x.service.wants); \
         systemctl is-enabled many@a; systemctl disable many@ 2>/dev/null; ls {DIR}/many-x.service.wants; \
         rm -r {DIR}/many*; systemctl daemon-reload"
    ))?;
    ensure!(said == "many@a.service\nenabled", "{said}");
    guest.sh(
        "mkdir -p /etc/systemd/user && cd /etc/systemd/user && \
         printf '[Service]\nExecStart=/bin/sleep 100000\n[Install]\nWantedBy=default.target\n' >shared.service",
    )?;
    let link = ".config/systemd/user/default.target.wants/shared.service";
    let said = guest.sh_as(
        "core",
        &format!(
            "systemctl --user enable --now shared 2>/dev/null; readlink {link}; \
             systemctl --user is-active shared; systemctl --user disable --now shared 2>/dev/null; \
             systemctl --user is-active shared; ls {link} 2>/dev/null || true"
        ),
    )?;
    ensure!(
        said == "/etc/systemd/user/shared.service\nactive\ninactive",
        "{said}"
    );
    guest
        .sh("rm /etc/systemd/user/shared.service && systemctl daemon-reload")
        .map(drop)
}

/// The watchdog kills a unit that sends no message, and `Restart=` applies to the failures that it names alone.
pub fn of_failures(guest: &Guest) -> Result<()> {
    guest.sh("systemctl start --no-block hangs exits")?;
    eventually(LIMIT, || guest.sh("test $(wc -l </run/hangs) -gt 2"))?;
    let said = guest.sh(
        "systemctl stop hangs; cat /run/exits; systemctl is-failed exits; systemctl show -P Result exits; \
         systemctl reset-failed exits; journalctl -q -u hangs -o cat",
    )?;
    ensure!(said.starts_with("x\nfailed\nexit-code\n"), "{said}");
    Ok(())
}

/// With `KillMode=mixed` the main process alone is asked to end, and the rest is killed after it.
pub fn of_ends(guest: &Guest) -> Result<()> {
    let script = "sh -c 'trap \"echo child >>/run/ends-$0; exit\" TERM; while :; do sleep 0.2; done' $1 &\n\
                  trap 'sleep 2; echo main >>/run/ends-'$1'; exit 0' TERM\nwhile :; do sleep 0.2; done\n";
    tests::text(&guest.ssh_with("root", "cat >/run/family", script.as_bytes())?)?;
    let said = guest.sh(
        "systemctl start mixed group && sleep 2 && systemctl stop mixed group; systemctl is-failed mixed group; \
         pgrep -f '[/]run/family|ends-'; cat /run/ends-mixed; echo; cat /run/ends-group",
    )?;
    ensure!(said == "inactive\ninactive\nmain\n\nchild\nmain", "{said}");
    Ok(())
}

/// A unit that another one requires to be active is not started with it, and stops it.
pub fn of_requisites(guest: &Guest) -> Result<()> {
    let script = |user: &str| {
        format!(
            "s='systemctl {user}'; $s start asks 2>/dev/null; echo $?; $s is-active first asks; \
             $s start first && $s start asks && $s is-active first asks; $s stop first; $s is-active first asks; \
             $s reset-failed asks 2>/dev/null || true"
        )
    };
    let wanted = "1\ninactive\nfailed\nactive\nactive\ninactive\ninactive";
    let said = guest.sh(&script(""))?;
    ensure!(said == wanted, "{said}");
    guest.sh(&format!(
        "d=/home/core/.config/systemd/user; mkdir -p $d && cp {DIR}/asks.service {DIR}/first.service $d && \
         chown -R core $d && systemctl daemon-reload"
    ))?;
    let said = guest.sh_as("core", &script("--user"))?;
    ensure!(said == wanted, "{said}");
    guest
        .sh(
            "cd /home/core/.config/systemd/user && rm asks.service first.service && systemctl daemon-reload",
        )
        .map(drop)
}

/// A container with `Notify=yes` is ready when a process in it sends READY=1: `logger` sends its text as a datagram
/// to /dev/log, which leads to the socket.
pub fn from_inside(guest: &Guest) -> Result<()> {
    let image = image::NAME;
    let text = format!(
        "[Container]\nImage={image}\nNetwork=none\nNotify=yes\n\
         Exec=sh -c \"until test -e /go; do sleep 1; done; busybox ln -s $$NOTIFY_SOCKET /dev/log; \
         busybox logger 'x\\nREADY=1'; exec sleep 100000\"\n[Service]\nTimeoutStartSec=600\n"
    );
    let written = guest.ssh_with(
        "root",
        &format!("cat >{DIR}/told.container"),
        text.as_bytes(),
    )?;
    tests::text(&written)?;
    guest.sh("systemctl daemon-reload && systemctl start --no-block told")?;
    eventually(LIMIT, || {
        guest.sh("podman exec systemd-told true").map(drop)
    })?;
    let said = guest.sh("sleep 2; systemctl is-active told || true")?;
    ensure!(said == "activating", "{said}");
    guest.sh("podman exec systemd-told touch /go")?;
    eventually(LIMIT, || guest.sh("systemctl is-active told").map(drop))?;
    guest
        .sh(&format!(
            "systemctl stop told named odd && cd {DIR} && rm told.container out.service named.service odd.service \
             refused.service first.service second.service hangs.service exits.service mixed.service group.service \
             asks.service && systemctl daemon-reload"
        ))
        .map(drop)
}
