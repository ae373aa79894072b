// SPDX-License-Identifier: Apache-2.0
//! Extensions that are added once more, in part, together with others, or where there is no room: what is part of
//! the machine stays whole, and what is refused leaves nothing.

use std::fs;
use std::path::Path;

use crate::life::refuses;
use crate::{edit, packed, says, together};
use anyhow::{Context, Result, ensure};
use tests::{Checks, Guest};

/// Directory of extensions that were fetched.
const FETCHED: &str = "/run/boot2podman/ext/.fetched";
/// Server of `life`'s check, with the extension `ground`.
const URL: &str = "http://127.0.0.1:8099";

/// Extensions that need `base` and are refused, and the reason.
pub const NEEDY: [(&str, &str); 3] = [
    ("n-suid", "/usr/bin/x: a set-user-ID"),
    ("n-hurt", "its SHA-256 is "),
    ("n-arch", "not for this machine: it is made for s390x"),
];

/// Adds the extensions to the data disk.
pub fn fill(dir: &Path) -> Result<()> {
    packed(dir, "base", |_| Ok(()))?;
    for (name, _) in NEEDY {
        let image = packed(dir, name, |extension| {
            if name == "n-suid" {
                extension.tree.bytes("usr/bin/x", "x", 0o4755);
            }
            extension.manifest.extensions = vec!["base".into()];
            Ok(())
        })?;
        match name {
            "n-hurt" => flip(&image)?,
            "n-arch" => {
                let own = format!("architecture {}", initramfs::arch::Arch::host().debian);
                edit(&image, &own, "architecture s390x")?;
            }
            _ => {}
        }
    }
    packed(dir, "dusk", together::dusk)?;
    packed(dir, "wide", |extension| {
        (0..8000).for_each(|n| {
            let path = format!("usr/share/wide/{n}");
            extension.tree.link(&path, "../../bin/wide");
        });
        Ok(())
    })?;
    Ok(())
}

fn flip(image: &Path) -> Result<()> {
    let mut bytes = fs::read(image)?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("it is empty")? ^= 1;
    Ok(fs::write(image, bytes)?)
}

/// Runs the checks.
pub fn check(checks: &mut Checks, guest: &Guest) {
    checks.check("an added extension is not fetched again", || again(guest));
    checks.check("a download that ends early leaves nothing", || cut(guest));
    checks.check("a service has one extension", || services(guest));
    checks.check("a full /run takes nothing of one", || full(guest));
    checks.check("damage after the addition is named", || damaged(guest));
}

fn again(guest: &Guest) -> Result<()> {
    let sum = |path: &str| guest.sh(&format!("sha256sum </tmp/web/{path} | cut -c1-64"));
    let own = sum("ground.manifest")?;
    guest.sh(&format!(
        "b2p ext remove ground && b2p ext add {URL}/ground#{own}"
    ))?;
    let file = format!(
        "stat -c '%i %s' {FETCHED}/ground.erofs; cmp {FETCHED}/ground.erofs /tmp/web/ground.erofs; \
        ground; ls -A {FETCHED} | sort | tr '\\n' ' '"
    );
    let before = guest.sh(&file)?;
    ensure!(
        before.ends_with("this is ground\nground.erofs ground.manifest"),
        "{before}"
    );
    let unchanged = || says(guest, &file, &before);
    guest.sh(&format!("b2p ext add {URL}/ground#{own}"))?;
    unchanged()?;
    guest.sh(
        "mkdir -p /tmp/web/new && cd /tmp/web/new && cp ../ground.* . && echo '# new' >>ground.manifest && \
         head -c 100 ../ground.erofs >ground.erofs",
    )?;
    let another = format!(
        "b2p ext add {URL}/new/ground#{}",
        sum("new/ground.manifest")?
    );
    refuses(
        guest,
        &another,
        &["another extension of this name is there"],
    )?;
    unchanged()?;
    refuses(
        guest,
        &format!("b2p ext add {URL}/none/ground#{own}"),
        &["404"],
    )?;
    unchanged()?;
    let secret = URL.replace("//", "//me:secret@");
    refuses(
        guest,
        &format!("b2p ext add {secret}/ground#{own}"),
        &["seen by every user"],
    )?;
    // Where it came from, and its size.
    let json: serde_json::Value = serde_json::from_str(&guest.sh("b2p ext info ground --json")?)?;
    let size = guest.sh(&format!("stat -c %s {FETCHED}/ground.erofs"))?;
    let image = format!("{FETCHED}/ground.erofs");
    ensure!(
        json["image"] == image.as_str() && json["size_bytes"] == size.parse::<u64>()?,
        "{json}"
    );
    let foreign = guest.sh("b2p ext info foreign; b2p ext info n-arch")?;
    ensure!(
        foreign.contains("libc: 2.36") && foreign.contains("architecture: s390x"),
        "{foreign}"
    );
    says(guest, "b2p ext remove ground", "ground: removed")
}

fn cut(guest: &Guest) -> Result<()> {
    guest.sh(
        "cd /tmp/web && mkdir -p long cgi-bin && cp ground.manifest long/ && cat ground.erofs ground.erofs >long/ground.erofs && \
         sed 's/^name .*/name slow/' ground.manifest >slow.manifest && \
         printf '#!/bin/sh\\nprintf \"\\\\r\\\\n\"; cat /tmp/web/slow.manifest\\n' >cgi-bin/slow.manifest && \
         printf '#!/bin/sh\\nprintf \"\\\\r\\\\n\"; head -c 3000 /tmp/web/ground.erofs; sleep 25\\n' >cgi-bin/slow.erofs && \
         chmod +x cgi-bin/*",
    )?;
    let sum = |path: &str| guest.sh(&format!("sha256sum </tmp/web/{path} | cut -c1-64"));
    let long = format!(
        "b2p ext add {URL}/long/ground#{}",
        sum("long/ground.manifest")?
    );
    refuses(guest, &long, &["has more than ", " bytes"])?;
    let left = format!("ls -A {FETCHED} | wc -l");
    says(guest, &left, "0")?;
    let slow = format!("{URL}/cgi-bin/slow#{}", sum("slow.manifest")?);
    let kill = format!(
        "b2p ext add {slow} >/dev/null 2>&1 </dev/null & pid=$!; \
         until test -s {FETCHED}/slow.part; do sleep 0.2; done; kill -9 $pid; ls -A {FETCHED}"
    );
    says(guest, &kill, "slow.part")?;
    refuses(guest, "b2p ext add nowhere", &["no such extension"])?;
    says(guest, &left, "0")
}

fn services(guest: &Guest) -> Result<()> {
    guest.sh("b2p stop dawn >/dev/null")?;
    let of_other = "service dawn: a service of another extension has this name";
    refuses(guest, "b2p ext add dusk", &[of_other])?;
    says(
        guest,
        "b2p ext remove --disk early && ls /run/boot2podman/services /var/lib/boot2podman/ext | grep -cE 'dawn|early'; :",
        "early: removed, also from the data disk; b2p.ext= still names it\n0",
    )?;
    guest
        .sh("b2p ext add dusk >/dev/null && b2p status dawn >/dev/null && b2p ext remove dusk")
        .map(drop)
}

fn full(guest: &Guest) -> Result<()> {
    let state = "cut -d' ' -f2 /proc/mounts; ls -A /run/boot2podman/ext; ls -d /usr/share/wide /usr/bin/wide 2>&1; :";
    let before = guest.sh(state)?;
    // Without any room the first file of its own fails, with some the list of its links.
    for room in [0, 65_536] {
        let add = format!(
            "dd if=/dev/zero of=/run/fill bs=4k 2>/dev/null; size=$(stat -c %s /run/fill); \
             truncate -s $((size - {room})) /run/fill; b2p ext add wide; status=$?; rm -f /run/fill; exit $status"
        );
        refuses(guest, &add, &["nothing of it is added", "ENOSPC"])?;
        says(guest, state, &before)?;
    }
    Ok(())
}

fn damaged(guest: &Guest) -> Result<()> {
    guest.sh(
        "cd /tmp/web && cp ground.erofs torn.erofs && sed 's/^name .*/name torn/' ground.manifest >torn.manifest && \
         b2p ext add ./torn",
    )?;
    let state = |script: &str| -> Result<(String, String)> {
        let said = guest.sh(&format!(
            "cd /tmp/web && {script} && b2p ext info torn --json"
        ))?;
        let json: serde_json::Value = serde_json::from_str(&said)?;
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        Ok((text("state"), text("why")))
    };
    for (script, expected, why) in [
        (":", "added", ""),
        (
            "touch -d '2020-01-01' torn.erofs",
            "damaged",
            "written to after it was added",
        ),
        ("truncate -s 100 torn.erofs", "damaged", "it has 100 bytes"),
        // The image that is mounted has lost its name only.
        (
            "mv torn.erofs cut.erofs && cp ground.erofs torn.erofs",
            "added",
            "",
        ),
        (
            "rm torn.erofs && mv cut.erofs torn.erofs",
            "damaged",
            "it has 100 bytes",
        ),
    ] {
        let (state, said) = state(script)?;
        ensure!(
            state == expected && said.contains(why),
            "{script}: {state}: {said}"
        );
    }
    guest.sh("b2p ext list | grep '^torn  *damaged'")?;
    // Its files cannot be read any more.
    says(
        guest,
        "sync; echo 3 >/proc/sys/vm/drop_caches; b2p ext remove torn && ! test -L /usr/bin/ground",
        "torn: removed",
    )
}
