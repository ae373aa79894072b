// SPDX-License-Identifier: Apache-2.0
//! Homes and /etc on the disk over its boots.

use super::SOON;
use anyhow::{Result, ensure};
use std::fs;
use tests::{Guest, eventually, image};
use vmm::Machine;

/// Returns the value of `b2p.etc=` in the boot of this number; in one of them docker's clients are led
/// to the user's podman.
pub fn flag(number: usize) -> &'static str {
    match number {
        3 | 4 => "b2p.etc=all",
        5 => "b2p.etc=ram b2p.rootless=default",
        _ => "",
    }
}

/// Members of `passwd.users` of a document, by the number of the boot. podman machine gives core the number of
/// its own user, or, with `--username`, replaces core.
const USERS: &[(usize, &str)] = &[
    (
        2,
        r#"{"name":"core","uid":1501},{"name":"ann","sshAuthorizedKeys":["KEY"]}"#,
    ),
    (
        4,
        r#"{"name":"core","shouldExist":false},{"name":"joe","uid":1000},{"name":"eve"},{"name":"ann","sshAuthorizedKeys":["KEY"]}"#,
    ),
    (5, r#"{"name":"core","uid":1000},{"name":"eve"}"#),
];

/// Numbers of users beside core after these documents: each keeps its own.
const NUMBERS: &[(usize, &str)] = &[(2, "ann 1001"), (4, "ann 1001 eve 1002"), (5, "eve 1002")];

/// Adds the document of Ignition of the boot of this number, with a key for ann.
pub fn with_document(machine: Machine, number: usize, key: &str) -> Machine {
    let Some((_, users)) = USERS.iter().find(|(boot, _)| *boot == number) else {
        return machine;
    };
    let document =
        format!(r#"{{"ignition":{{"version":"3.2.0"}},"passwd":{{"users":[{users}]}}}}"#);
    let document = document.replace("KEY", key.trim());
    machine.fw_cfg("opt/com.coreos/config", document.as_bytes())
}

/// Checks that users of documents have their numbers and homes, in any order of the list.
fn others(guest: &Guest, number: usize) -> Result<()> {
    let Some((_, wanted)) = NUMBERS.iter().find(|(boot, _)| *boot == number) else {
        return Ok(());
    };
    let script = "for u in ann eve; do id -u $u >/dev/null 2>&1 || continue; echo $u $(id -u $u)
        test $(id -u $u):$(id -g $u) = $(stat -c %u:%g /home/$u) || echo not at home; done";
    let said = guest.sh(script)?;
    ensure!(said.replace('\n', " ") == *wanted, "{said}, not {wanted}");
    if number == 4 {
        let first = guest.sh("grep ann /etc/subuid /etc/subgid")?;
        let range = "ann:1100000:65536";
        ensure!(
            first == format!("/etc/subuid:{range}\n/etc/subgid:{range}"),
            "{first}"
        );
    }
    Ok(())
}

/// Starts a container of ann's with limits, and checks in the next boot in which she is a user that it runs again, with
/// its limits and counted to her. The container does not start while no user has her uid.
fn of_ann(guest: &Guest, number: usize) -> Result<()> {
    match number {
        2 => {
            let archive = fs::read(image::archive(guest.vm.dir())?)?;
            tests::text(&guest.ssh_with("ann", "podman load -q", &archive)?)?;
            let run = "podman run -d --name hers --restart always --network none -m 32m --pids-limit 9 \
                --stop-timeout 1 localhost/box:1 sh -c 'trap \"exit 0\" TERM; while :; do sleep 1000 & wait; done'";
            guest.sh_as("ann", run).map(drop)
        }
        4 => eventually(SOON, || {
            let script = "cd /sys/fs/cgroup && podman ps --format '{{.Names}} {{.Status}}' && \
                group=$(podman inspect --format '{{.State.Pid}}' hers | xargs -I{} sed s/0::// /proc/{}/cgroup) && \
                cat .$group/memory.max .$group/pids.max && echo $group";
            let said = guest.sh_as("ann", script)?;
            let is_limited = said.contains("\n33554432\n9\n/user/1001/");
            ensure!(said.starts_with("hers Up ") && is_limited, "{said}");
            Ok(())
        }),
        _ => Ok(()),
    }
}

/// Checks that a document has put another user in core's place, whose home is not core's.
fn replaced(guest: &Guest) -> Result<()> {
    let script =
        "id -un; id -u; sudo -n id -u; stat -c '%U %a' ~ $XDG_RUNTIME_DIR/podman/podman.sock
        test ! -e .config/note; sudo cat /home/core/.config/note; ! id core 2>/dev/null";
    let said = guest.sh_as("joe", script)?;
    ensure!(said == "joe\n1000\n0\njoe 700\njoe 600\nmine", "{said}");
    ensure!(!guest.ssh_alone("core", "true")?.status.success());
    Ok(())
}

/// Returns core's number: the disk remembers that of a document for the boots without one.
fn uid(number: usize) -> u32 {
    match number {
        2 | 3 => 1501,
        _ => 1000,
    }
}

/// Checks that everything of core's has the number.
fn user(guest: &Guest, uid: u32) -> Result<()> {
    let script = "id -u; id -g; stat -c '%u %g' ~ ~/.config ~/.config/note $XDG_RUNTIME_DIR \
        $XDG_RUNTIME_DIR/podman/podman.sock /var/lib/containers/user/$(id -u)
        cat /proc/self/cgroup; sudo -n id -u; podman info --format '{{.Store.GraphRoot}}'
        podman unshare cat /proc/self/uid_map | tr -s ' '";
    let said = guest.sh_as("core", script)?;
    let owners = format!("{uid} {uid}\n").repeat(6);
    let wanted = format!(
        "{uid}\n{uid}\n{owners}0::/user/{uid}/session\n0\n/var/lib/containers/user/{uid}\n \
         0 {uid} 1\n 1 100000 1000000"
    );
    ensure!(said == wanted, "{said}\nnot\n{wanted}");
    Ok(())
}

/// Checks the files of earlier boots, and writes files for later ones.
pub fn kept(guest: &Guest, number: usize) -> Result<()> {
    if number > 1 {
        match number {
            4 => replaced(guest)?,
            _ => {
                homes(guest)?;
                user(guest, uid(number))?;
            }
        }
        others(guest, number)?;
        of_ann(guest, number)?;
        containers(guest, if number == 5 { "" } else { "mine" })?;
    }
    match number {
        1 => write_as_people_do(guest),
        3 => write_to_etc(guest),
        4 => etc(guest),
        5 => {
            // joe, of the previous document, is no user.
            ensure!(!guest.ssh_alone("joe", "true")?.status.success());
            guest.sh("! id joe 2>/dev/null && test -d /home/joe")?;
            docker_is_the_users(guest)?;
            of_the_image(guest)
        }
        _ => Ok(()),
    }
}

fn write_as_people_do(guest: &Guest) -> Result<()> {
    guest.sh_as(
        "core",
        "mkdir -p .config/containers && umask 077 && echo mine >.config/note",
    )?;
    // The file of the second is written without a change.
    let script = "cd /etc/containers && echo '# mine' >>registries.conf && rm nodocker && \
        cp -p policy.json /tmp && cat /tmp/policy.json >policy.json && echo lost >/etc/motd && \
        echo '# mine' >/etc/tmpfiles.d/mine.conf && \
        test -s /mnt/data/kept/etc/containers/policy.json && test -s /mnt/data/kept/shipped && sync";
    guest.sh(script)?;
    // podman login writes the file in this way.
    let login = r#"umask 077; mkdir -p $D && printf '{"auths":{"r.example":{"auth":"YW5uOng="}}}' >$D/tmp && \
        mv $D/tmp $D/auth.json"#;
    guest.sh(&format!("D=/run/containers/0; {login} && mkdir -p /var/cache/containers && echo >/var/cache/containers/kept"))?;
    guest.sh_as("core", &format!("D=$XDG_RUNTIME_DIR/containers; {login}"))?;
    eventually(SOON, || {
        let copy =
            "cmp /run/user/1000/containers/auth.json /home/core/.local/state/boot2podman/auth.json";
        guest.sh(copy).map(drop)
    })
}

/// Checks that root and core are logged in at the registry of the first boot.
fn logged_in(guest: &Guest) -> Result<()> {
    let script = "podman login --get-login r.example";
    let said = guest.sh(&format!(
        "{script} && test -e /var/cache/containers/kept && stat -Lc %a /run/containers/0"
    ))?;
    ensure!(said == "ann\n700", "{said}");
    let mode = "stat -c '%U %a' $XDG_RUNTIME_DIR/containers/auth.json";
    let said = guest.sh_as("core", &format!("{script} && {mode}"))?;
    ensure!(said == "ann\ncore 600", "{said}");
    Ok(())
}

fn homes(guest: &Guest) -> Result<()> {
    logged_in(guest)?;
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
    let links = guest.sh("sed -n 's/^# mine$/mine/p' /etc/tmpfiles.d/mine.conf || true")?;
    ensure!(links == wanted, "tmpfiles.d has {links:?}, not {wanted:?}");
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
        echo 'TESTED=\"a b\"' >>/etc/environment && rm /etc/machine-id && sync";
    guest.sh(script).map(drop)
}

fn etc(guest: &Guest) -> Result<()> {
    let said = guest.sh("cat /etc/motd; grep -c other /etc/hosts; id -u bob; id -u joe")?;
    ensure!(said == "hello\n1\n1005\n1000", "{said}");
    // Sessions and podman have its variables, though PID 1 has given the session to another user since.
    let script = "echo $TESTED; bash -lc 'echo $TESTED'; grep -c TESTED=a /usr/share/containers/containers.conf";
    let said = guest.sh_as("joe", script)?;
    ensure!(said == "a b\na b\n1", "{said}");
    Ok(())
}

/// Checks that docker's socket is answered by the user's podman.
fn docker_is_the_users(guest: &Guest) -> Result<()> {
    let format = "{{.Host.Security.Rootless}} {{.Store.GraphRoot}}";
    let said = guest.sh(&format!(
        "readlink /run/docker.sock; podman --url unix:///run/docker.sock info --format '{format}'"
    ))?;
    let wanted = "user/1000/podman/podman.sock\ntrue /var/lib/containers/user/1000";
    ensure!(said == wanted, "{said}");
    // docker finds the same podman by ssh alone.
    let said = guest.docker_over_ssh("core", "", &["info", "--format", "{{.DockerRootDir}}"])?;
    ensure!(said.trim() == "/var/lib/containers/user/1000", "{said}");
    Ok(())
}

fn of_the_image(guest: &Guest) -> Result<()> {
    guest
        .sh("test ! -e /etc/motd && ! grep -q bob /etc/passwd")
        .map(drop)
}
