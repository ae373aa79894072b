// SPDX-License-Identifier: Apache-2.0
//! A running machine.

use crate::accel::{self, Accelerator};
use crate::argv::{self, Resolved};
use crate::cmdline;
use crate::console::Console;
use crate::machine::{Front, Machine, Network};
use crate::process;
use crate::qmp::Qmp;
use crate::ready::Ready;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time limit of QEMU's start and greeting.
const GREETING: Duration = Duration::from_secs(30);

/// A running machine, killed at the drop of the value.
pub struct Vm {
    child: Mutex<Child>,
    qmp: Mutex<Qmp>,
    console: Option<Console>,
    ports: BTreeMap<String, u16>,
    dir: PathBuf,
    accelerator: Accelerator,
}

impl Machine {
    /// Starts the machine. If another program takes a forwarded port at the last moment, another
    /// port is chosen.
    pub fn start(&self) -> Result<Vm> {
        prepare(self)?;
        let accelerator = self.resolve_accelerator();
        let mut tries = 5;
        loop {
            let ports = pick_ports(self)?;
            match launch(self, accelerator, &ports) {
                Err(e) if tries > 1 && lost_a_port(&e) => tries -= 1,
                other => return other,
            }
        }
    }

    /// Decides on the accelerator, which may take a trial of some seconds; later decisions for the
    /// same kernel are immediate.
    #[must_use]
    pub fn resolve_accelerator(&self) -> Accelerator {
        let kernel = self.boot.as_ref().map(|boot| boot.kernel.as_path());
        self.accel.resolve(self.board, kernel)
    }
}

fn lost_a_port(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("Could not set up host forwarding rule")
}

/// Makes the machine's directory, empty but for its fw_cfg files.
fn prepare(machine: &Machine) -> Result<()> {
    let length = cmdline::build(&machine.command_line(), &machine.keys)
        .line
        .len();
    if length > cmdline::MAX_BYTES {
        bail!(
            "the kernel's command line has {length} bytes: with more than {} the kernel ends without a message",
            cmdline::MAX_BYTES
        );
    }
    let dir = &machine.dir;
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot clear {}", dir.display()));
        }
        _ => fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?,
    }
    for (n, (_, content)) in argv::fw_cfg(machine).iter().enumerate() {
        fs::write(argv::fw_cfg_file(machine, n), content)?;
    }
    Ok(())
}

/// Chooses a port of 127.0.0.1 for each forward. Each port is held until all are chosen, so that no two are the same.
/// Another program may take a port before QEMU calls bind(2): [`Machine::start`] then tries again.
fn pick_ports(machine: &Machine) -> Result<Vec<u16>> {
    if machine.network != Network::User {
        return Ok(Vec::new());
    }
    let mut held = Vec::new();
    for forward in &machine.forwards {
        let port = forward.host.unwrap_or(0);
        let socket = TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("port {port} of 127.0.0.1 for {}", forward.name))?;
        held.push((socket.local_addr()?.port(), socket));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

fn launch(machine: &Machine, accelerator: Accelerator, ports: &[u16]) -> Result<Vm> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = OwnedFd::from(theirs);
    let now = Resolved {
        accelerator,
        loses_patches: accel::loses_patches(machine.board),
        ports,
        qmp_fd: process::fd_number(&theirs),
    };
    let args = argv::build(machine, &now);
    let shown: Vec<_> = args.iter().map(|a| a.to_string_lossy()).collect();
    fs::write(machine.dir.join("qemu.args"), shown.join("\n") + "\n")?;
    let stderr = machine.dir.join("qemu.log");
    let program = machine.board.qemu();
    let mut qemu = Command::new(program);
    qemu.args(args).stderr(File::create(&stderr)?);
    if machine.front == Front::Program {
        // A QEMU in the terminal must stay in the foreground's process group.
        qemu.process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
    }
    let mut child = process::spawn_with_fd(qemu, theirs)
        .with_context(|| format!("cannot start {program}: is it installed?"))?;
    let console = console(machine, &mut child)?;
    let qmp = Qmp::connect(ours, GREETING).map_err(|e| {
        let _ = process::kill_group(&mut child);
        let said = fs::read_to_string(&stderr).unwrap_or_default();
        anyhow!("{program}: {e:#}\n{}", said.trim())
    })?;
    let names = machine.forwards.iter().map(|f| f.name.clone());
    Ok(Vm {
        child: Mutex::new(child),
        qmp: Mutex::new(qmp),
        console,
        ports: names.zip(ports.iter().copied()).collect(),
        dir: machine.dir.clone(),
        accelerator,
    })
}

fn console(machine: &Machine, child: &mut Child) -> Result<Option<Console>> {
    match (child.stdout.take(), child.stdin.take()) {
        (Some(screen), Some(keys)) => {
            Console::new(screen, keys, &argv::console_log(machine)).map(Some)
        }
        _ => Ok(None),
    }
}

impl Vm {
    /// Waits until the guest is ready. Fails at once when QEMU ends or the kernel panics, with the
    /// console's tail.
    pub fn wait_ready(&self, limit: Duration) -> Result<Ready> {
        self.screen()?.wait(0, limit, "the ready line", Ready::find)
    }

    /// Returns the console's output so far.
    pub fn console(&self) -> String {
        match &self.console {
            Some(console) => console.text(),
            None => fs::read(self.dir.join("console.log")).map_or_else(
                |_| String::new(),
                |bytes| String::from_utf8_lossy(&bytes).into_owned(),
            ),
        }
    }

    /// Waits until the console shows `text`, from its beginning on.
    pub fn wait_console(&self, text: &str, limit: Duration) -> Result<()> {
        self.screen()?
            .wait(0, limit, text, |seen| seen.contains(text).then_some(()))
    }

    /// Returns the live console; an error for a machine that is [`Machine::in_terminal`].
    pub fn screen(&self) -> Result<&Console> {
        self.console
            .as_ref()
            .context("the console belongs to the terminal")
    }

    /// Returns the port of 127.0.0.1 that is forwarded under this name; `ssh` always is.
    pub fn port(&self, name: &str) -> Result<u16> {
        self.ports
            .get(name)
            .copied()
            .with_context(|| format!("no port is forwarded as {name}"))
    }

    /// Returns the machine's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the accelerator in use.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Executes a QMP command without arguments.
    pub fn qmp(&self, command: &str) -> Result<Value> {
        self.qmp_with(command, &json!({}))
    }

    /// Executes a QMP command.
    pub fn qmp_with(&self, command: &str, arguments: &Value) -> Result<Value> {
        lock(&self.qmp).execute(command, arguments)
    }

    /// Waits for QEMU's next event of this name.
    pub fn wait_event(&self, name: &str, limit: Duration) -> Result<Value> {
        lock(&self.qmp).wait_event(name, limit)
    }

    /// Presses the power button.
    pub fn power_button(&self) -> Result<()> {
        self.qmp("system_powerdown").map(drop)
    }

    /// Freezes the guest, as a sleeping host does.
    pub fn stop(&self) -> Result<()> {
        self.qmp("stop").map(drop)
    }

    /// Continues a frozen guest.
    pub fn cont(&self) -> Result<()> {
        self.qmp("cont").map(drop)
    }

    /// Kills QEMU: the guest has no chance to react.
    pub fn kill(&self) -> Result<ExitStatus> {
        process::kill_group(&mut lock(&self.child)).context("cannot kill QEMU")
    }

    /// Returns QEMU's status, if QEMU has ended.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }

    /// Waits until QEMU ends by itself: the guest powered off or, with `-no-reboot`, rebooted.
    /// [`Vm::console`] then has its last line.
    pub fn wait_exit(&self, limit: Duration) -> Result<ExitStatus> {
        match process::wait_for(&mut lock(&self.child), limit)? {
            Some(status) => {
                self.console.iter().for_each(Console::wait_end);
                Ok(status)
            }
            None => bail!(
                "QEMU still runs after {} s\n{}",
                limit.as_secs(),
                self.tail()
            ),
        }
    }

    /// Returns the console's last lines.
    pub fn tail(&self) -> String {
        self.console.as_ref().map(Console::tail).unwrap_or_default()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // QEMU may have ended already; another error could not be reported here.
        let _ = self.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_an_asked_for_one_is_kept() {
        let ports =
            pick_ports(&Machine::bare().forward("a", 80).forward("b", 81)).expect("free ports");
        assert_eq!(ports.len(), 3);
        assert!(ports[0] != ports[1] && ports[1] != ports[2]);
        let again = pick_ports(&Machine::bare().ssh_port(ports[0])).expect("still free");
        assert_eq!(again, [ports[0]]);
        assert!(
            pick_ports(&Machine::bare().network(Network::None))
                .expect("none")
                .is_empty()
        );
    }

    #[test]
    fn a_command_line_that_kills_the_kernel_is_refused() {
        let machine = Machine::bare().append("x".repeat(2048));
        let refused = machine.start().err().map(|e| e.to_string());
        assert!(refused.is_some_and(|e| e.contains("2048 bytes")));
    }

    #[test]
    fn only_a_lost_port_repeats_the_start() {
        assert!(lost_a_port(&anyhow!(
            "qemu: Could not set up host forwarding rule 'tcp:…'"
        )));
        assert!(!lost_a_port(&anyhow!("qemu: could not load kernel")));
    }
}
