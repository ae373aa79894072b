// SPDX-License-Identifier: Apache-2.0
//! The boots of a disk with a format request: first beside every disk that must not be touched,
//! then beside another candidate for the data disk.

use super::{name_of, off, on, same, whole};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use tests::disks::inspect::{self, Ext};
use tests::disks::make::{self, Fs, Layout};
use tests::disks::{self, Image, MIB, refused, taken, userdata};
use tests::{Checks, Guest, image, keyless};
use vmm::{Bus, Disk};

/// Command that shows the AppArmor profile of a process, if there is AppArmor.
const PROFILE: &str = "cat /proc/self/attr/current";

type Refused = Vec<(&'static str, Image, String)>;

/// Content that must be unchanged after a boot.
struct Known {
    id: String,
    key: String,
    seed: String,
}

#[test]
fn a_data_disk_keeps_keys_and_settings_from_its_first_boot_on() -> Result<()> {
    let dir = disks::dir("life")?;
    let mut checks = Checks::new("life");
    let rsa = userdata::rsa(&dir, "rsa")?;
    let keys = format!("{rsa}{}\n", Guest::public_key()?);
    let tar = userdata::archive(
        userdata::DOCKERS,
        &[
            (".ssh/authorized_keys", keys.as_bytes()),
            (".ssh/authorized_keys2", rsa.as_bytes()),
        ],
    )?;
    let disk = taken::words(&dir, "disk", &tar)?;
    disk.grow(1024)?;
    let known = first(&dir, &disk, &tar, &mut checks)?;
    second(&dir, &disk, &known, &mut checks)?;
    checks.done()?;
    Ok(fs::remove_dir_all(dir)?)
}

fn first(dir: &Path, disk: &Image, tar: &[u8], checks: &mut Checks) -> Result<Known> {
    let rows = rows(dir)?;
    let mut machine = keyless("data-first")?
        .memory_mib(1536)
        .disk(Disk::raw(disk.file()));
    for (name, image, _) in &rows {
        machine = machine.disk(Disk::raw(image.file()).on(Bus::Scsi).serial(name));
    }
    let guest = Guest::start(&machine)?;
    checks.check("the data disk is formatted and used", || {
        on(&guest, "/dev/vda1")
    });
    checks.check("all refused disks are named", || named(&guest, &rows));
    checks.check("a key that is longer than a sector lets in", || {
        by_rsa(&guest, &dir.join("rsa"))
    });
    checks.check("images, containers and volumes", || fill(&guest));
    let known = known(&guest)?;
    checks.check("a setting is written to the disk", || {
        guest.sh("mkdir -p /var/lib/boot2podman/etc && echo kept-box >/var/lib/boot2podman/etc/hostname").map(drop)
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the refused are as they were", || same(&rows));
    checks.check("made as it should be", || made(disk, tar));
    Ok(known)
}

/// Makes one disk of each kind, with its checksum.
fn rows(dir: &Path) -> Result<Refused> {
    let one = |row: &refused::Row| {
        let image = (row.make)(dir, row.name).with_context(|| row.name)?;
        let sum = image.sum()?;
        Ok((row.name, image, sum))
    };
    refused::ROWS.iter().map(one).collect()
}

/// Expects each refused disk in the log with the reason; a refused request is a degraded line.
fn named(guest: &Guest, rows: &Refused) -> Result<()> {
    let log = guest.sh("dmesg")?;
    let mut silent = Vec::new();
    for row in refused::ROWS {
        let name = name_of(guest, row.name)?;
        let line = format!("{name}: ");
        let told = |l: &str| l.contains(&line) && l.contains(row.said);
        let loud = guest.ready.degraded.iter().any(|d| told(&d.why));
        if loud != row.loud || !(loud || log.lines().any(told)) {
            let lines = log.lines().filter(|l| l.contains(&line));
            silent.push(format!(
                "{} ({name}): {:?}",
                row.name,
                lines.collect::<Vec<_>>()
            ));
        }
    }
    ensure!(
        rows.len() == refused::ROWS.len() && silent.is_empty(),
        "{}",
        silent.join("\n")
    );
    Ok(())
}

fn by_rsa(guest: &Guest, key: &Path) -> Result<()> {
    for user in ["core", "root"] {
        let said = guest.login_with(user, key)?;
        ensure!(said == user, "{said}");
    }
    Ok(())
}

/// Makes a volume, and a container that wrote to the volume and stays, in root's store and in
/// core's.
fn fill(guest: &Guest) -> Result<()> {
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    for user in ["root", "core"] {
        let out = guest.ssh_with(user, "podman load -q", &archive)?;
        tests::text(&out)?;
        let script = format!(
            "podman run --name writer -v kept:/data {} sh -c '{PROFILE} >/profile; echo by {user} | dd of=/data/note conv=fsync 2>/dev/null; echo inside >/inside'",
            image::NAME
        );
        guest.sh_as(user, &script)?;
    }
    Ok(())
}

fn known(guest: &Guest) -> Result<Known> {
    let said = guest.sh(
        "cat /etc/machine-id; cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub; sha256sum </var/lib/boot2podman/random-seed",
    )?;
    let mut lines = said.lines().map(str::to_owned);
    let mut next = || lines.next().context("a line is missing");
    Ok(Known {
        id: next()?,
        key: next()?,
        seed: next()?,
    })
}

/// Checks the result with tools that know nothing of this project.
fn made(disk: &Image, tar: &[u8]) -> Result<()> {
    inspect::divided(disk)?;
    let front = disk.read(0, 440)?;
    ensure!(front.iter().all(|b| *b == 0), "the words are still there");
    let ext = Ext::on(disk)?;
    ext.clean()?;
    let label = ext.field("Filesystem volume name")?;
    ensure!(label == "boot2podman-data", "{label}");
    let features = ext.field("Filesystem features")?;
    for wanted in [
        "has_journal",
        "extent",
        "64bit",
        "metadata_csum",
        "dir_index",
    ] {
        ensure!(features.contains(wanted), "{features}");
    }
    let count = |name: &str| -> Result<u64> { Ok(ext.field(name)?.parse()?) };
    let each = count("Block count")? * count("Block size")? / count("Inode count")?;
    ensure!(
        each <= 8192,
        "an inode for {each} bytes are too few for images"
    );
    let kept = ext
        .file("/boot2podman/userdata.tar")
        .or_else(|_| ext.file("/userdata.tar"))?;
    ensure!(kept == tar, "userdata.tar is another: {} bytes", kept.len());
    Ok(())
}

/// Second boot: the disk has grown, there are other candidates for the data disk, and the kernel has
/// no AppArmor.
fn second(dir: &Path, disk: &Image, known: &Known, checks: &mut Checks) -> Result<()> {
    disk.grow(2048)?;
    let other = make::disk(dir, "other", Layout::Gpt, Fs::Ext4, "boot2docker-data")?;
    let asks = taken::words(dir, "asks", userdata::OURS.as_bytes())?;
    let others: Refused = vec![
        ("other", other.clone(), other.sum()?),
        ("asks", asks.clone(), asks.sum()?),
    ];
    let mut machine = keyless("data-second")?
        .memory_mib(1536)
        .append("b2p.format=never apparmor=0")
        .disk(Disk::raw(disk.file()));
    for (name, image, _) in &others {
        machine = machine.disk(Disk::raw(image.file()).on(Bus::Scsi).serial(name));
    }
    let guest = Guest::start(&machine)?;
    checks.check("the data disk is found", || on(&guest, "/dev/vda1"));
    checks.check("which of two is told with the rule", || rule(&guest));
    checks.check("containers of the first boot exist", || yesterday(&guest));
    checks.check(
        "host key and machine-id are those of the first boot",
        || who(&guest, known),
    );
    checks.check("the file system has grown", || grown(&guest));
    checks.check("b2p status", || status(&guest));
    checks.check("the second poweroff succeeds", || off(&guest));
    checks.check("the others are as they were", || same(&others));
    checks.check("whole and grown", || {
        inspect::divided(disk)?;
        Ext::on(disk)?.clean()
    });
    Ok(())
}

fn rule(guest: &Guest) -> Result<()> {
    let (other, asks) = (name_of(guest, "other")?, name_of(guest, "asks")?);
    let log = guest.sh("dmesg")?;
    let told = |name: &str, words: &[&str]| {
        let mut lines = log.lines().filter(|l| l.contains(&format!("{name}: ")));
        lines.any(|l| words.iter().all(|w| l.contains(w)))
    };
    let one = told(
        &format!("{other}1"),
        &["vda1 is used", "then the lowest name"],
    );
    let two = told(&asks, &["asks to be formatted, but vda1 is the data disk"]);
    ensure!(one && two, "{other}: {one}, {asks}: {two}");
    whole(guest)
}

fn yesterday(guest: &Guest) -> Result<()> {
    for (user, profile) in [("root", "containers-default-"), ("core", "unconfined")] {
        let images = guest.sh_as(user, "podman images --format '{{.Repository}}:{{.Tag}}'")?;
        ensure!(images == image::NAME, "{user}: {images}");
        let all = guest.sh_as(user, "podman ps -a --format '{{.Names}}'")?;
        ensure!(all == "writer", "{user}: {all}");
        let script = format!(
            "podman run --rm --network none -v kept:/data {} cat /data/note",
            image::NAME
        );
        let note = guest.sh_as(user, &script)?;
        ensure!(note == format!("by {user}"), "{user}: {note}");
        let inside = guest.sh_as(user, "podman cp writer:/inside - | tar xO")?;
        ensure!(inside == "inside", "{user}: {inside}");
        let profiled = guest.sh_as(user, "podman cp writer:/profile - | tar xO")?;
        ensure!(profiled.starts_with(profile), "{user}: {profiled}");
        // The profile was of that boot, not of the container.
        guest.sh("test ! -e /sys/kernel/security/apparmor")?;
        guest.sh_as(user, "podman start --attach writer")?;
    }
    Ok(())
}

fn who(guest: &Guest, known: &Known) -> Result<()> {
    let now = self::known(guest)?;
    ensure!(
        now.id == known.id,
        "machine-id: {} and {}",
        known.id,
        now.id
    );
    ensure!(
        now.key == known.key,
        "host key: {} and {}",
        known.key,
        now.key
    );
    ensure!(now.seed != known.seed, "the seed was used twice");
    let name = guest.sh("cat /var/lib/boot2podman/etc/hostname")?;
    ensure!(name == "kept-box", "{name}");
    let name = guest.sh("hostname; cat /etc/hostname")?;
    ensure!(name == "kept-box\nkept-box", "the machine is {name}");
    Ok(())
}

fn grown(guest: &Guest) -> Result<()> {
    let kib: u64 = guest
        .sh("df -k /var/lib/containers | awk 'END {print $2}'")?
        .parse()?;
    ensure!(kib > 1900 * 1024, "{} MiB", kib / 1024);
    let log = guest.sh("dmesg")?;
    ensure!(
        log.contains(&format!("grown from {} MiB", 1024 - 3)) || log.contains("grown from"),
        "{log}"
    );
    Ok(())
}

fn status(guest: &Guest) -> Result<()> {
    let said = guest.sh("b2p status; b2p status --json")?;
    ensure!(said.contains("/dev/vda1"), "{said}");
    ensure!(said.contains("\"data\":\"/dev/vda1\""), "{said}");
    Ok(())
}

/// A large, blank disk with large sectors is formatted if the flag permits the format.
#[test]
fn a_blank_disk_of_3_tib_is_formatted_and_used() -> Result<()> {
    let dir = disks::dir("blank")?;
    let disk = Image::blank(&dir, "blank", 3 << 20)?;
    let guest = Guest::boot("data-blank", |m| {
        m.disk(Disk::raw(disk.file()).sector(4096))
            .append("b2p.format=blank")
    })?;
    let mut checks = Checks::new("blank");
    checks.check("the data disk is formatted and used", || {
        on(&guest, "/dev/vda1")
    });
    checks.check("nothing is missing", || whole(&guest));
    checks.check("the whole disk is used", || {
        let kib: u64 = guest
            .sh("df -k /var/lib/containers | awk 'END {print $2}'")?
            .parse()?;
        ensure!(kib > 2900 << 20, "{} GiB", kib >> 20);
        let log = guest.sh("dmesg | grep 'was formatted in'")?;
        println!("3 TiB: {log}");
        Ok(())
    });
    checks.check("poweroff succeeds", || off(&guest));
    checks.check("the disk image is small on the host", || {
        use std::os::unix::fs::MetadataExt;
        let mib = fs::metadata(disk.file())?.blocks() * 512 / MIB;
        println!("3 TiB take {mib} MiB");
        Ok(())
    });
    checks.finish(&guest)?;
    Ok(fs::remove_dir_all(dir)?)
}
