//! The ways in: ssh, and what clients do over it.

use anyhow::{Result, ensure};
use initramfs::qemu::process;
use std::fs;
use std::time::Duration;
use tests::{Checks, Guest};

const LIMIT: Duration = Duration::from_secs(120);

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("only keys open the door", || only_keys(guest));
    checks.check("sftp and scp", || copies(guest));
    checks.check("a remote command finds its tools", || path(guest));
    checks.check("many connections at once", || many(guest));
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

/// podman's clients make a connection for each command, and scripts run many.
fn many(guest: &Guest) -> Result<()> {
    let ssh = || {
        guest
            .ssh_alone("core", "echo in")?
            .status
            .success()
            .then_some(())
            .ok_or(anyhow::anyhow!("refused"))
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(ssh)).collect();
        all.into_iter()
            .try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("panicked"))?)
    })
}

fn input(guest: &Guest) -> Result<()> {
    let out = guest.ssh_with("root", "wc -c", &[b'x'; 100_000])?;
    ensure!(tests::text(&out)?.trim() == "100000", "{out:?}");
    Ok(())
}
