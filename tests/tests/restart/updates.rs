// SPDX-License-Identifier: Apache-2.0
//! Updates of containers by podman auto-update, with a roll-back, and services at set times.

use anyhow::{Result, ensure};
use tests::registry::{HOST, Plain};
use tests::{Guest, eventually, image};

use crate::LIMIT;

/// Image of the container, whose tag moves.
const IMAGE: &str = "localhost/moving:1";

/// Builds the image anew with one more line, and returns its id.
fn build(guest: &Guest, line: &str) -> Result<String> {
    let text = format!("FROM {}\n{line}\n", image::NAME);
    let build = format!("mkdir -p /run/empty && podman build -q -t {IMAGE} -f - /run/empty");
    let built = guest.ssh_with("root", &build, text.as_bytes())?;
    tests::text(&built)?;
    guest.sh(&format!(
        "podman image inspect --format '{{{{.Id}}}}' {IMAGE}"
    ))
}

/// Expects that the unit runs with this image.
fn runs_with(guest: &Guest, id: &str) -> Result<()> {
    guest.sh("systemctl is-active moving")?;
    let said = guest.sh("podman inspect --format '{{.Image}}' q-moving")?;
    ensure!(said == id, "{said}, not {id}");
    Ok(())
}

/// A newer image is taken by hand; an image that does not start is rolled back, and the machine
/// reports the rollback.
pub fn updated_and_rolled_back(guest: &Guest) -> Result<()> {
    let first = build(guest, "ENV STATE=first")?;
    let text = format!(
        "[Container]\nImage={IMAGE}\nContainerName=q-moving\nAutoUpdate=local\n\
         Exec=sh -c \"trap 'exit 0' TERM; while :; do sleep 1000 & wait; done\"\n"
    );
    let to = "cd /var/lib/boot2podman/quadlet && cat >moving.container && printf '[Unit]\\nRequires=moving.service\\n\
         After=moving.service\\n[Service]\\nExecStart=/bin/sh -c \"exec sleep 100000\"\\n' >watch.service && \
         systemctl daemon-reload && systemctl start watch";
    tests::text(&guest.ssh_with("root", to, text.as_bytes())?)?;
    runs_with(guest, &first)?;
    let watch = "systemctl is-active watch && systemctl show -P MainPID watch";
    let before = guest.sh(watch)?;
    let second = build(guest, "ENV STATE=second")?;
    let said = guest.sh("podman auto-update --dry-run --format '{{.Unit}} {{.Updated}}'")?;
    ensure!(said == "moving.service pending", "{said}");
    let said = guest.sh("podman auto-update --format '{{.Unit}} {{.Updated}}'")?;
    ensure!(said == "moving.service true", "{said}");
    runs_with(guest, &second)?;
    // A unit that needs the updated one has started again with it.
    eventually(LIMIT, || {
        let after = guest.sh(watch)?;
        ensure!(after != before, "{after}");
        Ok(())
    })?;
    build(guest, "ENTRYPOINT [\"/nothing/here\"]")?;
    guest.sh("systemctl start podman-auto-update.service")?;
    let line = format!(
        "auto-update: moving.service: the new {IMAGE} does not become ready; it runs with the old one"
    );
    let said = guest.sh("b2p status")?;
    ensure!(said.contains(&line), "{said}");
    runs_with(guest, &second)?;
    guest.sh("b2p restart auto-update && systemctl stop moving && cd /var/lib/boot2podman/quadlet && rm moving.container watch.service && systemctl daemon-reload")?;
    let said = guest.sh("cat /run/boot2podman/degraded")?;
    ensure!(!said.contains("auto-update"), "{said}");
    Ok(())
}

/// An image that starts and does not become healthy is rolled back, although the unit names no time for its start.
pub fn rolled_back_if_not_healthy(guest: &Guest) -> Result<()> {
    let first = build(guest, "RUN touch /well")?;
    let text = format!(
        "[Container]\nImage={IMAGE}\nContainerName=q-moving\nAutoUpdate=local\nNetwork=none\nNotify=healthy\n\
         HealthCmd=test -e /well\nHealthInterval=2s\n\
         Exec=sh -c \"trap 'exit 0' TERM; while :; do sleep 1000 & wait; done\"\n"
    );
    let to = "cat >/var/lib/boot2podman/quadlet/moving.container && systemctl daemon-reload && systemctl start moving";
    tests::text(&guest.ssh_with("root", to, text.as_bytes())?)?;
    runs_with(guest, &first)?;
    build(guest, "RUN touch /ill")?;
    let begun = std::time::Instant::now();
    let said = guest.sh("podman auto-update --format '{{.Unit}} {{.Updated}}'")?;
    ensure!(said == "moving.service rolled back", "{said}");
    // The limit of systemd, the end of the container, and the start of the old one.
    let seconds = begun.elapsed().as_secs();
    ensure!((85..240).contains(&seconds), "{seconds} s");
    runs_with(guest, &first)?;
    guest.sh("systemctl stop moving && rm /var/lib/boot2podman/quadlet/moving.container && systemctl daemon-reload").map(drop)
}

/// A user's own podman restarts the user's units, and no others.
pub fn of_a_user(guest: &Guest) -> Result<()> {
    let text = format!("FROM {}\nENV STATE=newer\n", image::NAME);
    let build = format!(
        "mkdir -p empty && podman build -q -t {} -f - empty",
        image::NAME
    );
    tests::text(&guest.ssh_with("core", &build, text.as_bytes())?)?;
    let said = guest.sh_as(
        "core",
        "podman auto-update --format '{{.Unit}} {{.Updated}}'",
    )?;
    ensure!(said == "own.service true", "{said}");
    let said = guest.sh_as("core", "podman exec q-own sh -c 'echo $STATE'")?;
    ensure!(said == "newer", "{said}");
    Ok(())
}

/// A service with a time starts neither with the machine nor at its load, but at its time.
pub fn at_times(guest: &Guest) -> Result<()> {
    let text = "exec /bin/sh -c 'date +%H:%M >>/run/night'\nat daily\n";
    let to = "mkdir -p /var/lib/boot2podman/services && cat >/var/lib/boot2podman/services/night && b2p load night";
    tests::text(&guest.ssh_with("root", to, text.as_bytes())?)?;
    guest.sh("b2p status timers && ! test -e /run/night")?;
    guest.sh("touch /run/before && date -s 23:59:57")?;
    let ran = eventually(LIMIT, || {
        let said = guest.sh("cat /run/night")?;
        ensure!(said == "00:00", "{said:?}");
        Ok(())
    });
    guest.sh("date -s \"$(stat -c %y /run/before | cut -c1-19)\"")?;
    ran?;
    guest
        .sh("test -s /var/lib/boot2podman/timers/night; rm /var/lib/boot2podman/services/night")
        .map(drop)
}

/// Writes a service whose run of this year was missed: the last one is more than a year ago. Nothing reads the
/// file before the next boot.
pub fn miss_a_run(guest: &Guest) -> Result<()> {
    guest
        .sh("cd /var/lib/boot2podman && \
             printf 'exec /bin/sh -c \"echo ran >>/run/missed\"\nat yearly\n' >services/missed && \
             echo $(($(date +%s) - 400 * 86400)) >timers/missed && sync")
        .map(drop)
}

/// Expects one run, and that the time is noted for the next boot.
pub fn made_up(guest: &Guest) -> Result<()> {
    eventually(LIMIT, || {
        let said = guest.sh("cat /run/missed")?;
        ensure!(said == "ran", "{said:?}");
        Ok(())
    })?;
    guest
        .sh(
            "b2p restart timers && sleep 2 && test $(wc -l </run/missed) = 1 && \
             test $(($(date +%s) - $(cat /var/lib/boot2podman/timers/missed))) -lt 600",
        )
        .map(drop)
}

/// At the time of the flag, a newer image is taken without a command.
pub fn at_its_time(guest: &Guest) -> Result<()> {
    let text = format!(
        "[Container]\nImage={IMAGE}\nContainerName=q-moving\nAutoUpdate=local\n\
         Exec=sh -c \"trap 'exit 0' TERM; while :; do sleep 1000 & wait; done\"\n"
    );
    build(guest, "ENV STATE=before")?;
    let to = "cat >/var/lib/boot2podman/quadlet/moving.container && systemctl daemon-reload && systemctl start moving";
    tests::text(&guest.ssh_with("root", to, text.as_bytes())?)?;
    let newer = build(guest, "ENV STATE=newer")?;
    guest.sh(
        "touch /run/before && date -s \"$(date -d @$(($(date +%s) + 86400)) +%Y-%m-%d) 04:29:57\"",
    )?;
    let updated = eventually(LIMIT, || runs_with(guest, &newer));
    guest.sh("date -s \"$(stat -c %y /run/before | cut -c1-19)\"")?;
    updated?;
    let remove = "systemctl stop moving && rm /var/lib/boot2podman/quadlet/moving.container && systemctl daemon-reload";
    guest.sh(remove).map(drop)
}

/// A registry has a newer image, which is pulled; an image that the registry has lost causes no
/// rollback.
pub fn from_a_registry(guest: &Guest, registry: &Plain) -> Result<()> {
    let at = format!("{HOST}:{}", registry.port);
    let name = format!("{at}/far:1");
    let text = format!(
        "[Container]\nImage={name}\nContainerName=q-far\nAutoUpdate=registry\n\
         Exec=sh -c \"trap 'exit 0' TERM; while :; do sleep 1000 & wait; done\"\n"
    );
    guest.sh(&format!(
        "printf '[[registry]]\\nlocation = \"{at}\"\\ninsecure = true\\n' >/etc/containers/registries.conf.d/90-far.conf"
    ))?;
    let to = "cat >/var/lib/boot2podman/quadlet/far.container && systemctl daemon-reload && systemctl start far";
    tests::text(&guest.ssh_with("root", to, text.as_bytes())?)?;
    let update =
        "podman auto-update --format '{{.Unit}} {{.Updated}} {{.Policy}}' | grep far.service";
    let said = guest.sh(update)?;
    ensure!(said == "far.service false registry", "{said}");
    guest.sh("! podman exec q-far test -e /bulk")?;
    registry.offer(1)?;
    let said = guest.sh(update)?;
    ensure!(said == "far.service true registry", "{said}");
    guest
        .sh("systemctl is-active far && podman exec q-far test -s /bulk")
        .map(drop)
}

/// The pod of a Kubernetes file is made anew with a newer image.
pub fn of_a_kube_file(guest: &Guest) -> Result<()> {
    build(guest, "ENV STATE=first")?;
    let yaml = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: k-auto\nspec:\n  containers:\n  - name: box\n    \
         image: {IMAGE}\n    imagePullPolicy: Never\n    command: [sleep, \"100000\"]\n"
    );
    let kube = "[Kube]\nYaml=auto.yaml\nAutoUpdate=local\n";
    for (file, text) in [("auto.yaml", yaml.as_str()), ("auto.kube", kube)] {
        let to = format!("cat >/var/lib/boot2podman/quadlet/{file}");
        tests::text(&guest.ssh_with("root", &to, text.as_bytes())?)?;
    }
    guest.sh("systemctl daemon-reload && systemctl start auto")?;
    let newer = build(guest, "ENV STATE=of-kube")?;
    let said = guest
        .sh("podman auto-update --format '{{.Unit}} {{.Updated}}' | grep auto.service | sort -u")?;
    ensure!(said == "auto.service true", "{said}");
    let said =
        guest.sh("systemctl is-active auto && podman inspect --format '{{.Image}}' k-auto-box")?;
    ensure!(said == format!("active\n{newer}"), "{said}");
    guest.sh("systemctl stop auto && rm /var/lib/boot2podman/quadlet/auto.* && systemctl daemon-reload").map(drop)
}
