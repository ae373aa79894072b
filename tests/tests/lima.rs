// SPDX-License-Identifier: Apache-2.0
//! Lima's full mode, with the user of the template of the documentation: the scripts that a host writes, the
//! probes that it sends, and a second start.

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::disks::{self, Image, seed};
use tests::lima::{self, AGENT_OF_1_0, File, Instance, boot_done, environment_counts, ssh_ready};
use tests::{Checks, Guest, eventually, keyless};
use vmm::{Bus, Disk, Machine};

/// Time limit for work after the ready line, on a busy host.
const SCRIPTS: Duration = Duration::from_secs(120);
/// Environment variable with the path of a checkout of lima.
const CHECKOUT: &str = "LIMA_CHECKOUT";
/// Arguments of the agent on hosts with Linux and macOS: its own socket, which belongs to the user.
const AGENT: &str = "daemon --debug=false --vsock-port 0 --virtio-port  --socket-owner 501";

#[test]
fn the_full_mode_of_lima_works_at_each_start() -> Result<()> {
    full_mode("lima-full", Ok)
}

#[test]
#[ignore = "needs a checkout of lima, whose path is in LIMA_CHECKOUT"]
fn the_scripts_of_a_checkout_of_lima_work_at_each_start() -> Result<()> {
    let checkout = std::env::var_os(CHECKOUT).map(PathBuf::from);
    let Some(checkout) = checkout else {
        anyhow::bail!("{CHECKOUT} must be the path of a checkout of lima");
    };
    full_mode("lima-checkout", |files| {
        lima::with_scripts_of(&checkout, files)
    })
}

/// Starts the machine twice, as `limactl start` does, with a new instance id.
fn full_mode(name: &str, scripts: impl Fn(Vec<File>) -> Result<Vec<File>>) -> Result<()> {
    let dir = disks::dir(name)?;
    let data = Image::blank(&dir, "data", 512)?;
    let key = Guest::public_key()?;
    let mut checks = Checks::new(name);
    for (iid, is_last) in [("iid-1764000000", false), ("iid-1764000001", true)] {
        let instance = Instance {
            user: "core",
            uid: 501,
            home: "/home/core",
            key: key.trim(),
            iid,
            mac: "52:54:00:12:34:56",
            is_plain: false,
        };
        let machine = machine(name, &dir, &data, scripts(instance.files(""))?)?;
        let guest = Guest::start(&machine)?;
        start(&guest, &instance, &mut checks);
        if !is_last {
            guest.sh_as("core", "echo kept >kept; sync")?;
            continue;
        }
        checks.check("Lima 1.0 starts its agent by the environment", || {
            of_1_0(&guest)
        });
        return checks.finish(&guest);
    }
    Ok(())
}

fn machine(name: &str, dir: &Path, data: &Image, files: Vec<File>) -> Result<Machine> {
    let entries: Vec<_> = files
        .iter()
        .map(|(p, x, t)| (p.as_str(), *x, t.as_str()))
        .collect();
    Ok(keyless(name)?
        .append("b2p.format=blank")
        .disk(Disk::raw(data.file()))
        .disk(Disk::iso(seed::iso(dir, &entries)?).on(Bus::Scsi)))
}

/// Runs a script as root.
fn root(guest: &Guest, script: &str) -> Result<String> {
    let out = guest.ssh_with("core", "sudo bash", script.as_bytes())?;
    Ok(tests::text(&out)?.trim().to_owned())
}

fn is(guest: &Guest, script: &str, want: &str) -> Result<()> {
    let said = root(guest, script)?;
    ensure!(said == want, "{script}: {said:?}, not {want:?}");
    Ok(())
}

/// Sends the probes of a host, in their order, until each succeeds, and looks at what the scripts have done.
fn start(guest: &Guest, instance: &Instance<'_>, checks: &mut Checks) {
    let iid = instance.iid;
    checks.check("the machine is ready, with nothing amiss", || {
        ensure!(
            guest.ready.degraded.is_empty(),
            "{:?}",
            guest.ready.degraded
        );
        Ok(())
    });
    checks.check("all probes of the host succeed", || {
        for (command, stdin) in [lima::probe("true\n"), ssh_ready(iid), boot_done(iid)] {
            eventually(SCRIPTS, || {
                tests::text(&guest.ssh_with("core", &command, stdin.as_bytes())?).map(drop)
            })?;
        }
        Ok(())
    });
    checks.check("no script of the host has failed", || {
        let log = root(guest, "b2p log cloud-scripts")?;
        let codes = log.matches("Exiting with code 0").count();
        ensure!(codes == 1 && !log.contains("WARNING"), "{log}");
        is(guest, "cat /run/boot2podman/degraded", "")
    });
    checks.check("variables, names and settings of the scripts count", || {
        environment_counts(guest, "core")?;
        for (script, want) in [
            (
                "grep host.lima.internal /etc/hosts",
                "10.0.2.2\thost.lima.internal",
            ),
            ("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
            ("stat -c '%U %a' /run/host-services", "core 700"),
            (
                "grep -c '# Lima BEGIN' /home/core/.bashrc /home/core/.profile",
                "/home/core/.bashrc:1\n/home/core/.profile:1",
            ),
            (
                "stat -c %u:%U /home/core /home/core/.zshrc",
                "501:core\n501:core",
            ),
            (
                "grep -c ^core: /etc/subuid /etc/subgid",
                "/etc/subuid:1\n/etc/subgid:1",
            ),
            (
                "cat /run/provision-system /tmp/provision-user",
                "0\ncore /home/core blue /run/user/501",
            ),
        ] {
            is(guest, script, want)?;
        }
        Ok(())
    });
    checks.check(
        "the agent is a service, and has the user's socket to forward",
        || {
            eventually(SCRIPTS, || is(guest, "cat /run/agent-started", AGENT))?;
            is(
                guest,
                "rc-service lima-guestagent status && b2p status | grep -c lima-guestagent",
                "1",
            )?;
            lima::socket_is_forwarded(guest, instance)
        },
    );
}

/// The agent's script of Lima 1.0 takes the place of the later one; the home is that of the first start.
fn of_1_0(guest: &Guest) -> Result<()> {
    is(guest, "cat /home/core/kept", "kept")?;
    root(guest, "rc-service lima-guestagent stop")?;
    is(guest, "rc-service lima-guestagent status; echo $?", "3")?;
    root(guest, AGENT_OF_1_0)?;
    eventually(SCRIPTS, || {
        is(
            guest,
            "tail -n 1 /run/agent-started",
            "daemon --debug=true --vsock-port 0 --virtio-port io.lima-vm.guest_agent.0",
        )
    })
}
