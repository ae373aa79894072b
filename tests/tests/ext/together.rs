// SPDX-License-Identifier: Apache-2.0
//! Changes of extensions at the same time, at boot as well; and services of an extension beside a crash of PID 1 and
//! at the end of the machine.

use crate::says;
use anyhow::{Context, Result, ensure};
use initramfs::ext::Extension;
use std::time::Duration;
use tests::disks::inspect::Ext;
use tests::{CRASH, Guest, eventually};

const SOON: Duration = Duration::from_secs(60);

/// Program that reads a file of its extension once it is asked to end.
const PROGRAM: &str = "#!/bin/sh\n\
    trap 'cat /usr/share/dusk/last >/var/lib/boot2podman/last; exit 0' TERM\n\
    while :; do sleep 100000 & wait $!; done\n";

/// Service of [`PROGRAM`]; an emulated machine needs seconds to run cat(1).
const SERVICE: &str = "exec /usr/bin/dusk-runs\nkill process\ngrace 60s\n";

/// Gives an extension the service `dawn`.
pub fn dusk(extension: &mut Extension) -> Result<()> {
    let tree = &mut extension.tree;
    tree.bytes("usr/bin/dusk-runs", PROGRAM, 0o755);
    tree.bytes("usr/share/dusk/last", "from the image\n", 0o644);
    tree.bytes("usr/lib/boot2podman/services/dawn", SERVICE, 0o644);
    extension.manifest.services = vec!["dawn".into()];
    Ok(())
}

/// Expects that the additions of the boot and those by hand wait for each other. strace(1) stops that of the boot
/// where it opens an image.
pub fn with_the_boot(guest: &Guest) -> Result<()> {
    let script = "cd /tmp; said() { grep -q \"$1\" together; }
        strace -o stopped -P /var/lib/boot2podman/ext/hurt.erofs -e inject=?open,openat:signal=STOP \
            b2p ext boot >/dev/null 2>&1 </dev/null & of_strace=$!
        until grep -q 'stopped by SIGSTOP' stopped 2>/dev/null || ! kill -0 $of_strace; do sleep 0.2; done
        b2p ext add later >together 2>&1 </dev/null & by_hand=$!
        until said 'waits for another' || ! kill -0 $by_hand 2>/dev/null; do sleep 0.2; done
        said 'files of later' && echo too early
        kill -CONT $(cat /proc/$of_strace/task/$of_strace/children)
        wait $of_strace $by_hand; cat together";
    let said = guest.sh(script)?;
    let [waits, added] = said.lines().collect::<Vec<_>>()[..] else {
        anyhow::bail!("{said}");
    };
    ensure!(waits.contains("waits for another b2p ext"), "{said}");
    ensure!(added.starts_with("later: 1 files of later 1"), "{said}");
    Ok(())
}

/// Expects that several changes at once end as one after the other: each is made or refused for a reason, and
/// removals leave nothing.
pub fn several(guest: &Guest) -> Result<()> {
    let state = "find /etc /usr -xdev | sort | sha256sum; cut -d' ' -f2 /proc/mounts; \
        ls -A /run/boot2podman/ext /run/boot2podman/services";
    let before = guest.sh(state)?;
    let script = "cd /tmp; rm -f together
        for words in 'add living' 'add ground' boot 'add ground' 'remove living' 'add base' 'remove base ground'; do
            b2p ext $words >>together 2>&1 </dev/null &
        done; wait; cat together";
    let known = [
        "waits for another b2p ext",
        " files of ",
        ": removed",
        "it is not added; these are: ",
        "in use by the extension living, which needs it",
        "in use by pid ",
    ];
    let said = guest.sh(script)?;
    let unknown = said.lines().find(|l| known.iter().all(|k| !l.contains(k)));
    ensure!(unknown.is_none(), "{unknown:?} of {said}");
    let whole = "b2p ext add living base >/dev/null && living && ground && base && \
        b2p status alive >/dev/null && b2p ext remove living base ground";
    let want = "this is living\nthis is ground\nthis is base\n\
        living: removed\nbase: removed\nground: removed";
    says(guest, whole, want)?;
    let after = guest.sh(state)?;
    let changed = before.lines().zip(after.lines()).find(|(a, b)| a != b);
    ensure!(before == after, "{changed:?}");
    Ok(())
}

/// Expects that PID 1 keeps the service of an added extension over a crash of its own, and that it can be stopped.
pub fn crash(guest: &Guest) -> Result<()> {
    guest.sh("b2p ext add dusk >/dev/null")?;
    let state = "b2p status --json dawn | grep -o '\"state\":\"up\"\\|\"pid\":[0-9]*'";
    let before = guest.sh(state)?;
    guest.sh(CRASH)?;
    let crashed = "PID 1 crashed (once in a row)";
    guest.vm.wait_console(crashed, SOON)?;
    eventually(SOON, || {
        let after = guest.sh(state)?;
        ensure!(after == before && after.contains("up"), "{before}: {after}");
        Ok(())
    })?;
    says(guest, "b2p ext remove dusk", "dusk: removed")?;
    says(guest, "cat /var/lib/boot2podman/last", "from the image")?;
    // For the end of the machine.
    guest
        .sh("rm /var/lib/boot2podman/last && b2p ext add dusk >/dev/null && b2p status dawn")
        .map(drop)
}

/// Expects that the service had its files until it had ended.
pub fn has_ended_in_order(disk: &Ext) -> Result<()> {
    let last = disk.file("/boot2podman/last");
    let last = last.context("the service has not ended by itself")?;
    let last = String::from_utf8_lossy(&last);
    ensure!(last == "from the image\n", "{last:?}");
    Ok(())
}
