// SPDX-License-Identifier: Apache-2.0
//! Host of podman machine: Debian 13's own podman, QEMU, gvproxy and virtiofsd, in namespaces of their
//! own. None of these programs is installed on the host of the tests.

use anyhow::{Context, Result, bail, ensure};
use initramfs::fetch::BuildConfig;
use initramfs::{paths, progress::Step};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::disks::{self, tool};
use vmm::process;

/// Time limit of one command, in seconds. A start waits for a whole boot under TCG.
const LIMIT_SECONDS: u32 = 400;
/// Console of the machine that was started last, as the host's users see the path.
const CONSOLE: &str = "/tmp/console.log";
/// Beginning of the ready line on the console.
const READY: &str = "boot2podman: ready ";

/// A person with an account on the host.
#[derive(Clone, Copy)]
pub struct User {
    pub name: &'static str,
    pub uid: u32,
}

/// The numbers that hosts have: Debian's first and second user, and macOS's first.
pub const USERS: [User; 3] = [
    User {
        name: "ann",
        uid: 1000,
    },
    User {
        name: "bob",
        uid: 1001,
    },
    User {
        name: "eve",
        uid: 501,
    },
];

/// A user of a domain (LDAP, Active Directory), whose number is one of the numbers that core's containers have by
/// default. There is no such number where the tests do not run as root.
pub const DOMAIN_USER: User = User {
    name: "dom",
    uid: 200_001,
};

/// First process of the namespaces: a shell of the tree that reads commands and reaps orphans, as QEMU
/// and gvproxy are.
const SCRIPT: &str = r#"
set -eu
tree=$1 scratch=$2 out=$3
mount --make-rprivate /
ip link set lo up
mount -t proc proc "$tree/proc"
mount --rbind /sys "$tree/sys"
mount -t tmpfs -o mode=0755 dev "$tree/dev"
for node in null zero full random urandom tty; do
    : >"$tree/dev/$node"
    mount --bind "/dev/$node" "$tree/dev/$node"
done
mkdir "$tree/dev/pts" "$tree/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$tree/dev/pts"
ln -s pts/ptmx "$tree/dev/ptmx"
ln -s /proc/self/fd "$tree/dev/fd"
mount -t tmpfs -o mode=1777 shm "$tree/dev/shm"
mount -t tmpfs -o mode=0755 run "$tree/run"
mount -t tmpfs -o mode=0755 home "$tree/home"
for dir in etc tmp usr/local/bin; do
    mount --bind "$scratch/$dir" "$tree/$dir"
done
mount --bind "$out" "$tree/mnt"
exec chroot "$tree" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root /bin/bash
"#;

/// File whose presence has machines run on the instruction clock: each instruction takes a nanosecond, and
/// while the machine waits its clock follows the host's (docs/measured/bench.md, "The clocks").
pub const INSTRUCTION_CLOCK: &str = "/tmp/instruction-clock";

/// QEMU for podman machine, which insists on KVM, which a host of tests may lack, and gives the machine
/// no serial console. The file is [`INSTRUCTION_CLOCK`].
const QEMU: &str = r#"#!/bin/bash
args=()
while [ $# -gt 0 ]; do
    case $1 in
        -accel) args+=(-accel tcg); shift ;;
        -cpu) args+=(-cpu max); shift ;;
        -smp) [ -e /tmp/instruction-clock ] || args+=("$1" "$2"); shift ;;
        *) args+=("$1") ;;
    esac
    shift
done
if [ -e /tmp/instruction-clock ]; then
    args+=(-icount shift=0,sleep=on -rtc base=utc,clock=vm)
fi
exec /usr/bin/qemu-system-x86_64 "${args[@]}" -display none -serial file:/tmp/console.log
"#;

/// Result of a command.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// A running host. Drop ends all its processes.
pub struct Host {
    dir: PathBuf,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    count: u32,
}

impl Host {
    /// Starts a host with its files in `out/disks/<name>`. The packages are fetched at the first time.
    pub fn new(name: &str) -> Result<Host> {
        let tree = BuildConfig::from_env()?
            .fetch_machine_host(&Step::new("podman machine's host", 1, 1))
            .context("the packages of podman machine's host")?;
        let dir = disks::dir(name)?;
        prepare(&tree.root, &dir)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--net", "--fork", "--kill-child"]);
        if !is_root()? {
            command.args(["--user", "--map-root-user", "--map-auto"]);
        }
        command.args(["sh", "-c", SCRIPT, "host"]);
        command.arg(&tree.root).arg(&dir).arg(paths::out());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn(command).context("unshare")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut host = Host {
            dir,
            child,
            input: input.context("stdin")?,
            output: BufReader::new(output.context("stdout")?),
            count: 0,
        };
        let domain = is_root()?.then_some(DOMAIN_USER);
        for User { name, uid } in USERS.into_iter().chain(domain) {
            host.root(&format!(
                "mkdir -p /home/{name}/vol /run/user/{uid} && \
                 chown -R {uid}:{uid} /home/{name} /run/user/{uid} && chmod 700 /run/user/{uid}"
            ))?;
        }
        Ok(host)
    }

    /// Runs a script as root of the host and returns its output.
    pub fn root(&mut self, script: &str) -> Result<String> {
        let said = self.run(script)?;
        ensure!(said.status == 0, "{script}: {said:?}");
        Ok(said.out.trim_end().to_owned())
    }

    /// Runs a command as a user.
    pub fn try_as(&mut self, user: User, command: &[&str]) -> Result<Said> {
        let User { name, uid } = user;
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        self.run(&format!(
            "timeout -k 10 {LIMIT_SECONDS} setpriv --reuid={uid} --regid={uid} --clear-groups \
             env -i -C /home/{name} HOME=/home/{name} USER={name} XDG_RUNTIME_DIR=/run/user/{uid} \
             PATH=/usr/local/bin:/usr/bin:/bin TERM=dumb {}",
            words.join(" ")
        ))
    }

    /// Runs a command as a user and returns its output; fails with the whole output if the command
    /// does.
    pub fn run_as(&mut self, user: User, command: &[&str]) -> Result<String> {
        let said = self.succeed(user, command)?;
        Ok(said.out.trim_end().to_owned())
    }

    fn succeed(&mut self, user: User, command: &[&str]) -> Result<Said> {
        let begun = Instant::now();
        let said = self.try_as(user, command)?;
        let seconds = begun.elapsed().as_secs_f32();
        println!("{}$ {}: {seconds:.1} s", user.name, command.join(" "));
        if said.status != 0 {
            let Said { status, out, err } = said;
            let console = fs::read_to_string(self.path(CONSOLE)).unwrap_or_default();
            let lines: Vec<&str> = console.lines().collect();
            let tail = lines[lines.len().saturating_sub(30)..].join("\n");
            bail!("{command:?}: status {status}\n{out}\n{err}\nthe console ends with:\n{tail}");
        }
        Ok(said)
    }

    /// Starts a machine. Returns the output with debug messages, and the time between the machine's
    /// ready line and the end of the command.
    pub fn start(&mut self, user: User, machine: &str) -> Result<(Said, Duration)> {
        let console = self.path(CONSOLE);
        let _ = fs::remove_file(&console);
        let command = ["podman", "--log-level=debug", "machine", "start", machine];
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = scope.spawn(|| seen(&console, &over));
            let said = self.succeed(user, &command);
            let end = Instant::now();
            over.store(true, Ordering::Release);
            let ready = watch.join().ok().flatten();
            let said = said?;
            let ready = ready.context("start ended before the ready line")?;
            Ok((said, end.saturating_duration_since(ready)))
        })
    }

    /// Runs a script of the shell, with its output in files, because started programs may outlive
    /// the script.
    fn run(&mut self, script: &str) -> Result<Said> {
        self.count += 1;
        let number = self.count;
        let file = |kind: &str| format!("/tmp/{number}.{kind}");
        let (out, err) = (file("out"), file("err"));
        writeln!(
            self.input,
            "{{ {script}\n}} </dev/null >{out} 2>{err}; echo {number} $?"
        )?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let status = line.trim().strip_prefix(&format!("{number} "));
        let status = status.with_context(|| format!("the host's shell has ended: {line:?}"))?;
        let text = |path: &str| -> Result<String> {
            Ok(String::from_utf8_lossy(&fs::read(self.path(path))?).into_owned())
        };
        Ok(Said {
            status: status.parse()?,
            out: text(&out)?,
            err: text(&err)?,
        })
    }

    /// Returns the path of a file in the host's /tmp.
    fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path.trim_start_matches('/'))
    }
}

/// Returns true if the tests run as root.
pub fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the console has the ready line, or until the command is over.
fn seen(console: &Path, over: &AtomicBool) -> Option<Instant> {
    loop {
        let ended = over.load(Ordering::Acquire);
        let text = fs::read(console).unwrap_or_default();
        if String::from_utf8_lossy(&text).contains(READY) {
            return Some(Instant::now());
        }
        if ended {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Writes the directories of the tree that the host changes.
fn prepare(tree: &Path, dir: &Path) -> Result<()> {
    for name in [
        "proc",
        "sys",
        "dev",
        "run",
        "home",
        "tmp",
        "mnt",
        "usr/local/bin",
    ] {
        fs::create_dir_all(tree.join(name))?;
    }
    for name in ["tmp", "usr/local/bin"] {
        fs::create_dir_all(dir.join(name))?;
    }
    fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    tool(
        "cp",
        &["-a".as_ref(), tree.join("etc").as_os_str(), dir.as_os_str()],
    )?;
    let etc = dir.join("etc");
    let all = USERS.into_iter().chain([DOMAIN_USER]);
    let users = |line: fn(User) -> String| all.clone().map(line).collect::<String>();
    let passwd =
        users(|User { name, uid }| format!("{name}:x:{uid}:{uid}::/home/{name}:/bin/bash\n"));
    let group = users(|User { name, uid }| format!("{name}:x:{uid}:\n"));
    for (name, text) in [
        ("passwd", format!("root:x:0:0::/root:/bin/bash\n{passwd}")),
        ("group", format!("root:x:0:\n{group}")),
        // gvproxy 0.8.1 does not start without the file.
        ("hosts", "127.0.0.1 localhost\n".into()),
        ("timezone", "Europe/Berlin\n".into()),
        (
            "containers/containers.conf",
            "[engine]\nhelper_binaries_dir = [\"/usr/local/bin\", \"/usr/bin\", \"/usr/libexec\", \"/usr/lib/podman\"]\n".into(),
        ),
        (
            "containers/registries.conf.d/local.conf",
            "[[registry]]\nlocation = \"127.0.0.1:5000\"\ninsecure = true\n".into(),
        ),
    ] {
        let path = etc.join(name);
        fs::create_dir_all(path.parent().context("a directory")?)?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    let qemu = dir.join("usr/local/bin/qemu-system-x86_64");
    fs::write(&qemu, QEMU)?;
    Ok(fs::set_permissions(
        qemu,
        fs::Permissions::from_mode(0o755),
    )?)
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
