// SPDX-License-Identifier: Apache-2.0
//! Folders of the host for QEMU: by virtiofsd where there is one, else by QEMU's own 9p.
//!
//! virtiofsd inherits a socket that listens already, so nothing waits for it; it ends when QEMU
//! closes its connection.

use super::session::unsignalled;
use crate::store::Machine;
use crate::store::share::{Share, tag};
use crate::tool;
use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{Gid, Uid};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Directories in which distributions have virtiofsd, beside those of `PATH`.
const PLACES: [&str; 4] = [
    "/usr/libexec",
    "/usr/lib/qemu",
    "/usr/lib",
    "/usr/local/libexec",
];
/// uid and gid of the machine's user.
const CORE: u32 = 1000;

/// Returns the path of virtiofsd.
#[must_use]
pub fn server() -> Option<PathBuf> {
    let place = |dir: &str| Path::new(dir).join("virtiofsd");
    let in_place = || {
        PLACES
            .iter()
            .map(|dir| place(dir))
            .find(|path| path.is_file())
    };
    tool::find("virtiofsd").or_else(in_place)
}

/// Way of one folder into the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Socket of a virtiofsd.
    Virtiofs(PathBuf),
    /// QEMU itself.
    Plan9,
}

/// Folder as QEMU gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Folder.
    pub share: Share,
    /// Tag in the machine.
    pub tag: String,
    /// Way.
    pub transport: Transport,
}

/// Way that is tried for a folder: the next one where QEMU did not start with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// virtiofsd if there is one.
    Best,
    /// QEMU's 9p.
    Plan9,
    /// The machine starts without the folder.
    Without,
}

/// Folders of a machine with their servers.
#[derive(Default)]
pub struct Served {
    /// Folders that QEMU gets.
    pub folders: Vec<Folder>,
    servers: Vec<(usize, Child, PathBuf)>,
    /// Shortcomings of the folders, `what: why`.
    pub notes: Vec<String>,
}

impl Served {
    /// Starts the servers of all folders.
    pub fn start(machine: &Machine, shares: &[Share], attempts: &[Attempt]) -> Self {
        let mut served = Self::default();
        let (program, against) = match shares.is_empty() {
            true => (None, None),
            false => usable_server(),
        };
        for (index, (share, attempt)) in shares.iter().zip(attempts).enumerate() {
            if *attempt == Attempt::Without {
                continue;
            }
            if !share.source.is_dir() {
                served.note(share, "no such directory on the host");
                continue;
            }
            let tag = tag(index);
            let mut transport = Transport::Plan9;
            if let (Some(why), Attempt::Best) = (&against, attempt) {
                served.note(share, why);
            }
            // The old one takes a comma for the end of the path.
            let fits = |old: bool| !old || !share.source.to_string_lossy().contains(',');
            if let Some((old, path)) = program
                .as_ref()
                .filter(|(old, _)| *attempt == Attempt::Best && fits(*old))
            {
                let socket = machine.run_file(&format!("{tag}.sock"));
                let log = machine.file(&format!("virtiofsd-{tag}.log"));
                let server = serve(path, *old, share, &socket, &log);
                if served.keep(index, share, server, log) {
                    transport = Transport::Virtiofs(socket);
                }
            }
            served.folders.push(Folder {
                share: share.clone(),
                tag,
                transport,
            });
        }
        served
    }

    /// Keeps the server of a folder, or the reason for which it did not start; returns true for a server.
    fn keep(&mut self, index: usize, share: &Share, server: Result<Child>, log: PathBuf) -> bool {
        match server {
            Ok(child) => {
                self.servers.push((index, child, log));
                true
            }
            Err(error) => {
                self.note(share, &format!("{error:#}"));
                false
            }
        }
    }

    fn note(&mut self, share: &Share, why: &str) {
        self.notes
            .push(format!("share {}: {why}", share.source.display()));
    }

    /// Ends the servers after QEMU has failed with `output`, and chooses another transport for the folders
    /// whose server or transport was the reason. Returns a note for each of these folders.
    pub fn step_down(
        &mut self,
        output: &str,
        shares: &[Share],
        attempts: &mut [Attempt],
    ) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |index: usize, why: &str| {
            if let Some(share) = shares.get(index) {
                notes.push(format!("share {}: {why}", share.source.display()));
            }
        };
        for (index, child, log) in &mut self.servers {
            let failure = end_server(child, log);
            if let (Some(attempt), Some(last)) = (attempts.get_mut(*index), failure) {
                *attempt = Attempt::Plan9;
                let why = format!("by 9p, because virtiofsd has ended: {last}");
                note(*index, &why);
            }
        }
        if output.contains("fsdev") || output.contains("virtio-9p") {
            for (index, attempt) in attempts.iter_mut().enumerate() {
                if *attempt != Attempt::Without {
                    *attempt = Attempt::Without;
                    note(
                        index,
                        "this QEMU has no 9p, and there is no virtiofsd that runs (Debian's package virtiofsd)",
                    );
                }
            }
        }
        notes
    }
}

/// Kills a server. Returns the last line of its log if it had failed before.
fn end_server(child: &mut Child, log: &Path) -> Option<String> {
    let _ = child.kill();
    let status = child.wait().ok()?;
    status.code().filter(|code| *code != 0)?;
    let text = fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    Some(last.unwrap_or_default().to_owned())
}

/// Returns the virtiofsd that runs for this user, with true for an old one, or the reason for which folders are shared
/// without it.
fn usable_server() -> (Option<(bool, PathBuf)>, Option<String>) {
    let Some(path) = server() else {
        return (None, None);
    };
    match is_usable(&path) {
        Ok(old) => (Some((old, path)), None),
        Err(why) => {
            let by = "by 9p, which the image's default kernel does not have, because";
            (None, Some(format!("{by} {}: {why:#}", path.display())))
        }
    }
}

/// Judges a virtiofsd; returns true for the one that was part of QEMU until 7.2.
///
/// # Errors
/// The reason for which it does not run for this user.
pub(super) fn is_usable(path: &Path) -> Result<bool> {
    let text = tool::output(Command::new(path).arg("--version"))?;
    judge_version(&text, Uid::effective().is_root())
}

/// The old one enters namespaces and changes its root as root alone (docs/tools/virtiofsd.rst of QEMU 7.2).
fn judge_version(text: &str, is_root: bool) -> Result<bool> {
    let is_old = text.starts_with("virtiofsd version");
    ensure!(
        is_root || !is_old,
        "it is a part of QEMU until 7.2, and runs as root alone"
    );
    Ok(is_old)
}

fn serve(program: &Path, old: bool, share: &Share, socket: &Path, log: &Path) -> Result<Child> {
    vmm::ssh::remove(socket)?;
    let listener = UnixListener::bind(socket).with_context(|| socket.display().to_string())?;
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).context("F_SETFD")?;
    let log = File::create(log).with_context(|| log.display().to_string())?;
    let mut command = Command::new(program);
    let owner = (Uid::current().as_raw(), Gid::current().as_raw());
    command.args(arguments(old, share, listener.as_raw_fd(), owner));
    command.process_group(0).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log);
    let spawned = unsignalled(|| command.spawn())?;
    spawned.with_context(|| format!("start {}", program.display()))
}

/// Returns virtiofsd's arguments. Files that the machine writes belong to the host's user, and
/// files of the host's user belong to `core` in the machine. The old virtiofsd runs as root only, and cannot translate
/// uids.
fn arguments(old: bool, share: &Share, fd: i32, owner: (u32, u32)) -> Vec<String> {
    let source = share.source.display();
    if old {
        // A comma would end the value.
        return vec![
            format!("--fd={fd}"),
            "-o".into(),
            format!("source={source}"),
            "-o".into(),
            "sandbox=chroot".into(),
        ];
    }
    let (uid, gid) = owner;
    let mut args = vec![
        format!("--fd={fd}"),
        format!("--shared-dir={source}"),
        format!("--translate-uid=squash-guest:0:{uid}:4294967295"),
        format!("--translate-gid=squash-guest:0:{gid}:4294967295"),
        format!("--translate-uid=host:{uid}:{CORE}:1"),
        format!("--translate-gid=host:{gid}:{CORE}:1"),
    ];
    if share.read_only {
        args.push("--readonly".to_owned());
    }
    args
}

/// Returns QEMU's arguments for a folder.
#[must_use]
pub fn devices(folder: &Folder) -> [String; 4] {
    let tag = &folder.tag;
    let escape = |path: &Path| path.to_string_lossy().replace(',', ",,");
    match &folder.transport {
        Transport::Virtiofs(socket) => [
            "-chardev".to_owned(),
            format!("socket,id={tag},path={}", escape(socket)),
            "-device".to_owned(),
            format!("vhost-user-fs-pci,chardev={tag},tag={tag},queue-size=1024"),
        ],
        Transport::Plan9 => [
            "-fsdev".to_owned(),
            format!(
                "local,id={tag},path={},security_model=none{}",
                escape(&folder.share.source),
                if folder.share.read_only {
                    ",readonly=on"
                } else {
                    ""
                }
            ),
            "-device".to_owned(),
            format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_virtiofsd_of_qemu_runs_as_root_alone() {
        let (old, new) = ("virtiofsd version 7.2.22 (Debian)\n", "virtiofsd 1.13.2\n");
        assert!(judge_version(old, true).expect("usable"));
        assert!(judge_version(old, false).is_err());
        assert!(!judge_version(new, true).expect("usable"));
        assert!(!judge_version(new, false).expect("usable"));
    }

    fn share(read_only: bool) -> Share {
        Share {
            source: "/a,b".into(),
            target: "/mnt/x".into(),
            read_only,
        }
    }

    #[test]
    fn the_owner_is_the_machines_user() {
        let args = arguments(false, &share(true), 7, (1001, 100)).join(" ");
        assert_eq!(
            args,
            "--fd=7 --shared-dir=/a,b --translate-uid=squash-guest:0:1001:4294967295 \
             --translate-gid=squash-guest:0:100:4294967295 --translate-uid=host:1001:1000:1 \
             --translate-gid=host:100:1000:1 --readonly"
        );
        let args = arguments(true, &share(false), 7, (0, 0)).join(" ");
        assert_eq!(args, "--fd=7 -o source=/a,b -o sandbox=chroot");
    }

    #[test]
    fn devices_of_qemu() {
        let folder = |transport| Folder {
            share: share(true),
            tag: "pm0".into(),
            transport,
        };
        assert_eq!(
            devices(&folder(Transport::Virtiofs("/r/pm0.sock".into()))).join(" "),
            "-chardev socket,id=pm0,path=/r/pm0.sock -device vhost-user-fs-pci,chardev=pm0,tag=pm0,queue-size=1024"
        );
        assert_eq!(
            devices(&folder(Transport::Plan9)).join(" "),
            "-fsdev local,id=pm0,path=/a,,b,security_model=none,readonly=on -device virtio-9p-pci,fsdev=pm0,mount_tag=pm0"
        );
    }
}
