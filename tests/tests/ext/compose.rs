// SPDX-License-Identifier: Apache-2.0
//! A compose project on the data disk, brought up at each boot by the provider of an extension.

use crate::life::refuses;
use crate::{END, disk, made, says};
use anyhow::{Context, Result, ensure};
use std::fs;
use tests::{Checks, Guest, disks, eventually, image};
use vmm::Disk;

/// Writes the project. Its containers note each of their starts and ends in a volume. `web` needs `db`, and ends more
/// slowly than podman's own limit of ten seconds allows.
fn project() -> String {
    let service = |name: &str, keys: &str, end: &str| {
        format!(
            "  {name}:\n    image: {}\n    pull_policy: never\n    volumes: [ \"data:/data\" ]\n{keys}    \
             command: [ sh, -c, \"echo {name} >>/data/starts; trap '{end}echo {name} >>/data/ends; exit 0' TERM; \
             while :; do sleep 1000 & wait; done\" ]\n",
            image::NAME
        )
    };
    let keys = "    depends_on: [ db ]\n    stop_grace_period: 40s\n";
    let (web, db) = (service("web", keys, "sleep 12; "), service("db", "", ""));
    format!("services:\n{web}{db}volumes:\n  data: {{}}\n")
}

/// Expects that the project's containers have been started this often, each after the one that it needs, and run.
fn runs(guest: &Guest, starts: usize) -> Result<()> {
    eventually(END, || {
        guest.sh("systemctl is-active compose-shop")?;
        let said = guest.sh("podman exec shop-web-1 cat /data/starts")?;
        ensure!(said == ["db\nweb"].repeat(starts).join("\n"), "{said}");
        Ok(())
    })
}

/// Brings another project up and down by hand.
fn by_hand(guest: &Guest, program: &str) -> Result<()> {
    let script = format!(
        "set -e
        mkdir -p /tmp/hand && cd /tmp/hand
        printf 'services:\\n  web:\\n    image: {}\\n    command: [ sleep, \"1000\" ]\\n' >compose.yaml
        {program} up -d >/dev/null
        {program} exec -T web echo inside
        {program} ps --format '{{{{.State}}}}'
        {program} down -t 0 >/dev/null
        {program} ps -q",
        image::NAME
    );
    says(guest, &script, "inside\nrunning")
}

#[test]
#[ignore = "a large package to fetch: make test-all"]
fn compose_projects_run() -> Result<()> {
    let dir = disks::dir("ext-compose")?;
    let data = disk(&dir, 768, |extensions| {
        let project_dir = extensions.with_file_name("compose/shop");
        fs::create_dir_all(&project_dir)?;
        fs::write(project_dir.join("compose.yaml"), project())?;
        made(extensions, "compose")
    })?;
    let machine = tests::machine("ext-compose")?
        .memory_mib(1536)
        .append("b2p.ext=compose")
        .disk(Disk::raw(data.file()));
    let mut checks = Checks::new("ext-compose");
    let guest = Guest::start(&machine)?;
    checks.check("the project is up once its image is there", || {
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        tests::text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
        runs(&guest, 1)
    });
    checks.check("the extension is not removed while a project is up", || {
        refuses(
            &guest,
            "b2p ext remove compose",
            &["the compose project shop"],
        )
    });
    for program in ["docker compose", "podman compose"] {
        checks.check(program, || by_hand(&guest, program));
    }
    checks.check("the project stops in order at poweroff", || {
        // podman's service has ended by then, as in a machine in which nobody uses the API.
        eventually(END, || {
            guest.sh("! pgrep -f '[p]odman system service'").map(drop)
        })?;
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(END)?.success());
        let said = guest.vm.console();
        let mut lines = said.lines();
        let line = lines.find(|line| line.contains("shutdown: units took"));
        ensure!(
            line.is_some_and(|line| line.contains("have ended by their stop commands")),
            "{line:?}"
        );
        // The provider reaches podman's API until then, and reports what it has stopped.
        let stopped = |name: &str| {
            let is_one = |line: &str| line.contains(name) && line.contains("Stopped");
            said.lines().position(is_one).context(name.to_owned())
        };
        ensure!(stopped("shop-web-1")? < stopped("shop-db-1")?, "{said}");
        Ok(())
    });
    drop(guest);
    let guest = Guest::start(&machine)?;
    checks.check("the project is up after the next boot", || runs(&guest, 2));
    checks.check("each container had its own time to end", || {
        says(&guest, "podman exec shop-web-1 cat /data/ends", "web\ndb")
    });
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}
