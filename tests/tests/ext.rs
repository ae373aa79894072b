// SPDX-License-Identifier: Apache-2.0
//! Extensions: from the data disk and from a disc, at boot and while the machine runs; damaged and
//! foreign ones; and the shutdown while a program of one runs. `make test` has made `debug` and
//! `runc`, `make test-all` the others.

#[path = "ext/again.rs"]
mod again;
#[path = "ext/architectures.rs"]
mod architectures;
#[path = "ext/compose.rs"]
mod compose;
#[path = "ext/desktop.rs"]
mod desktop;
#[path = "ext/hostile.rs"]
mod hostile;
#[path = "ext/https.rs"]
mod https;
#[path = "ext/images.rs"]
mod images;
#[path = "ext/life.rs"]
mod life;
#[path = "ext/manifests.rs"]
mod manifests;
#[path = "ext/network_fs.rs"]
mod network_fs;
#[path = "ext/portmapper.rs"]
mod portmapper;
#[path = "ext/programs.rs"]
mod programs;
#[path = "ext/special.rs"]
mod special;
#[path = "ext/target.rs"]
mod target;
#[path = "ext/together.rs"]
mod together;

use anyhow::{Context, Result, ensure};
use initramfs::arch::Arch;
use initramfs::ext::{self, Extension};
use initramfs::fetch::BuildConfig;
use initramfs::package_metadata::Fetched;
use initramfs::packages::Kernel;
use initramfs::paths;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::disks::inspect::Ext;
use tests::disks::{self, Image, tool};
use tests::{Checks, Guest, image};
use vmm::{Bus, Disk};

/// Time limit of an orderly shutdown, beside another machine.
const END: Duration = Duration::from_secs(120);

/// Makes an extension with one script, and with a program that every machine has already.
fn script(dir: &Path, name: &str) -> Result<PathBuf> {
    packed(dir, name, |extension| {
        extension
            .tree
            .bytes("usr/bin/bash", "not the machine's", 0o755);
        Ok(())
    })
}

/// Makes an extension with one script and what `fill` adds.
fn packed(
    dir: &Path,
    name: &str,
    fill: impl FnOnce(&mut Extension) -> Result<()>,
) -> Result<PathBuf> {
    let mut extension = Extension::default();
    let text = format!("#!/bin/sh\necho this is {name}\n");
    extension
        .tree
        .bytes(&format!("usr/bin/{name}"), text, 0o755);
    extension.manifest.name = name.into();
    extension.manifest.suite = "trixie".into();
    extension.manifest.architecture = Arch::host().debian;
    extension.manifest.libc = "2.41".into();
    extension.manifest.needs = vec!["libc.so.6".into()];
    extension.manifest.packages = vec![Fetched {
        name: name.into(),
        version: "1".into(),
        ..Fetched::default()
    }];
    fill(&mut extension)?;
    let image = dir.join(format!("{name}.erofs"));
    ext::pack(
        &BuildConfig::from_env()?.userland_tree(),
        &extension,
        &[],
        &image,
    )?;
    Ok(image)
}

/// Changes the manifest of an image.
fn edit(image: &Path, from: &str, to: &str) -> Result<()> {
    let path = ext::manifest_of(image);
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains(from), "no {from} in {text}");
    Ok(fs::write(path, text.replace(from, to))?)
}

/// Copies an extension that `make ext` has made.
fn made(dir: &Path, name: &str) -> Result<()> {
    let of_kernels = [Kernel::Cloud, Kernel::Generic].map(paths::extensions_of);
    let dirs = std::iter::once(paths::extensions()).chain(of_kernels);
    let mut images = dirs.map(|dir| dir.join(format!("{name}.erofs")));
    let image = images.find(|image| image.exists());
    let image = image.with_context(|| format!("`make ext NAME={name}` makes it"))?;
    for file in [ext::manifest_of(&image), image] {
        let to = dir.join(file.file_name().context("a file has a name")?);
        fs::copy(&file, to)?;
    }
    Ok(())
}

/// Makes a data disk with `dir` as its extensions.
fn disk(dir: &Path, mib: u64, fill: impl FnOnce(&Path) -> Result<()>) -> Result<Image> {
    let (tree, image) = (dir.join("tree"), Image::blank(dir, "disk", mib)?);
    let extensions = tree.join("boot2podman/ext");
    fs::create_dir_all(&extensions)?;
    fill(&extensions)?;
    let words = ["-q", "-F", "-t", "ext4", "-L", "boot2podman-data", "-d"];
    let mut args: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
    args.extend([tree.as_os_str(), image.file().as_os_str()]);
    tool("mke2fs", &args)?;
    Ok(image)
}

/// Adds, beside `debug`, one valid extension and one of each invalid kind; and the flag, which is
/// only on the disk.
fn fill(dir: &Path) -> Result<()> {
    let flags =
        "b2p.ext=debug,disc,hurt,runc,early\nb2p.ext=foreign,bare,nowhere\nb2p.runtime=runc\n";
    fs::write(dir.with_file_name("config"), flags)?;
    made(dir, "debug")?;
    made(dir, "runc")?;
    script(dir, "later")?;
    life::fill(dir)?;
    again::fill(dir)?;
    hostile::fill(dir)?;
    let hurt = script(dir, "hurt")?;
    let mut bytes = fs::read(&hurt)?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("it is empty")? ^= 1;
    fs::write(&hurt, bytes)?;
    edit(&script(dir, "foreign")?, "2.41", "2.36")?;
    fs::remove_file(ext::manifest_of(&script(dir, "bare")?))?;
    let noise = script(dir, "noise")?;
    let (size, sum) = (fs::metadata(&noise)?.len(), sum(&noise)?);
    fs::write(&noise, vec![b'x'; usize::try_from(size)?])?;
    edit(&noise, &sum, &self::sum(&noise)?)
}

fn sum(file: &Path) -> Result<String> {
    let said = tool("sha256sum", &[file.as_os_str()])?;
    Ok(said.split(' ').next().unwrap_or_default().to_owned())
}

/// Makes a disc as `make iso EXT=disc` does.
fn disc(dir: &Path) -> Result<PathBuf> {
    let (tree, iso) = (dir.join("disc"), dir.join("disc.iso"));
    fs::create_dir_all(tree.join("boot/ext"))?;
    script(&tree.join("boot/ext"), "disc")?;
    let label = concat!("b2p-v", env!("CARGO_PKG_VERSION"));
    let how = ["-as", "mkisofs", "-quiet", "-r", "-V", label, "-o"];
    let how = how.iter().map(AsRef::as_ref);
    let args: Vec<&std::ffi::OsStr> = how.chain([iso.as_os_str(), tree.as_os_str()]).collect();
    tool("xorriso", &args)?;
    Ok(iso)
}

#[test]
fn extensions_are_added_checked_and_removed() -> Result<()> {
    let dir = disks::dir("ext")?;
    let data = disk(&dir, 256, fill)?;
    let machine = tests::machine("ext")?
        .disk(Disk::raw(data.file()))
        .disk(Disk::iso(disc(&dir)?).on(Bus::Scsi));
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("ext");
    checks.check("refused extensions are named with the reason", || {
        refused(&guest)
    });
    checks.check("programs of one work, for everybody", || work(&guest));
    checks.check("podman has the runtime of one", || {
        programs::runc(&guest, guest.vm.dir())
    });
    checks.check("an extension of a disc is added", || {
        says(&guest, "disc", "this is disc")?;
        says(
            &guest,
            "grep -c ' /run/boot2podman/medium ' /proc/mounts",
            "1",
        )
    });
    checks.check("while the machine runs", || running(&guest));
    checks.check("the removal is refused while a program runs", || {
        refused_later(&guest)
    });
    checks.check("beside the boot", || together::with_the_boot(&guest));
    life::check(&mut checks, &guest);
    again::check(&mut checks, &guest);
    hostile::check(&mut checks, &guest);
    checks.check("b2p ext list shows the extensions", || {
        guest.sh_as("core", "b2p ext list | grep '^debug'")?;
        let list = guest.sh("b2p ext list")?;
        let has = |name: &str, word: &str| {
            let mut lines = list.lines();
            lines.any(|l| l.starts_with(name) && l.contains(word))
        };
        ensure!(has("debug", "added") && has("disc", "added"), "{list}");
        ensure!(has("foreign", "refused") && has("hurt", "-"), "{list}");
        Ok(())
    });
    checks.check("a disc that is gone is named", || {
        guest.sh("echo 1 >/sys/class/block/sr0/device/delete")?;
        guest
            .sh_as(
                "core",
                "b2p ext list | grep '^disc  *damaged .*it cannot be read'",
            )
            .map(drop)
    });
    checks.check("a service of one, and a crash of PID 1", || {
        together::crash(&guest)
    });
    checks.check("a program that runs does not hold the disk", || {
        let script = "strace -f -o /dev/null sleep 100000 >/dev/null 2>&1 </dev/null & \
            until pidof sleep >/dev/null; do :; done; grep -c ' /run/boot2podman/ext/debug ' /proc/mounts";
        says(&guest, script, "1")?;
        guest.vm.power_button()?;
        let ended = guest.vm.wait_exit(END)?;
        ensure!(ended.success(), "{ended}");
        let said = guest.vm.console();
        for torn in ["is busy", "not done in time", "does not answer"] {
            ensure!(!said.contains(torn), "{torn}: {}", guest.vm.tail());
        }
        let disk = Ext::on(&data)?;
        together::has_ended_in_order(&disk)?;
        disk.clean()
    });
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}

fn says(guest: &Guest, script: &str, want: &str) -> Result<()> {
    let said = guest.sh(script)?;
    ensure!(said == want, "{script}: {said:?}, not {want:?}");
    Ok(())
}

fn refused(guest: &Guest) -> Result<()> {
    let all: Vec<&String> = guest.ready.degraded.iter().map(|d| &d.why).collect();
    let only = guest.ready.degraded.iter().all(|d| d.what == "ext");
    ensure!(only && all.len() == 4, "{all:#?}");
    for words in [
        ["hurt: its SHA-256 is ", ", its manifest says "],
        ["foreign: not for this machine: ", "the C library 2.36"],
        [
            "bare: not for this machine: ",
            "no manifest: copy /var/lib/boot2podman/ext/bare.manifest",
        ],
        ["nowhere: no such extension", "there are bare, "],
    ] {
        let hit = all
            .iter()
            .any(|line| words.iter().all(|w| line.contains(w)));
        ensure!(hit, "nothing with {words:?}: {all:#?}");
    }
    guest.sh("! hurt && ! foreign && ! bare").map(drop)
}

fn work(guest: &Guest) -> Result<()> {
    for user in ["root", "core"] {
        let script = "strace -e trace=execve -o /dev/stdout true | head -n 1";
        let said = guest.sh_as(user, script)?;
        ensure!(said.starts_with("execve(\"/usr/bin/true\""), "{said}");
    }
    // Programs that replace busybox's, with libraries of their own.
    for (script, word) in [
        ("vi --version | head -n 1", "VIM - Vi IMproved"),
        ("ip -V", "iproute2"),
        ("tcpdump --version 2>&1 | head -n 1", "tcpdump version"),
        ("lsof -v 2>&1 | head -n 1", "lsof version"),
        ("bash --version | head -n 1", "GNU bash"),
    ] {
        let said = guest.sh(script)?;
        ensure!(said.contains(word), "{script}: {said}");
    }
    let script = "timeout 60 tcpdump -c 1 -i lo icmp >/tmp/seen 2>/tmp/said & \
        until grep -q listening /tmp/said; do :; done; ping -c 1 127.0.0.1 >/dev/null; wait; cat /tmp/seen";
    let said = guest.sh(script)?;
    ensure!(said.contains("ICMP echo request"), "{said}");
    Ok(())
}

fn running(guest: &Guest) -> Result<()> {
    let said = tests::text(&guest.ssh("root", "b2p ext add later")?)?;
    let want = "later: 1 files of later 1; kept 1 existing: /usr/bin/bash";
    ensure!(said == want, "{said}");
    says(guest, "later", "this is later")?;
    // A second addition changes nothing.
    says(
        guest,
        "b2p ext add later && later",
        &format!("{want}\nthis is later"),
    )?;
    // A file in RAM, for which erofs needs a loop device.
    let add = "mkdir -p /tmp/ram && cd /tmp/ram && cp /var/lib/boot2podman/ext/later.* . && \
        sed 's/^name .*/name ram/' later.manifest >ram.manifest && mv later.erofs ram.erofs && \
        sudo b2p ext add ./ram.erofs >/dev/null && readlink /usr/bin/later";
    let said = guest.sh_as("core", add)?;
    ensure!(said == "/run/boot2podman/ext/later/usr/bin/later", "{said}");
    let out = guest.ssh("core", "b2p ext add later")?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        !out.status.success() && said.contains("sudo b2p ext add"),
        "{said}"
    );
    Ok(())
}

fn refused_later(guest: &Guest) -> Result<()> {
    for (script, words) in [
        ("b2p ext add hurt", ["its SHA-256 is", "copy it again"]),
        (
            "b2p ext add noise",
            ["not for this machine", "no image that this kernel reads"],
        ),
        ("b2p ext add foreign", ["foreign", "2.36"]),
        ("b2p ext add laetr", ["no such extension", "later"]),
        (
            "cd /tmp/ram && echo '#' >>ram.manifest && b2p ext add ./ram.erofs",
            ["another", "reboot"],
        ),
        (
            "truncate -s 100 /tmp/ram/ram.erofs; mv /tmp/ram/ram.erofs /tmp/ram/cut.erofs; \
          sed 's/^name .*/name cut/' /tmp/ram/ram.manifest >/tmp/ram/cut.manifest; b2p ext add /tmp/ram/cut",
            ["it has 100 bytes", "copy it again"],
        ),
    ] {
        let out = guest.ssh("root", script)?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let named = words.iter().all(|word| said.contains(word));
        ensure!(!out.status.success() && named, "{script}: {said}");
    }
    Ok(())
}

/// The large extensions, alone and with the engine's own storage.
#[test]
#[ignore = "two large packages to fetch: make test-all"]
fn buildah_and_skopeo() -> Result<()> {
    let dir = disks::dir("ext-large")?;
    let fill = |dir: &Path| made(dir, "buildah").and_then(|()| made(dir, "skopeo"));
    let data = disk(&dir, 512, fill)?;
    let machine = tests::machine("ext-large")?
        .append("b2p.ext=buildah,skopeo")
        .disk(Disk::raw(data.file()));
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("ext-large");
    checks.check("nothing is missing", || {
        let degraded = &guest.ready.degraded;
        ensure!(degraded.is_empty(), "{degraded:?}");
        Ok(())
    });
    checks.check("an image is built, and runs", || {
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        for user in ["root", "core"] {
            tests::text(&guest.ssh_with(user, "podman load -q", &archive)?)?;
            let name = image::NAME;
            let script = format!(
                "set -e; c=$(buildah from {name}); echo built >/tmp/built-{user}
                 buildah copy -q $c /tmp/built-{user} /built >/dev/null; buildah commit -q $c mine >/dev/null
                 podman run --rm --network none mine cat /built"
            );
            let said = guest.sh_as(user, &script)?;
            ensure!(said == "built", "{user}: {said}");
        }
        Ok(())
    });
    checks.check("buildah builds from scratch", || {
        guest.sh("buildah from scratch").map(drop)
    });
    checks.check("an image is copied and looked at", || {
        let script = "skopeo copy -q containers-storage:localhost/mine:latest dir:/tmp/copy && \
            skopeo inspect --format '{{.Architecture}}' dir:/tmp/copy";
        says(&guest, script, "amd64")
    });
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}
