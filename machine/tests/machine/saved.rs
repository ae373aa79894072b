// SPDX-License-Identifier: Apache-2.0
//! Suspension, snapshots and upgrade of the machine.

use super::Host;
use super::ports::answers;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tests::{image, ports};

/// Seconds of the guest that are looked at.
const SECONDS: usize = 6;

/// Returns the guest's time less the host's, in seconds, as far as it is known: a line that arrives
/// late makes the guest's time seem early, so that the line with the largest difference counts.
fn clock(host: &Host) -> Result<f64> {
    // Each whole second of the guest is printed at its beginning.
    let command = format!(
        "for i in $(seq {SECONDS}); do \
             t=$(date +%s); while n=$(date +%s) && [ $n = $t ]; do :; done; echo $n; \
         done"
    );
    let mut ssh = host
        .command(&["ssh", "box", &command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut off = f64::NEG_INFINITY;
    for line in BufReader::new(ssh.stdout.take().context("no output")?).lines() {
        let host = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        off = off.max(line?.parse::<f64>()? - host);
    }
    ensure!(ssh.wait()?.success());
    Ok(off)
}

/// Creates a second machine of the state from which `box` comes, and compares the two.
pub fn copied(host: &Host, create: &[&str]) -> Result<()> {
    let begun = Instant::now();
    // The template has booted without this proxy.
    let mut command = host.command(&[create, &["two"]].concat());
    let out = command
        .env("http_proxy", "http://localhost:3128")
        .output()?;
    ensure!(out.status.success(), "{out:?}");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    eprintln!(
        "a copy of a template: first answer after {:?}",
        begun.elapsed()
    );
    ensure!(!said.contains("Booting the template"), "made again: {said}");
    let proxy = host.ok(&["ssh", "two", "echo $http_proxy"])?;
    ensure!(proxy == "http://10.0.2.2:3128", "{proxy}");
    let unique = "cat /etc/machine-id; cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub; \
                  hostname; cat /proc/sys/kernel/random/uuid; \
                  sudo cat /run/boot2podman/authorized_keys";
    let look = |name: &str| host.ok(&["ssh", name, unique]);
    let (one, two) = (look("box")?, look("two")?);
    ensure!(one.lines().count() >= 5, "{one}");
    for (one, two) in one.lines().zip(two.lines()) {
        ensure!(one != two, "both have {one}");
    }
    ensure!(two.lines().nth(2) == Some("two"), "{two}");
    for name in ["box", "two"] {
        let guest = host.ok(&["ssh", name, "date +%s"])?.parse::<u64>()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        ensure!(guest.abs_diff(now) < 30, "{name}: {guest}, not {now}");
        // The copies have a file system of their own.
        let line = host.ok(&[
            "ssh",
            name,
            "sudo b2p status data net sshd podman template || true",
        ])?;
        ensure!(!line.contains("failed"), "{name}: {line}");
    }
    host.ok(&["stop", "two"])?;
    let begun = Instant::now();
    host.ok(&["start", "two"])?;
    eprintln!("a boot: first answer after {:?}", begun.elapsed());
    ensure!(
        look("two")?.lines().nth(1) == two.lines().nth(1),
        "another host key"
    );
    host.ok(&["rm", "-f", "two"])?;
    Ok(())
}

/// Suspends and resumes, with a rootless container that has a port.
pub fn suspended(host: &Host) -> Result<()> {
    let free = ports::free()?;
    let run = format!(
        "podman load -q </tmp/image >&2; podman run -d --name kept -p {free}:80 {} \
         sh -c 'echo kept >/tmp/i; exec httpd -f -p 80 -h /tmp'",
        image::NAME
    );
    let archive = File::open(image::archive(host.dir.path())?)?;
    let copied = host
        .command(&["ssh", "box", "cat >/tmp/image"])
        .stdin(archive)
        .output()?;
    ensure!(copied.status.success(), "{copied:?}");
    let boot = "cat /proc/sys/kernel/random/boot_id";
    let (id, _) = (
        host.ok(&["ssh", "box", boot])?,
        host.ok(&["ssh", "box", &run])?,
    );
    answers(free).context("rootless: not published")?;
    host.ok(&["snapshot", "create", "box", "before"])?;
    host.ok(&["suspend", "box"])?;
    host.is("Saved")?;
    ensure!(host.fails(&["url", "box"], 1)? == "Host is not running\n");
    TcpListener::bind(("127.0.0.1", free)).context("the port is not given back")?;
    // The runtime directory ends with the host's uptime.
    fs::remove_dir_all(host.dir.path().join("pm"))?;
    host.is("Saved")?;
    let config = fs::read_to_string(host.file("config.json"))?;
    let other = config.replace("\"memory_mib\": 1024", "\"memory_mib\": 1536");
    ensure!(other != config, "{config}");
    fs::write(host.file("config.json"), other)?;
    let error = host.fails(&["start", "box"], 1)?;
    ensure!(
        error.contains("saved with `-m 1024M`, and the machine now has `-m 1536M`")
            && error.contains("start --cold box"),
        "{error}"
    );
    host.is("Saved")?;
    fs::write(host.file("config.json"), config)?;
    let begun = Instant::now();
    host.ok(&["resume", "box"])?;
    eprintln!(
        "from a saved state to the first answer: {:?}",
        begun.elapsed()
    );
    host.is("Running")?;
    let off = clock(host)?;
    // A busy host prints each line late; the memory was saved for longer.
    ensure!(off.abs() < 2.0, "the clock is off by {off} s");
    ensure!(host.ok(&["ssh", "box", boot])? == id, "it has booted");
    answers(free).context("the container does not answer")?;
    host.ping()?;
    // A keeper that takes over a machine that was resumed finds no ready line.
    host.kill9("keeper.pid")?;
    host.ok(&["wait", "-t", "240", "box"])?;
    host.ok(&["pause", "box"])?;
    host.is("Paused")?;
    host.ok(&["resume", "box"])?;
    let list = host.ok(&["snapshot", "list", "box"])?;
    ensure!(
        list.contains("before") && !list.contains("suspended"),
        "{list}"
    );
    Ok(())
}

/// Cuts a suspension before and after its mark, and goes back to a snapshot.
pub fn cut(host: &Host) -> Result<()> {
    // Before the mark: the snapshot is there, and the machine runs on.
    host.ok(&["ssh", "box", "echo later >/tmp/later"])?;
    fs::write(host.file("state/pending"), "")?;
    host.ok(&["suspend", "box"])?;
    let mark = fs::read_to_string(host.file("state/complete"))?;
    // After it: a keeper that dies before QEMU has ended.
    host.ok(&["start", "box"])?;
    host.ok(&["pause", "box"])?;
    host.kill9("keeper.pid")?;
    fs::write(host.file("state/complete"), &mark)?;
    host.is("Saved")?;
    ensure!(!host.run_file("qemu.pid")?.exists(), "QEMU runs");
    fs::remove_file(host.file("state/complete"))?;
    host.is("Stopped")?;
    host.ok(&["snapshot", "create", "box", "disk"])?;
    host.ok(&["snapshot", "restore", "box", "before"])?;
    host.is("Saved")?;
    host.ok(&["start", "box"])?;
    let later = host.ok(&["ssh", "box", "cat /tmp/later; podman ps -q | wc -l"])?;
    ensure!(later == "1", "{later}");
    host.ok(&["snapshot", "rm", "box", "before"])?;
    host.ok(&["snapshot", "rm", "box", "disk"])?;
    Ok(())
}

/// Upgrades a stopped machine: to an image that does not become ready, and to one that does.
pub fn upgraded(host: &Host) -> Result<()> {
    let out = initramfs::paths::out();
    let image = |name: &str, initrd: &[u8]| -> Result<String> {
        let dir = host.dir.path().join(name);
        fs::create_dir(&dir)?;
        fs::copy(out.join("vmlinuz"), dir.join("vmlinuz"))?;
        fs::write(dir.join("initrd.img"), initrd)?;
        Ok(dir.to_str().context("a path of UTF-8")?.to_owned())
    };
    let broken = image("broken", b"nothing")?;
    let error = host.fails(&["upgrade", "--image", &broken, "box"], 1)?;
    ensure!(
        error.contains("the guest's kernel has stopped")
            && error.contains("was not upgraded; it has its old image, and is off"),
        "{error}"
    );
    host.is("Stopped")?;
    // The kernel passes over zeros between and behind archives (init/initramfs.c).
    let mut initrd = fs::read(out.join("initrd.img"))?;
    initrd.extend([0; 512]);
    let other = image("other", &initrd)?;
    let said = host.ok(&["upgrade", "--image", &other, "box"])?;
    ensure!(said.ends_with("Machine \"box\" was upgraded."), "{said}");
    host.is("Running")
}
