// SPDX-License-Identifier: Apache-2.0
//! Debian 13's own podman machine, which drives the disk of `make disk` in QEMU under TCG, and pulls
//! the disk from a registry in the form of `make oci`.

mod clock;
mod host;

use anyhow::{Result, ensure};
use host::{DOMAIN_USER, Host, USERS, User};
use initramfs::paths;
use std::fs;
use tests::{Checks, image};

/// Message of podman about a machine that has reported that it is ready and does not answer by ssh;
/// podman then waits for half a second, and longer each time.
const MISSED: &str = "SSH readiness check for machine failed";

/// The disk and the artifact, in the host.
const DISK: &str = "/mnt/boot2podman.qcow2";
const ARTIFACT: &str = "/mnt/boot2podman-machine.oci.tar";
/// The artifact in the host's registry.
const REGISTRY: &str = "docker://127.0.0.1:5000/boot2podman:1";

/// Configuration of the registry.
const REGISTRY_CONFIG: &str = "\
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: /tmp/registry}}
http: {addr: 127.0.0.1:5000}
";

/// Settings of every machine.
const SIZE: [&str; 4] = ["-m", "1536", "--cpus", "2"];

fn host(name: &str) -> Result<Host> {
    for made in [paths::QCOW2, paths::MACHINE_OCI] {
        let file = paths::out().join(made);
        ensure!(
            file.exists(),
            "there is no {}: `make disk` and `make oci` make it",
            file.display()
        );
    }
    let mut host = Host::new(name)?;
    let dir = paths::out().join("disks").join(name).join("tmp");
    image::archive(&dir)?;
    fs::set_permissions(
        dir.join("box.tar"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )?;
    host.root("podman --version")
        .map(|version| println!("{version}"))?;
    Ok(host)
}

/// A user of the host, and the one machine of that user, `m`.
struct Machine<'a> {
    host: &'a mut Host,
    user: User,
}

impl<'a> Machine<'a> {
    fn of(user: User, host: &'a mut Host) -> Self {
        Machine { host, user }
    }

    fn run(&mut self, command: &[&str]) -> Result<String> {
        self.host.run_as(self.user, command)
    }

    /// Initializes the machine with these further options.
    fn init(&mut self, image: &str, options: &[&str]) -> Result<()> {
        let command = ["podman", "machine", "init", "--image", image];
        let options = [&command, &SIZE[..], options, &["m"]].concat();
        self.run(&options).map(drop)
    }

    /// Initializes and removes machines with disks of these sizes in GiB.
    fn sizes(&mut self, image: &str, sizes: &[&str]) -> Result<()> {
        for size in sizes {
            self.init(image, &["--disk-size", size])?;
            self.run(&["podman", "machine", "rm", "-f", "m"])?;
        }
        Ok(())
    }

    /// Starts the machine, and fails if podman had to try again after the machine's report that it is
    /// ready, or prints unexpected lines. The time after the ready line is that of the commands that
    /// podman sends, and of the first start of podman in the machine; under TCG this time depends on
    /// the host.
    fn start(&mut self) -> Result<()> {
        let (said, after) = self.host.start(self.user, "m")?;
        let after = after.as_secs_f32();
        println!("start ended {after:.1} s after the ready line");
        let out = said.out.trim_end();
        ensure!(out.ends_with("Machine \"m\" started successfully"), "{out}");
        ensure!(!out.contains("systemctl"), "{out}");
        ensure!(!said.err.contains(MISSED), "{}", said.err);
        self.ssh_says("cat /run/boot2podman/degraded", "")
    }

    fn stop(&mut self) -> Result<()> {
        let out = self.run(&["podman", "machine", "stop", "m"])?;
        ensure!(out.ends_with("Machine \"m\" stopped successfully"), "{out}");
        Ok(())
    }

    /// Removes the machine, and fails if a file or a process is left.
    fn reset(&mut self) -> Result<()> {
        self.stop()?;
        self.run(&["podman", "machine", "reset", "-f"])?;
        let User { name, uid } = self.user;
        let files = format!(
            "find /home/{name}/.local /home/{name}/.config /run/user/{uid} -path '*/machine/*' -type f"
        );
        says(&self.host.root(&files)?, "")?;
        let programs = "for comm in /proc/[0-9]*/comm; do read -r name <$comm; \
            case $name in qemu*|gvproxy|virtiofsd) echo $name ;; esac; done";
        says(&self.host.root(programs)?, "")
    }

    fn ssh(&mut self, script: &str) -> Result<String> {
        let said = self.run(&["podman", "machine", "ssh", "m", script])?;
        Ok(said.replace('\r', ""))
    }

    fn ssh_says(&mut self, script: &str, want: &str) -> Result<()> {
        says(&self.ssh(script)?, want)
    }

    /// Runs podman of the host over a connection of the machine.
    fn podman(&mut self, connection: &str, words: &[&str]) -> Result<String> {
        self.run(&[&["podman", "--connection", connection], words].concat())
    }

    fn load(&mut self, connection: &str) -> Result<()> {
        let load = ["load", "-q", "-i", "/tmp/box.tar"];
        self.podman(connection, &load).map(drop)
    }

    /// Runs a container with limits, and fails unless the container reads its limits and `script`
    /// succeeds.
    fn limits_hold(&mut self, script: &str) -> Result<()> {
        let script = format!("{LIMITS}; {script}");
        let run = [
            "run",
            "--rm",
            "-m",
            "32m",
            "--pids-limit",
            "20",
            "-v",
            "/v:/v",
        ];
        let command = [image::NAME, "sh", "-c", &script];
        says(
            &self.podman("m", &[&run[..], &command].concat())?,
            "33554432\n20",
        )
    }

    /// Fails unless the file in the volume is the user's own, on the host as well.
    fn made_in_volume(&mut self) -> Result<()> {
        let User { name, uid } = self.user;
        let owner = self
            .host
            .root(&format!("stat -c %u:%g /home/{name}/vol/made"))?;
        says(&owner, &format!("{uid}:{uid}"))
    }

    /// Gets the page of the container `web` by its port on the host.
    fn web(&mut self) -> Result<()> {
        let retry = ["--retry", "20", "--retry-all-errors", "--retry-delay", "1"];
        let curl = [&["curl", "-sf"], &retry[..], &["http://127.0.0.1:18123/"]].concat();
        says(&self.run(&curl)?, "hello")
    }

    /// Fails unless docker's socket is that of the machine's podman.
    fn is_rootful(&mut self) -> Result<()> {
        self.ssh_says("readlink /run/docker.sock", "/run/podman/podman.sock")
    }
}

fn says(said: &str, want: &str) -> Result<()> {
    ensure!(said == want, "{said:?} instead of {want:?}");
    Ok(())
}

/// Command that prints the limits of its container.
const LIMITS: &str = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";

#[test]
#[ignore = "fetches a host of 300 MB and boots four times: make test-all"]
fn podman_machine_creates_uses_and_removes_a_machine() -> Result<()> {
    let mut host = host("podman-machine-life")?;
    let mut m = Machine::of(USERS[0], &mut host);
    let mut checks = Checks::new("podman machine");
    checks.check("init takes sizes from that of the file on", || {
        m.sizes(DISK, &["10", "100"])?;
        m.init(
            DISK,
            &[
                "--disk-size",
                "11",
                "-v",
                "/home/ann/vol:/v",
                "-v",
                "/etc:/data/etc:ro",
            ],
        )
    });
    checks.check("start", || m.start());
    checks.check("ssh is the user's session", || session(&mut m));
    checks.check("both connections, and docker's socket", || {
        connections(&mut m)
    });
    checks.check("run -m --pids-limit -v", || {
        m.load("m")?;
        m.limits_hold("touch /v/made")?;
        m.made_in_volume()?;
        let write = ["podman", "machine", "ssh", "m", "sudo touch /data/etc/x"];
        let refused = m.host.try_as(m.user, &write)?;
        ensure!(refused.err.contains("Read-only"), "{refused:?}");
        Ok(())
    });
    checks.check("run -p", || publish(&mut m));
    checks.check(
        "a second start finds the container, its port and its limit",
        || second_start(&mut m),
    );
    checks.check("set --rootful lasts over starts", || set_rootful(&mut m));
    checks.check("stop and reset leave nothing", || m.reset());
    checks.done()
}

fn session(m: &mut Machine<'_>) -> Result<()> {
    let script = "id -un; id -u; sudo id -u; cat /etc/timezone; cut -d/ -f2,3 /proc/self/cgroup";
    m.ssh_says(script, "core\n1000\n0\nEurope/Berlin\nuser/1000")?;
    m.ssh_says("cat /data/etc/timezone", "Europe/Berlin")?;
    let script = "df -Pk /var/lib/containers | tail -n 1 | tr -s ' ' | cut -d' ' -f2";
    let gib = m.ssh(script)?.parse::<u64>()? >> 20;
    ensure!((9..=11).contains(&gib), "the data disk has {gib} GiB");
    Ok(())
}

fn connections(m: &mut Machine<'_>) -> Result<()> {
    let rootless = ["info", "--format", "{{.Host.Security.Rootless}}"];
    says(&m.podman("m", &rootless)?, "true")?;
    says(&m.podman("m-root", &rootless)?, "false")?;
    let socket = "/run/user/1000/podman/m-api.sock";
    says(
        &m.run(&["curl", "-sf", "--unix-socket", socket, "http://d/_ping"])?,
        "OK",
    )?;
    m.ssh_says(
        "readlink /run/docker.sock",
        "/run/user/1000/podman/podman.sock",
    )
}

fn publish(m: &mut Machine<'_>) -> Result<()> {
    m.host.root("echo hello >/home/ann/vol/index.html")?;
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "--restart=always",
        "-m",
        "32m",
        "-p",
        "18123:80",
    ];
    let command = ["-v", "/v:/v", image::NAME, "httpd", "-f", "-h", "/v"];
    m.podman("m", &[&run[..], &command].concat())?;
    m.web()
}

fn second_start(m: &mut Machine<'_>) -> Result<()> {
    m.ssh("echo kept >kept; sudo sh -c 'echo kept >/etc/containers/kept'")?;
    m.stop()?;
    m.start()?;
    m.web()?;
    let limit = ["exec", "web", "cat", "/sys/fs/cgroup/memory.max"];
    says(&m.podman("m", &limit)?, "33554432")?;
    m.ssh_says("cat kept /etc/containers/kept", "kept\nkept")
}

fn set_rootful(m: &mut Machine<'_>) -> Result<()> {
    m.stop()?;
    m.run(&["podman", "machine", "set", "--rootful", "m"])?;
    m.start()?;
    m.is_rootful()?;
    m.load("m-root")?;
    let run = [
        "podman",
        "--remote",
        "run",
        "--rm",
        "-m",
        "32m",
        image::NAME,
    ];
    let files = ["cat", "/proc/self/uid_map", "/sys/fs/cgroup/memory.max"];
    let said = m.run(&[&run[..], &files].concat())?;
    ensure!(said.ends_with("4294967295\n33554432"), "{said}");
    m.stop()?;
    m.start()?;
    m.is_rootful()
}

#[test]
#[ignore = "fetches a host of 300 MB and boots three times: make test-all"]
fn podman_machine_works_for_users_with_other_uids() -> Result<()> {
    let mut host = host("podman-machine-users")?;
    push(&mut host)?;
    let mut checks = Checks::new("podman machine of others");
    let [_, bob, eve] = USERS;
    checks.check("core has the number of the host's user", || {
        let mut m = Machine::of(bob, &mut host);
        m.init(DISK, &["--disk-size", "12", "-v", "/home/bob/vol:/v"])?;
        is_users(&mut m, "core")
    });
    checks.check("--username, from a registry, on a disk of any size", || {
        let mut m = Machine::of(eve, &mut host);
        m.sizes(REGISTRY, &["1", "100"])?;
        m.init(
            REGISTRY,
            &[
                "--disk-size",
                "5",
                "--username",
                "joe",
                "-v",
                "/home/eve/vol:/v",
            ],
        )?;
        is_users(&mut m, "joe")
    });
    checks.check("core has the number of a domain's user", || {
        if !host::is_root()? {
            println!("left out: the tests do not run as root");
            return Ok(());
        }
        let mut m = Machine::of(DOMAIN_USER, &mut host);
        m.init(DISK, &["--disk-size", "12", "-v", "/home/dom/vol:/v"])?;
        is_users(&mut m, "core")
    });
    checks.done()
}

/// Starts a registry on the host and pushes the artifact to this registry.
fn push(host: &mut Host) -> Result<()> {
    host.root(&format!("printf '{REGISTRY_CONFIG}' >/tmp/registry.yml"))?;
    host.root("docker-registry serve /tmp/registry.yml >/tmp/registry.log 2>&1 &")?;
    host.root("curl -sf --retry 60 --retry-all-errors --retry-delay 1 http://127.0.0.1:5000/v2/")?;
    host.root(&format!(
        "skopeo copy -q --all --dest-tls-verify=false oci-archive:{ARTIFACT} {REGISTRY}"
    ))?;
    Ok(())
}

/// Starts the machine, and fails unless the machine is that of the host's user: name and number,
/// subordinate numbers, home, store, volume, limits.
fn is_users(m: &mut Machine<'_>, name: &str) -> Result<()> {
    let uid = m.user.uid;
    // podman has the subordinate numbers begin after the user's own, if that is one of them.
    let first = if uid < 100_000 { 100_000 } else { uid + 1 };
    m.start()?;
    m.ssh_says(
        "id -un; id -u; sudo id -u; stat -c %u:%g ~ $XDG_RUNTIME_DIR; grep ^$(id -un): /etc/subuid; pwd",
        &format!("{name}\n{uid}\n0\n{uid}:{uid}\n{uid}:{uid}\n{name}:{first}:1000000\n/home/{name}"),
    )?;
    let store = [
        "info",
        "--format",
        "{{.Host.Security.Rootless}} {{.Store.GraphRoot}}",
    ];
    says(
        &m.podman("m", &store)?,
        &format!("true /var/lib/containers/user/{uid}"),
    )?;
    m.load("m")?;
    m.limits_hold("touch /v/made")?;
    m.made_in_volume()?;
    m.reset()
}
