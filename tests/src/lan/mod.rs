// SPDX-License-Identifier: Apache-2.0
//! A private network for a test: the network service (`b2p net`) in a network namespace, on cards
//! that are ends of veth(4) pairs, and the test at the other ends, with servers that the test
//! controls.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use tests::lan::{self, Client, dhcp};
//! if !lan::inside("main")? {
//!     return Ok(()); // the test has run, in namespaces of its own
//! }
//! let mut client = Client::new()?;
//! client.card("eth0", "192.0.2.1/24")?;
//! let server = dhcp::Server::on("eth0", [192, 0, 2, 1], dhcp::Policy::default())?;
//! client.start(&["dhcp", "any"])?;
//! server.next()?;
//! # Ok(())
//! # }
//! ```

pub mod dhcp;
pub mod names;
pub mod router;
mod socket;
pub mod time;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use initramfs::programs;

use crate::eventually;

/// Environment variable that is set inside; its value is the name of the test.
const INSIDE: &str = "B2P_TEST_INSIDE";
/// Environment variable with the path of the program under test.
const PROGRAM: &str = "B2P_TEST_PROGRAM";
/// Time limit of any step on a machine that is busy with other work.
pub const LIMIT: Duration = Duration::from_secs(30);
/// File that receives the service's log.
const LOG: &str = "/run/net.log";
/// File with the service's pid.
const PID: &str = "/run/net.pid";
/// Socket for the service's report that it is ready.
const NOTIFY_SOCKET: &str = "/run/ready";
/// Mounts for the service: a card is an interface with a device, which a veth lacks, and the log
/// must not go to this machine's kernel log.
const MOUNTS: &str = "mount --bind /run/net.log /dev/kmsg && mkdir /run/real && mount -t sysfs sysfs /run/real && \
    mount --bind /run/cards /sys/class/net && ip link set lo up";

/// Returns true inside the namespaces. Outside, the test called `test` is run again in namespaces
/// of its own, as root of a network with nothing but loopback.
pub fn inside(test: &str) -> Result<bool> {
    if std::env::var(INSIDE).is_ok_and(|name| name == test) {
        run("ip", &["link", "set", "lo", "up"])?;
        return Ok(true);
    }
    crate::ns::possible()?;
    let programs = programs::build(programs::Target::choose())?;
    let out = Command::new("unshare")
        .args(["-Urnmu", "--kill-child", "--"])
        .arg(std::env::current_exe()?)
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, test)
        .env(PROGRAM, programs.b2p)
        .output()
        .context("unshare(1)")?;
    let said = String::from_utf8_lossy(&out.stdout);
    println!("{said}{}", String::from_utf8_lossy(&out.stderr));
    ensure!(out.status.success(), "{test}, inside: {}", out.status);
    ensure!(
        said.contains("1 passed"),
        "{test} is not the name of the test"
    );
    Ok(false)
}

/// Runs a command that must succeed, and returns its output.
pub fn run(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program).args(args).output();
    let out = out.with_context(|| program.to_owned())?;
    let what = format!("{program} {}", args.join(" "));
    crate::guest::succeeded(&what, &out)
}

/// The network service and its namespace.
pub struct Client {
    child: Child,
    ready: UnixDatagram,
}

impl Client {
    /// Makes a namespace without cards in which no service runs yet.
    pub fn new() -> Result<Client> {
        for dir in ["/run", "/etc"] {
            run("mount", &["-t", "tmpfs", "tmpfs", dir])?;
        }
        for dir in ["/run/boot2podman", "/run/cards"] {
            fs::create_dir(dir)?;
        }
        // A lease may set the name of a machine that is still called boot2podman.
        socket::hostname("boot2podman")?;
        File::create(LOG)?;
        let program = std::env::var(PROGRAM)?;
        // The shell starts one service after the other, each from a line of arguments.
        let run = "while read -r go; do";
        let script = format!(
            "{MOUNTS} && {run} {program} net $go >/dev/null 2>&1 & echo $! >{PID}; done; wait"
        );
        let child = Command::new("unshare")
            .args(["-nm", "sh", "-c", &script])
            .env("NOTIFY_SOCKET", NOTIFY_SOCKET)
            .stdin(Stdio::piped())
            .spawn()?;
        let ready = UnixDatagram::bind(NOTIFY_SOCKET)?;
        ready.set_read_timeout(Some(LIMIT))?;
        let client = Client { child, ready };
        let own = fs::read_link("/proc/self/ns/net")?;
        eventually(LIMIT, || {
            let other = fs::read_link(format!("/proc/{}/ns/net", client.child.id()))?;
            ensure!(other != own, "no namespace");
            ensure!(
                client.ip("link show lo")?.contains("LOOPBACK,UP"),
                "not yet"
            );
            Ok(())
        })?;
        Ok(client)
    }

    /// Adds a card; its other end is here, with the name `to-<name>` and this address.
    pub fn card(&self, name: &str, address: &str) -> Result<()> {
        let dir = Path::new("/run/cards").join(name);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("device"), "")?;
        for file in "type ifindex carrier carrier_down_count address mtu netdev_group".split(' ') {
            let to = format!("/run/real/class/net/{name}/{file}");
            let _ = std::os::unix::fs::symlink(to, dir.join(file)); // there already
        }
        let (here, pid) = (format!("to-{name}"), self.child.id().to_string());
        let add = [
            "link", "add", &here, "type", "veth", "peer", "name", name, "netns", &pid,
        ];
        run("ip", &add)?;
        run("ip", &["address", "add", address, "dev", &here])?;
        // Without duplicate address detection, a router's address is usable at once
        // (ip-sysctl.rst).
        fs::write(format!("/proc/sys/net/ipv6/conf/{here}/accept_dad"), "0")?;
        run("ip", &["link", "set", &here, "up"]).map(drop)
    }

    /// Adds a bridge without a card, with this address.
    pub fn bridge(&self, name: &str, address: &str) -> Result<()> {
        fs::create_dir_all(format!("/run/cards/{name}/brif"))?;
        self.ip(&format!("link add {name} type bridge"))?;
        self.ip(&format!("link set {name} up"))?;
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {address} dev {name}{nodad}"))?;
        Ok(())
    }

    /// Starts the service with these arguments.
    pub fn start(&mut self, words: &[&str]) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("no shell")?;
        Ok(writeln!(stdin, "{}", words.join(" "))?)
    }

    /// Kills the service, as a crash would.
    pub fn crash(&self) -> Result<()> {
        let pid = fs::read_to_string(PID)?;
        run("kill", &["-9", pid.trim()])?;
        eventually(LIMIT, || {
            // The shell reaps the service sooner or later; a zombie counts as dead.
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            ensure!(stat.is_empty() || stat.contains(") Z"), "{stat}");
            Ok(())
        })
    }

    /// Runs ip(8) in the namespace.
    pub fn ip(&self, words: &str) -> Result<String> {
        let words: Vec<&str> = words.split(' ').collect();
        self.enter(&[&["ip"], &words[..]].concat())
    }

    /// Runs a shell script in the namespace.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.enter(&["sh", "-c", script])
    }

    fn enter(&self, command: &[&str]) -> Result<String> {
        let pid = self.child.id().to_string();
        run("nsenter", &[&["-t", &pid, "-n"], command].concat())
    }

    /// Waits until ip(8) prints all of `parts`, and none of `not`.
    pub fn shows(&self, words: &str, parts: &[&str], not: &[&str]) -> Result<()> {
        eventually(LIMIT, || {
            let said = self.ip(words)?;
            let wrong = parts.iter().any(|p| !said.contains(p));
            let wrong = wrong || not.iter().any(|p| said.contains(p));
            ensure!(!wrong, "ip {words}:\n{said}\n{}", self.log());
            Ok(())
        })
    }

    /// Waits until the service sends `READY=1`.
    pub fn ready(&self) -> Result<()> {
        let mut bytes = [0; 64];
        loop {
            let n = self.ready.recv(&mut bytes).with_context(|| self.log())?;
            match &bytes[..n] {
                b"READY=1\n" => return Ok(()),
                b"X_DEGRADED=1\n" => {}
                other => anyhow::bail!("{:?}", other.escape_ascii().to_string()),
            }
        }
    }

    /// Returns true if `READY=1` has arrived; the message is consumed.
    pub fn is_ready(&self) -> Result<bool> {
        self.ready.set_nonblocking(true)?;
        let said = self.ready.recv(&mut [0; 64]).is_ok();
        self.ready.set_nonblocking(false)?;
        Ok(said)
    }

    /// Returns the service's log.
    pub fn log(&self) -> String {
        fs::read_to_string(LOG).unwrap_or_default()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.crash(); // the service does not run yet, or has ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a file has exactly this content, apart from comments.
pub fn holds(path: &str, wanted: &str) -> Result<()> {
    eventually(LIMIT, || {
        let text = fs::read_to_string(path)?;
        let lines = text.lines().filter(|l| !l.starts_with('#'));
        let text: String = lines.map(|l| format!("{l}\n")).collect();
        ensure!(text == wanted, "{path}: {text:?}, not {wanted:?}");
        Ok(())
    })
}

/// Path of the machine's resolv.conf.
pub const RESOLV: &str = "/run/boot2podman/resolv.conf";
