// SPDX-License-Identifier: Apache-2.0
//! The way to the podman API: a socket for clients, and one ssh that carries their connections.
//!
//! The keeper owns the socket, so that it is there as long as the machine; ssh is started by the
//! first client that needs it, and again by the next one after it has ended.

use super::answer::Answer;
use super::bind_sources;
use super::control;
use crate::store::machine::DIR_LINK;
use crate::store::{Machine, logfile};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Socket of the podman API in the guest.
const GUEST_SOCKET: &str = "/run/podman/podman.sock";
/// Longest line of an answer's status in bytes.
const STATUS_BYTES: usize = 4096;
/// Words of ssh where the host has another key than the known one (OpenSSH, `warn_changed_key`).
const OTHER_KEY: &str = "REMOTE HOST IDENTIFICATION HAS CHANGED";
/// Line that ssh's `LocalCommand` prints once it forwards.
const UP: &str = "up";

/// Supervised ssh.
pub struct Tunnel {
    machine: Machine,
    socket: PathBuf,
    /// Held by the client that starts ssh, while others wait.
    starts: Mutex<()>,
    /// The ssh that runs, not yet reaped. Held for moments only: the keeper itself takes it.
    ssh: Mutex<Option<Ssh>>,
    /// Reason for which the last client did not get through.
    why: Mutex<Option<String>>,
    /// True while the guest may have another host key than the one that is known.
    may_have_new_key: AtomicBool,
}

/// A running ssh.
#[derive(Clone, Copy)]
struct Ssh {
    pid: i32,
    /// True once it forwards.
    up: bool,
}

impl Tunnel {
    /// Returns a tunnel that is down.
    #[must_use]
    pub fn new(machine: &Machine) -> Arc<Self> {
        Arc::new(Self {
            machine: machine.clone(),
            socket: machine.run_file("tunnel.sock"),
            starts: Mutex::new(()),
            ssh: Mutex::new(None),
            why: Mutex::new(None),
            may_have_new_key: AtomicBool::new(false),
        })
    }

    /// Listens for clients at the machine's API socket until the process ends.
    pub fn serve(self: &Arc<Self>) -> Result<()> {
        let listener = control::bind(&self.machine.api())?;
        let tunnel = Arc::clone(self);
        thread::spawn(move || {
            control::serve(&listener, |client| {
                let tunnel = Arc::clone(&tunnel);
                thread::spawn(move || {
                    if let Err(error) = tunnel.carry(client) {
                        eprintln!("API client: {error:#}");
                    }
                });
            });
        });
        Ok(())
    }

    /// Ends ssh, whose connection a restart of the guest has cut; the next client starts another.
    pub fn reset(&self) {
        if let Some(ssh) = lock(&self.ssh).take() {
            let pid = nix::unistd::Pid::from_raw(ssh.pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM);
        }
    }

    /// Notes that the guest has booted: a guest that could not use its disk, or whose key was broken, has made
    /// another host key. It is accepted once in a boot. The port is QEMU's own, so that no other server answers there.
    pub fn expect_new_key(&self) {
        self.may_have_new_key.store(true, Ordering::Relaxed);
    }

    /// Returns the reason for which the last client did not get through.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        lock(&self.why).clone()
    }

    fn carry(self: &Arc<Self>, client: UnixStream) -> Result<()> {
        let guest = self.connect();
        // Before the client sees its end.
        *lock(&self.why) = guest.as_ref().err().map(|error| format!("{error:#}"));
        let guest = guest?;
        let (client_in, guest_in) = (client.try_clone()?, guest.try_clone()?);
        let machine = self.machine.clone();
        let up = thread::spawn(move || {
            bind_sources::pump(&machine, &host_alias(&machine.name), &client_in, &guest_in);
            end(&client_in, &guest_in);
        });
        pump(guest, client);
        let _ = up.join();
        Ok(())
    }

    fn connect(self: &Arc<Self>) -> Result<UnixStream> {
        let _starts = lock(&self.starts);
        logfile::bound(&self.machine.file("ssh.log"));
        let is_up = lock(&self.ssh).is_some_and(|ssh| ssh.up);
        if is_up && let Ok(stream) = UnixStream::connect(&self.socket) {
            return Ok(stream);
        }
        self.start()?;
        UnixStream::connect(&self.socket).context("connect to ssh")
    }

    /// Starts ssh, and returns when it forwards.
    fn start(self: &Arc<Self>) -> Result<()> {
        let log = logfile::begin(&self.machine.file("ssh.log"))?;
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child =
            vmm::process::spawn(command).context("cannot start ssh: is it installed?")?;
        let pid = i32::try_from(child.id())?;
        *lock(&self.ssh) = Some(Ssh { pid, up: false });
        let mut lines = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = String::new();
        let read = lines.read_line(&mut line);
        if read.is_err() || line.trim() != UP {
            self.forget(pid);
            let _ = child.kill();
            let status = child.wait()?;
            let said = fs::read_to_string(self.machine.file("ssh.log")).unwrap_or_default();
            if said.contains(OTHER_KEY) && self.may_have_new_key.swap(false, Ordering::Relaxed) {
                eprintln!("the guest has another host key since it booted: it is accepted");
                vmm::ssh::remove(&self.machine.file("known_hosts"))?;
                return self.start();
            }
            bail!("ssh to the machine: {status}: {}", said.trim());
        }
        if let Some(ssh) = lock(&self.ssh).as_mut().filter(|ssh| ssh.pid == pid) {
            ssh.up = true;
        }
        let tunnel = Arc::clone(self);
        thread::spawn(move || {
            // ssh prints no more; the end of its output is its own.
            let _ = lines.read_to_string(&mut String::new());
            tunnel.forget(pid);
            let _ = child.wait();
        });
        Ok(())
    }

    /// Forgets an ssh that is about to be reaped: its pid may be another process's after that.
    fn forget(&self, pid: i32) {
        let mut ssh = lock(&self.ssh);
        if ssh.is_some_and(|ssh| ssh.pid == pid) {
            *ssh = None;
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        // ssh runs LocalCommand by the user's shell (ssh_config(5)), which may be nologin(8).
        command.env("SHELL", "/bin/sh");
        command.arg("-F").arg(self.machine.file("ssh_config"));
        for option in [
            "ExitOnForwardFailure=yes",
            "StreamLocalBindUnlink=yes",
            "StreamLocalBindMask=0177",
            "PermitLocalCommand=yes",
        ] {
            command.args(["-o", option]);
        }
        command.args(["-o", &format!("LocalCommand=echo {UP}"), "-N", "-L"]);
        command.arg(format!("{}:{GUEST_SOCKET}", self.socket.display()));
        command.arg(host_alias(&self.machine.name));
        command
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Options of an ssh that ends if its guest stops answering, within a minute. Connections of users have none: a machine that is
/// paused would lose them.
pub const ALIVE: [&str; 4] = [
    "-o",
    "ServerAliveInterval=20",
    "-o",
    "ServerAliveCountMax=3",
];

/// Returns the machine's name for ssh(1).
#[must_use]
pub fn host_alias(name: &str) -> String {
    format!("podman-machine-{name}")
}

/// Returns the file `ssh_config` of a machine.
#[must_use]
pub fn ssh_config(machine: &Machine, user: &str, port: u16) -> String {
    // ssh expands `${NAME}` in quotes, too, and has no escape for it.
    let dir = match machine.dir.to_string_lossy().contains("${") {
        true => machine.run_file(DIR_LINK),
        false => machine.dir.clone(),
    };
    let quoted = |name: &str| quoted(&dir.join(name));
    let alias = host_alias(&machine.name);
    // The key of the host is kept on its data disk; it belongs to the machine, not to the port. With IdentitiesOnly alone,
    // ssh still asks the agent for its keys (`pubkey_prepare` of OpenSSH), and an agent that hangs would hang the machine.
    format!(
        "Host {alias}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  HostKeyAlias {alias}\n  \
         IdentityFile {}\n  UserKnownHostsFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
         StrictHostKeyChecking accept-new\n  PasswordAuthentication no\n  ControlMaster no\n  \
         ControlPath none\n  ConnectTimeout 30\n  LogLevel ERROR\n",
        quoted("id_ed25519"),
        quoted("known_hosts"),
    )
}

/// Quotes a path for ssh_config(5): words as `argv_split` of OpenSSH 8.7 reads them, with its tokens.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let path = path.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", path.replace('%', "%%"))
}

/// Copies until the end, and passes the end on.
fn pump(mut from: UnixStream, mut to: UnixStream) {
    let mut part = [0; 32 * 1024];
    loop {
        match from.read(&mut part) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(len) => {
                if to.write_all(part.get(..len).unwrap_or_default()).is_err() {
                    break;
                }
            }
        }
    }
    end(&from, &to);
}

/// Passes the end of one direction on.
fn end(from: &UnixStream, to: &UnixStream) {
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// Asks the API at `socket` for a sign of life, and waits for the answer as long as the guest runs;
/// `late` is called once if there is none within `limit`.
pub fn ping(socket: &Path, limit: Duration, late: impl FnOnce()) -> Result<()> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")?;
    let mut answer = Answer::new(stream, STATUS_BYTES);
    let is_line = |bytes: &[u8]| bytes.contains(&b'\n');
    if !answer.read(Some(limit), is_line)? {
        late();
        answer.read(None, is_line)?;
    }
    let answer = String::from_utf8_lossy(&answer.bytes);
    match answer.lines().next() {
        Some(line) if line.contains(" 200 ") => Ok(()),
        Some(line) => bail!("the podman API answered {line}"),
        None => bail!("the podman API did not answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    #[test]
    fn ssh_finds_the_key_in_every_home() {
        let tmp = tempfile::tempdir().expect("a directory");
        for home in [
            "a b",
            "it's",
            "a\"b",
            "it's \"a\" b",
            "x\\y",
            "x\\\\y\\",
            "%h",
            "${HOME}",
            "#",
            "~",
        ] {
            let machine = Machine {
                name: "box".into(),
                dir: tmp.path().join(home),
                run: tmp.path().join("run"),
                cache: tmp.path().join("cache"),
            };
            fs::create_dir(&machine.dir).expect("made");
            machine.make_run().expect("made");
            fs::write(machine.file("id_ed25519"), home).expect("written");
            let file = tmp.path().join("ssh_config");
            fs::write(&file, ssh_config(&machine, "core", 22)).expect("written");
            let mut ssh = Command::new("ssh");
            ssh.arg("-G").arg("-F").arg(&file).arg(host_alias("box"));
            let out = ssh.output().expect("ssh");
            let text = String::from_utf8_lossy(&out.stdout);
            let value = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap_or_else(|| panic!("{home}: {out:?}")).to_owned()
            };
            // The path is printed before its tokens are expanded.
            let key = value("identityfile ").replace("%%", "%");
            assert_eq!(fs::read_to_string(&key).expect(&key), home);
            assert_eq!(value("identityagent "), "none");
            let hosts = value("userknownhostsfile ").replace("%%", "%");
            assert_eq!(Path::new(&hosts).file_name(), Some("known_hosts".as_ref()));
            assert_eq!(Path::new(&hosts).parent(), Path::new(&key).parent());
        }
    }

    #[test]
    fn a_late_api_is_reported_once_and_still_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s");
        for (answer, right) in [
            ("HTTP/1.1 200 OK\r\n\r\nOK", true),
            ("no\n", false),
            ("", false),
        ] {
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path).expect("bound");
            let (told, waits) = mpsc::channel();
            let guest = thread::spawn(move || {
                let mut client = listener.accept().expect("a client").0;
                // The answer arrives after the limit, whatever the load of the host is.
                let lates = waits.recv().map_or(0, |()| 1);
                let _ = client.write_all(answer.as_bytes());
                let _ = client.shutdown(Shutdown::Write);
                // The client is open until the question is over: its request was not read.
                lates + waits.iter().count()
            });
            let late = || told.send(()).expect("a guest");
            let pinged = ping(&path, Duration::from_millis(1), late);
            drop(told);
            assert_eq!(pinged.is_ok(), right, "{answer:?}: {pinged:?}");
            assert_eq!(guest.join().expect("no panic"), 1);
        }
    }
}
