// SPDX-License-Identifier: Apache-2.0
//! Applies settings besides users and files: the host name, certificates, mounts, and the network.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use config::Config;
use control::{Name, Request};
use log::{info, warn};
use sys::error::{Doing, Error, Result};
use sys::files::replace;
use sys::mountinfo::unescape;
use sys::net::{SYS_CLASS_NET, ethernet_interfaces};
use sys::paths::NETWORK_PLANS;

use super::diagnostics::Diagnostics;
use super::network::{self, Card, Network};
use super::schema::{Certs, Mount};
use crate::common::atomic_file;
use crate::common::confined::Tree;
use crate::common::control_client::ControlClient;
use crate::common::tool;

/// Bundle of certificate authorities that programs read.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Directory of certificate authorities of the machine's user.
const LOCAL_CERTS: &str = "/usr/local/share/ca-certificates";
const FSTAB: &str = "/etc/fstab";
/// Line before those of user-data in fstab.
const FSTAB_MARK: &str = "# by cloud-config, from here on";
/// Directories on which nothing is mounted: PID 1 and its services need their content. Below them a document may mount,
/// as podman machine 6 does on /etc/containers; folders of `b2p.share=` may not (config/src/share.rs).
const SYSTEM_DIRECTORIES: &[&str] = &[
    "/",
    "/bin",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
];
/// Time limit of a mount.
const MOUNT_LIMIT: Duration = Duration::from_secs(10);

/// Sets the host name, unless a flag names one.
///
/// # Errors
/// The name is invalid, or the kernel refuses the name.
pub fn hostname(name: &str) -> Result<()> {
    // The data disk's configuration does not count: the host takes precedence over the disk.
    let mut sources = sys::config_sources::read_raw();
    sources.disk.clear();
    sources.hostname.clear();
    let flags = sources.with_sources(|sources| sources.parse().0);
    if flags.hostname != Config::default().hostname {
        info!("cloud: hostname: a kernel flag has named the machine");
        return Ok(());
    }
    let fits = config::hostname::fit(name).ok_or_else(|| {
        Error::invalid(format!(
            "hostname: {name:?} is no name: letters, digits, - and ."
        ))
    })?;
    if fits != name.strip_suffix('.').unwrap_or(name) {
        warn!("cloud: hostname: {name:?} is no host name of at most 64 bytes; cut to {fits}");
    }
    sys::hostname::set(&fits, &atomic_file::replace_for)
}

/// Adds certificate authorities to the bundle.
pub fn certs(certs: &Certs, diagnostics: &mut Diagnostics) {
    let mut added = Vec::new();
    for (number, text) in (1..).zip(&certs.trusted) {
        match crate::common::certs::certificates(text) {
            Ok(certificates) => {
                let path = format!("{LOCAL_CERTS}/cloud-init-ca-cert-{number}.crt");
                let text = certificates.concat();
                diagnostics.record(replace(Path::new(&path), text.as_bytes(), 0o644));
                added.extend(certificates);
            }
            Err(why) => {
                diagnostics.failed(format_args!("ca_certs: trusted: number {number}: {why}"));
            }
        }
    }
    if added.is_empty() && !certs.remove_defaults {
        return;
    }
    let before = match certs.remove_defaults {
        true => String::new(),
        false => sys::files::read_text(BUNDLE).unwrap_or_default(),
    };
    let after = crate::common::certs::with(&before, &added);
    if after != before {
        diagnostics.record(replace(Path::new(BUNDLE), after.as_bytes(), 0o644));
    }
    info!("cloud: {} certificates are trusted besides", added.len());
}

/// Writes the mounts to fstab, and mounts those that are not mounted yet, until `deadline`.
pub fn mounts(mounts: &[Mount], deadline: Instant, diagnostics: &mut Diagnostics) {
    let (hiding, mounts): (Vec<_>, Vec<_>) = mounts
        .iter()
        .cloned()
        .partition(|mount| hides_the_system(&mount.target));
    for Mount { source, target, .. } in &hiding {
        diagnostics.failed(format_args!(
            "mounts: {source} on {target}: it would hide the machine's own files; use another directory"
        ));
    }
    if mounts.is_empty() {
        return;
    }
    let before = sys::files::read_text(FSTAB).unwrap_or_default();
    let after = fstab(&before, &mounts);
    diagnostics.record(replace(Path::new(FSTAB), after.as_bytes(), 0o644));
    let is_auto = |m: &&Mount| !m.options.split(',').any(|option| option == "noauto");
    for mount in mounts.iter().filter(is_auto) {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let (source, target) = (&mount.source, &mount.target);
        match mount_one(mount, remaining.min(MOUNT_LIMIT)) {
            Ok(()) => info!("cloud: {source} is mounted on {target}"),
            Err(why) if mount.nofail && is_supported(&mount.fs_type) => {
                warn!("cloud: {target}: {why}");
            }
            Err(why) => diagnostics.failed(format_args!("mounts: {target}: {why}")),
        }
    }
}

/// Returns true for a directory on which a mount would leave the machine without programs, settings or devices.
/// `..` leads to the directory above, and from the root to the root (path_resolution(7)).
fn hides_the_system(path: &str) -> bool {
    let mut target = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(target.pop()),
            part => target.push(part),
        }
    }
    SYSTEM_DIRECTORIES
        .iter()
        .any(|dir| target == Path::new(dir))
}

fn mount_one(mount: &Mount, limit: Duration) -> Result<()> {
    let mountinfo = fs::read_to_string(sys::mountinfo::PATH).unwrap_or_default();
    if is_mounted(&mountinfo, mount) {
        return Ok(());
    }
    // A link of a user would lead the mount over a directory of the machine.
    Tree::open(Path::new("/"))?.ensure_directory(&mount.target)?;
    let mut args = vec!["-t", mount.fs_type.as_str()];
    if !mount.options.is_empty() {
        args.extend(["-o", mount.options.as_str()]);
    }
    args.extend(["--", mount.source.as_str(), mount.target.as_str()]);
    let finished = tool::run("/usr/bin/mount", &args, limit)?;
    match finished.code {
        Some(0) => Ok(()),
        _ => Err(Error::invalid(finished.last_lines)),
    }
}

/// Returns false for a file system that the kernel still lacks after a mount, which loads the module. `nofail` is for a
/// device that is absent now and then; a folder of this type would be empty in each boot.
fn is_supported(fs_type: &str) -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    is_listed(&known, fs_type)
}

/// Finds a type in the text of /proc/filesystems (proc_filesystems(5)). `auto`, `none` and `fuse.…` are words of
/// mount(8).
fn is_listed(known: &str, fs_type: &str) -> bool {
    let (name, _) = fs_type.split_once('.').unwrap_or((fs_type, ""));
    let mut names = known.lines().filter_map(|line| line.split('\t').nth(1));
    matches!(name, "auto" | "none" | "") || known.is_empty() || names.any(|known| known == name)
}

/// Returns true if something is mounted on the target (proc_pid_mountinfo(5)). The data disk's own `/etc/containers` is
/// below a folder of the host, or below the links of `mount.virtiofs` to that folder.
fn is_mounted(mountinfo: &str, mount: &Mount) -> bool {
    let is_folder = mount.fs_type == "virtiofs";
    mountinfo.lines().any(|line| {
        let point = line.split(' ').nth(4).unwrap_or_default();
        let (_, source) = line.split_once(" - ").unwrap_or_default();
        let is_one = source.starts_with("virtiofs ") || source.starts_with("tmpfs containers ");
        unescape(point.as_bytes()) == mount.target.as_bytes() && (is_one || !is_folder)
    })
}

/// Writes white space and backslashes of a field as fstab(5) does.
fn escape(field: &str) -> String {
    field
        .replace('\\', "\\134")
        .replace(' ', "\\040")
        .replace('\t', "\\011")
}

/// Returns the text of fstab with these mounts at its end, in place of those of an earlier run.
fn fstab(before: &str, mounts: &[Mount]) -> String {
    let others = before.split(FSTAB_MARK).next().unwrap_or_default();
    let line = |mount: &Mount| {
        let options = match mount.options.as_str() {
            "" => "defaults",
            options => options,
        };
        let nofail = if mount.nofail { ",nofail" } else { "" };
        let (source, target) = (escape(&mount.source), escape(&mount.target));
        let fs_type = &mount.fs_type;
        format!("{source} {target} {fs_type} {options}{nofail} 0 0\n")
    };
    let lines: String = mounts.iter().map(line).collect();
    format!("{others}{FSTAB_MARK}\n{lines}")
}

/// Renames the network cards, and configures those that do not use DHCP.
///
/// # Errors
/// The network-config is wrong as a whole, or cannot be applied.
pub fn network(text: &str, config: &Config, diagnostics: &mut Diagnostics) -> Result<()> {
    let (network, found) = network::parse(text, &cards())?;
    diagnostics.append(found);
    rename_cards(&network)?;
    if network.plans.is_empty() {
        return Ok(());
    }
    if config.net != Config::default().net {
        info!("cloud: network-config: a kernel flag has the addresses");
        return Ok(());
    }
    let plans = network.plans.join("\n") + "\n";
    if fs::read_to_string(NETWORK_PLANS).is_ok_and(|existing| existing == plans) {
        return Ok(()); // The cards are configured already.
    }
    replace(Path::new(NETWORK_PLANS), plans.as_bytes(), 0o644)?;
    let net = Name::new("net").ok_or_else(|| Error::invalid("net is no name"))?;
    let restarted = ControlClient::default().ask(&Request::Restart(net));
    restarted
        .map(drop)
        .map_err(|why| Error::invalid(format!("network-config: b2p net: {why}")))
}

fn cards() -> Vec<Card> {
    let names = ethernet_interfaces(Path::new(SYS_CLASS_NET)).into_iter();
    let card = |(name, _)| {
        let mac = fs::read_to_string(format!("{SYS_CLASS_NET}/{name}/address"));
        let mac = mac.unwrap_or_default().trim().to_ascii_lowercase();
        Card { name, mac }
    };
    names.map(card).collect()
}

/// Renames cards. A card whose new name belongs to another one gets a temporary name until all
/// others are renamed.
fn rename_cards(network: &Network) -> Result<()> {
    let exists = |name: &str| Path::new(SYS_CLASS_NET).join(name).exists();
    let mut postponed = Vec::new();
    for (index, (current, new)) in network.renames.iter().enumerate() {
        match exists(new) {
            true => {
                let temporary = format!("b2p-cloud{index}");
                rename_card(current, &temporary)?;
                postponed.push((temporary, new));
            }
            false => rename_card(current, new)?,
        }
    }
    let mut postponed = postponed.into_iter();
    postponed.try_for_each(|(temporary, new)| rename_card(&temporary, new))
}

fn rename_card(current: &str, new: &str) -> Result<()> {
    sys::net::rename(current, new).doing(format!("network-config: {current}: name {new}"))?;
    info!("cloud: the card {current} is {new}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_file_system_is_no_absent_device() {
        let known = "nodev\tproc\n\text4\nnodev\tfuse\nnodev\tvirtiofs\n";
        for (fs_type, want) in [
            ("ext4", true),
            ("virtiofs", true),
            ("fuse.sshfs", true),
            ("auto", true),
            ("none", true),
            ("9p", false),
            ("ext", false),
        ] {
            assert_eq!(is_listed(known, fs_type), want, "{fs_type}");
        }
        assert!(is_listed("", "9p"), "nothing is known");
    }

    #[test]
    fn lines_of_fstab_come_last_and_once() {
        let mount = Mount {
            source: "mount0".into(),
            target: "/home/a b".into(),
            fs_type: "virtiofs".into(),
            options: "ro".into(),
            nofail: true,
        };
        let once = fstab("# yours\n", std::slice::from_ref(&mount));
        let line = "mount0 /home/a\\040b virtiofs ro,nofail 0 0";
        assert_eq!(once, format!("# yours\n{FSTAB_MARK}\n{line}\n"));
        assert_eq!(fstab(&once, &[mount]), once);
    }

    #[test]
    fn directories_of_the_system_are_not_hidden() {
        for (target, hides) in [
            ("/usr", true),
            ("//usr/./", true),
            ("/", true),
            ("/etc/", true),
            ("/var/../etc", true),
            ("/home/../../../usr/bin/", true),
            ("/usr/..", true),
            ("/etc/../home", false),
            ("/usr/local", false),
            ("/etc/containers", false),
            ("/home", false),
            ("/var/lib/containers", false),
        ] {
            assert_eq!(hides_the_system(target), hides, "{target}");
        }
    }

    #[test]
    fn a_mount_point_with_a_space_is_known() {
        let mountinfo = "41 22 0:41 / /home/a\\040b rw - virtiofs mount0 rw\n";
        assert!(is_mounted(mountinfo, &on("/home/a b", "auto")));
        assert!(is_mounted(mountinfo, &on("/home/a b", "virtiofs")));
        assert!(!is_mounted(mountinfo, &on("/home/a", "auto")));
    }

    #[test]
    fn a_folder_is_mounted_over_the_kept_directory() {
        let containers = on("/etc/containers", "virtiofs");
        let kept = "50 22 8:1 /c /etc/containers rw - ext4 /dev/vda1 rw\n";
        assert!(!is_mounted(kept, &containers));
        for folder in ["virtiofs a2a0 rw", "tmpfs containers rw,size=1024k"] {
            let mountinfo = format!("{kept}51 50 0:60 / /etc/containers rw - {folder}\n");
            assert!(is_mounted(&mountinfo, &containers), "{folder}");
        }
    }

    fn on(target: &str, fs_type: &str) -> Mount {
        Mount {
            source: "a2a0".to_owned(),
            target: target.to_owned(),
            fs_type: fs_type.to_owned(),
            options: String::new(),
            nofail: false,
        }
    }
}
