// SPDX-License-Identifier: Apache-2.0
//! The commands, by all their names.

use super::{SOON, pid, said, says, service};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::{Checks, Guest, eventually};

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("b2p status", || status(guest));
    checks.check("b2p status --json", || json(guest));
    checks.check("b2p boot", || boot(guest));
    checks.check("b2p flags", || flags(guest));
    checks.check("b2p version", || version(guest));
    checks.check("stop, start, restart", || lives(guest));
    checks.check("a stopped service refuses clients", || refuses(guest));
    checks.check("an end that is taken back", || cancelled(guest));
    checks.check("systemctl", || systemctl(guest));
    checks.check("unknown names and verbs are refused", || unknown(guest));
}

fn status(guest: &Guest) -> Result<()> {
    // Services that do not delay the ready line may still start.
    eventually(SOON, || states(guest))?;
    let all = says(
        guest,
        "b2p status sshd",
        0,
        &["state        up", "memory", "cpu"],
    )?;
    ensure!(all.starts_with("sshd\n"), "{all}");
    says(guest, "b2p status late-drivers", 1, &["off"]).map(drop)
}

fn states(guest: &Guest) -> Result<()> {
    let text = says(guest, "b2p status", 0, &["boot2podman", ": running, up "])?;
    let line = |name: &str| {
        let mut lines = text.lines();
        lines.find(|l| l.split_whitespace().next() == Some(name))
    };
    for (name, state) in [
        ("net", "up"),
        ("sshd", "up"),
        ("podman", "armed"),
        ("late-drivers", "off"),
        ("user-services", "done"),
        ("console-ttys0", "off"),
    ] {
        let words = line(name).and_then(|l| l.split_whitespace().nth(1));
        ensure!(words == Some(state), "{name}: {words:?}\n{text}");
    }
    Ok(())
}

/// Compares the machine's list of packages with the bill of materials beside the image.
fn version(guest: &Guest) -> Result<()> {
    let words = [
        "boot2podman ",
        "\nkernel 6.",
        "podman",
        "smoltcp",
        "Apache-2.0",
    ];
    let said = says(guest, "b2p version --verbose", 0, &words)?;
    let manifest = std::fs::read_to_string(initramfs::paths::out().join("manifest.json"))?;
    let manifest: Value = serde_json::from_str(&manifest)?;
    let packages = manifest["packages"].as_array().context("no packages")?;
    let row = |l: &str| {
        l.split_whitespace()
            .skip(1)
            .take(2)
            .map(str::to_owned)
            .collect()
    };
    let rows: Vec<Vec<String>> = said.lines().map(row).collect();
    for package in packages {
        let field = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let expected = [field("name"), field("version")];
        ensure!(
            rows.iter().any(|r| *r == expected),
            "no {expected:?}:\n{said}"
        );
    }
    // The kernel that `uname` reports is one of them.
    let release = guest.sh("uname -r")?;
    let kernel = format!("linux-image-{release}");
    let known = rows.iter().any(|r| {
        r.first()
            .is_some_and(|n| *n == kernel || n.starts_with("linux-source-"))
    });
    ensure!(known, "no {kernel}:\n{said}");
    says(guest, "b2p version --loud", 2, &["--loud: no such option"]).map(drop)
}

fn json(guest: &Guest) -> Result<()> {
    let text = guest.sh("b2p status --json")?;
    let all: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    ensure!(all["state"] == "running" && all["data"] == "ram", "{text}");
    ensure!(
        all["ready_ms"].as_u64() > all["started_ms"].as_u64(),
        "{text}"
    );
    let services = all["services"].as_array().context("no services")?;
    let sshd = services.iter().find(|s| s["name"] == "sshd");
    let sshd = sshd.context("no sshd")?;
    ensure!(sshd["restarts"] == 0 && sshd["last"].is_null(), "{sshd}");
    for (key, least) in [("memory_bytes", 100_000), ("cpu_us", 1_000), ("pid", 2)] {
        let enough = sshd[key].as_u64().is_some_and(|n| n >= least);
        ensure!(enough, "{key}: {sshd}");
    }
    let pid = &sshd["pid"];
    let name = guest.sh(&format!("cat /proc/{pid}/comm /proc/{pid}/cgroup"))?;
    ensure!(name == "sshd\n0::/system/sshd", "{name}");
    Ok(())
}

/// Expects the phases in order and without overlap, and the ready time after them.
fn boot(guest: &Guest) -> Result<()> {
    let text = guest.sh("b2p boot --json")?;
    let all: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let rows = all["rows"].as_array().context("no rows")?;
    let phases: Vec<&Value> = rows.iter().filter(|r| r["kind"] == "phase").collect();
    let names: Vec<&str> = phases.iter().filter_map(|p| p["name"].as_str()).collect();
    let wanted = "mount-api early-flags expedite-boot root-modules root mounts cgroups loopback devices flags \
                  network-card sysctl hostname varlink-links machine-id clock-minimum keys docker-socket sessions";
    let order: Vec<&str> = names.iter().copied().filter(|n| *n != "kernel").collect();
    ensure!(
        order == wanted.split_whitespace().collect::<Vec<_>>(),
        "{names:?}"
    );
    let mut end = 0;
    for phase in &phases {
        let start = phase["start_us"].as_u64().context("start")?;
        ensure!(start >= end, "{phase} begins before the one before it ends");
        end = phase["end_us"].as_u64().context("end")?;
    }
    ensure!(all["ready_us"].as_u64() >= Some(end), "{text}");
    let picture = guest.sh("b2p boot")?;
    let place = |name: &str| {
        picture
            .lines()
            .position(|l| l.starts_with(&format!("{name} ")))
    };
    ensure!(
        place("mount-api") < place("root") && place("root") < place("sshd"),
        "{picture}"
    );
    ensure!(picture.starts_with("ready "), "{picture}");
    Ok(())
}

fn flags(guest: &Guest) -> Result<()> {
    let text = guest.sh("b2p flags")?;
    let line = |name: &str| {
        text.lines()
            .find(|l| l.starts_with(name))
            .map(str::to_owned)
    };
    let off = line("b2p.off").context("no b2p.off")?;
    ensure!(
        off.contains("off1,late-drivers") && off.contains("command line"),
        "{off}"
    );
    let key = line("b2p.ssh_key").context("no b2p.ssh_key")?;
    ensure!(
        key.contains("command line") || key.contains("fw_cfg"),
        "{key}"
    );
    ensure!(
        line("b2p.podman").is_some_and(|l| l.contains("default")),
        "{text}"
    );
    let json: Value = serde_json::from_str(&guest.sh("b2p flags --json")?)?;
    let flags = json["flags"].as_array().context("no list")?;
    let off = flags.iter().find(|f| f["name"] == "b2p.off");
    let off = off.context("no b2p.off")?;
    ensure!(
        off["given"][0]["value"] == "off1,late-drivers,console-ttyS0",
        "{off}"
    );
    ensure!(off["given"][0]["source"] == "command line", "{off}");
    Ok(())
}

fn lives(guest: &Guest) -> Result<()> {
    let first = pid(guest, "net")?;
    says(guest, "b2p restart net", 0, &["net: up after "])?;
    let second = pid(guest, "net")?;
    ensure!(first != second, "net is still {first}");
    let all = service(guest, "net")?;
    ensure!(
        all["restarts"] == 0,
        "asked for, so not one of its own: {all}"
    );
    says(guest, "b2p stop net", 0, &["net: stopped after "])?;
    says(guest, "b2p status net", 1, &["off", "killed by SIGTERM"])?;
    says(guest, "b2p stop net", 0, &["net: did not run"])?;
    says(guest, "b2p start net", 0, &["net: up after "])?;
    says(guest, "b2p start net", 0, &["net: was up already"])?;
    let routes = guest.sh("ip route")?;
    ensure!(routes.contains("default via 10.0.2.2"), "{routes}");
    Ok(())
}

/// Expects refusals without sudo's log: sudo writes to /dev/log each time, and without a reader the
/// queue is full after ten messages (sysctl net.unix.max_dgram_qlen).
fn refuses(guest: &Guest) -> Result<()> {
    says(guest, "b2p stop syslog", 0, &[])?;
    let tries = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do timeout 20 logger x$i || exit $i; done; timeout 20 sudo -n true";
    says(guest, tries, 0, &[])?;
    says(guest, "b2p start syslog && logger heard", 0, &[])?;
    says(guest, "b2p stop podman", 0, &[])?;
    let api = "timeout 60 podman --remote --url unix:///run/podman/podman.sock info";
    let (text, code) = said(guest, api)?;
    ensure!(code != Some(0) && code != Some(143), "{code:?}: {text}");
    says(guest, "b2p start podman", 0, &["its socket listens"]).map(drop)
}

fn cancelled(guest: &Guest) -> Result<()> {
    says(guest, "shutdown +5", 0, &["poweroff at ", "shutdown -c"])?;
    says(guest, "b2p status", 0, &["poweroff in ", "b2p cancel"])?;
    let all: Value = serde_json::from_str(&guest.sh("b2p status --json")?)?;
    let left = all["shutdown"]["at_ms"]
        .as_u64()
        .zip(all["now_ms"].as_u64());
    let left = left.map(|(at, now)| at.saturating_sub(now));
    ensure!(
        left.is_some_and(|ms| (200_000..=300_000).contains(&ms)),
        "{all}"
    );
    ensure!(all["shutdown"]["how"] == "poweroff", "{all}");
    says(guest, "shutdown -r +6", 0, &["reboot at "])?;
    says(guest, "b2p status", 0, &["reboot in "])?;
    says(guest, "shutdown -c", 0, &[])?;
    let text = says(guest, "b2p status", 0, &["running"])?;
    ensure!(!text.contains("cancels it"), "{text}");
    says(guest, "b2p cancel", 1, &["nothing is scheduled"]).map(drop)
}

fn systemctl(guest: &Guest) -> Result<()> {
    says(guest, "systemctl is-active sshd", 0, &["active"])?;
    says(guest, "systemctl is-active --quiet sshd.service", 0, &[])?;
    says(guest, "systemctl is-active nothing", 4, &["inactive"])?;
    let shown = [
        "\u{25cf} sshd.service",
        "Active: active (running) since ",
        "Main PID: ",
    ];
    says(guest, "systemctl status sshd", 0, &shown)?;
    says(guest, "systemctl is-system-running", 0, &["running"])?;
    // podman machine's host shows the whole output of this command to its user.
    ensure!(says(guest, "systemctl daemon-reload", 0, &[])?.is_empty());
    // As with systemd, a successful change prints nothing.
    ensure!(says(guest, "systemctl stop net", 0, &[])?.is_empty());
    says(guest, "systemctl is-active net", 3, &["inactive"])?;
    says(
        guest,
        "systemctl status net",
        3,
        &["Active: inactive (dead)"],
    )?;
    ensure!(says(guest, "systemctl start net.service", 0, &[])?.is_empty());
    let main = says(guest, "systemctl show -P MainPID sshd", 0, &[])?;
    ensure!(main.trim().parse().is_ok_and(|pid: u32| pid > 1), "{main}");
    for (line, status, parts) in [
        (
            "show -p LoadState,ActiveState nothing",
            0,
            &["LoadState=not-found\nActiveState=inactive"][..],
        ),
        (
            "status nothing",
            4,
            &["Unit nothing.service could not be found."],
        ),
        ("start nothing", 5, &["Unit nothing.service not found."]),
        ("stop nothing", 5, &["Unit nothing.service not loaded."]),
        ("is-enabled sshd", 0, &["enabled"]),
        ("is-enabled nothing", 4, &["not-found"]),
        ("is-failed sshd", 1, &["active"]),
        ("is-active multi-user.target", 0, &["active"]),
        ("enable sshd", 0, &[]),
        ("disable sshd", 1, &["a part of the machine"]),
        (
            "list-units -t service --no-legend --plain sshd*",
            0,
            &["sshd.service loaded active running"],
        ),
        ("mask sshd", 1, &["mask", "a part of the machine"]),
    ] {
        says(guest, &format!("systemctl {line}"), status, parts)?;
    }
    says(
        guest,
        "journalctl -u sshd -n 5 -o json --no-pager",
        0,
        &["\"SYSLOG_IDENTIFIER\":\"sshd\""],
    )?;
    // core may read, because core may become root.
    let said = guest.sh_as(
        "core",
        "systemctl is-active sshd; journalctl -b -n 1 -o cat; systemctl stop sshd || echo no",
    )?;
    ensure!(
        said.starts_with("active\n") && said.ends_with("no"),
        "{said}"
    );
    Ok(())
}

fn unknown(guest: &Guest) -> Result<()> {
    says(
        guest,
        "b2p start ssd",
        1,
        &["no such service; did you mean sshd?"],
    )?;
    says(guest, "b2p start 'a b'", 2, &["not a name"])?;
    says(guest, "b2p statsu", 2, &["did you mean status?"])?;
    says(guest, "b2p start", 2, &["which service?"])?;
    says(guest, "shutdown soon", 2, &["soon", "hh:mm"])?;
    says(guest, "reboot --now", 2, &["--now", "no such option"]).map(drop)
}
