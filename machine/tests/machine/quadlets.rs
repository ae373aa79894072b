// SPDX-License-Identifier: Apache-2.0
//! Quadlet files of a directory of the host, on the disk of a new machine.

use crate::Host;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::{Checks, eventually, guide, image, ports};

/// Text with the form of a certificate, of which programs read no more.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIGAb3VyIG93biBhdXRob3JpdHkgb2YgdGhlIHRlc3QhIG91ciBvd24gYXV0aG9y
aXR5IG9mIHRoZSB0ZXN0ISBvdXIgb3duIGF1dGhvcml0eSBvZiB0aGUgdGVzdCEg
b3VyIG93biBhdXRob3JpdHkgb2YgdGhlIHRlc3QhIG91ciA=
-----END CERTIFICATE-----
";

/// Tells that the machine has the certificate among those that its programs trust, once.
fn trusts(host: &Host) -> Result<()> {
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    let line = AUTHORITY.lines().nth(1).context("a line")?;
    let found = host.ok(&["ssh", "box", "grep", "-cxF", line, bundle])?;
    ensure!(found == "1", "{found} times");
    Ok(())
}

#[test]
#[ignore = "a boot and another: make test-all"]
fn create_with_quadlets_runs_them_at_the_first_boot() -> Result<()> {
    let host = Host::new()?;
    let dir = host.dir.path().join("quadlets");
    fs::create_dir_all(dir.join("web.container.d"))?;
    let web = "[Container]\nImage=localhost/none:1\nPull=never\n[Service]\nRestart=no\n";
    fs::write(dir.join("web.container"), web)?;
    fs::write(
        dir.join("data.volume"),
        "[Volume]\n[Install]\nWantedBy=default.target\n",
    )?;
    let drop_in = "[Unit]\nDescription=From the host\n";
    fs::write(dir.join("web.container.d/a.conf"), drop_in)?;
    fs::create_dir_all(dir.join("conf"))?;
    fs::write(dir.join("conf/nginx.conf"), "events {}\n")?;
    let out = initramfs::paths::out();
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned);
    let (out, dir) = text(&out).zip(text(&dir)).context("paths of UTF-8")?;
    let authority = host.dir.path().join("own.pem");
    fs::write(&authority, AUTHORITY)?;
    let authority = text(&authority).context("a path of UTF-8")?;
    let mut checks = Checks::new("quadlets");
    checks.check("a wrong file is refused by its name", || {
        fs::write(format!("{dir}/bad.volume"), "[Container]\n")?;
        let said = host.fails(&["create", "--image", &out, "--quadlet", &dir, "box"], 3)?;
        ensure!(
            said.contains("bad.volume: it has no section [Volume]"),
            "{said}"
        );
        Ok(fs::remove_file(format!("{dir}/bad.volume"))?)
    });
    host.ok(&[
        "create",
        "--image",
        &out,
        "--memory",
        "1G",
        "--quadlet",
        &dir,
        "--ca",
        &authority,
        "box",
    ])?;
    checks.check(
        "the certificate authority is trusted at the first boot",
        || trusts(&host),
    );
    checks.check("the units exist after the first boot", || {
        eventually(std::time::Duration::from_secs(60), || {
            let said = host.ok(&["ssh", "box", "sudo", "systemctl", "cat", "web"])?;
            ensure!(said.contains("Description=From the host"), "{said}");
            let said = host.ok(&[
                "ssh",
                "box",
                "sudo",
                "systemctl",
                "is-active",
                "data-volume",
            ])?;
            ensure!(said == "active", "{said}");
            Ok(())
        })
    });
    checks.check("the files beside the units exist", || {
        let file = "/var/lib/boot2podman/quadlet/conf/nginx.conf";
        let said = host.ok(&["ssh", "box", "cat", file])?;
        ensure!(said == "events {}", "{said}");
        Ok(())
    });
    checks.check("a file that the user removes stays removed", || {
        let file = "/var/lib/boot2podman/quadlet/web.container";
        host.ok(&["ssh", "box", "sudo", "rm", file])?;
        host.ok(&["stop", "box"])?;
        host.ok(&["start", "box"])?;
        trusts(&host)?;
        let said = host.ok(&["ssh", "box", "ls", "/var/lib/boot2podman/quadlet"])?;
        ensure!(said == "conf\ndata.volume\nweb.container.d", "{said}");
        Ok(())
    });
    checks.done()
}

/// Runs commands on the host as the guide has them, where `podman-machine` is the program of the test.
fn on_host(host: &Host, dir: &Path, script: &str) -> Result<String> {
    let program = host.command(&[]);
    let programs = Path::new(program.get_program()).parent();
    let programs = programs.context("a path")?.display();
    let mut sh = Command::new("sh");
    let with_path = format!("PATH={programs}:$PATH\n{script}");
    sh.args(["-e", "-c", &with_path]).current_dir(dir);
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => sh.env(name, value),
            None => sh.env_remove(name),
        };
    }
    tests::text(&sh.output()?)
}

/// The second example of docs/guide/quadlets.md, with the files of the first one.
#[test]
#[ignore = "a boot and two images: make test-all"]
fn the_guides_example_runs_on_a_new_machine() -> Result<()> {
    let host = Host::new()?;
    let web = host.dir.path().join("web");
    fs::create_dir_all(&web)?;
    for (name, text) in guide::files()? {
        fs::write(web.join(name), text)?;
    }
    // The image of the tests, and a port that is free.
    let (out, port) = (initramfs::paths::out(), ports::free()?.to_string());
    let create = format!("create --image {} --memory 1G ", out.display());
    let commands = guide::commands(guide::FROM_THE_HOST)?;
    let commands = commands
        .replace("8080", &port)
        .replace("create --quadlet", &(create + "--quadlet"));
    let (before, after) = commands.split_once("until ").context("a loop")?;
    let mut checks = Checks::new("quadlets-guide");
    checks.check("a machine with the files and the secret is made", || {
        on_host(&host, host.dir.path(), before).map(drop)
    });
    checks.check("the images of the example's names are made", || {
        let archive = image::archive(host.dir.path())?;
        let load = format!(
            "podman-machine ssh box sudo podman load -q <{}",
            archive.display()
        );
        on_host(&host, &web, &load)?;
        for (name, text) in guide::images() {
            fs::write(host.dir.path().join("Containerfile"), text)?;
            let build =
                format!("mkdir -p /tmp/empty && sudo podman build -q -t {name} -f - /tmp/empty");
            let build = format!("podman-machine ssh box '{build}' <../Containerfile");
            on_host(&host, &web, &build)?;
        }
        Ok(())
    });
    checks.check("the host gets the page", || {
        let said = on_host(&host, &web, &format!("until {after}"))?;
        let page = said.starts_with("hello from the box");
        ensure!(page && said.contains("Active: active (running)"), "{said}");
        Ok(())
    });
    checks.done()
}
