// SPDX-License-Identifier: Apache-2.0
//! Faulty files on the data disk: each is named, and the machine becomes ready. One hook never
//! ends, and the boot waits a minute for its end. The instruction clock would shorten that minute,
//! but with it a disk takes minutes to answer, and time limits run out.

use super::{SOON, World, machine, put};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::{BOOT_LIMIT, Checks, Guest, Shell, await_late, eventually};
use vmm::Degraded;

/// Writes files with every kind of fault.
pub fn prepare(guest: &Guest) -> Result<()> {
    let config = "b2p.hostnme=x\nb2p.data=off\nb2p.loglevel=loud\ntz=UTC\nb2p.user=dev:1234\n\
                  b2p.runtime=nothing\n";
    put(guest, "config", config)?;
    put(guest, "hostname", "not a name!\n")?;
    put(guest, "profile", "export A=1\nno-such-command\n")?;
    put(guest, "bootsync.sh", "echo begun; exec sleep 1000000\n")?;
    put(guest, "bootlocal.sh", "echo last words; exit 7\n")?;
    put(
        guest,
        "certs/broken.crt",
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
    )?;
    put(guest, "registries.conf.d/60-broken.conf", "[[registry]\n")?;
    put(
        guest,
        "registries.conf.d/70-broken.conf",
        "[aliases]\na='b'\n",
    )?;
    let rest = "cd /var/lib/boot2podman && mkdir certs/dir.pem && \
        rm authorized_keys && mkfifo authorized_keys && \
        ssh-keygen -q -t ed25519 -N secret -f /root/key && mv /root/key ssh/ssh_host_ed25519_key && \
        mv /root/key.pub ssh/ssh_host_ed25519_key.pub";
    guest.sh(rest).map(drop)
}

/// Subject and parts of the reason of each degraded line.
const NAMED: &[(&str, &[&str])] = &[
    (
        "flag",
        &[
            "b2p.hostnme",
            "data disk, line 1",
            "did you mean b2p.hostname",
        ],
    ),
    (
        "flag",
        &["b2p.data", "data disk, line 2", "before the data disk"],
    ),
    ("flag", &["b2p.loglevel", "line 3"]),
    ("flag", &["hostname", "not a host name"]),
    ("flag", &["b2p.user=sshd (command line)"]),
    ("data", &["profile", "no-such-command"]),
    ("data", &["broken.crt", "no end"]),
    ("data", &["authorized_keys", "not a file"]),
    (
        "data",
        &[
            "put aside as /var/lib/boot2podman/ssh/ssh_host_ed25519_key.broken, and replaced",
            "it has a passphrase",
        ],
    ),
    ("ext", &["b2p.runtime=nothing: no program", "crun stays"]),
    ("registries", &["60-broken.conf: left out: toml: line 2"]),
    (
        "registries",
        &["70-broken.conf: left out: ", "registry and repository"],
    ),
    (
        "bootsync",
        &["bootsync.sh still runs after 60 s; the boot continues"],
    ),
];

/// Third boot: the machine becomes ready and names each fault and nothing else.
pub fn boot(world: &World, checks: &mut Checks) -> Result<()> {
    let machine = machine(world, "nonsense")?.append("b2p.user=sshd b2p.console=shell");
    let vm = machine.start()?;
    let mut ready = vm.wait_ready(BOOT_LIMIT)?;
    await_late(&vm, &mut ready);
    println!("{:#?}", ready.degraded);
    checks.check("each fault is named, and nothing else", || {
        let is = |d: &Degraded, (what, why): &(&str, &[&str])| {
            d.what == *what && why.iter().all(|part| d.why.contains(part))
        };
        for one in NAMED {
            let hit = ready.degraded.iter().any(|d| is(d, one));
            ensure!(hit, "no {one:?}");
        }
        let more = |d: &&Degraded| !NAMED.iter().any(|one| is(d, one));
        let more = ready.degraded.iter().find(more);
        ensure!(more.is_none(), "{more:?}");
        Ok(())
    });
    let shell = Shell::on(&vm)?;
    checks.check("a runtime that is missing leaves podman its own", || {
        let said = shell.run("podman info --format 'runtime {{.Host.OCIRuntime.Name}}'")?;
        ensure!(said.contains("runtime crun"), "{said}");
        Ok(())
    });
    checks.check("a hook that never ends can be inspected", || {
        let said = shell.run("b2p log bootsync; b2p status bootsync; pidof sleep")?;
        ensure!(
            said.contains("begun") && said.contains("starting"),
            "{said}"
        );
        shell.run("kill $(pidof sleep)").map(drop)
    });
    checks.check("degraded lines of hooks follow their state", || {
        let late = "bootlocal: bootlocal.sh: exit status 7; last line of its output: last words";
        let ended = "bootsync: bootsync.sh: killed by signal 15; last line of its output: begun";
        eventually(SOON, || {
            let said = shell.run("b2p status | grep degraded")?;
            ensure!(said.contains(ended) && said.contains(late), "{said}");
            ensure!(!said.contains("still runs"), "{said}");
            Ok(())
        })
    });
    checks.check("the rest holds", || rest(&shell, world));
    checks.check("a host key with a passphrase is replaced", || {
        let said = shell.run(
            "cd /var/lib/boot2podman/ssh; ls; cmp ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ed25519_key.pub && \
             cp ssh_host_ed25519_key.pub /mnt/data/replaced.pub; pidof sshd",
        )?;
        ensure!(said.contains("ssh_host_ed25519_key.broken"), "{said}");
        shell.run("test -s /mnt/data/replaced.pub").map(drop)
    });
    checks.check("what is mended is taken without a boot", || {
        let mend = "cd /var/lib/boot2podman/registries.conf.d; rm 60-*; echo >70-broken.conf; \
            b2p restart registries; ls /etc/containers/registries.conf.d";
        let said = shell.run(mend)?;
        let parts = said.contains("50-own.conf") && said.contains("70-broken.conf");
        ensure!(parts, "{said}");
        eventually(SOON, || {
            let said = shell.run("b2p status")?;
            ensure!(!said.contains("  degraded registries"), "{said}");
            Ok(())
        })?;
        vm.wait_console("no longer degraded registries", SOON)
    });
    checks.check("the files for the last boot are written", || {
        super::off::prepare(&shell)
    });
    checks.check("poweroff succeeds", || {
        vm.power_button()?;
        let ended = vm.wait_exit(Duration::from_secs(240))?;
        ensure!(ended.success(), "{ended}");
        Ok(())
    });
    Ok(())
}

fn rest(shell: &Shell<'_>, world: &World) -> Result<()> {
    let pem = world.known.pem()?;
    let line = pem.lines().nth(1).unwrap_or_default();
    let said = shell.run(&format!(
        "echo known-$(grep -c '^{line}$' /etc/ssl/certs/ca-certificates.crt); \
         b2p flags | grep '^tz '; echo name-$(hostname); podman ps -q && echo podman-$?"
    ))?;
    for part in ["known-1", "UTC", "name-boot2podman", "podman-0"] {
        ensure!(said.contains(part), "no {part:?}: {said}");
    }
    Ok(())
}
