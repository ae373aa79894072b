// SPDX-License-Identifier: Apache-2.0
//! Homes and /etc on the disk over its boots.

use anyhow::{Result, ensure};
use tests::Guest;

/// Returns what `b2p.etc=` is in the boot of this number.
pub fn flag(number: usize) -> &'static str {
    match number {
        3 | 4 => "b2p.etc=all",
        5 => "b2p.etc=ram",
        _ => "",
    }
}

/// Checks what the boots before have written, and writes for those after.
pub fn kept(guest: &Guest, number: usize) -> Result<()> {
    if number > 1 {
        homes(guest)?;
        containers(guest, if number == 5 { "" } else { "mine" })?;
    }
    match number {
        1 => write_as_people_do(guest),
        3 => write_to_etc(guest),
        4 => etc(guest),
        5 => of_the_image(guest),
        _ => Ok(()),
    }
}

fn write_as_people_do(guest: &Guest) -> Result<()> {
    guest.sh_as(
        "core",
        "mkdir -p .config/containers && umask 077 && echo mine >.config/note",
    )?;
    // The file of the second is written, and nothing in it is changed.
    let script = "cd /etc/containers && echo '# mine' >>registries.conf && rm nodocker && \
        cp -p policy.json /tmp && cat /tmp/policy.json >policy.json && echo lost >/etc/motd && \
        test -s /mnt/data/kept/etc/containers/policy.json && test -s /mnt/data/kept/shipped && sync";
    guest.sh(script).map(drop)
}

fn homes(guest: &Guest) -> Result<()> {
    let note = guest.sh("stat -c '%U %a' ~core/.config/note ~core && cat ~core/.config/note")?;
    ensure!(note == "core 600\ncore 700\nmine", "{note}");
    guest
        .sh("mount | grep -q ' on /home type overlay .*nodev'")
        .map(drop)
}

fn containers(guest: &Guest, wanted: &str) -> Result<()> {
    let script = "cd /etc/containers && sed -n 's/^# mine$/mine/p' registries.conf && \
        test -s policy.json && test -L certs.d";
    let mine = guest.sh(script)?;
    ensure!(mine == wanted, "{mine:?}, not {wanted:?}");
    let removed = guest.sh("test -e /etc/containers/nodocker && echo there; true")?;
    ensure!(
        removed.is_empty() != wanted.is_empty(),
        "nodocker is {removed:?}"
    );
    Ok(())
}

fn write_to_etc(guest: &Guest) -> Result<()> {
    let script = "test ! -e /etc/motd && echo hello >/etc/motd && echo 10.9.8.7 other >>/etc/hosts && \
        echo bob:x:1005:1005::/home/bob:/bin/sh >>/etc/passwd && sed -i /^core:/d /etc/passwd && \
        rm /etc/machine-id && sync";
    guest.sh(script).map(drop)
}

fn etc(guest: &Guest) -> Result<()> {
    let said = guest.sh("cat /etc/motd; grep -c other /etc/hosts; id -u bob; id -u core")?;
    ensure!(said == "hello\n1\n1005\n1000", "{said}");
    Ok(())
}

fn of_the_image(guest: &Guest) -> Result<()> {
    guest
        .sh("test ! -e /etc/motd && ! grep -q bob /etc/passwd")
        .map(drop)
}
