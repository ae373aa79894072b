// SPDX-License-Identifier: Apache-2.0
//! Check of docker's client at the socket of a machine: ports of TCP and UDP, and directories that are not shared.

use super::Host;
use super::ports::answers;
use anyhow::{Context, Result, ensure};
use initramfs::tools;
use std::net::{TcpListener, UdpSocket};
use std::process::{Output, Stdio};
use std::time::Duration;
use tests::{eventually, image, ports};

/// Code of a program that sends each datagram of port 53 back. The container's busybox has no server for UDP.
#[rustfmt::skip]
const CODE: [u8; 0x75] = [
    0xb8, 0x29, 0x00, 0x00, 0x00,                     // 00: mov $0x29,%eax
    0xbf, 0x02, 0x00, 0x00, 0x00,                     // 05: mov $0x2,%edi
    0xbe, 0x02, 0x00, 0x00, 0x00,                     // 0a: mov $0x2,%esi
    0x31, 0xd2,                                       // 0f: xor %edx,%edx
    0x0f, 0x05,                                       // 11: syscall  socket(AF_INET, SOCK_DGRAM, 0)
    0x89, 0xc3,                                       // 13: mov %eax,%ebx
    0x89, 0xc7,                                       // 15: mov %eax,%edi
    0x48, 0x8d, 0x35, 0x47, 0x00, 0x00, 0x00,         // 17: lea 0x47(%rip),%rsi
    0xba, 0x10, 0x00, 0x00, 0x00,                     // 1e: mov $0x10,%edx
    0xb8, 0x31, 0x00, 0x00, 0x00,                     // 23: mov $0x31,%eax
    0x0f, 0x05,                                       // 28: syscall  bind(socket, 0.0.0.0:53)
    0x48, 0x81, 0xec, 0x00, 0x08, 0x00, 0x00,         // 2a: sub $0x800,%rsp
    0xc7, 0x04, 0x24, 0x10, 0x00, 0x00, 0x00,         // 31: movl $0x10,(%rsp)
    0xb8, 0x2d, 0x00, 0x00, 0x00,                     // 38: mov $0x2d,%eax
    0x89, 0xdf,                                       // 3d: mov %ebx,%edi
    0x48, 0x8d, 0x74, 0x24, 0x40,                     // 3f: lea 0x40(%rsp),%rsi
    0xba, 0x00, 0x04, 0x00, 0x00,                     // 44: mov $0x400,%edx
    0x45, 0x31, 0xd2,                                 // 49: xor %r10d,%r10d
    0x4c, 0x8d, 0x44, 0x24, 0x10,                     // 4c: lea 0x10(%rsp),%r8
    0x49, 0x89, 0xe1,                                 // 51: mov %rsp,%r9
    0x0f, 0x05,                                       // 54: syscall  recvfrom(socket, buffer, 1024, 0, address, length)
    0x89, 0xc2,                                       // 56: mov %eax,%edx
    0xb8, 0x2c, 0x00, 0x00, 0x00,                     // 58: mov $0x2c,%eax
    0x44, 0x8b, 0x0c, 0x24,                           // 5d: mov (%rsp),%r9d
    0x0f, 0x05,                                       // 61: syscall  sendto(socket, buffer, received, 0, address, length)
    0xeb, 0xcc,                                       // 63: jmp 31
    // 65: AF_INET, port 53, any address (sockaddr_in of ip(7))
    0x02, 0x00, 0x00, 0x35, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];

/// Address at which the program is loaded.
const BASE: u64 = 0x40_0000;
/// Length of the ELF header and of its one program header (elf(5)).
const HEADERS: usize = 64 + 56;

/// Returns the program as a static executable for x86-64.
fn echo() -> Vec<u8> {
    let len = (HEADERS + CODE.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // ET_EXEC, EM_X86_64, EV_CURRENT.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, section headers.
    for value in [BASE + HEADERS as u64, 64, 0] {
        file.extend(value.to_le_bytes());
    }
    // Flags, sizes and numbers of the headers.
    for value in [0_u16, 0, 64, 56, 1, 0, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    // Offset, addresses, sizes, alignment.
    for value in [0, BASE, BASE, len, len, 0x1000] {
        file.extend(value.to_le_bytes());
    }
    file.extend(CODE);
    file
}

fn docker(host: &Host, args: &[&str]) -> Result<Output> {
    let mut docker = tools::command("docker")?;
    let socket = host.run_file("podman.sock")?;
    docker
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .env("HOME", host.dir.path())
        .args(args)
        .stdin(Stdio::null());
    docker.output().context("start docker")
}

fn ok(host: &Host, args: &[&str]) -> Result<()> {
    let out = docker(host, args)?;
    ensure!(out.status.success(), "docker {args:?}: {out:?}");
    Ok(())
}

/// Publishes ports by docker's client, sends data through them, and has what cannot be had refused.
pub fn runs(host: &Host) -> Result<()> {
    let port = ports::free()?;
    let publish = format!("{port}:80");
    let serve = "echo served >/i; exec httpd -f -p 80 -h /";
    ok(
        host,
        &[
            "run",
            "-d",
            "--name",
            "dw",
            "-p",
            &publish,
            image::NAME,
            "sh",
            "-c",
            serve,
        ],
    )?;
    answers(port)?;
    taken(host)?;
    datagrams(host)?;
    ok(host, &["rm", "-f", "dw", "du"])?;
    eventually(Duration::from_secs(60), || {
        TcpListener::bind(("127.0.0.1", port)).context("the port is not given back")?;
        Ok(())
    })?;
    not_shared(host)
}

/// Checks that the error of a port that is taken names it.
fn taken(host: &Host) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let number = listener.local_addr()?.port();
    let publish = format!("{number}:80");
    let out = docker(
        host,
        &["run", "-d", "-p", &publish, image::NAME, "sleep", "9"],
    )?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        !out.status.success()
            && said.contains(&format!("127.0.0.1:{number}: bind: address already in use")),
        "{out:?}"
    );
    Ok(())
}

/// Copies the program into the machine.
fn install(host: &Host) -> Result<()> {
    let mut install = host.command(&[
        "ssh",
        "box",
        "sudo tee /usr/local/bin/echo53 >/dev/null; sudo chmod 755 /usr/local/bin/echo53",
    ]);
    let mut install = install.stdin(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut install.stdin.take().context("no input")?, &echo())?;
    ensure!(
        install.wait()?.success(),
        "the program is not in the machine"
    );
    Ok(())
}

/// Sends datagrams to a container, which sends them back.
fn datagrams(host: &Host) -> Result<()> {
    install(host)?;
    let port = ports::free()?;
    let publish = format!("{port}:53/udp");
    ok(
        host,
        &[
            "run",
            "-d",
            "--name",
            "du",
            "-v",
            "/usr/local/bin/echo53:/echo",
            "-p",
            &publish,
            image::NAME,
            "/echo",
        ],
    )?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(Duration::from_secs(2)))?;
    client.connect(("127.0.0.1", port))?;
    for text in ["one", "another"] {
        // The program may not have begun, and no datagram is sent again by anybody else.
        eventually(Duration::from_secs(60), || {
            client.send(text.as_bytes())?;
            let mut answer = [0; 16];
            let len = client.recv(&mut answer)?;
            ensure!(&answer[..len] == text.as_bytes(), "{answer:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Checks that a directory which the host alone has is no empty one in a container.
fn not_shared(host: &Host) -> Result<()> {
    let dir = host.dir.path().to_str().context("a path of UTF-8")?;
    let volume = format!("{dir}:/src");
    let out = docker(
        host,
        &["run", "--rm", "-v", &volume, image::NAME, "ls", "/src"],
    )?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        !out.status.success()
            && said.contains(&format!("`podman-machine share add box {dir} --restart`")),
        "{out:?}"
    );
    Ok(())
}
