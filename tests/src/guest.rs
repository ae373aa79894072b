// SPDX-License-Identifier: Apache-2.0
//! A running machine, and ssh into the machine.

use anyhow::{Context, Result, bail};
use initramfs::arch::Arch;
use initramfs::packages::Kernel;
use initramfs::paths;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use vmm::ssh::{self, Key};
use vmm::{AcceleratorChoice, Artifacts, Board, Machine, Ready, Vm, process, taken_back};

/// Time limit of a boot. A boot takes seconds with KVM, and ten times as long under TCG on a busy
/// host.
pub const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// Time limit of services that were late when the machine was ready.
const LATE_LIMIT: Duration = Duration::from_secs(60);

/// Time limit of one command.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// A virtual machine that is ready. The machine is killed on drop.
pub struct Guest {
    /// The virtual machine.
    pub vm: Vm,
    /// The parsed ready line.
    pub ready: Ready,
    key: Key,
    config: PathBuf,
    masters: Mutex<BTreeMap<String, Child>>,
    tunnels: Mutex<BTreeMap<String, Child>>,
}

/// Returns the files of `make image`; without the files, the error names the command to run.
pub fn artifacts() -> Result<Artifacts> {
    Artifacts::from_out_dir(paths::out())
}

/// Returns a machine without a key, with its files in `out/vm/<name>/`.
pub fn keyless(name: &str) -> Result<Machine> {
    booting(&artifacts()?, name)
}

/// Returns a machine of the architecture that `ARCH=` selects.
fn booting(boot: &Artifacts, name: &str) -> Result<Machine> {
    Ok(Machine::new(boot)
        .board(Board::of_arch(Arch::from_env()?.name))
        .accel(AcceleratorChoice::from_env()?)
        .fixed_addresses()
        .dir(paths::out().join("vm").join(name)))
}

/// Returns a machine with the tests' key.
pub fn machine(name: &str) -> Result<Machine> {
    Ok(keyless(name)?.ssh_key(&key()?.public))
}

/// Returns a machine with the given kernel, whichever kernel `make image` made last.
pub fn machine_of(kernel: Kernel, name: &str) -> Result<Machine> {
    let boot = Artifacts::from_out_dir(paths::out_of(kernel));
    let boot = boot.with_context(|| {
        let name = kernel.name();
        format!("`make test` makes it, or `cargo run -p initramfs -- image {name}`")
    })?;
    Ok(booting(&boot, name)?.ssh_key(&key()?.public))
}

/// Returns a machine of an architecture, on the board that its virtual machines have.
pub fn machine_of_arch(arch: &'static Arch, name: &str) -> Result<Machine> {
    let boot = Artifacts::from_out_dir(paths::out_for(arch));
    let name_of = arch.name;
    let boot = boot.with_context(|| {
        format!("`make test-all` makes it, or `ARCH={name_of} cargo run -p initramfs -- image`")
    })?;
    let machine = booting(&boot, name)?.board(Board::of_arch(arch.name));
    Ok(machine.ssh_key(&key()?.public))
}

/// Returns the one key that all tests use.
fn key() -> Result<Key> {
    Key::in_dir(&paths::out().join("vm"))
}

impl Guest {
    /// Boots a machine and waits until the machine is ready.
    pub fn boot(name: &str, with: impl FnOnce(Machine) -> Machine) -> Result<Self> {
        Self::start(&with(machine(name)?))
    }

    /// Boots the given machine and waits until the machine is ready.
    pub fn start(machine: &Machine) -> Result<Self> {
        let vm = machine.start()?;
        let ready = vm.wait_ready(BOOT_LIMIT)?;
        Self::wrap(vm, ready)
    }

    /// Wraps a machine that is ready already.
    pub fn wrap(vm: Vm, mut ready: Ready) -> Result<Self> {
        await_late(&vm, &mut ready);
        let key = key()?;
        let config = vm.dir().join("ssh_config");
        // Every host name leads to this machine, for clients that insist on one.
        fs::write(
            &config,
            ssh::config(
                "*",
                vm.port("ssh")?,
                &key.file,
                &vm.dir().join("known_hosts"),
            ),
        )?;
        Ok(Self {
            vm,
            ready,
            key,
            config,
            masters: Mutex::default(),
            tunnels: Mutex::default(),
        })
    }

    /// Returns the public key that may log in.
    pub fn public_key() -> Result<String> {
        Ok(key()?.public)
    }

    pub(crate) fn key_file(&self) -> &Path {
        &self.key.file
    }

    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Runs `script` as `root` and returns its standard output without trailing white space. Any exit
    /// status but 0 is an error that contains both outputs.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.sh_as("root", script)
    }

    /// Runs `script` as `user`, as [`Guest::sh`] does.
    pub fn sh_as(&self, user: &str, script: &str) -> Result<String> {
        let out = self.ssh(user, script)?;
        succeeded(script, &out)
    }

    /// Runs `script` by ssh, over one shared connection per user.
    pub fn ssh(&self, user: &str, script: &str) -> Result<Output> {
        self.ssh_with(user, script, b"")
    }

    /// Runs `script` by ssh with `stdin` as its standard input.
    pub fn ssh_with(&self, user: &str, script: &str, stdin: &[u8]) -> Result<Output> {
        self.master(user)?;
        let mut ssh = self.client("ssh");
        ssh.args([
            "-o",
            &control_path_option(user),
            "-T",
            "-l",
            user,
            "guest",
            "--",
            script,
        ]);
        process::output(ssh, stdin, COMMAND_LIMIT)
    }

    /// Runs `script` by ssh over a connection of its own.
    pub fn ssh_alone(&self, user: &str, script: &str) -> Result<Output> {
        let mut ssh = self.client("ssh");
        ssh.args(["-T", "-l", user, "guest", "--", script]);
        process::output(ssh, b"", COMMAND_LIMIT)
    }

    /// Returns the output at a terminal: of a command or, without one, of a login shell that exits
    /// at once.
    pub fn at_terminal(&self, user: &str, command: &[&str]) -> Result<String> {
        let mut ssh = self.client("ssh");
        ssh.env("TERM", "xterm")
            .args(["-tt", "-l", user, "guest"])
            .args(command);
        text(&process::output(ssh, b"exit\n", COMMAND_LIMIT)?)
    }

    /// Returns the processes whose command line contains `pattern`.
    pub fn pids(&self, pattern: &str) -> Result<Vec<u32>> {
        // The filter runs here: in the guest, the filtering shell would find itself.
        let all = text(&self.ssh("root", "ps -e -o pid,args")?)?;
        let hits = all.lines().filter(|line| line.contains(pattern));
        Ok(hits
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect())
    }

    /// Returns an OpenSSH command (`ssh`, `scp`, `sftp`) that reaches the host `guest` and runs in
    /// the machine's directory.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-F").arg(&self.config).args([
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=60",
        ]);
        command.current_dir(self.vm.dir());
        command
    }

    /// Logs in with the key in `file` and no other, and returns the user's name.
    pub fn login_with(&self, user: &str, file: &Path) -> Result<String> {
        let port = self.vm.port("ssh")?.to_string();
        let mut ssh = Command::new("ssh");
        #[rustfmt::skip]
        ssh.args([
            "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
            "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-l", user, "-p", &port, "-i",
        ]);
        ssh.arg(file).args(["127.0.0.1", "id -un"]);
        text(&process::output(ssh, b"", COMMAND_LIMIT)?)
    }

    /// Forwards a unix socket of the guest to the file `name` in the machine's directory until the
    /// guest is dropped; a name that is forwarded already is not changed. ssh requires an absolute
    /// path, and a socket's name is limited to 107 bytes: a path through /proc is both absolute and
    /// short.
    pub fn forward_socket(&self, user: &str, guest: &str, name: &str) -> Result<PathBuf> {
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.vm.dir().join(name);
        if let Some(tunnel) = tunnels.get_mut(name) {
            if tunnel.try_wait()?.is_none() {
                return Ok(socket);
            }
            // ssh leaves the socket of a connection that ended.
            let _ = fs::remove_file(&socket);
        }
        let mut ssh = self.client("ssh");
        ssh.args([
            "-N",
            "-o",
            "ExitOnForwardFailure=yes",
            "-l",
            user,
            "-L",
            &format!("/proc/self/cwd/{name}:{guest}"),
            "guest",
        ]);
        let mut child = self.spawn_background(ssh)?;
        self.wait_for_socket(&mut child, &socket, user)?;
        tunnels.insert(name.to_owned(), child);
        Ok(socket)
    }

    /// Returns the first address of the guest.
    pub fn address(&self) -> Result<String> {
        self.sh(
            "ip -4 -o addr show scope global | awk 'NR == 1 { sub(\"/.*\", \"\", $4); print $4 }'",
        )
    }

    /// Makes sure that a connection exists that commands of `user` can share.
    fn master(&self, user: &str) -> Result<()> {
        let mut masters = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(master) = masters.get_mut(user)
            && master.try_wait()?.is_none()
        {
            return Ok(());
        }
        let mut ssh = self.client("ssh");
        ssh.args([
            "-M",
            "-N",
            "-o",
            &control_path_option(user),
            "-l",
            user,
            "guest",
        ]);
        let mut child = self.spawn_background(ssh)?;
        let socket = self.vm.dir().join(format!("ctl-{user}"));
        self.wait_for_socket(&mut child, &socket, user)?;
        masters.insert(user.to_owned(), child);
        Ok(())
    }

    /// Waits until an ssh process has created its socket, which happens after the login.
    fn wait_for_socket(&self, ssh: &mut Child, socket: &Path, user: &str) -> Result<()> {
        let made = crate::eventually(Duration::from_secs(90), || match ssh.try_wait()? {
            Some(status) => Ok(Some(status)),
            None if socket.exists() => Ok(None),
            None => bail!("ssh as {user} makes no {}", socket.display()),
        });
        match made {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let said = fs::read_to_string(self.vm.dir().join("ssh.log")).unwrap_or_default();
                bail!("ssh as {user}: {status}: {}", said.trim())
            }
            Err(e) => {
                let _ = process::kill_group(ssh);
                Err(e)
            }
        }
    }

    /// Starts an ssh process in the background, with its errors in `ssh.log`.
    fn spawn_background(&self, mut ssh: Command) -> Result<Child> {
        let log = fs::File::create(self.vm.dir().join("ssh.log"))?;
        ssh.process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        process::spawn(ssh).context("cannot start ssh")
    }
}

/// Beginnings of the reasons that PID 1 reports when it waits no longer: for the network, five seconds. A host that
/// runs other programs may take the processor away from an emulated machine for as long.
const LATE: &[&str] = &[
    "still being loaded after ",
    "no network card has been found; ",
    "no address by DHCP after ",
    "the card has no address yet",
    "still not ready after ",
];

/// Waits until the machine takes back each line that it has reported as late, and forgets that line. A line that
/// remains stays in the list.
pub fn await_late(vm: &Vm, ready: &mut Ready) {
    ready.degraded.retain(|line| {
        let is_late = LATE.iter().any(|why| line.why.starts_with(why));
        !is_late || vm.wait_console(&taken_back(line), LATE_LIMIT).is_err()
    });
}

/// Returns the ssh option with the path of the control socket. The path is relative to the machine's
/// directory, because the path of a socket is limited to 107 bytes.
fn control_path_option(user: &str) -> String {
    format!("ControlPath=ctl-{user}")
}

impl Drop for Guest {
    fn drop(&mut self) {
        let masters = self
            .masters
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .values_mut();
        let tunnels = self
            .tunnels
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .values_mut();
        for child in masters.chain(tunnels) {
            // The process may have ended already; the machine is killed next.
            let _ = process::kill_group(child);
        }
    }
}

/// Returns standard output without trailing white space, if the command succeeded.
pub fn text(out: &Output) -> Result<String> {
    succeeded("the command", out)
}

pub(crate) fn succeeded(what: &str, out: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        bail!(
            "{}: {what}\n{stdout}{}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(stdout.trim_end().to_owned())
}
