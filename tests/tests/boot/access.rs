// SPDX-License-Identifier: Apache-2.0
//! Ways in: ssh, and the uses of ssh by clients.

use anyhow::{Context, Result, ensure};
use initramfs::python;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::flood::{self, Conduct, Flood};
use tests::{Checks, Guest, eventually};
use vmm::process;

const LIMIT: Duration = Duration::from_secs(120);
/// Limit of a login during a flood: five seconds with KVM, and many more under TCG on a host that
/// compiles at the same time, where a login alone may take ten. A client that is kept out waits for
/// ever.
const FLOODED: Duration = Duration::from_secs(120);

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("only keys open the door", || only_keys(guest));
    checks.check("the host key is as ssh-keygen makes it", || host_key(guest));
    checks.check("sftp and scp", || copies(guest));
    checks.check("a remote command finds its tools", || path(guest));
    checks.check("many connections at once", || many(guest));
    checks.check("a flood of clients of sshd keeps nobody out", || {
        flood(guest)
    });
    checks.check(
        "clients at the user's address do not prevent the user's login",
        || crowd(guest),
    );
    checks.check("sshd offers what every client should", || algorithms(guest));
    checks.check("ssh-audit finds no failure", || audit(guest));
    checks.check("the standard input reaches a command", || input(guest));
}

fn only_keys(guest: &Guest) -> Result<()> {
    let mut ssh = guest.client("ssh");
    ssh.args([
        "-o",
        "PubkeyAuthentication=no",
        "-l",
        "root",
        "guest",
        "true",
    ]);
    let out = process::output(ssh, b"", LIMIT)?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(
        !out.status.success() && said.contains("(publickey)"),
        "{said}"
    );
    Ok(())
}

/// Compares the key and fingerprint of b2p with OpenSSH's: ssh-keygen of each half, and the host's
/// ssh, which checks sshd's signature.
fn host_key(guest: &Guest) -> Result<()> {
    const KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
    let files = guest.sh(&format!("stat -c '%a %u %g' {KEY} {KEY}.pub"))?;
    ensure!(files == "600 0 0\n644 0 0", "{files}");
    let public = guest.sh(&format!("ssh-keygen -y -P '' -f {KEY}"))?;
    let kept = guest.sh(&format!("cat {KEY}.pub"))?;
    ensure!(public == kept && kept.ends_with(" boot2podman"), "{public}");
    let line = guest.sh(&format!("ssh-keygen -lf {KEY}.pub"))?;
    let print = line.split(' ').nth(1).unwrap_or_default();
    ensure!(print.starts_with("SHA256:"), "{line}");
    let console = guest.sh("b2p console status")?;
    ensure!(
        console.contains(&format!("host key  {print}\n")),
        "{console}"
    );
    let mut ssh = guest.client("ssh");
    ssh.args(["-o", "LogLevel=DEBUG1", "guest", "true"]);
    let out = process::output(ssh, b"", LIMIT)?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let signed = said.contains(&format!("Server host key: ssh-ed25519 {print}"));
    ensure!(out.status.success() && signed, "{said}");
    Ok(())
}

fn copies(guest: &Guest) -> Result<()> {
    let dir = guest.vm.dir();
    let content: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    fs::write(dir.join("there.bin"), &content)?;
    let mut sftp = guest.client("sftp");
    sftp.args(["-b", "-", "core@guest"]);
    let batch = b"put there.bin here.bin\nget here.bin back.bin\n";
    tests::text(&process::output(sftp, batch, LIMIT)?)?;
    ensure!(
        fs::read(dir.join("back.bin"))? == content,
        "sftp changed the file"
    );
    let mut scp = guest.client("scp");
    scp.args(["-q", "core@guest:here.bin", "again.bin"]);
    tests::text(&process::output(scp, b"", LIMIT)?)?;
    ensure!(
        fs::read(dir.join("again.bin"))? == content,
        "scp changed the file"
    );
    Ok(())
}

fn path(guest: &Guest) -> Result<()> {
    for user in ["root", "core"] {
        guest.sh_as(user, "command -v docker podman modprobe ip nft")?;
    }
    let docker = guest.sh("docker --version")?;
    ensure!(docker.starts_with("podman version"), "docker is {docker}");
    Ok(())
}

/// Opens many connections: podman's clients make one for each command, and scripts run many.
fn many(guest: &Guest) -> Result<()> {
    // A connection that has waited for half a minute is closed, and its user connects again.
    let ssh = || {
        eventually(FLOODED, || {
            tests::text(&guest.ssh_alone("core", "echo in")?).map(drop)
        })
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(ssh)).collect();
        all.into_iter()
            .try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("panicked"))?)
    })
}

/// Opens 1,000 silent connections, from within the machine, and logs in meanwhile and afterwards.
fn flood(guest: &Guest) -> Result<()> {
    flood::inside(guest, 1000, &[flood::SILENT])?;
    let processes = "cat /proc/[0-9]*/comm | grep -c sshd";
    let said = login(guest, "1,000 silent clients", processes)?;
    ensure!(said.parse::<usize>()? < 60, "{said} processes");
    guest.sh(flood::END_INSIDE)?;
    login(guest, "after the flood", "true").map(drop)
}

/// Logs in beside 100 clients of each kind, which connect again at once.
fn crowd(guest: &Guest) -> Result<()> {
    let port = guest.vm.port("ssh")?;
    let version = b"SSH-2.0-crowd\r\n";
    // The beginning of a key exchange: a packet of 1,000 bytes.
    let half = b"SSH-2.0-crowd\r\n\0\0\x03\xe8\x04\x14";
    for (what, hello, trickle) in [
        ("a version", version.as_slice(), b"".as_slice()),
        ("half a packet, byte by byte", half, b"\0"),
        ("half a version, byte by byte", b"SSH-", b"x"),
        (
            "garbage",
            b"SSH-2.0-crowd\r\n\xff\xff\xff\xff\xff\xff\xff\xff",
            b"",
        ),
    ] {
        let flood = Flood::start(port, 100, Conduct { hello, trickle })?;
        login(guest, what, "true")?;
        drop(flood);
    }
    Ok(())
}

fn login(guest: &Guest, what: &str, command: &str) -> Result<String> {
    let begun = Instant::now();
    // A login that takes ten seconds may lose its place to a newer one (docs/guide/network.md), and
    // its user connects again.
    let said = eventually(FLOODED, || tests::text(&guest.ssh_alone("root", command)?))?;
    let took = begun.elapsed();
    println!("{what}: login in {:.1} s", took.as_secs_f32());
    Ok(said)
}

/// Compares the algorithms that sshd would offer, also to unusual clients, with a list.
fn algorithms(guest: &Guest) -> Result<()> {
    let config = guest.sh("sshd -T")?;
    for (option, allowed) in [
        (
            "kexalgorithms",
            ["mlkem768x25519-", "sntrup761x25519-", "curve25519-"].as_slice(),
        ),
        (
            "ciphers",
            &["chacha20-poly1305@", "aes256-", "aes192-ctr", "aes128-"],
        ),
        (
            "macs",
            &["hmac-sha2-256-etm@", "hmac-sha2-512-etm@", "umac-128-etm@"],
        ),
    ] {
        let line = config.lines().find_map(|line| line.strip_prefix(option));
        let offered = line.with_context(|| format!("no {option}"))?.trim();
        let strange = offered
            .split(',')
            .find(|name| name.contains("cbc") || !allowed.iter().any(|a| name.starts_with(a)));
        ensure!(strange.is_none(), "{option}: {strange:?}");
    }
    Ok(())
}

/// Package of PyPI, which needs no other.
const SSH_AUDIT: &str = "ssh-audit==3.9.0 \
    --hash=sha256:3dad48d4678e0de31f6332cc7674f9d7dd1805f86babf3796f41c2fd879cb812\n";
/// Exit statuses of ssh-audit (its exitcodes.py) that are no failure: nothing, or warnings.
const PASSED: [i32; 2] = [0, 2];

fn audit(guest: &Guest) -> Result<()> {
    let packages = python::packages("ssh-audit", SSH_AUDIT)?;
    let port = guest.vm.port("ssh")?.to_string();
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages);
    python.args([
        "-m",
        "ssh_audit",
        "--no-colors",
        "--port",
        &port,
        "127.0.0.1",
    ]);
    let out = process::output(python, b"", LIMIT)?;
    let said = String::from_utf8_lossy(&out.stdout);
    let remarks = said.lines().filter(|line| line.contains("[warn]"));
    remarks.for_each(|line| println!("ssh-audit: {line}"));
    let passed = out.status.code().is_some_and(|code| PASSED.contains(&code));
    ensure!(passed && said.contains("(kex)"), "{:?}: {said}", out.status);
    Ok(())
}

fn input(guest: &Guest) -> Result<()> {
    let out = guest.ssh_with("root", "wc -c", &[b'x'; 100_000])?;
    ensure!(tests::text(&out)?.trim() == "100000", "{out:?}");
    Ok(())
}
