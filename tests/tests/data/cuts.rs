// SPDX-License-Identifier: Apache-2.0
//! Power cuts at any moment, while a container writes records and images are loaded: acknowledged
//! data is there afterwards, and everything else works.
//!
//! QEMU is killed. Data that QEMU has written is in the host's cache and stays, as on a disk that
//! loses no write. The module `flushes` covers disks that lose data.

use super::{off, on, whole};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tests::disks::inspect::Ext;
use tests::disks::{self, Image, taken, userdata};
use tests::{BOOT_LIMIT, Guest, Random, eventually, image, keyless, text};
use vmm::{Disk, Machine, process};

/// Name of the container that writes the counted records.
const WRITER: &str = "writer";

/// Script that writes one record after the other, each with its own fsync, and then prints the
/// record's number. A new run continues after the last record.
const WRITE: &str = "n=$(wc -l </data/log 2>/dev/null || echo 0)
while :; do
    n=$((n + 1))
    echo record $n | dd of=/data/log oflag=append conv=notrunc,fsync 2>/dev/null || exit 1
    echo $n
done";

/// Users whose containers write, in turn: the second has none of root's rights.
const USERS: [&str; 2] = ["root", "core"];

/// Path of root's records from the root of the disk.
pub const RECORDS: &str = "/containers/storage/volumes/kept/_data/log";

/// Path of the records in the machine, as a shell expression.
const LOG: &str = "$(podman volume inspect --format '{{.Mountpoint}}' kept)/log";

/// Records so far, and the last one that is known to be on the disk.
pub struct Writer {
    ssh: Child,
    last: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the container, making it if needed, and reads its output; `each` is called with every
    /// number.
    pub fn start(guest: &Guest, user: &str, each: impl Fn(u64) + Send + 'static) -> Result<Writer> {
        let script = format!(
            "podman container exists {WRITER} || podman create --name {WRITER} -v kept:/data {} sh -c '{WRITE}' >/dev/null
             exec podman start --attach {WRITER}",
            image::NAME
        );
        let mut ssh = guest.client("ssh");
        ssh.args(["-T", "-l", user, "guest", "--", &script]);
        ssh.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut ssh = process::spawn(ssh)?;
        let lines = BufReader::new(ssh.stdout.take().context("no output")?).lines();
        let last = Arc::new(AtomicU64::new(0));
        let heard = Arc::clone(&last);
        thread::spawn(move || {
            for number in lines.map_while(Result::ok).filter_map(|l| l.parse().ok()) {
                heard.store(number, Ordering::SeqCst);
                each(number);
            }
        });
        Ok(Writer { ssh, last })
    }

    /// Returns the last acknowledged number.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    /// Waits until the container has acknowledged a record in this run.
    pub fn runs(&self) -> Result<()> {
        eventually(Duration::from_secs(300), || {
            ensure!(self.last() > 0, "the container writes nothing");
            Ok(())
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The connection has usually ended with the machine.
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

/// Expects every record up to `least`, each whole and in its place.
pub fn records(text: &str, least: u64) -> Result<()> {
    let mut count = 0;
    for (n, line) in (1..).zip(text.lines()) {
        // After the acknowledged records there may be half a record.
        ensure!(
            line == format!("record {n}") || n > least,
            "record {n} is {line:?}"
        );
        count = n;
    }
    ensure!(count >= least, "{count} records, {least} were acknowledged");
    Ok(())
}

/// A disk over many power cuts, and the data that must survive the cuts.
struct Life {
    disk: Image,
    archives: Vec<PathBuf>,
    /// Acknowledged records of each of [`USERS`].
    acknowledged: [u64; 2],
    who: String,
    loaded: Vec<String>,
    /// Text of [`KEPT`] that was synced.
    kept: String,
    /// Name under which core was logged in at a registry at that time.
    log_in: String,
}

/// Sets a variable of the shell to the file in which podman stores log-ins at registries.
const AUTH: &str = "auth=$XDG_RUNTIME_DIR/containers/auth.json";

/// Files that the disk keeps in overlays: one of /etc, and one of core's.
const KEPT: [&str; 2] = ["/etc/kept", "/home/core/kept"];
/// User of boots that are cut: the cut may happen while the home is handed over.
const OTHER_USER: &str = "b2p.user=ann:1501";

impl Life {
    /// First boot: the power is not cut before there is something to lose.
    fn begin(name: &str) -> Result<Life> {
        let dir = disks::dir(name)?;
        let tar = userdata::with_key(userdata::OURS, &Guest::public_key()?)?;
        let disk = taken::words(&dir, "disk", &tar)?;
        disk.grow(1024)?;
        let mut life = Life {
            archives: archives(&dir, 4)?,
            disk,
            acknowledged: [0; 2],
            who: String::new(),
            loaded: Vec::new(),
            kept: String::new(),
            log_in: String::new(),
        };
        let guest = life.boot()?;
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        for user in USERS {
            text(&guest.ssh_with(user, "podman load -q", &archive)?)?;
        }
        life.who = who(&guest)?;
        off(&guest)?;
        Ok(life)
    }

    /// Returns a machine whose keys are only on the disk: a login proves that the keys are whole.
    fn machine(&self) -> Result<Machine> {
        let name = self.disk.file().parent().and_then(Path::file_name);
        let name = name.context("no name")?.to_string_lossy().into_owned();
        let machine = keyless(&format!("data-{name}"))?.append("b2p.etc=all");
        Ok(machine.disk(Disk::raw(self.disk.file())))
    }

    fn boot(&self) -> Result<Guest> {
        let guest = Guest::start(&self.machine()?)?;
        on(&guest, "/dev/vda1")?;
        whole(&guest)?;
        Ok(guest)
    }

    /// Cuts the power while the machine boots; the boot need not succeed.
    fn cut_boot(&self, random: &mut Random) -> Result<()> {
        let vm = self.machine()?.append(OTHER_USER).start()?;
        vm.wait_console("Run /init", BOOT_LIMIT)?;
        thread::sleep(Duration::from_millis(random.below(2_500)));
        vm.kill().map(drop)
    }

    /// Checks the disk, then writes, and cuts the power.
    fn round(&mut self, round: usize, random: &mut Random) -> Result<()> {
        let guest = self.boot()?;
        self.check(&guest)?;
        self.keep(&guest, round)?;
        let whose = round % USERS.len();
        let writer = Writer::start(&guest, USERS[whose], |_| ())?;
        let archive = random.below(self.archives.len() as u64) as usize;
        let name = called(archive);
        thread::scope(|scope| {
            let load = scope.spawn(|| load(&guest, &self.archives[archive], &name));
            writer.runs()?;
            thread::sleep(Duration::from_millis(random.below(4_000)));
            guest.vm.kill()?;
            load.join().map_err(|_| anyhow::anyhow!("panicked"))?;
            anyhow::Ok(())
        })?;
        self.acknowledged[whose] = writer.last().max(self.acknowledged[whose]);
        Ok(())
    }

    /// Writes the files of [`KEPT`] anew, and syncs them.
    fn keep(&mut self, guest: &Guest, round: usize) -> Result<()> {
        let [etc, home] = KEPT;
        self.kept = format!("round {round}");
        guest.sh_as(
            "core",
            &format!(
                "echo {0} | dd of={home} conv=fsync && echo {0} | sudo dd of={etc} conv=fsync",
                self.kept
            ),
        )?;
        // podman login replaces its file, and a copy on the disk follows.
        guest.sh_as(
            "core",
            &format!(
                "{AUTH}; mkdir -p ${{auth%/*}}; umask 077; printf '{{\"auths\":{{\"r.example\":{{\"auth\":\"%s\"}}}}}}' \
                 $(printf 'round-{round}:x' | base64) >$auth.new && mv $auth.new $auth"
            ),
        )?;
        eventually(Duration::from_secs(120), || {
            let copy = format!("{AUTH}; cmp $auth .local/state/boot2podman/auth.json");
            guest.sh_as("core", &copy).map(drop)
        })?;
        self.log_in = format!("round-{round}");
        Ok(())
    }

    /// Expects the synced content of the files of [`KEPT`], and the home as core's.
    fn check_kept(&self, guest: &Guest) -> Result<()> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let [etc, home] = KEPT;
        let owners = "find /home -mindepth 1 ! -user core; ls /home";
        let said = guest.sh(&format!("cat {etc} {home}; {owners}"))?;
        ensure!(said == format!("{0}\n{0}\ncore", self.kept), "{said}");
        let said = guest.sh_as("core", "podman login --get-login r.example")?;
        ensure!(said == self.log_in, "{said}, not {}", self.log_in);
        Ok(())
    }

    /// Checks the images. The name of an image that podman wrote seconds before a cut may be lost;
    /// a name that a boot has seen must stay.
    fn check(&mut self, guest: &Guest) -> Result<()> {
        let now = who(guest)?;
        ensure!(now == self.who, "{} and then {now}", self.who);
        self.check_kept(guest)?;
        for (user, least) in USERS.iter().zip(self.acknowledged) {
            if least > 0 {
                let all = guest.sh_as(user, &format!("cat {LOG}"))?;
                records(&all, least).with_context(|| format!("of {user}"))?;
                let names = guest.sh_as(user, "podman ps -a --format '{{.Names}}'")?;
                ensure!(names == WRITER, "{user}: {names:?}");
            }
        }
        let images = guest.sh("podman images --format '{{.Repository}}:{{.Tag}}'")?;
        for name in &self.loaded {
            ensure!(
                images.lines().any(|i| i == name),
                "{name} is not in {images}"
            );
        }
        for name in images.lines().filter(|i| !i.contains("<none>")) {
            self.intact(guest, name)?;
        }
        self.loaded = images.lines().map(str::to_owned).collect();
        self.loaded.retain(|name| !name.contains("<none>"));
        Ok(())
    }

    /// Expects that a listed image runs, and that its files are unchanged.
    fn intact(&self, guest: &Guest, name: &str) -> Result<()> {
        let number = (0..self.archives.len()).find(|n| called(*n) == name);
        let Some(number) = number else {
            let said = guest.sh(&format!("podman run --rm --network none {name} echo runs"))?;
            ensure!(said == "runs", "{name}: {said}");
            return Ok(());
        };
        let out = guest.ssh(
            "root",
            &format!("podman run --rm --network none {name} cat /bulk"),
        )?;
        let right = out.status.success() && out.stdout == image::bulk(number as u64 + 1);
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(
            right,
            "{name} is broken: {} bytes, {said}",
            out.stdout.len()
        );
        Ok(())
    }

    /// Cuts the power at the moment at which podman reports an image as loaded. Remains must not
    /// prevent a new load of the image.
    fn cut_load(&mut self, number: usize) -> Result<()> {
        let name = called(number);
        for again in [false, true] {
            let guest = self.boot()?;
            self.check(&guest)?;
            let done = load(&guest, &self.archives[number], &name);
            ensure!(done, "{name} is not loaded, again: {again}");
            if again {
                self.intact(&guest, &name)?;
                return off(&guest);
            }
            guest.vm.kill()?;
        }
        Ok(())
    }

    /// Shuts down in order, and expects a clean disk.
    fn end(mut self) -> Result<()> {
        let guest = self.boot()?;
        self.check(&guest)?;
        off(&guest)?;
        Ext::on(&self.disk)?.clean()?;
        println!(
            "{:?} records acknowledged, {} images",
            self.acknowledged,
            self.loaded.len()
        );
        let dir = self.disk.file().parent().context("no directory")?;
        Ok(fs::remove_dir_all(dir)?)
    }
}

/// Returns the name of the image of this number.
fn called(number: usize) -> String {
    format!("localhost/loaded-{number}:1")
}

/// Makes images of different content.
fn archives(dir: &Path, count: usize) -> Result<Vec<PathBuf>> {
    let one = |n: usize| {
        let below = dir.join(format!("image-{n}"));
        fs::create_dir(&below)?;
        image::archive_as(&below, &called(n), n as u64 + 1)
    };
    (0..count).map(one).collect()
}

/// Returns true if podman reported the image as loaded.
fn load(guest: &Guest, archive: &Path, name: &str) -> bool {
    let Ok(bytes) = fs::read(archive) else {
        return false;
    };
    let out = guest.ssh_with("root", "podman load -q", &bytes);
    out.is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).contains(name))
}

/// Returns the identity of the machine.
fn who(guest: &Guest) -> Result<String> {
    guest.sh("cat /etc/machine-id; cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub; cat /etc/ssh/ssh_host_ed25519_key | sha256sum; test $(stat -c %s /var/lib/boot2podman/random-seed) = 512")
}

fn many(name: &str, seed: u64, rounds: usize) -> Result<()> {
    let mut life = Life::begin(name)?;
    let mut random = Random::new(seed);
    let mut cuts = 0;
    for round in 0..rounds {
        let done = life.round(round, &mut random);
        done.with_context(|| format!("seed {seed}, round {round}, after {cuts} cuts"))?;
        cuts += 1;
        println!("{name}: {cuts} cuts, {:?} records", life.acknowledged);
        if random.below(2) == 0 {
            life.cut_boot(&mut random)?;
            cuts += 1;
        }
    }
    life.end()
        .with_context(|| format!("seed {seed}, after {cuts} cuts"))?;
    println!("{name}: {cuts} power cuts");
    Ok(())
}

/// Remains of an image after a cut are whole, or do no harm.
#[test]
#[ignore = "nightly: eight boots"]
fn images_are_whole_after_power_cuts_that_follow_a_load() -> Result<()> {
    let mut life = Life::begin("loads")?;
    (0..3).try_for_each(|n| life.cut_load(n))?;
    life.end()
}

/// Some of the rounds, two for each of [`USERS`]; [`the_data_disk_survives_many_power_cuts`] has more.
#[test]
fn the_data_disk_survives_power_cuts() -> Result<()> {
    many("cuts", 1, 4)
}

#[test]
#[ignore = "nightly: about half an hour"]
fn the_data_disk_survives_many_power_cuts() -> Result<()> {
    many("cuts-often", 2, 70)
}
