// SPDX-License-Identifier: Apache-2.0
//! Restart policies survive a reboot and a power cut: containers that are due run again, and those
//! that a person stopped do not.

#[path = "restart/guide.rs"]
mod guide;
#[path = "restart/kube.rs"]
mod kube;
#[path = "restart/long.rs"]
mod long;
#[path = "restart/quadlets.rs"]
mod quadlets;
#[path = "restart/settings.rs"]
mod settings;
#[path = "restart/systemctl.rs"]
mod systemctl;
#[path = "restart/units.rs"]
mod units;
#[path = "restart/updates.rs"]
mod updates;

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::disks::seed;
use tests::registry::Plain;
use tests::{Checks, Guest, emulator, eventually, image};
use vmm::{Bus, Disk};

const LIMIT: Duration = Duration::from_secs(180);

/// The machine's user of the last boot.
const RENAMED: &str = "joe";

/// User-data with a user beside the machine's; `KEY` is replaced by a key.
const USER_DATA: &str =
    "#cloud-config\nusers: [default, {name: ann, ssh_authorized_keys: ['KEY']}]\n";

/// Limits of the containers of ann and of the machine's user, and the cgroup in which they hold.
const LIMITS: &str = "podman exec mine-always cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max && \
    podman inspect --format '{{.State.Pid}}' mine-always | xargs -I{} cat /proc/{}/cgroup";

/// Name, policy, true if a person stops the container, true if it runs after a boot.
#[rustfmt::skip]
const BOXES: &[(&str, &str, bool, bool)] = &[
    ("always",          "always",         false, true),
    ("always-stopped",  "always",         true,  true), // as docker and podman have it
    ("unless",          "unless-stopped", false, true),
    ("unless-stopped",  "unless-stopped", true,  false),
    ("on-failure",      "on-failure",     false, false),
    ("no",              "no",             false, false),
];

#[test]
fn restart_policies_survive_reboots_and_power_cuts() -> Result<()> {
    emulator::again_after_fault(once)
}

fn once() -> Result<()> {
    let disk = disk(&initramfs::paths::out().join("vm").join("restart-disk"))?;
    let mut checks = Checks::new("restart");
    let guest = boot(&disk)?;
    checks.check("without containers podman is not asked", || {
        done(&guest)?;
        let said = guest.sh("cat /run/boot2podman/containers.degraded")?;
        ensure!(said.is_empty(), "{said}");
        guest.sh("! test -e /run/libpod/alive").map(drop)
    });
    checks.check("containers are begun", || prepare(&guest));
    checks.check("the guide's example runs as it is written", || {
        guide::example_runs(&guest)
    });
    checks.check("quadlets are read, and a bad file is one line", || {
        quadlets::begin(&guest)
    });
    checks.check("systemctl starts and stops what they have become", || {
        quadlets::by_hand(&guest)
    });
    checks.check("kube files are read, and a bad file is one line", || {
        kube::begin(&guest)
    });
    checks.check("their pods keep what they have written", || {
        kube::by_hand(&guest)
    });
    checks.check("a kube file of several documents", || {
        kube::documents(&guest)
    });
    checks.check("podman-compose is a provider as well", || {
        kube::podman_compose(&guest)
    });
    checks.check("a service runs at its time", || updates::at_times(&guest));
    checks.check("units of each kind are read", || units::begin(&guest));
    checks.check("units start by their names", || units::start(&guest));
    checks.check("further verbs of systemctl", || units::verbs(&guest));
    checks.check("timers run", || systemctl::timers(&guest));
    checks.check("units of podman generate systemd", || {
        systemctl::generated(&guest)
    });
    checks.check("journalctl shows what people ask for", || {
        systemctl::journal(&guest)
    });
    checks.check("settings and masks of units and containers", || {
        settings::begin(&guest)?;
        settings::of_commands(&guest)?;
        settings::of_values(&guest)?;
        settings::by_verbs(&guest)
    });
    checks.check("units fail, restart and end as they ask for", || {
        settings::of_failures(&guest)?;
        settings::of_ends(&guest)?;
        settings::of_requisites(&guest)
    });
    checks.check("containers report their own readiness", || {
        settings::from_inside(&guest)
    });
    checks.check("units end as they ask for", || units::end_as_asked(&guest));
    checks.check("a unit that is bound to another ends with it", || {
        units::bound(&guest)
    });
    checks.check("core has units of its own", || units::of_core(&guest));
    checks.check("units of one name have logs of their own", || {
        systemctl::of_one_name(&guest)
    });
    checks.check("units of all directories", || units::directories(&guest));
    checks.check("a hundred units", || units::hundred(&guest));
    checks.check("poweroff ends", || {
        updates::miss_a_run(&guest)?;
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(LIMIT)?.success());
        Ok(())
    });
    checks.check("quadlets have ended by their own commands", || {
        quadlets::ended(&guest)
    });
    drop(guest);
    let guest = boot(&disk)?;
    checks.check("after a reboot", || settled(&guest));
    checks.check("a timer after a reboot", || systemctl::ticked(&guest));
    checks.check("quadlets after a reboot", || quadlets::run(&guest, "core"));
    checks.check("a run that was missed is made up for, once", || {
        updates::made_up(&guest)
    });
    checks.check("kube pods after a reboot", || kube::run(&guest, 1));
    checks.check("core's, too, and they outlive the session", || {
        eventually(LIMIT, || {
            let names = guest.sh_as(
                "core",
                "podman ps --format '{{.Names}}' | grep -v ^q- | sort",
            )?;
            ensure!(names == "mine\nmine-always", "{names:?}");
            Ok(())
        })?;
        // The limit of the container holds as before the boot, and the container is counted to its
        // user.
        let said = guest.sh_as(
            "core",
            "podman exec mine cat /sys/fs/cgroup/memory.max; \
             podman inspect --format '{{.State.Pid}}' mine | xargs -I{} cat /proc/{}/cgroup",
        )?;
        let limited = said.starts_with("67108864\n0::/user/1000/pod-");
        ensure!(limited, "{said}");
        keeps_limits(&guest, "core", 1000)?;
        // So do the limits of its pod.
        let said = guest.sh("cd /sys/fs/cgroup/user/1000/pod-* && cat memory.max cpu.max")?;
        ensure!(said == "100663296\n50000 100000", "{said}");
        Ok(())
    });
    checks.check(
        "quadlets of another user, whom cloud-init names, run",
        || keeps_limits(&guest, "ann", 1001),
    );
    checks.check("nothing is missed", || {
        let said = guest.sh("cat /run/boot2podman/degraded")?;
        ensure!(!said.contains("containers"), "{said}");
        Ok(())
    });
    checks.check("the power goes", || {
        guest.sh("sync")?;
        guest.vm.kill().map(drop)
    });
    drop(guest);
    let guest = boot_with(&disk, &format!("b2p.user={RENAMED}"))?;
    checks.check("after a power cut", || settled(&guest));
    checks.check("quadlets after a power cut", || {
        quadlets::run(&guest, RENAMED)
    });
    checks.check(
        "another name of the user has home, containers and API",
        || renamed(&guest),
    );
    checks.check("kube pods after a power cut", || kube::run(&guest, 2));
    checks.check("containers that cannot be started are reported", || {
        guest.sh(
            "mkdir /mnt/gone && podman create --name gone --restart always --network none -v /mnt/gone:/x localhost/box:1 sleep 9; \
             rmdir /mnt/gone; b2p restart containers; \
             grep -q '^containers: of root: .*gone' /run/boot2podman/degraded",
        )?;
        guest.sh("podman rm gone && b2p restart containers")?;
        let said = guest.sh("cat /run/boot2podman/degraded")?;
        ensure!(!said.contains("containers"), "{said}");
        Ok(())
    });
    checks.finish(&guest)
}

/// Updates of images: those of root, with a roll-back, and those of a user.
#[test]
#[ignore = "two minutes: make test-all"]
fn auto_update_updates_and_rolls_back_images() -> Result<()> {
    let disk = disk(
        &initramfs::paths::out()
            .join("vm")
            .join("restart-updates-disk"),
    )?;
    let mut checks = Checks::new("restart-updates");
    let guest = boot_with(&disk, "b2p.auto_update=04:30")?;
    checks.check("containers are begun", || prepare(&guest));
    checks.check("a quadlet of core runs", || {
        quadlets::begin(&guest)?;
        guest.sh("systemctl start core-own").map(drop)
    });
    checks.check("images are updated, and rolled back", || {
        updates::updated_and_rolled_back(&guest)
    });
    checks.check(
        "an image that does not become healthy is rolled back",
        || updates::rolled_back_if_not_healthy(&guest),
    );
    checks.check("a user's image is updated", || updates::of_a_user(&guest));
    checks.check("a pod of a Kubernetes file is updated", || {
        updates::of_a_kube_file(&guest)
    });
    let registry = Plain::start()?;
    checks.check("an image is updated from its registry", || {
        updates::from_a_registry(&guest, &registry)
    });
    checks.check("the flag's time is a time of updates", || {
        updates::at_its_time(&guest)
    });
    checks.finish(&guest)
}

fn disk(dir: &Path) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    let path = dir.join("data.img");
    fs::File::create(&path)?.set_len(1 << 30)?;
    Ok(path)
}

fn boot(disk: &Path) -> Result<Guest> {
    boot_with(disk, "")
}

fn boot_with(disk: &Path, flags: &str) -> Result<Guest> {
    let user_data = USER_DATA.replace("KEY", Guest::public_key()?.trim());
    let seed = seed::iso(
        disk.parent().context("a directory")?,
        &[
            ("user-data", false, &user_data),
            ("meta-data", false, "instance-id: one\n"),
        ],
    )?;
    let guest = Guest::boot("restart", |machine| {
        machine
            .memory_mib(1536)
            .disk(Disk::raw(disk))
            .disk(Disk::iso(seed).on(Bus::Scsi))
            .append("b2p.format=blank")
            .append(flags)
    })?;
    ensure!(
        guest.ready.field("data").starts_with("/dev/"),
        "{:?}",
        guest.ready
    );
    Ok(guest)
}

fn prepare(guest: &Guest) -> Result<()> {
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    let run = |name: &str, policy: &str| {
        format!(
            "podman run -d --name {name} --restart {policy} --stop-timeout 1 {} \
             sh -c 'trap \"exit 0\" TERM; while :; do sleep 1000 & wait; done'",
            image::NAME
        )
    };
    for user in ["root", "core", "ann"] {
        tests::text(&guest.ssh_with(user, "podman load", &archive)?)?;
    }
    for (name, policy, stop, _) in BOXES {
        // One container has a network, to check its remains after a reboot and a power cut.
        let policy = match *name {
            "always" => (*policy).to_owned(),
            _ => format!("{policy} --network none"),
        };
        guest.sh(&run(name, &policy))?;
        if *stop {
            guest.sh(&format!("podman stop {name}"))?;
        }
    }
    guest.sh_as(
        "core",
        "podman pod create --name pod --infra=false -m 96m --cpus 0.5",
    )?;
    guest.sh_as("core", &run("mine", "unless-stopped -m 64m --pod pod"))?;
    for user in ["core", "ann"] {
        let policy = "always --network none -m 48m --pids-limit 9";
        guest.sh_as(user, &run("mine-always", policy))?;
    }
    Ok(())
}

/// Waits until the container of a user runs, and expects that its limits hold in a cgroup of the user.
fn keeps_limits(guest: &Guest, user: &str, uid: u32) -> Result<()> {
    eventually(LIMIT, || {
        let said = guest.sh_as(user, LIMITS)?;
        let wanted = format!("50331648\n9\n0::/user/{uid}/");
        ensure!(said.starts_with(&wanted), "{said}");
        Ok(())
    })
}

/// Expects that the machine's user has home, containers, API and rights under the name of a flag, that cloud-init's
/// `default` means that user, and that the other user is not changed.
fn renamed(guest: &Guest) -> Result<()> {
    keeps_limits(guest, RENAMED, 1000)?;
    keeps_limits(guest, "ann", 1001)?;
    let script = "id -un; id -u; pwd; sudo -n id -u; stat -c '%U %a' ~ $XDG_RUNTIME_DIR/podman/podman.sock
        ! id core 2>/dev/null; podman --remote --url unix://$XDG_RUNTIME_DIR/podman/podman.sock exec mine-always \
        cat /sys/fs/cgroup/memory.max";
    let said = guest.sh_as(RENAMED, script)?;
    let wanted = "joe\n1000\n/home/joe\n0\njoe 700\njoe 600\n50331648";
    ensure!(said == wanted, "{said}");
    ensure!(!guest.ssh_alone("core", "true")?.status.success());
    Ok(())
}

/// Waits until the service, which starts after the ready line, is done.
fn done(guest: &Guest) -> Result<()> {
    eventually(LIMIT, || {
        let status = guest.sh("b2p status --json containers")?;
        ensure!(status.contains("\"state\":\"done\""), "{status}");
        Ok(())
    })
}

/// Expects that containers that are due run and, once the service is done, no others but those of quadlets.
fn settled(guest: &Guest) -> Result<()> {
    done(guest)?;
    let names = guest.sh(
        "podman ps --format '{{.Names}}' | grep -v -e ^q- -e ^k- -e -service$ -e -infra$ | sort",
    )?;
    let wanted = BOXES.iter().filter(|b| b.3).map(|b| b.0);
    let wanted: Vec<&str> = wanted.collect();
    ensure!(
        names.lines().eq(wanted.iter().copied()),
        "{names:?}, not {wanted:?}"
    );
    Ok(())
}
