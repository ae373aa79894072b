// SPDX-License-Identifier: Apache-2.0
//! Kube files on the data disk: their pods run as services, and keep their data until the file changes.
//! Compose projects without a provider are one degraded line.

use anyhow::{Result, ensure};
use tests::{Guest, eventually, image};

use crate::LIMIT;

/// Directory of the files.
const DIR: &str = "/var/lib/boot2podman/kube";

/// Writes a pod whose container notes each of its starts in a file of its own.
fn pod(guest: &Guest, file: &str, name: &str, greeting: &str) -> Result<()> {
    let image = image::NAME;
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: box\n    \
         image: {image}\n    imagePullPolicy: Never\n    command: [sh, -c, \"echo {greeting} >>/starts; \
         trap 'exit 0' TERM; while :; do sleep 1000 & wait; done\"]\n"
    );
    let to = format!("mkdir -p {DIR} && cat >{DIR}/{file}");
    tests::text(&guest.ssh_with("root", &to, text.as_bytes())?).map(drop)
}

/// Expects that the container runs, and has noted these starts.
fn starts(guest: &Guest, container: &str, greetings: &[&str]) -> Result<()> {
    eventually(LIMIT, || {
        let said = guest.sh(&format!("podman exec {container} cat /starts"))?;
        ensure!(said.lines().eq(greetings.iter().copied()), "{said:?}");
        Ok(())
    })
}

/// Writes the files: two pods, one that podman refuses, and a compose project.
pub fn begin(guest: &Guest) -> Result<()> {
    pod(guest, "site.yaml", "k-site", "one")?;
    pod(guest, "gone.yml", "k-gone", "one")?;
    guest.sh(&format!(
        "printf 'kind: Pod\\nspec: [\\n' >{DIR}/bad.yaml; \
         mkdir -p /var/lib/boot2podman/compose/shop; \
         echo 'services: {{}}' >/var/lib/boot2podman/compose/shop/compose.yaml"
    ))?;
    guest.sh("systemctl daemon-reload; systemctl start --no-block site.service gone")?;
    eventually(LIMIT, || {
        let said =
            guest.sh("systemctl is-active site gone || b2p log | grep -E '(site|gone): '")?;
        ensure!(said == "active\nactive", "{said}");
        Ok(())
    })?;
    // One start of many was seen to fail, and to succeed when the service was started again. The log tells why.
    println!("{}", guest.sh("b2p log site; b2p log gone")?);
    let said = guest
        .sh("! systemctl start bad && systemctl status site && cat /run/boot2podman/degraded")?;
    let count = |word: &str| said.lines().filter(|line| line.starts_with(word)).count();
    ensure!(count("bad: ") == 1 && count("compose: ") == 1, "{said}");
    ensure!(
        said.contains("compose: shop: no compose provider"),
        "{said}"
    );
    Ok(())
}

/// A restart keeps the data of the container, unless the file has changed; the pod of a removed file
/// is taken down.
pub fn by_hand(guest: &Guest) -> Result<()> {
    starts(guest, "k-site-box", &["one"])?;
    guest.sh("systemctl restart site")?;
    starts(guest, "k-site-box", &["one", "one"])?;
    guest.sh("systemctl stop site")?;
    let left = guest.sh("podman ps --format '{{.Names}}' | grep -e k-site -e -service; true")?;
    ensure!(
        left.lines().count() == 1,
        "the service container of k-gone alone: {left}"
    );
    pod(guest, "site.yaml", "k-site", "two")?;
    guest.sh("systemctl start site")?;
    starts(guest, "k-site-box", &["two"])?;
    guest.sh(&format!(
        "rm {DIR}/gone.yml {DIR}/bad.yaml; systemctl daemon-reload"
    ))?;
    let left = guest.sh("podman ps -a --format '{{.Names}}' | grep -c -e k-gone -e -service")?;
    ensure!(left == "1", "{left}");
    guest.sh("! systemctl is-active gone").map(drop)
}

/// Several documents in one file: two pods, the variables of one, and its volume, which outlives the pods.
pub fn documents(guest: &Guest) -> Result<()> {
    let image = image::NAME;
    let pod = |name: &str, rest: &str, command: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n{rest}    image: {image}\n    \
             imagePullPolicy: Never\n    command: [sh, -c, \"{command}trap 'exit 0' TERM; while :; do sleep 1000 & wait; \
             done\"]\n"
        )
    };
    let front = "  volumes:\n  - name: kept\n    persistentVolumeClaim:\n      claimName: k-kept\n  containers:\n  \
                 - name: box\n    envFrom:\n    - configMapRef:\n        name: k-words\n    volumeMounts:\n    \
                 - name: kept\n      mountPath: /kept\n";
    let back = "  containers:\n  - name: box\n";
    let write = |word: &str| {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: k-words\ndata:\n  WORD: {word}\n---\napiVersion: v1\n\
             kind: PersistentVolumeClaim\nmetadata:\n  name: k-kept\nspec:\n  accessModes: [ReadWriteOnce]\n  \
             resources:\n    requests:\n      storage: 1Mi\n{}{}",
            pod("k-front", front, "echo $WORD >>/kept/words; "),
            pod("k-back", back, "")
        );
        let to = format!("cat >{DIR}/docs.yaml");
        tests::text(&guest.ssh_with("root", &to, text.as_bytes())?).map(drop)
    };
    let says = |words: &str| {
        eventually(LIMIT, || {
            let said = guest.sh("systemctl is-active docs && podman exec k-front-box cat /kept/words && podman exec k-back-box echo up")?;
            ensure!(said == format!("active\n{words}\nup"), "{said}");
            Ok(())
        })
    };
    write("blue")?;
    guest.sh("systemctl daemon-reload && systemctl start docs")?;
    says("blue")?;
    guest.sh("systemctl restart docs")?;
    says("blue\nblue")?;
    write("red")?;
    guest.sh("systemctl restart docs")?;
    says("blue\nblue\nred")?;
    let left = guest.sh(&format!(
        "rm {DIR}/docs.yaml; systemctl daemon-reload; podman pod ps --format '{{{{.Name}}}}' | grep -e k-front -e k-back; \
         podman volume ls -q | grep k-kept; podman volume rm k-kept"
    ))?;
    ensure!(left == "k-kept\nk-kept", "{left}");
    Ok(())
}

/// A program with the name of podman-compose(1) is a provider as well, and gets the commands of the project.
pub fn podman_compose(guest: &Guest) -> Result<()> {
    let said = guest.sh(
        "printf '#!/bin/sh\necho \"$*\" >>/run/provided\n' >/usr/bin/podman-compose && chmod +x /usr/bin/podman-compose && \
         systemctl daemon-reload && ! grep '^compose: ' /run/boot2podman/degraded && systemctl start compose-shop && \
         systemctl is-active compose-shop && systemctl stop compose-shop && cat /run/provided",
    )?;
    let file = "--file /var/lib/boot2podman/compose/shop/compose.yaml";
    let wanted = format!("active\n{file} up --detach --remove-orphans\n{file} stop");
    ensure!(said == wanted, "{said}");
    guest.sh("rm /usr/bin/podman-compose /run/provided && systemctl daemon-reload && grep -q '^compose: ' /run/boot2podman/degraded").map(drop)
}

/// Expects that the pod runs again, with its data.
pub fn run(guest: &Guest, boots: usize) -> Result<()> {
    starts(guest, "k-site-box", &vec!["two"; 1 + boots])?;
    eventually(LIMIT, || guest.sh("systemctl is-active site").map(drop))
}

/// Expects that the pod is up, and has written something in its first life.
pub fn is_up(guest: &Guest) -> Result<()> {
    eventually(LIMIT, || {
        guest.sh("systemctl is-active site")?;
        let said = guest.sh("podman exec k-site-box cat /starts")?;
        ensure!(said.lines().count() > 1, "{said:?}: it was made anew");
        Ok(())
    })
}
