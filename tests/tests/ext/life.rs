// SPDX-License-Identifier: Apache-2.0
//! Extensions with services, users, configuration, kernel modules and needs; their removal; additions from a
//! web server and onto the data disk.

use std::fs;
use std::path::Path;

use crate::{https, packed, says, together};
use anyhow::{Result, ensure};
use initramfs::ext;
use initramfs::ext::additions::Additions;
use initramfs::fetch::BuildConfig;
use initramfs::progress::Step;
use tests::{Checks, Guest, image};

/// Service that runs until it is stopped, as a user of the extension.
const SERVICE: &str = "exec /bin/sh -c \"while :; do sleep 100000; done\"\nuser living\n";

/// Adds the extensions to the data disk.
pub fn fill(dir: &Path) -> Result<()> {
    packed(dir, "early", |extension| {
        extension
            .tree
            .bytes("usr/lib/boot2podman/services/dawn", SERVICE, 0o644);
        extension.manifest.services = vec!["dawn".into()];
        extension.manifest.users = vec!["living 777".into()];
        Ok(())
    })?;
    packed(dir, "living", |extension| {
        let tree = &mut extension.tree;
        tree.bytes("usr/lib/boot2podman/services/alive", SERVICE, 0o644);
        tree.bytes("etc/living.conf", "from the extension\n", 0o644);
        // The real program of a command of busybox.
        tree.bytes("usr/bin/tac", "#!/bin/sh\necho the real tac\n", 0o755);
        tree.bytes("usr/share/living/data", "x", 0o644);
        extension.manifest.services = vec!["alive".into()];
        extension.manifest.users = vec!["living 777".into(), "another".into()];
        extension.manifest.extensions = vec!["ground".into()];
        Ok(())
    })?;
    packed(dir, "ground", |_| Ok(()))?;
    for (name, need) in [("egg", "hen"), ("hen", "egg"), ("lost", "gone")] {
        packed(dir, name, |extension| {
            extension.manifest.extensions = vec![need.into()];
            Ok(())
        })?;
    }
    packed(dir, "remote", |extension| {
        let config = BuildConfig::from_env()?;
        let modules = Additions {
            modules: vec!["nfsv4".into()],
            loaded: vec!["lockd".into()],
            ..Additions::default()
        };
        let step = Step::new("ext", 1, 1);
        modules.add_to(extension, &config.userland_tree(), &config, &step)?;
        Ok(())
    })?;
    Ok(())
}

/// Runs the checks.
pub fn check(checks: &mut Checks, guest: &Guest) {
    checks.check("a service of one added at boot runs", || {
        says(guest, "b2p status dawn >/dev/null && id -u living", "777")?;
        says(
            guest,
            "ps -eo user=,args= | grep -m 1 '[s]leep 100000' | cut -d' ' -f1",
            "living",
        )
    });
    checks.check("services, users, configuration and needs", || added(guest));
    checks.check("circles and missing needs are named", || needs(guest));
    checks.check("kernel modules of an extension are loaded", || {
        modules(guest)
    });
    checks.check("nothing is removed while it is in use", || in_use(guest));
    checks.check("a removed one leaves no trace", || removed(guest));
    checks.check("several at once", || together::several(guest));
    checks.check("from a web server, by its sum only", || fetched(guest));
    checks.check("an extension is added by https", || fetched_by_https(guest));
    checks.check("on the data disk", || kept(guest));
}

fn added(guest: &Guest) -> Result<()> {
    let said = guest.sh("b2p ext add living")?;
    ensure!(said == "living: 5 files of living 1", "{said}");
    for (script, want) in [
        ("ground", "this is ground"),
        ("cat /etc/living.conf", "from the extension"),
        ("tac </dev/null", "the real tac"),
        (
            "grep ^living: /etc/passwd | cut -d: -f3,6,7",
            "777:/nonexistent:/usr/sbin/nologin",
        ),
        ("grep ^another: /etc/passwd | cut -d: -f1", "another"),
        ("b2p status alive | grep -c 'up'", "1"),
        (
            "b2p ext info living | grep '^needs: '",
            "needs: libc.so.6, ground",
        ),
    ] {
        says(guest, script, want)?;
    }
    let json: serde_json::Value = serde_json::from_str(&guest.sh("b2p ext list --json")?)?;
    let list = json["extensions"].as_array().cloned().unwrap_or_default();
    let living = list
        .iter()
        .find(|one| one["name"] == "living")
        .cloned()
        .unwrap_or_default();
    ensure!(
        living["state"] == "added"
            && living["services"] == serde_json::json!(["alive"])
            && living["users"] == serde_json::json!(["living 777", "another"])
            && living["why"].is_null(),
        "{living}"
    );
    ensure!(
        list.iter()
            .any(|one| one["name"] == "foreign" && one["state"] == "refused")
    );
    Ok(())
}

/// Expects that a command fails and says all of these words on standard error.
pub fn refuses(guest: &Guest, script: &str, words: &[&str]) -> Result<()> {
    let out = guest.ssh("root", script)?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let named = words.iter().all(|word| said.contains(word));
    ensure!(
        !out.status.success() && named,
        "{script}: {said}, not {words:?}"
    );
    Ok(())
}

fn needs(guest: &Guest) -> Result<()> {
    refuses(
        guest,
        "b2p ext add egg",
        &["egg, which needs hen, which needs egg: none of them"],
    )?;
    refuses(
        guest,
        "b2p ext add lost",
        &["lost needs the extension gone: no such extension"],
    )?;
    refuses(
        guest,
        "b2p ext remove ground",
        &["in use by the extension living, which needs it"],
    )?;
    guest.sh("! egg && ! hen && ! lost").map(drop)
}

fn modules(guest: &Guest) -> Result<()> {
    guest.sh("! grep -qw nfs /proc/filesystems && b2p ext add remote")?;
    // One is loaded, another is found by the alias that mount(2) asks for, a third by its name.
    guest.sh(
        "grep -q '^lockd ' /proc/modules && modprobe fs-nfs4 && grep -qw nfs /proc/filesystems",
    )?;
    guest.sh("modprobe nfsv4")?;
    says(guest, "cat /sys/module/nfsv4/initstate", "live")?;
    says(guest, "b2p ext remove remote", "remote: removed")?;
    guest.sh(
        "! test -e /sys/module/nfs && ! grep -qw nfs /proc/filesystems && ! modprobe -q nfsv4",
    )?;
    let other = "cd /tmp && cp /var/lib/boot2podman/ext/remote.* . && \
        sed -i 's/^kernel .*/kernel 6.1.0-1-amd64/' remote.manifest && b2p ext add ./remote.erofs";
    let running = guest.sh("uname -r")?;
    refuses(
        guest,
        other,
        &["for the kernel 6.1.0-1-amd64, this machine runs", &running],
    )
}

fn in_use(guest: &Guest) -> Result<()> {
    let hold = "sleep 1234 </usr/bin/living >/dev/null 2>&1 & echo $! >/tmp/holder; wait -n 2>/dev/null; :";
    guest.sh(&format!(
        "sh -c '{}' >/dev/null 2>&1",
        hold.replace("; wait -n 2>/dev/null; :", "")
    ))?;
    let pid = guest.sh("cat /tmp/holder")?;
    refuses(
        guest,
        "b2p ext remove living",
        &["in use by", &format!("pid {pid} (sleep)")],
    )?;
    says(
        guest,
        "b2p status alive >/dev/null && living",
        "this is living",
    )?;
    guest.sh(&format!("kill {pid}"))?;
    let hold = format!(
        "podman run -d --network none -v /usr/bin/living:/living {} sleep 1000 | cut -c 1-12",
        image::NAME
    );
    let id = guest.sh(&hold)?;
    let container = format!("of the container {id}");
    refuses(
        guest,
        "b2p ext remove living",
        &["in use by pid ", &container],
    )?;
    guest.sh(&format!("podman rm -f -t 0 {id} >/dev/null"))?;
    refuses(
        guest,
        "b2p ext remove runc",
        &["in use by podman, whose default runtime is runc"],
    )?;
    refuses(
        guest,
        "b2p ext remove nobody",
        &["it is not added; these are: debug, "],
    )
}

fn removed(guest: &Guest) -> Result<()> {
    // A namespace with a copy of all mounts, as rootless podman has one, does not hold an extension.
    guest.sh("unshare -m sleep 4321 >/dev/null 2>&1 </dev/null & :")?;
    says(guest, "b2p ext remove living", "living: removed")?;
    for gone in [
        "test -e /usr/bin/living",
        "test -L /etc/living.conf",
        "test -e /usr/share/living",
        "b2p status alive",
        "test -e /run/boot2podman/ext/living",
        "grep -q '/ext/living ' /proc/mounts",
    ] {
        guest.sh(&format!("! {gone} >/dev/null 2>&1"))?;
    }
    says(
        guest,
        "readlink /usr/bin/tac | grep -o 'busybox$'",
        "busybox",
    )?;
    says(guest, "b2p ext remove ground", "ground: removed")?;
    says(
        guest,
        "b2p ext add living && living",
        "living: 5 files of living 1\nthis is living",
    )?;
    guest.sh("b2p ext remove ground living").map(drop)
}

fn fetched(guest: &Guest) -> Result<()> {
    // The image from a file of core was copied into memory, and goes with its extension.
    guest.sh("ls /run/boot2podman/ext/.fetched/ram.erofs && b2p ext remove ram")?;
    guest.sh(
        "mkdir -p /tmp/web && cp /var/lib/boot2podman/ext/ground.* /tmp/web/ && cd /tmp/web && \
         rm /var/lib/boot2podman/ext/ground.* && cp ground.manifest other.manifest && \
         sed -i 's/^name .*/name other/' other.manifest && head -c 100 ground.erofs >other.erofs && \
         busybox httpd -p 127.0.0.1:8099 -h /tmp/web",
    )?;
    let sum = |name: &str| guest.sh(&format!("sha256sum </tmp/web/{name} | cut -c1-64"));
    let (manifest, image) = (sum("ground.manifest")?, sum("ground.erofs")?);
    let url = "http://127.0.0.1:8099";
    let zeros = "0".repeat(64);
    for (script, words) in [
        (
            format!("b2p ext add {url}/ground.erofs"),
            "needs the SHA-256 of its manifest or image",
        ),
        (
            format!("b2p ext add {url}/ground.erofs#{zeros}"),
            "nothing is kept of it",
        ),
        (format!("b2p ext add {url}/none --sha256 {manifest}"), "404"),
        (
            format!(
                "b2p ext add {url}/other --sha256 {}",
                sum("other.manifest")?
            ),
            "the SHA-256 of its image is",
        ),
    ] {
        refuses(guest, &script, &[words])?;
    }
    guest.sh("! ground 2>/dev/null && ! ls /run/boot2podman/ext/.fetched/* 2>/dev/null")?;
    for address in [
        format!("{url}/ground.manifest --sha256 {manifest}"),
        format!("{url}/ground.erofs#{image}"),
    ] {
        let said = guest.sh(&format!("b2p ext add {address} && ground"))?;
        ensure!(
            said.ends_with(": 1 files of ground 1\nthis is ground"),
            "{said}"
        );
        says(
            guest,
            "b2p ext remove ground && ls /run/boot2podman/ext/.fetched | wc -l",
            "ground: removed\n0",
        )?;
    }
    Ok(())
}

/// busybox's wget and its own TLS against openssl's, whose certificate no authority has signed.
fn fetched_by_https(guest: &Guest) -> Result<()> {
    let dir = guest.vm.dir().join("https");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let image = packed(&dir, "secret", |_| Ok(()))?;
    let sum = crate::sum(&ext::manifest_of(&image))?;
    let server = https::serve(&dir)?;
    let url = format!("https://10.0.2.2:{}/secret.manifest", server.port);
    let other = format!("b2p ext add {url}#{}", "0".repeat(64));
    refuses(guest, &other, &["nothing is kept of it"])?;
    let add = format!("b2p ext add {url}#{sum} && secret && b2p ext remove secret");
    let want = format!("{url}: 1 files of secret 1\nthis is secret\nsecret: removed");
    says(guest, &add, &want)
}

fn kept(guest: &Guest) -> Result<()> {
    let dir = "/var/lib/boot2podman/ext";
    let add = "b2p ext add --keep http://127.0.0.1:8099/ground#$(sha256sum </tmp/web/ground.manifest | cut -c1-64)";
    says(
        guest,
        add,
        "http://127.0.0.1:8099/ground: 1 files of ground 1",
    )?;
    says(
        guest,
        &format!("cmp {dir}/ground.erofs /tmp/web/ground.erofs && ls -A {dir}/.new | wc -l"),
        "0",
    )?;
    says(
        guest,
        "b2p ext remove ground && b2p ext add ground && ground",
        "ground: removed\nground: 1 files of ground 1\nthis is ground",
    )?;
    // An extension that is needed and added already is kept too, from memory.
    let both = format!(
        "mkdir -p /tmp/both && mv {dir}/ground.* /tmp/both/ && cp {dir}/living.* /tmp/both/ && chown core /tmp/both/* && \
         b2p ext remove ground >/dev/null && b2p ext add /tmp/both/ground >/dev/null && \
         b2p ext add --keep /tmp/both/living >/dev/null && cmp {dir}/ground.erofs /tmp/both/ground.erofs && \
         ls /run/boot2podman/ext/.fetched/ground.erofs && b2p ext remove living"
    );
    says(
        guest,
        &both,
        "/run/boot2podman/ext/.fetched/ground.erofs\nliving: removed",
    )?;
    // A cut between the two renames: the new manifest is there, the new image beside its place.
    let cut = format!(
        "b2p ext remove ground >/dev/null && mv {dir}/ground.erofs {dir}/.new/ && cp {dir}/later.erofs {dir}/ground.erofs && \
         b2p ext add ground && ls -A {dir}/.new | wc -l"
    );
    says(guest, &cut, "ground: 1 files of ground 1\n0")?;
    let twin = format!(
        "cd /tmp/web && cp ground.erofs twin.erofs && sed 's/^name .*/name twin/' ground.manifest >twin.manifest && \
         b2p ext add --keep ./twin >/dev/null && ls {dir}/twin.* | wc -l && b2p ext remove twin --disk && \
         ls -A {dir}/twin.* {dir}/.new 2>/dev/null | grep -c erofs; grep -c /ext/twin /proc/mounts; :"
    );
    says(
        guest,
        &twin,
        "2\ntwin: removed, also from the data disk\n0\n0",
    )?;
    for (name, words) in [
        ("ground", "in use by the extension living in "),
        ("twin", "it is not in /var/lib"),
        ("../ext/ground", "it is not in /var/lib"),
    ] {
        refuses(guest, &format!("b2p ext remove --disk {name}"), &[words])?;
    }
    guest.sh(&format!("ground && ls {dir}/ground.*"))?;
    // One that is refused is not kept.
    refuses(
        guest,
        "mkdir -p /tmp/bad && cp /var/lib/boot2podman/ext/h-suid.* /tmp/bad/ && \
        rm /var/lib/boot2podman/ext/h-suid.* && b2p ext add --keep /tmp/bad/h-suid.erofs",
        &["a set-user-ID"],
    )?;
    guest
        .sh(&format!("! ls {dir}/h-suid.* {dir}/.new/* 2>/dev/null"))
        .map(drop)
}
