// SPDX-License-Identifier: Apache-2.0
//! A disk that is full, to the last block or the last inode, also while a container continues to write;
//! and a store that podman cannot open.

use super::{SOON, off, on};
use anyhow::{Result, ensure};
use std::fs;
use tests::disks;
use tests::disks::inspect::Ext;
use tests::disks::make::{self, Fs, Layout};
use tests::{Checks, Guest, eventually, image};
use vmm::Disk;

/// Containers that fill the disk: resource, command, and true if the machine is expected to pause the container. The first
/// takes all blocks, the second all inodes. The third takes all blocks, then by its log the blocks reserved for root, then
/// each block that is freed.
const GREEDY: &[(&str, &str, bool)] = &[
    (
        "blocks",
        "while :; do cat /dev/zero >>/fill; done 2>/dev/null",
        false,
    ),
    (
        "inodes",
        "mkdir /many; cd /many; while :; do seq 1 20000 | busybox xargs touch; done 2>/dev/null",
        true,
    ),
    (
        "blocks by a log",
        "cat /dev/zero >/fill; while :; do seq 1 100000; done",
        true,
    ),
];

/// Log-in at a registry as podman writes it, under the name `ann`.
const LOG_IN: &str = r#"umask 077; cd $XDG_RUNTIME_DIR && mkdir -p containers && cd containers && \
    printf '{"auths":{"r.example":{"auth":"YW5uOng="}}}' >new && mv new auth.json"#;

/// The disk is full to the last block: writes fail, everything else works in this boot and the
/// next, and with free space all is well again.
#[test]
fn the_machine_works_with_a_full_data_disk() -> Result<()> {
    let dir = disks::dir("full")?;
    let disk = make::disk(&dir, "full", Layout::Whole, Fs::Ext4, "b2p-data")?;
    let machine = || tests::machine("data-full").map(|m| m.disk(Disk::raw(disk.file())));
    let guest = Guest::start(&machine()?)?;
    let mut checks = Checks::new("full");
    checks.check("the disk is filled", || {
        let fill = "dd if=/dev/zero of=/var/lib/containers/fill bs=64k 2>&1; dd if=/dev/zero of=/var/lib/containers/rest bs=512 2>&1; sync";
        let said = guest.sh(fill)?;
        ensure!(said.contains("No space left"), "{said}");
        Ok(())
    });
    checks.check("the machine continues without space", || {
        guest.sh("b2p status; podman ps 2>&1 || true")?;
        guest.ssh_alone("core", "true").map(drop)
    });
    checks.check(
        "status lists the full store; podman and b2p can still write",
        || {
            expect_store_full(&guest, true)?;
            // root's dd may have taken the first part of the reserve; the second follows.
            eventually(SOON, || {
                guest.sh("podman volume create while-full && podman volume rm while-full")
            })?;
            let key = Guest::public_key()?;
            guest
                .sh(&format!("b2p key add '{} two'", key.trim()))
                .map(drop)
        },
    );
    checks.check("poweroff succeeds", || off(&guest));
    drop(guest);
    // With `b2p.etc=all`, /etc is on the full disk; the home changes its uid there as well.
    let guest = Guest::start(&machine()?.append("b2p.etc=all b2p.user=core:1500"))?;
    checks.check("the next boot finds the disk", || on(&guest, "/dev/vda"));
    checks.check("core has uid 1500 and owns every file of its home", || {
        let said = guest.sh(
            "id -u core; find /home /run/user/1500 ! -user core -path '*/core*'; grep -c ' /etc overlay' /proc/mounts",
        )?;
        ensure!(said == "1500\n1", "{said}");
        guest.ssh_alone("core", "test -w .").map(drop)
    });
    checks.check("a user's podman has no room", || {
        let said = guest.ssh("core", "podman volume create none 2>&1")?;
        ensure!(!said.status.success(), "{}", tests::text(&said)?);
        // The file with log-ins is in RAM, and its copy on the disk waits for room, as podman of core does, which makes
        // ~/.config at its start.
        guest.sh_as("core", LOG_IN).map(drop)
    });
    checks.check("with free space everything writes again", || {
        guest.sh("rm /var/lib/containers/fill /var/lib/containers/rest")?;
        guest.sh("podman volume create kept && sync")?;
        // podman of core was first run in this boot while the disk was full (the check before).
        guest.sh_as("core", "podman volume create kept && echo mine >note")?;
        eventually(SOON, || {
            let copy =
                "cmp $XDG_RUNTIME_DIR/containers/auth.json .local/state/boot2podman/auth.json";
            guest.sh_as("core", copy).map(drop)
        })?;
        let said = guest.sh_as("core", "podman login --get-login r.example")?;
        ensure!(said == "ann", "{said}");
        guest.sh("echo kept >/etc/note && cat /mnt/data/kept/etc/note && test -s /etc/passwd")?;
        expect_store_full(&guest, false)
    });
    checks.check("a corrupt database is listed as degraded until it is restored", || {
        let line = "engine: podman cannot open its store: /var/lib/containers/storage/db.sql";
        let listed = |present: bool| expect_status(&guest, line, present);
        // A new watch makes its first check at once, and not in half a minute.
        let look = "cd /var/lib/containers/storage && mv db.sql good && echo noise >db.sql && b2p restart image-sync";
        guest.sh(look)?;
        listed(true)?;
        guest.sh("cd /var/lib/containers/storage && mv good db.sql && b2p restart image-sync")?;
        listed(false)
    });
    checks.check(
        "a damaged images.json and a damaged database are listed as degraded",
        || damaged(&guest),
    );
    containers(&guest, &mut checks)?;
    checks.check("the second poweroff succeeds", || off(&guest));
    checks.check("the file system is clean", || Ext::on(&disk)?.clean());
    checks.finish(&guest)
}

/// Damages a list, and then the database behind its first page while the watch runs. A file that is renamed to a list
/// makes the watch look at once.
fn damaged(guest: &Guest) -> Result<()> {
    let engine = "engine: podman cannot open its store: ";
    let list = format!("{engine}/var/lib/containers/storage/overlay-images/images.json");
    guest.sh(
        "cd /var/lib/containers/storage/overlay-images && (mv images.json good || true) && \
         echo noise >new && mv new images.json",
    )?;
    expect_status(guest, &list, true)?;
    guest.sh(
        "cd /var/lib/containers/storage/overlay-images && rm images.json && \
         (mv good images.json || (touch x && mv x y && rm y))",
    )?;
    expect_status(guest, engine, false)?;
    guest.sh(
        "cd /var/lib/containers/storage && cp -p db.sql good && size=$(stat -c %s db.sql) && \
         dd if=/dev/zero of=db.sql bs=4096 seek=1 count=$((size/4096-1)) conv=notrunc && \
         touch overlay-images/x && mv overlay-images/x overlay-images/y",
    )?;
    expect_status(guest, engine, true)?;
    guest.sh(
        "cd /var/lib/containers/storage && mv good db.sql && mv overlay-images/y overlay-images/x && \
         rm overlay-images/x",
    )?;
    expect_status(guest, engine, false)
}

/// Expects the degraded line about a full store if `full`, else its absence.
fn expect_store_full(guest: &Guest, full: bool) -> Result<()> {
    expect_status(guest, "store: full: of ", full)
}

/// Runs containers that write without end, and expects that the machine and podman keep working.
fn containers(guest: &Guest, checks: &mut Checks) -> Result<()> {
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    checks.check("an image fits", || {
        tests::text(&guest.ssh_with("root", "podman load -q", &archive)?).map(drop)
    });
    for (what, command, is_paused) in GREEDY {
        checks.check(&format!("a container takes all {what}"), || {
            let run = format!(
                "podman run -d --network none --name greedy {} sh -c '{command}'",
                image::NAME
            );
            let id = guest.sh(&run)?;
            let filled =
                "[ $(stat -f -c %a /mnt/data) = 0 ] || [ $(stat -f -c %d /mnt/data) -lt 8 ]";
            eventually(SOON, || guest.sh(filled))?;
            guest.sh("b2p restart image-sync")?;
            expect_store_full(guest, true)?;
            let paused = format!("paused until there is room: {}", &id[..12]);
            match is_paused {
                true => expect_status(guest, &paused, true),
                false => expect_root_blocks_free(guest),
            }
        });
        checks.check(&format!("the machine works without free {what}"), || {
            guest.ssh_alone("core", "true")?;
            let key = Guest::public_key()?;
            guest.sh(&format!("b2p key add '{} {what}'", key.trim()))?;
            guest.sh("podman ps --all")?;
            guest.sh("podman rm --force --time 0 greedy")?;
            expect_store_full(guest, false)?;
            let reserve = "reserve reserve.inodes reserve.last reserve.last.inodes";
            eventually(SOON, || guest.sh(&format!("cd /mnt/data && ls {reserve}"))).map(drop)
        });
    }
    Ok(())
}

/// Fills a disk by a container of core, whose podman has none of root's blocks.
#[test]
#[ignore = "two minutes: make test-all"]
fn core_removes_its_container_that_fills_the_disk() -> Result<()> {
    let dir = disks::dir("full-of-core")?;
    let disk = make::disk(&dir, "full-of-core", Layout::Whole, Fs::Ext4, "b2p-data")?;
    let machine = tests::machine("data-full-of-core")?.disk(Disk::raw(disk.file()));
    let guest = Guest::start(&machine)?;
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    let mut checks = Checks::new("full-of-core");
    checks.check("an image fits", || {
        tests::text(&guest.ssh_with("core", "podman load -q", &archive)?).map(drop)
    });
    for (what, command, _) in [GREEDY[0], GREEDY[2]] {
        checks.check(
            &format!("core removes a container that takes all {what}"),
            || greedy_of_core(&guest, command),
        );
    }
    checks.finish(&guest)
}

fn greedy_of_core(guest: &Guest, command: &str) -> Result<()> {
    let run = format!(
        "podman run -d --network none --name greedy {} sh -c '{command}'",
        image::NAME
    );
    let id = guest.sh_as("core", &run)?;
    let paused = format!("paused until there is room: {} of user 1000", &id[..12]);
    expect_status(guest, &paused, true)?;
    guest.ssh_alone(
        "core",
        "podman ps --all && podman rm --force --time 0 greedy",
    )?;
    expect_store_full(guest, false)
}

/// Expects that only the blocks reserved for root are free.
fn expect_root_blocks_free(guest: &Guest) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("stat -f -c '%a %f' /mnt/data; ls /mnt/data")?;
        ensure!(said.starts_with("0 ") && !said.starts_with("0 0"), "{said}");
        ensure!(
            said.contains("reserve.last") && !said.contains("reserve.inodes"),
            "{said}"
        );
        Ok(())
    })
}

/// Expects this text in `b2p status` if `present`, else its absence.
fn expect_status(guest: &Guest, text: &str, present: bool) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status")?;
        ensure!(said.contains(text) == present, "{text}: {said}");
        Ok(())
    })
}
