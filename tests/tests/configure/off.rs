// SPDX-License-Identifier: Apache-2.0
//! A data disk that turns off all services that it can, except those that the command line
//! requests, and that has boot2docker's files.

use super::{World, machine, off, whole};
use anyhow::{Result, ensure};
use tests::{Checks, Guest, Shell};

/// Writes a configuration that turns off everything possible.
pub fn prepare(shell: &Shell<'_>) -> Result<()> {
    let all = "data,net,cloud,late-drivers,syslog,journal,health,image-sync,containers,time,user-services,registries,\
        bootsync,bootlocal,cloud-scripts,nonsense";
    shell.run(&format!(
        "cd /var/lib/boot2podman && rm -rf bootlocal.sh authorized_keys hostname profile certs services config; \
         printf 'b2p.podman=off\\nb2p.console=off\\nb2p.sshd=off\\nb2p.varlink=off\\nb2p.off={all}\\n' >config; \
         echo 'echo not to be run' >bootsync.sh; sync"
    ))?;
    shell.run("mkdir services; echo 'exec /bin/sleep 1000' >services/web")?;
    let old = "cd /mnt/data && mkdir -p var/lib/boot2docker/certs && \
        mv userdata.tar var/lib/boot2docker && echo 'echo old' >var/lib/boot2docker/bootlocal.sh; \
        sync; ls var/lib/boot2docker";
    let said = shell.run(old)?;
    ensure!(said.contains("userdata.tar"), "{said}");
    Ok(())
}

/// Fourth boot.
pub fn boot(world: &World, checks: &mut Checks) -> Result<()> {
    // The key is in boot2docker's archive.
    let machine = machine(world, "off")?.append("b2p.sshd=on b2p.on=net,sshd b2p.user=ann:1234");
    let guest = Guest::start(&machine)?;
    checks.check("what the disk wants off is off, and is not missed", || {
        whole(&guest)?;
        let status = guest.sh("b2p status")?;
        for line in status.lines().filter(|l| !l.starts_with("SERVICE")).skip(2) {
            let mut words = line.split_whitespace();
            let (name, state) = (words.next().unwrap_or_default(), words.next());
            let on = ["net", "sshd", "hostkey"].contains(&name);
            ensure!(on == (state != Some("off")), "{line}: {status}");
        }
        ensure!(guest.ready.field("api") == "none");
        ensure!(guest.ready.field("data").starts_with("/dev/vda"));
        guest.sh("! test -e /run/podman/podman.sock; ! dmesg | grep 'not to be'")?;
        let flags = guest.sh("b2p flags | grep -E '^b2p.(sshd|podman|off) '")?;
        let from = |source: &str| flags.lines().filter(|l| l.contains(source)).count();
        ensure!(
            from("command line") == 1 && from("data disk") == 2,
            "{flags}"
        );
        Ok(())
    });
    checks.check("the host key that replaced another is kept", || {
        guest.sh("cmp /mnt/data/replaced.pub /etc/ssh/ssh_host_ed25519_key.pub")?;
        guest.ssh_alone("root", "true").map(drop)
    });
    checks.check("what is boot2docker's is named, and not run", || {
        let line = "dmesg | grep '/var/lib/boot2docker has bootlocal.sh, certs, which is for'";
        guest.sh(line)?;
        guest.sh("! dmesg | grep ': old$'").map(drop)
    });
    checks.check("a service that is off can be started", || {
        guest.sh("b2p start web bootsync && b2p log bootsync | grep 'not to be run'")?;
        guest.sh("id ann").map(drop)
    });
    checks.check("poweroff succeeds", || off(&guest));
    Ok(())
}
