// SPDX-License-Identifier: Apache-2.0
//! Check of the ports that podman publishes in a machine.

use super::Host;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
use tests::{eventually, http, image, ports};

/// Waits until the container serves its file: podman does not wait for the program in it.
pub fn answers(port: u16) -> Result<()> {
    eventually(Duration::from_secs(60), || {
        let answer = http::get_tcp(port, "/i")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
}

/// Checks that a port stays with the container that has it, whoever else asks for it.
fn wanted_twice(host: &Host, port: u16) -> Result<()> {
    // podman binds the port of root's container before it asks for it, and that of another user's afterwards.
    for (podman, why) in [
        (
            "sudo podman",
            format!(":{port}: bind: address already in use"),
        ),
        (
            "podman",
            format!("127.0.0.1:{port}: bind: address already in use: another container"),
        ),
    ] {
        let run = format!("{podman} run -d -p {port}:80 {} sleep 9", image::NAME);
        let out = host.run(&["ssh", "box", &run])?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(!out.status.success() && said.contains(&why), "{out:?}");
        answers(port)?;
    }
    host.ok(&["ssh", "box", "sudo podman restart -t 0 www"])?;
    answers(port)?;
    host.ok(&["ssh", "box", "sudo podman rm -f -t 0 www"])?;
    eventually(Duration::from_secs(60), || {
        TcpListener::bind(("127.0.0.1", port)).context("the port is not given back")?;
        Ok(())
    })
}

/// Restarts the machine from the inside: the port of a container is given back, that of the user is there again, and the
/// keeper is the same.
pub fn restarted(host: &Host) -> Result<()> {
    let (own, port) = (ports::free()?, ports::free()?);
    host.ok(&["ports", "add", "box", &format!("{own}:22")])?;
    let run = format!("sudo podman run -d -p {port}:80 {} sleep 999", image::NAME);
    host.ok(&["ssh", "box", &run])?;
    ensure!(
        TcpStream::connect(("127.0.0.1", port)).is_ok(),
        "nobody listens"
    );
    let boot = ["ssh", "box", "cat /proc/sys/kernel/random/boot_id"];
    let (id, keeper) = (
        host.ok(&boot)?,
        std::fs::read(host.run_file("keeper.pid")?)?,
    );
    // The connection ends with the machine.
    host.run(&["ssh", "box", "sudo reboot"])?;
    eventually(Duration::from_secs(240), || {
        let now = host.ok(&boot)?;
        ensure!(now != id, "it has not restarted");
        Ok(())
    })?;
    host.ok(&["wait", "-t", "240", "box"])?;
    host.is("Running")?;
    host.ping()?;
    ensure!(
        std::fs::read(host.run_file("keeper.pid")?)? == keeper,
        "another keeper"
    );
    TcpListener::bind(("127.0.0.1", port)).context("the port is not given back")?;
    let mut greeting = [0; 4];
    TcpStream::connect(("127.0.0.1", own))?.read_exact(&mut greeting)?;
    ensure!(&greeting == b"SSH-", "{greeting:?}");
    host.ok(&["ports", "rm", "box", &own.to_string()]).map(drop)
}

pub fn published(host: &Host) -> Result<()> {
    let archive = image::archive(host.dir.path())?;
    for load in ["sudo podman load -q", "podman load -q"] {
        let mut ssh = host.command(&["ssh", "box", load]);
        let loaded = ssh.stdin(File::open(&archive)?).output()?;
        ensure!(loaded.status.success(), "{loaded:?}");
    }
    let (port, container_image) = (ports::free()?, image::NAME);
    let run = format!(
        "sudo podman run -d --name www -p 0.0.0.0:{port}:80 {container_image} sh -c 'echo served >/i; exec httpd -f -p 80 -h /'"
    );
    host.ok(&["ssh", "box", &run])?;
    drop(TcpStream::connect(("127.0.0.1", port)).context("nobody listens")?);
    answers(port)?;
    // A listener on all addresses would have this one as well.
    ensure!(
        TcpStream::connect(("127.0.0.2", port)).is_err(),
        "a container has opened a port to other hosts"
    );
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let taken_port = taken.local_addr()?.port();
    let run = format!("sudo podman run -d -p {taken_port}:80 {container_image} sleep 9");
    let out = host.run(&["ssh", "box", &run])?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        !out.status.success()
            && said.contains(&format!(
                "127.0.0.1:{taken_port}: bind: address already in use"
            )),
        "{out:?}"
    );
    wanted_twice(host, port)?;
    // This UDP port stays published: the adoption test uses it.
    let udp = ports::free()?;
    let run = format!("sudo podman run -d -p {udp}:53/udp {container_image} sleep 999");
    host.ok(&["ssh", "box", &run])?;
    ensure!(
        UdpSocket::bind(("127.0.0.1", udp)).is_err(),
        "nobody listens"
    );
    Ok(())
}
