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

/// Containers that take all blocks, all inodes, or all blocks and then those of root's with their log,
/// and then all space that is given back: the resource that each takes, its command, and true if the
/// container is paused.
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

/// The disk is full to the last block: writes fail, everything else works in this boot and the
/// next, and with free space all is well again.
#[test]
fn the_machine_works_with_a_full_data_disk() -> Result<()> {
    let dir = disks::dir("full")?;
    let disk = make::disk(&dir, "full", Layout::Whole, Fs::Ext4, "b2p-data")?;
    let machine = || tests::machine("data-full").map(|m| m.disk(Disk::raw(disk.file())));
    let guest = Guest::start(&machine()?)?;
    let mut checks = Checks::new("full");
    checks.check("it is filled", || {
        let fill = "dd if=/dev/zero of=/var/lib/containers/fill bs=64k 2>&1; dd if=/dev/zero of=/var/lib/containers/rest bs=512 2>&1; sync";
        let said = guest.sh(fill)?;
        ensure!(said.contains("No space left"), "{said}");
        Ok(())
    });
    checks.check("the machine goes on", || {
        guest.sh("b2p status; podman ps 2>&1 || true")?;
        guest.ssh_alone("core", "true").map(drop)
    });
    checks.check("it is said, and what needs room has some", || {
        told(&guest, true)?;
        // root's dd may have taken the first part of the reserve; the second follows.
        eventually(SOON, || {
            guest.sh("podman volume create while-full && podman volume rm while-full")
        })?;
        let key = Guest::public_key()?;
        guest
            .sh(&format!("b2p key add '{} two'", key.trim()))
            .map(drop)
    });
    checks.check("off", || off(&guest));
    drop(guest);
    // All of /etc is on the disk now, and the home is handed over, where there is no room.
    let guest = Guest::start(&machine()?.append("b2p.etc=all b2p.user=core:1500"))?;
    checks.check("the next boot finds it", || on(&guest, "/dev/vda"));
    checks.check("the user has another number, whole", || {
        let said = guest.sh(
            "id -u core; find /home /run/user/1500 ! -user core -path '*/core*'; grep -c ' /etc overlay' /proc/mounts",
        )?;
        ensure!(said == "1500\n1", "{said}");
        guest.ssh_alone("core", "test -w .").map(drop)
    });
    checks.check("a user's podman has no room", || {
        let said = guest.ssh("core", "podman volume create none 2>&1")?;
        ensure!(!said.status.success(), "{}", tests::text(&said)?);
        Ok(())
    });
    checks.check("and room is made", || {
        guest.sh("rm /var/lib/containers/fill /var/lib/containers/rest")?;
        guest.sh("podman volume create kept && sync")?;
        // Its first question in this boot was answered while there was none.
        guest.sh_as("core", "podman volume create kept && echo mine >note")?;
        guest.sh("echo kept >/etc/note && cat /mnt/data/kept/etc/note && test -s /etc/passwd")?;
        told(&guest, false)
    });
    checks.check("a database of noise is said until it is mended", || {
        let listed = |wanted: bool| {
            eventually(SOON, || {
                let said = guest.sh("b2p status")?;
                let line =
                    "engine: podman cannot open its store: /var/lib/containers/storage/db.sql";
                ensure!(said.contains(line) == wanted, "{said}");
                Ok(())
            })
        };
        // A new watch makes its first check at once, and not in half a minute.
        let look = "cd /var/lib/containers/storage && mv db.sql good && echo noise >db.sql && b2p restart image-sync";
        guest.sh(look)?;
        listed(true)?;
        guest.sh("cd /var/lib/containers/storage && mv good db.sql && b2p restart image-sync")?;
        listed(false)
    });
    checks.check(
        "so are a list of noise, and a database that is damaged",
        || damaged(&guest),
    );
    containers(&guest, &mut checks)?;
    checks.check("off again", || off(&guest));
    checks.check("clean", || Ext::on(&disk)?.clean());
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
    says(guest, &list, true)?;
    guest.sh(
        "cd /var/lib/containers/storage/overlay-images && rm images.json && \
         (mv good images.json || (touch x && mv x y && rm y))",
    )?;
    says(guest, engine, false)?;
    guest.sh(
        "cd /var/lib/containers/storage && cp -p db.sql good && size=$(stat -c %s db.sql) && \
         dd if=/dev/zero of=db.sql bs=4096 seek=1 count=$((size/4096-1)) conv=notrunc && \
         touch overlay-images/x && mv overlay-images/x overlay-images/y",
    )?;
    says(guest, engine, true)?;
    guest.sh(
        "cd /var/lib/containers/storage && mv good db.sql && mv overlay-images/y overlay-images/x && \
         rm overlay-images/x",
    )?;
    says(guest, engine, false)
}

/// Expects the degraded line on a full store, or none.
fn told(guest: &Guest, full: bool) -> Result<()> {
    says(guest, "store: full: of ", full)
}

/// Runs containers that never stop to write, and expects that the machine and podman keep working.
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
            told(guest, true)?;
            let paused = format!("paused until there is room: {}", &id[..12]);
            match is_paused {
                true => says(guest, &paused, true),
                false => taken(guest),
            }
        });
        checks.check(&format!("and with no {what} the machine works"), || {
            guest.ssh_alone("core", "true")?;
            let key = Guest::public_key()?;
            guest.sh(&format!("b2p key add '{} {what}'", key.trim()))?;
            guest.sh("podman ps --all")?;
            guest.sh("podman rm --force --time 0 greedy")?;
            told(guest, false)?;
            let reserve = "reserve reserve.inodes reserve.last reserve.last.inodes";
            eventually(SOON, || guest.sh(&format!("cd /mnt/data && ls {reserve}"))).map(drop)
        });
    }
    checks.check("a container of core takes all, and core removes it", || {
        tests::text(&guest.ssh_with("core", "podman load -q", &archive)?)?;
        let run = format!(
            "podman run -d --network none --name greedy {} sh -c '{}'",
            image::NAME,
            GREEDY[0].1
        );
        let id = guest.sh_as("core", &run)?;
        let filled = "[ $(stat -f -c %a /mnt/data) = 0 ]";
        eventually(SOON, || guest.sh(filled))?;
        let paused = format!("paused until there is room: {} of user 1500", &id[..12]);
        says(guest, &paused, true)?;
        guest.ssh_alone(
            "core",
            "podman ps --all && podman rm --force --time 0 greedy",
        )?;
        told(guest, false)
    });
    Ok(())
}

/// Expects that everything but root's part is taken.
fn taken(guest: &Guest) -> Result<()> {
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

/// Expects these words in the status, or none of them.
fn says(guest: &Guest, words: &str, wanted: bool) -> Result<()> {
    eventually(SOON, || {
        let said = guest.sh("b2p status")?;
        ensure!(said.contains(words) == wanted, "{words}: {said}");
        Ok(())
    })
}
