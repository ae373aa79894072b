// SPDX-License-Identifier: Apache-2.0
//! The program from end to end: a machine is created, used, stopped, started, and loses its keeper
//! and its QEMU.

mod docker;
mod files;
mod ports;
mod quadlets;
mod saved;
mod speed;

use anyhow::{Context, Result, ensure};
use machine::store::lock;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests::{Checks, eventually, http};

/// Directories and program of the test; dropping it removes the machine.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Result<Self> {
        // The names of sockets are short here.
        Ok(Self {
            dir: tempfile::tempdir()?,
        })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_podman-machine"));
        command.args(args).env("XDG_RUNTIME_DIR", self.dir.path());
        command
            .env("XDG_DATA_HOME", self.dir.path().join("data"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("DOCKER_CONFIG", self.dir.path().join("docker"))
            .env_remove("MACHINE_STORAGE_PATH");
        command
    }

    fn run(&self, args: &[&str]) -> Result<Output> {
        self.command(args)
            .stdin(Stdio::null())
            .output()
            .context("start podman-machine")
    }

    /// Runs a command that succeeds, and returns its output.
    fn ok(&self, args: &[&str]) -> Result<String> {
        let out = self.run(args)?;
        ensure!(
            out.status.success(),
            "{args:?}: {}: {}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// Runs a command that fails with this status, and returns its messages.
    fn fails(&self, args: &[&str], status: i32) -> Result<String> {
        let out = self.run(args)?;
        ensure!(out.status.code() == Some(status), "{args:?}: {out:?}");
        Ok(String::from_utf8_lossy(&out.stderr).into_owned())
    }

    fn is(&self, state: &str) -> Result<()> {
        let now = self.ok(&["status", "box"])?;
        ensure!(now == state, "{now}, not {state}");
        Ok(())
    }

    /// Returns the one file of this name in the machine's runtime directory.
    fn run_file(&self, name: &str) -> Result<PathBuf> {
        let mut dirs = fs::read_dir(self.dir.path().join("pm"))?.flatten();
        Ok(dirs
            .next()
            .context("no runtime directory")?
            .path()
            .join(name))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir
            .path()
            .join("data/podman-machine/machines/box")
            .join(name)
    }

    /// Kills the process that holds the lock of a file, and waits until the lock is free.
    fn kill9(&self, pid_file: &str) -> Result<()> {
        let file = self.run_file(pid_file)?;
        let pid = fs::read_to_string(&file)?;
        ensure!(
            Command::new("kill")
                .args(["-9", pid.trim()])
                .status()?
                .success()
        );
        lock::wait_free(&file)
    }

    fn ping(&self) -> Result<()> {
        let answer = http::get_unix(&self.run_file("podman.sock")?, "/_ping")?;
        ensure!(
            answer.status == 200 && answer.header("Libpod-API-Version").is_some(),
            "{answer:?}"
        );
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.run(&["rm", "-f", "box"]);
    }
}

#[test]
fn podman_machine_runs_a_machine_with_its_clients() -> Result<()> {
    let host = Host::new()?;
    let out = initramfs::paths::out();
    let out = out.to_str().context("a path of UTF-8")?;
    let mut checks = Checks::new("machine");
    checks.check("a machine that cannot be created leaves nothing", || {
        refused(&host)
    });
    // The machine begins with a template, which is made first.
    let create = [
        "create", "--saved", "--image", out, "--cpus", "1", "--memory", "1G",
    ];
    let created = host.ok(&[&create[..], &["box"]].concat())?;
    let last = created.lines().last().unwrap_or_default();
    checks.check("create ends when the API answers", || {
        ensure!(last.contains("podman-machine env box"), "{created}");
        host.is("Running")?;
        host.ping()?;
        let degraded = host
            .ok(&["ssh", "box", "cat", "/run/boot2podman/degraded"])
            .unwrap_or_default();
        ensure!(degraded.is_empty(), "{degraded}");
        let again = host.fails(&["create", "box"], 1)?;
        ensure!(
            again.starts_with("Podman machine \"box\" already exists"),
            "{again}"
        );
        let again = host.fails(&["start", "box"], 1)?;
        ensure!(again == "Machine \"box\" is already running.\n", "{again}");
        Ok(())
    });
    checks.check(
        "machines of one state have nothing unique in common",
        || saved::copied(&host, &create),
    );
    checks.check("ssh passes the exit status on", || {
        ensure!(host.run(&["ssh", "box", "exit", "7"])?.status.code() == Some(7));
        ensure!(host.ok(&["ssh", "box", "id", "-un"])? == "core");
        ensure!(host.ok(&["ssh", "box", "-C", "--", "echo foo"])? == "foo");
        host.ok(&["ssh", "box", "echo kept | sudo tee /var/lib/boot2podman/k"])?;
        Ok(())
    });
    checks.check("the bridge of env --varlink reaches podman", || {
        bridged(&host)
    });
    checks.check("a published port is there when podman returns", || {
        ports::published(&host)
    });
    checks.check(
        "docker's client publishes ports, and sends data through them",
        || docker::runs(&host),
    );
    checks.check("a keeper that waits does not wake up", || {
        let count = || -> Result<u64> { wakeups(&host.run_file("keeper.pid")?) };
        eventually(Duration::from_secs(30), || {
            let before = count()?;
            std::thread::sleep(Duration::from_secs(2));
            ensure!(count()? == before, "it woke up");
            Ok(())
        })
    });
    checks.check(
        "a machine without a keeper is adopted, with its ports",
        || {
            host.kill9("keeper.pid")?;
            host.is("Running")?;
            host.ping()?;
            let text = fs::read_to_string(host.run_file("run.json")?)?;
            ensure!(text.contains("\"protocol\": \"udp\""), "{text}");
            Ok(())
        },
    );
    checks.check(
        "a suspended machine continues with containers, ports and clock",
        || saved::suspended(&host),
    );
    checks.check(
        "a cut suspension loses no disk, and keeps no memory that does not fit it",
        || saved::cut(&host),
    );
    checks.check(
        "a restart from the inside is seen, and gives ports of containers back",
        || ports::restarted(&host),
    );
    checks.check("settings change while the machine runs", || {
        files::change_settings(&host)
    });
    checks.check(
        "podman and docker know the machine only if asked to",
        || files::check_connection(&host),
    );
    checks.check("a stopped machine is off and starts with its disk", || {
        let events = host
            .command(&["events", "--json"])
            .stdout(Stdio::piped())
            .spawn()?;
        host.ok(&["stop", "box"])?;
        let events = events.wait_with_output()?;
        let events = String::from_utf8_lossy(&events.stdout).into_owned();
        for part in ["\"phase\":\"Stopping\"", "\"ended\":\"powered off\""] {
            ensure!(events.contains(part), "{events}");
        }
        host.is("Stopped")?;
        ensure!(host.fails(&["url", "box"], 1)? == "Host is not running\n");
        ensure!(!host.run_file("podman.sock")?.exists());
        files::copies(&host)?;
        saved::upgraded(&host)?;
        ensure!(host.ok(&["ssh", "box", "cat", "/var/lib/boot2podman/k"])? == "kept");
        files::check_settings_after_restart(&host)?;
        Ok(())
    });
    checks.check(
        "a QEMU that is killed leaves a stopped machine and the reason",
        || {
            host.kill9("qemu.pid")?;
            host.ok(&["wait", "--for", "stopped", "box"])?;
            host.is("Stopped")?;
            let last = fs::read_to_string(host.file("last.json"))?;
            ensure!(last.contains("QEMU was killed by signal 9"), "{last}");
            Ok(())
        },
    );
    checks.check("rm leaves nothing", || {
        ensure!(
            host.ok(&["rm", "-y", "box"])?
                .ends_with("Successfully removed box")
        );
        ensure!(!host.file("").exists());
        ensure!(fs::read_dir(host.dir.path().join("pm"))?.count() == 0);
        let error = host.fails(&["status", "box"], 1)?;
        ensure!(
            error.starts_with("Podman machine \"box\" does not exist."),
            "{error}"
        );
        Ok(())
    });
    checks.done()
}

/// Sets the variables as the first line of `env` says, and calls two methods through the bridge, as podman-remote 1
/// does: by `sh -c`, on the standard input and output.
fn bridged(host: &Host) -> Result<()> {
    let variables = host.ok(&["env", "--varlink", "--shell", "sh", "box"])?;
    let script =
        "eval \"$1\"; [ \"$PODMAN_MACHINE_NAME\" = box ] && exec sh -c \"$PODMAN_VARLINK_BRIDGE\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", &variables]);
    let calls =
        b"{\"method\":\"org.varlink.service.GetInfo\"}\0{\"method\":\"io.podman.GetVersion\"}\0";
    let output = vmm::process::output(shell, calls, Duration::from_secs(120))?;
    let replies: Vec<serde_json::Value> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|reply| !reply.is_empty())
        .map(serde_json::from_slice)
        .collect::<Result<_, _>>()?;
    ensure!(
        replies.len() == 2
            && replies[0]["parameters"]["product"] == "podman"
            && replies[1]["parameters"]["remote_api_version"] == 1,
        "{output:?}"
    );
    Ok(())
}

fn refused(host: &Host) -> Result<()> {
    let error = host.fails(&["create", "_box"], 1)?;
    ensure!(error.contains("Invalid hostname specified"), "{error}");
    let bad = host.dir.path().join("image");
    fs::create_dir(&bad)?;
    for (name, content) in [
        ("vmlinuz", "k"),
        ("initrd.img", "i"),
        ("SHA256SUMS", "00  vmlinuz\n"),
    ] {
        fs::write(bad.join(name), content)?;
    }
    let bad = bad.to_str().context("a path of UTF-8")?;
    let error = host.fails(&["create", "--image", bad, "box"], 3)?;
    ensure!(error.contains("the image is refused"), "{error}");
    let none = fs::read_dir(host.dir.path().join("data/podman-machine/machines"))?.count();
    ensure!(none == 0, "{none} files are left");
    Ok(())
}

/// Returns the number of times that the threads of a process slept and woke.
fn wakeups(pid_file: &Path) -> Result<u64> {
    let pid = fs::read_to_string(pid_file)?;
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{}/task", pid.trim()))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.context("no counter")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}
