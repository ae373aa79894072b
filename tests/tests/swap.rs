// SPDX-License-Identifier: Apache-2.0
//! Swap of every kind on one boot: requested areas exist, devices that are not clearly swap are
//! left alone and reported, and no area keeps a disk from being clean.

use anyhow::{Context, Result, ensure};
use initramfs::tools;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::disks::{clean, ext4};
use tests::{Checks, Guest, eventually};
use vmm::Disk;

const LIMIT: Duration = Duration::from_secs(120);

/// Offset of the magic that hibernation changes (include/linux/swap.h).
const MAGIC: usize = 4096 - 10;

#[test]
fn requested_swap_is_on_and_other_devices_are_left_alone() -> Result<()> {
    let disks = Disks::make(&initramfs::paths::out().join("vm").join("swap-disks"))?;
    let guest = Guest::boot("swap", |machine| {
        let machine = machine.memory_mib(512).append(
            "b2p.swap=zram:32 b2p.swap=LABEL=pool b2p.swap=/dev/vdb b2p.swap=/dev/vdc \
             b2p.swap=16 swapfile=vdd",
        );
        disks
            .all()
            .into_iter()
            .fold(machine, |machine, disk| machine.disk(Disk::raw(disk)))
    })?;
    let mut checks = Checks::new("swap");
    checks.check("swap areas are used, zram first", || {
        let swaps = swaps(&guest)?;
        ensure!(swaps.len() == 3, "{swaps:?}");
        ensure!(priority(&swaps, "/dev/zram0")? == 100, "{swaps:?}");
        ensure!(priority(&swaps, "/dev/vda")? < 0, "{swaps:?}");
        ensure!(priority(&swaps, "/mnt/vdd/tc.swp")? < 0, "{swaps:?}");
        let size = guest.sh("cat /sys/block/zram0/disksize")?;
        ensure!(size == (32_u32 << 20).to_string(), "{size}");
        let algorithms = guest.sh("cat /sys/block/zram0/comp_algorithm")?;
        ensure!(algorithms.contains("[lz4]"), "{algorithms}");
        Ok(())
    });
    checks.check("refused devices are named before the ready line", || {
        let told: Vec<&str> = guest.ready.degraded.iter().map(|d| &*d.why).collect();
        for (what, why) in [
            ("/dev/vdb", "a hibernated system is in it"),
            ("/dev/vdc", ": it is not swap; it is left alone"),
            ("a file of 16 MiB", "the state is in RAM"),
        ] {
            let one = |line: &&&str| line.starts_with(what) && line.contains(why);
            ensure!(told.iter().filter(one).count() == 1, "{what}: {told:?}");
        }
        ensure!(told.len() == 3, "{told:?}");
        ensure!(guest.ready.degraded.iter().all(|d| d.what == "swap"));
        Ok(())
    });
    checks.check("a file on the data disk, once there is one", || {
        guest.sh("mount -t ext4 /dev/vde /var/lib/boot2podman && b2p restart swap")?;
        let file = "/var/lib/boot2podman/swapfile";
        let after = eventually(LIMIT, || {
            let swaps = swaps(&guest)?;
            priority(&swaps, file).map(|_| swaps)
        })?;
        // The other disks are unchanged.
        ensure!(after.len() == 4, "{after:?}");
        let stat = guest.sh(&format!("stat -c '%a %u %s' {file}"))?;
        ensure!(stat == format!("600 0 {}", 16 << 20), "{stat}");
        Ok(())
    });
    checks.check("the shutdown ends in order", || {
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(LIMIT)?.success());
        let said = guest.vm.console();
        ensure!(said.contains("reboot: Power down"), "{}", guest.vm.tail());
        for wrong in ["is busy", "swapoff /", "not done in time"] {
            ensure!(!said.contains(wrong), "{wrong}: {}", guest.vm.tail());
        }
        Ok(())
    });
    checks.check("disks with swap files are clean", || {
        clean(&disks.tcswp)?;
        clean(&disks.data)
    });
    checks.check("refused devices are unchanged", || {
        ensure!(fs::read(&disks.asleep)? == disks.asleep_was);
        ensure!(fs::read(&disks.other)? == disks.other_was);
        Ok(())
    });
    checks.finish(&guest)
}

/// Returns name and priority of each swap (proc_swaps(5)).
fn swaps(guest: &Guest) -> Result<Vec<(String, i32)>> {
    let text = guest.sh("cat /proc/swaps")?;
    let one = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (name, last) = (fields.first(), fields.last());
        let priority = last.and_then(|p| p.parse().ok());
        Some(((*name?).to_owned(), priority?))
    };
    Ok(text.lines().filter_map(one).collect())
}

fn priority(swaps: &[(String, i32)], name: &str) -> Result<i32> {
    let one = swaps.iter().find(|(known, _)| known == name);
    one.map(|(_, priority)| *priority)
        .with_context(|| format!("{name} is not in {swaps:?}"))
}

/// Disks from /dev/vda on.
struct Disks {
    pool: PathBuf,
    asleep: PathBuf,
    asleep_was: Vec<u8>,
    other: PathBuf,
    other_was: Vec<u8>,
    tcswp: PathBuf,
    data: PathBuf,
}

impl Disks {
    fn make(dir: &Path) -> Result<Self> {
        let _ = fs::remove_dir_all(dir);
        let files = dir.join("files");
        fs::create_dir_all(&files)?;
        let at = |name: &str| dir.join(name);
        let pool = area(&at("pool.img"), "pool", 8 << 20)?;
        let asleep = area(&at("asleep.img"), "asleep", 8 << 20)?;
        let mut asleep_was = fs::read(&asleep)?;
        asleep_was[MAGIC..MAGIC + 10].copy_from_slice(b"S1SUSPEND\0");
        fs::write(&asleep, &asleep_was)?;
        let other = at("other.img");
        let other_was = b"nobody's swap\n".repeat(1 << 16);
        fs::write(&other, &other_was)?;
        area(&files.join("tc.swp"), "tc", 4 << 20)?;
        Ok(Self {
            pool,
            asleep,
            asleep_was,
            other,
            other_was,
            tcswp: ext4(&at("tcswp.img"), Some(&files))?,
            data: ext4(&at("data.img"), None)?,
        })
    }

    fn all(&self) -> [&PathBuf; 5] {
        let Self {
            pool,
            asleep,
            other,
            tcswp,
            data,
            ..
        } = self;
        [pool, asleep, other, tcswp, data]
    }
}

/// Makes a swap area as mkswap(8) does, on bytes that are not zero: mke2fs would make holes of
/// those.
fn area(path: &Path, label: &str, size: usize) -> Result<PathBuf> {
    fs::write(path, vec![0x55; size])?;
    let mut mkswap = tools::command("mkswap")?;
    tools::run(mkswap.args(["-L", label]).arg(path), "mkswap")?;
    Ok(path.to_owned())
}
