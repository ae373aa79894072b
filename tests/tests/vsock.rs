// SPDX-License-Identifier: Apache-2.0
//! A machine without a network, reached over vsock. QEMU's own vsock needs the host kernel's
//! (`/dev/vhost-vsock`), which test machines lack; vhost-device-vsock of the rust-vmm project keeps
//! the host's side in a socket. `make test-all` installs this program.

use anyhow::{Context, Result, anyhow, ensure};
use initramfs::arch::Arch;
use initramfs::paths;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tests::disks;
use tests::{Checks, Guest, eventually, folder, keyless, machine, text};
use vmm::Disk;
use vmm::process;
use vmm::ssh::Key;

const SOON: Duration = Duration::from_secs(60);
/// Context id of the guest.
const CID: u32 = 42;

/// Host's side of one machine's vsock. Drop ends its process.
struct Vsock {
    /// Socket for QEMU.
    device: PathBuf,
    /// Socket for clients.
    client: PathBuf,
    server: Child,
}

impl Vsock {
    fn start(dir: &Path) -> Result<Vsock> {
        let program = paths::out_for(Arch::host()).join("tools/bin/vhost-device-vsock");
        // The path of a socket is limited to 107 bytes: both are relative to the directory.
        let (device, client) = (dir.join("device.sock"), dir.join("client.sock"));
        for path in [&device, &client] {
            let _ = fs::remove_file(path);
        }
        let log = fs::File::create(dir.join("vhost-device-vsock.log"))?;
        let mut server = Command::new(&program);
        server
            .current_dir(dir)
            .arg(format!("--guest-cid={CID}"))
            .args(["--socket=device.sock", "--uds-path=client.sock"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let server = process::spawn(server).with_context(|| {
            let program = program.display();
            format!("{program}: cargo install --locked vhost-device-vsock --root out/tools")
        })?;
        let vsock = Vsock {
            device,
            client,
            server,
        };
        eventually(SOON, || {
            ensure!(vsock.device.exists(), "it makes no socket");
            Ok(())
        })?;
        Ok(vsock)
    }

    /// Connects to a port of the guest, by rust-vmm's "hybrid vsock" protocol.
    fn connect(client: &Path, port: u32) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(client)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(format!("CONNECT {port}\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            ensure!(stream.read(&mut byte)? == 1, "port {port}: refused");
            line.extend(byte);
        }
        let said = String::from_utf8_lossy(&line);
        ensure!(said.starts_with("OK "), "port {port}: {said}");
        Ok(stream)
    }

    /// Opens a TCP port of this host that leads to the guest's sshd, for one ssh.
    fn ssh_port(&self) -> Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (port, client) = (listener.local_addr()?.port(), self.client.clone());
        thread::spawn(move || -> Result<()> {
            let (tcp, _) = listener.accept()?;
            relay(&tcp, &Self::connect(&client, 22)?)
        });
        Ok(port)
    }
}

/// Relays both directions until the guest closes the connection.
fn relay(tcp: &TcpStream, guest: &UnixStream) -> Result<()> {
    let (mut from, mut to) = (tcp.try_clone()?, guest.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    io::copy(&mut &*guest, &mut &*tcp)?;
    Ok(tcp.shutdown(Shutdown::Both)?)
}

impl Drop for Vsock {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
#[ignore = "needs out/tools/bin/vhost-device-vsock: make test-all"]
fn ssh_and_the_api_are_reached_over_vsock() -> Result<()> {
    let dir = paths::out().join("vm/vsock-host");
    fs::create_dir_all(&dir)?;
    let vsock = Vsock::start(&dir)?;
    let arguments = vsock.arguments();
    let machine = folder::machine(machine("vsock")?, 1024)
        .append("b2p.net=off b2p.vsock=on")
        .qemu_args(&arguments.each_ref().map(String::as_str));
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("vsock");
    checks.check("there is no other way in", || {
        let degraded = &guest.ready.degraded;
        ensure!(degraded.is_empty(), "{degraded:?}");
        let ssh = guest.ready.field("ssh");
        ensure!(ssh == "none", "{ssh}");
        Ok(())
    });
    checks.check("ssh as core", || {
        let said = core(&vsock, "id -un; ip -4 -o addr show scope global | wc -l")?;
        ensure!(said == "core\n0", "{said}");
        Ok(())
    });
    checks.check("the API is served over vsock", || {
        let mut api = Vsock::connect(&vsock.client, 2375)?;
        api.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
        let mut said = String::new();
        api.read_to_string(&mut said)?;
        let well = said.starts_with("HTTP/1.0 200") && said.ends_with("OK");
        ensure!(well, "{said}");
        Ok(())
    });
    checks.check("no other port", || {
        ensure!(Vsock::connect(&vsock.client, 23).is_err(), "23 is open");
        Ok(())
    });
    checks.check("poweroff ends while a session is open", || {
        let _open = Vsock::connect(&vsock.client, 22)?;
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(SOON)?.success());
        Ok(())
    });
    checks.finish(&guest)
}

/// Document in the form of podman machine on Apple's and libkrun's hypervisors, by parts.
const DOCUMENT: [&str; 2] = [
    r#"{"ignition":{"version":"3.2.0"},"passwd":{"users":[{"name":"core","uid":1501,"sshAuthorizedKeys":[""#,
    r#""]}]},"systemd":{"units":[{"name":"ready.service","enabled":true,
"contents":"[Unit]\nRequires=dev-virtio\\x2dports-vsock.device\n[Service]\nExecStart=/bin/sh -c '/usr/bin/echo Ready | socat - VSOCK-CONNECT:2:1025'\n"}]}}"#,
];

impl Vsock {
    /// Listens on a port of the host, by rust-vmm's "hybrid vsock" protocol.
    fn listen(&self, port: u32) -> Result<UnixListener> {
        let path = PathBuf::from(format!("{}_{port}", self.client.display()));
        let _ = fs::remove_file(&path);
        Ok(UnixListener::bind(path)?)
    }

    /// Arguments of QEMU for the device.
    fn arguments(&self) -> [String; 4] {
        let chardev = format!("socket,id=vsock,path={}", self.device.display());
        let device = "vhost-user-vsock-pci,chardev=vsock".to_owned();
        ["-chardev".to_owned(), chardev, "-device".to_owned(), device]
    }
}

/// Answers one request as Go's HTTP server does.
fn serve(listener: &UnixListener, document: &str) -> Result<String> {
    let (mut guest, _) = listener.accept()?;
    guest.set_read_timeout(Some(SOON))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        ensure!(guest.read(&mut byte)? == 1, "the request has no end");
        request.extend(byte);
    }
    write!(
        guest,
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{document}"
    )?;
    guest.shutdown(Shutdown::Both)?;
    Ok(String::from_utf8(request)?)
}

/// Returns the text of a guest on a port, up to its close of the connection.
fn told(listener: &UnixListener) -> Result<String> {
    let (mut guest, _) = listener.accept()?;
    guest.set_read_timeout(Some(SOON))?;
    let mut said = String::new();
    guest.read_to_string(&mut said)?;
    Ok(said)
}

/// Boots a machine twice; its host serves a document of Ignition at the first boot only, and waits for
/// the ready line at both.
#[test]
#[ignore = "needs out/tools/bin/vhost-device-vsock: make test-all"]
fn ignition_by_vsock() -> Result<()> {
    let dir = disks::dir("vsock-ignition")?;
    let disk = disks::make::ours(&dir, "data")?;
    let key = Guest::public_key()?;
    let document = [DOCUMENT[0], key.trim(), DOCUMENT[1]].concat();
    for is_first in [true, false] {
        let vsock = Vsock::start(&dir)?;
        let ready = vsock.listen(1025)?;
        let waits = thread::spawn(move || told(&ready));
        let ignition = vsock.listen(1024)?;
        let document = document.clone();
        let serves = match is_first {
            true => Some(thread::spawn(move || serve(&ignition, &document))),
            false => {
                drop(ignition);
                fs::remove_file(dir.join("client.sock_1024"))?;
                None
            }
        };
        let arguments = vsock.arguments();
        let machine = folder::machine(keyless("vsock-ignition")?, 1024)
            .append("b2p.ignition=vsock")
            .disk(Disk::raw(disk.file()))
            .qemu_args(&arguments.each_ref().map(String::as_str));
        let guest = Guest::start(&machine)?;
        let mut checks = Checks::new("vsock-ignition");
        checks.check("the host is told", || {
            let said = waits.join().map_err(|_| anyhow!("it panicked"))??;
            ensure!(said == "Ready\n", "{said:?}");
            Ok(())
        });
        checks.check("the document is applied", || {
            if let Some(serves) = serves {
                let asked = serves.join().map_err(|_| anyhow!("it panicked"))??;
                ensure!(asked.starts_with("GET / HTTP/1."), "{asked}");
            }
            let said = guest.sh_as("core", "id -u; cat /run/boot2podman/degraded; sudo stat -c %a /var/lib/boot2podman/ignition.json")?;
            ensure!(said == "1501\n600", "{said}");
            Ok(())
        });
        checks.check("poweroff ends", || {
            guest.vm.power_button()?;
            ensure!(guest.vm.wait_exit(SOON)?.success());
            Ok(())
        });
        checks.finish(&guest)?;
    }
    Ok(())
}

/// Returns the output of a command that core runs.
fn core(vsock: &Vsock, script: &str) -> Result<String> {
    let key = Key::in_dir(&paths::out().join("vm"))?;
    let port = vsock.ssh_port()?.to_string();
    let mut ssh = Command::new("ssh");
    #[rustfmt::skip]
    ssh.args([
        "-F", "none", "-T", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR", "-l", "core", "-p", &port, "-i",
    ]);
    ssh.arg(&key.file).args(["127.0.0.1", script]);
    text(&process::output(ssh, b"", SOON)?)
}
