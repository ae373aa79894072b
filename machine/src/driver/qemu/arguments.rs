// SPDX-License-Identifier: Apache-2.0
//! QEMU's arguments for a machine. Pure: no file is touched here.

use super::hardware;
use super::settings;
use super::shares::{self, Folder, Transport};
use crate::store::config::MachineConfig;
use crate::store::quadlet;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use vmm::cmdline;

/// MAC address of every machine, each of which has a network of its own. A memory has the address with which it was saved,
/// and a guest that restarts gets that of its QEMU: slirp gives another address of IP to another card, and no forward
/// would lead there.
pub(super) const MAC: &str = "52:54:00:12:34:56";

/// Values that are known when a machine starts.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Directory of the files that stay.
    pub dir: PathBuf,
    /// Directory of the sockets.
    pub run: PathBuf,
    /// Kernel.
    pub kernel: PathBuf,
    /// Initrd.
    pub initrd: PathBuf,
    /// True on a host with Linux, whose QEMU has memory without a file and a sandbox.
    pub linux: bool,
    /// True for KVM, false for TCG.
    pub kvm: bool,
    /// True if several CPUs under TCG need one thread ([`vmm::loses_patches`]).
    pub one_thread: bool,
    /// Port of 127.0.0.1 that leads to sshd.
    pub ssh_port: u16,
    /// Number of the descriptor on which QEMU listens for QMP.
    pub qmp_fd: i32,
    /// True if the processors stand still until a saved memory is loaded.
    pub stopped: bool,
    /// Hardware of the memory that is loaded, as its mark has it ([`super::hardware`]).
    pub former: Vec<String>,
    /// Folders of the host.
    pub folders: Vec<Folder>,
    /// Document of Ignition, until a run that was ready with its data disk has ended in order.
    pub document: Option<PathBuf>,
    /// Path of this program, which QEMU runs for a request to publish a port.
    pub program: PathBuf,
}

/// Returns all arguments.
pub fn arguments(
    config: &MachineConfig,
    at: &Resolved,
    entries: &[(String, String)],
) -> Result<Vec<String>> {
    let line = command_line(config, at.kvm);
    ensure!(
        line.len() <= cmdline::MAX_BYTES,
        "the kernel's command line has {} bytes, and {} is the most: shorten --append",
        line.len(),
        cmdline::MAX_BYTES
    );
    let mut args = board(config, at);
    args.extend(words(&["-kernel", &at.kernel.to_string_lossy()]));
    args.extend(words(&[
        "-initrd",
        &at.initrd.to_string_lossy(),
        "-append",
        &line,
    ]));
    for (name, _) in entries {
        let file = escape(&settings::file(&at.run, name));
        args.extend(words(&[
            "-fw_cfg",
            &format!("name={}{name},file={file}", cmdline::FW_CFG_PREFIX),
        ]));
    }
    if let Some(document) = &at.document {
        args.extend(words(&["-fw_cfg", &quadlet::fw_cfg(&escape(document))]));
    }
    args.extend(devices(config, at));
    args.extend(at.folders.iter().flat_map(shares::devices));
    args.extend(channels(at));
    if at.stopped {
        args.extend(words(&["-S"]));
    }
    Ok(args)
}

/// Returns the kernel's command line.
fn command_line(config: &MachineConfig, kvm: bool) -> String {
    let mut line = "console=ttyS0".to_owned();
    for word in &config.append {
        line += &format!(" {word}");
    }
    match kvm {
        true => line,
        false => cmdline::for_translator(line.into())
            .to_string_lossy()
            .into_owned(),
    }
}

fn board(config: &MachineConfig, at: &Resolved) -> Vec<String> {
    let name = format!("podman-machine-{0},process=pm-{0}", config.name);
    let memory = format!("{}M", config.memory_mib);
    let (accel, cpu) = match (at.kvm, at.one_thread && config.cpus > 1) {
        (true, _) => ("kvm", "host,migratable=on"),
        (false, true) => ("tcg,thread=single", hardware::tcg_processor(&at.former)),
        (false, false) => ("tcg", hardware::tcg_processor(&at.former)),
    };
    let mut args = words(&[
        "-name",
        &name,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-msg",
        "timestamp=on",
        "-machine",
        match at.linux {
            true => "q35,memory-backend=mem,usb=off,vmport=off,smm=off",
            false => "q35,usb=off,vmport=off,smm=off",
        },
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-m",
        &memory,
        "-smp",
        &config.cpus.to_string(),
        "-rtc",
        "base=utc,driftfix=slew",
    ]);
    if at.linux {
        args.extend(words(&[
            "-object",
            &backend(&at.folders, &memory),
            // slirp forks, and calls setsid(2), to start the program that publishes ports: spawn=deny
            // and elevateprivileges=deny or =children would kill it.
            "-sandbox",
            "on,obsolete=deny,resourcecontrol=deny",
        ]));
    }
    args
}

/// Returns the memory. virtiofsd needs one that is a file; the pages of another one which only
/// contain zeros are not allocated where a saved memory is loaded.
fn backend(folders: &[Folder], memory: &str) -> String {
    let is_shared = |folder: &Folder| matches!(folder.transport, Transport::Virtiofs(_));
    match folders.iter().any(is_shared) {
        true => format!("memory-backend-memfd,id=mem,size={memory},share=on"),
        false => format!("memory-backend-ram,id=mem,size={memory}"),
    }
}

fn devices(config: &MachineConfig, at: &Resolved) -> Vec<String> {
    let disk = escape(&at.dir.join("disk.qcow2"));
    // A write that the host's disk has no room for stops the guest; `start` continues it.
    let drive = format!(
        "if=none,id=data,node-name={DISK_NODE},file={disk},format=qcow2,discard=unmap,detect-zeroes=unmap,\
         cache=writeback,werror=stop,rerror=report"
    );
    let mut netdev = format!(
        "user,id=net0,hostname={},hostfwd=tcp:127.0.0.1:{}-:22",
        config.name, at.ssh_port
    );
    if let Some(relay) = relay(at) {
        netdev += &format!(",guestfwd=tcp:{PUBLISH}-cmd:{}", relay.replace(',', ",,"));
    }
    words(&[
        "-drive",
        &drive,
        "-device",
        "virtio-blk-pci,drive=data,serial=b2p-data",
        "-netdev",
        &netdev,
        "-device",
        &format!("virtio-net-pci,netdev=net0,romfile=,mac={MAC}"),
        "-device",
        "virtio-rng-pci",
        "-device",
        "vmgenid,guid=auto",
        "-device",
        "virtio-balloon-pci,free-page-reporting=on,deflate-on-oom=on",
    ])
}

/// Name of the data disk in QEMU's block layer, which keeps the memory of a saved machine as well.
pub const DISK_NODE: &str = "disk";
/// Address in slirp's network to which podman sends requests to publish a port.
const PUBLISH: &str = "10.0.2.100:80";

/// Returns the command that slirp runs for a connection to [`PUBLISH`]. slirp splits it as a shell
/// does (`g_shell_parse_argv`).
fn relay(at: &Resolved) -> Option<String> {
    let quoted = |path: &Path| Some(format!("'{}'", path.to_str()?.replace('\'', "'\\''")));
    Some(format!(
        "{} relay {}",
        quoted(&at.program)?,
        quoted(&at.run)?
    ))
}

fn channels(at: &Resolved) -> Vec<String> {
    let file = |name: &str| escape(&at.run.join(name));
    let console = format!(
        "socket,id=con,path={},server=on,wait=off,logfile={},logappend=on",
        file("con.sock"),
        escape(&at.dir.join("console.log"))
    );
    words(&[
        "-device",
        "virtio-serial-pci",
        "-chardev",
        &format!(
            "socket,id=host,path={},server=on,wait=off",
            file("host.sock")
        ),
        "-device",
        "virtserialport,chardev=host,name=org.boot2podman.host.0",
        "-chardev",
        &console,
        "-serial",
        "chardev:con",
        "-chardev",
        &format!("socket,id=qmp,fd={},server=on,wait=off", at.qmp_fd),
        "-mon",
        "chardev=qmp,mode=control",
        "-pidfile",
        &at.run.join("qemu.pid").to_string_lossy(),
    ])
}

/// Formats a path as part of an option: commas are doubled.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved() -> Resolved {
        Resolved {
            dir: "/d/machines/box".into(),
            run: "/r/pm/0123".into(),
            kernel: "/c/vmlinuz".into(),
            initrd: "/c/initrd.img".into(),
            linux: true,
            kvm: false,
            one_thread: true,
            ssh_port: 2200,
            qmp_fd: 5,
            stopped: false,
            former: Vec::new(),
            folders: Vec::new(),
            document: None,
            program: "/usr/bin/podman-machine".into(),
        }
    }

    fn line(config: &MachineConfig, at: &Resolved) -> String {
        let entries = settings::entries(config, "ssh-ed25519 AAAA box", &[], &[]);
        arguments(config, at, &entries)
            .expect("short enough")
            .join(" ")
    }

    #[test]
    fn a_plain_machine() {
        let line = line(&MachineConfig::new("box"), &resolved());
        for part in [
            "-accel tcg,thread=single -cpu max,erms=off,la57=off",
            "-m 2048M -smp 2",
            "-object memory-backend-ram,id=mem,size=2048M -sandbox",
            "-kernel /c/vmlinuz -initrd /c/initrd.img -append console=ttyS0 no_timer_check -fw_cfg",
            "-fw_cfg name=opt/org.boot2podman/ssh_key,file=/r/pm/0123/fw_cfg.ssh_key",
            "hostfwd=tcp:127.0.0.1:2200-:22,guestfwd=tcp:10.0.2.100:80-cmd:'/usr/bin/podman-machine' relay '/r/pm/0123'",
            "id=qmp,fd=5,server=on",
            "-pidfile /r/pm/0123/qemu.pid",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(
            !line.contains("ssh-ed25519"),
            "keys are not for ps(1): {line}"
        );
    }

    #[test]
    fn kvm_has_the_hosts_processor() {
        let at = Resolved {
            kvm: true,
            ..resolved()
        };
        let line = line(&MachineConfig::new("box"), &at);
        assert!(
            line.contains("-accel kvm -cpu host,migratable=on"),
            "{line}"
        );
        assert!(!line.contains("no_timer_check"), "{line}");
    }

    #[test]
    fn options_of_linux_are_left_out_on_other_hosts() {
        let at = Resolved {
            linux: false,
            ..resolved()
        };
        let line = line(&MachineConfig::new("box"), &at);
        assert!(line.contains("-machine q35,usb=off,"), "{line}");
        for part in ["memory-backend", "-sandbox"] {
            assert!(!line.contains(part), "{part}: {line}");
        }
    }

    #[test]
    fn virtiofsd_has_a_memory_that_is_a_file() {
        let with = |transport| Folder {
            share: crate::store::share::Share {
                source: "/a".into(),
                target: "/a".into(),
                read_only: false,
            },
            tag: "pm0".into(),
            transport,
        };
        for (transport, object) in [
            (Transport::Plan9, "memory-backend-ram,id=mem,size=1G"),
            (
                Transport::Virtiofs("/s".into()),
                "memory-backend-memfd,id=mem,size=1G,share=on",
            ),
        ] {
            assert_eq!(backend(&[with(transport)], "1G"), object);
        }
    }

    #[test]
    fn odd_paths_are_escaped() {
        let at = Resolved {
            dir: "/a,b c/box".into(),
            program: "/it's/p,m".into(),
            ..resolved()
        };
        let line = line(&MachineConfig::new("box"), &at);
        assert!(
            line.contains("file=/a,,b c/box/disk.qcow2,format"),
            "{line}"
        );
        assert!(line.contains("cmd:'/it'\\''s/p,,m' relay"), "{line}");
    }

    #[test]
    fn a_command_line_that_the_kernel_cannot_take_is_refused() {
        let mut config = MachineConfig::new("box");
        config.append = vec!["x".repeat(2047)];
        let error = arguments(&config, &resolved(), &[]).expect_err("too long");
        assert!(error.to_string().contains("--append"), "{error}");
    }
}
