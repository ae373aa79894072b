// SPDX-License-Identifier: Apache-2.0
//! A machine: a directory as its root, and a disk image on a loop device.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Bytes of a mebibyte.
pub const MIB: u64 = 1 << 20;
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKEYK me";
/// Attempts to see a loop device detached, and the pause between two.
const DETACH_ATTEMPTS: usize = 3_000;
const DETACH_PAUSE: Duration = Duration::from_millis(20);

/// A machine: a directory as its root, and a disk image on a loop device.
pub struct Machine {
    /// Directory of the root, the image and the log.
    pub dir: PathBuf,
    /// Node of the loop device.
    pub device: String,
}

/// Runs a shell script that must succeed; returns its output.
pub fn sh(script: &str) -> String {
    output_of(script).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Runs a shell script; returns its output.
///
/// # Errors
/// The script fails; the error has the script and its output.
fn output_of(script: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    match output.status.success() {
        true => Ok(printed),
        false => Err(format!("{script}: {errors}\n{printed}")),
    }
}

/// Returns true if these tests can run here.
pub fn can_run() -> bool {
    let is_root = sh("id -u") == "0";
    let needed = ["/dev/loop-control", "/usr/sbin/mke2fs"];
    is_root && needed.iter().all(|path| Path::new(path).exists())
}

impl Machine {
    /// Makes a machine whose disk has `size` bytes and begins with `head`.
    pub fn new(name: &str, size: u64, head: &[u8]) -> Machine {
        let dir = std::env::temp_dir().join(format!("b2p-data-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("root/etc/ssh")).unwrap();
        let image = File::create(dir.join("image")).unwrap();
        image.set_len(size).unwrap();
        image.write_all_at(head, 0).unwrap();
        let mut machine = Machine {
            dir,
            device: String::new(),
        };
        machine.attach();
        machine
    }

    pub fn image(&self) -> PathBuf {
        self.dir.join("image")
    }

    pub fn open_image(&self) -> File {
        let mut options = File::options();
        options.read(true).write(true).open(self.image()).unwrap()
    }

    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Node of the first partition.
    pub fn partition(&self) -> String {
        format!("{}p1", self.device)
    }

    pub fn set_machine_id(&self, id: &str) {
        fs::write(self.root().join("etc/machine-id"), format!("{id}\n")).unwrap();
    }

    pub fn attach(&mut self) {
        let image = self.image();
        self.device = sh(&format!("losetup -f --show -P {}", image.display()));
    }

    /// Detaches the loop device, and waits for the end of the device: its last partition may still
    /// be open.
    pub fn detach(&self) {
        sh(&format!("sync; losetup -d {}", self.device));
        let attached = format!("losetup -j {} -n", self.image().display());
        for _ in 0..DETACH_ATTEMPTS {
            if !sh(&attached).contains(&self.device) {
                return;
            }
            std::thread::sleep(DETACH_PAUSE);
        }
        panic!("{} stays", self.device);
    }

    /// Boots: runs `b2p data` with `options`, then the shell script `then` in the root. Returns
    /// the line of the report without its number, and the output of the script.
    pub fn boot(&self, options: &str, then: &str) -> (String, String) {
        let script = format!(
            "cd {root}
             mkdir -p run/boot2podman var/lib/containers/user/1000 var/lib/boot2podman
             rm -f run/boot2podman/data*
             {b2p} data --data={device} {options} --root={root} 2>{log}
             {then}",
            root = self.root().display(),
            log = self.dir.join("log").display(),
            device = self.device,
            b2p = env!("CARGO_BIN_EXE_b2p"),
        );
        let output = output_of(&format!(
            "unshare -m --propagation private sh -ec '{}'",
            script.replace('\'', "'\\''")
        ));
        let output = output.unwrap_or_else(|failure| panic!("{failure}\n{}", self.log()));
        let (report, rest) = output.split_once('\n').unwrap_or((&output, ""));
        let report = report.rsplit_once(" seq=").map_or(report, |(line, _)| line);
        (report.to_owned(), rest.to_owned())
    }

    pub fn checksum(&self) -> String {
        sh(&format!("sync; sha256sum < {}", self.image().display()))
    }

    /// Returns the log of the last boot.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// Returns the degraded lines of the last boot, without those about loop devices of others.
    pub fn degraded(&self) -> String {
        let lines = fs::read_to_string(self.root().join("run/boot2podman/data.degraded")).unwrap();
        let own = lines.lines().filter(|line| !self.is_of_another(line));
        own.map(|line| format!("{line}\n")).collect()
    }

    /// Returns true for a line about the loop device of another test or program: the helper examines all
    /// disks of the host, and reports a refused format request.
    fn is_of_another(&self, line: &str) -> bool {
        let named = line.strip_prefix("degraded data: ");
        let Some((name, _)) = named.and_then(|rest| rest.split_once(':')) else {
            return false;
        };
        let own = self.device.trim_start_matches("/dev/");
        let is_own = name == own || name.starts_with(&format!("{own}p"));
        name.starts_with("loop") && !is_own
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.device]).output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Returns an archive of tar(1) that requests the format and has keys.
pub fn format_request() -> Vec<u8> {
    let tar = sh(&format!(
        "d=$(mktemp -d); cd $d; : > 'boot2podman, please format-me'; mkdir .ssh
         ssh-keygen -q -t rsa -b 4096 -N '' -C rsa -f k; cat k.pub > .ssh/authorized_keys
         echo '{KEY}' >> .ssh/authorized_keys
         tar cf $d.tar 'boot2podman, please format-me' .ssh; rm -r $d; echo $d.tar"
    ));
    let bytes = fs::read(&tar).unwrap();
    fs::remove_file(tar).unwrap();
    bytes
}
