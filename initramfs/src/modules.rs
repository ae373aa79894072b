// SPDX-License-Identifier: Apache-2.0
//! Kernel modules of the machine, each with a reason; depmod adds their dependencies. The modules
//! are unpacked (.ko.xz -> .ko): the image compresses them better, and PID 1 needs no xz. [`patch`]
//! describes the changes of the modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;
use crate::fetch::PackageTree;
use crate::packages::Kernel;
use crate::progress::Step;
use crate::stamp::{self, Inputs};
use crate::{fsutil, paths};

mod extension;
mod files;
mod hardware;
pub mod patch;
mod userland;

use files::{depmod, restore_all, unpack_all};

pub use files::read_module;
pub use hardware::{HARDWARE, NOT_SLIM};

/// Modules that PID 1 loads from the initrd, before the userland is mounted. crc32c_generic is the
/// first: the load of libcrc32c requests this module, and no modprobe could answer the kernel yet.
pub const EARLY: &[&str] = &["crc32c_generic", "erofs", "overlay"];

/// Modules in the initrd that are loaded only on demand: the first if the image cannot be mounted
/// directly, the others if there is no userland, for the power button.
const ON_DEMAND: &[&str] = &["loop", "evdev", "button"];

/// Names of modules, separated by spaces, and the reason for them.
type Row = (&'static str, &'static str);

/// Modules in the userland image of every kernel, unless built in. [`HARDWARE`] lists those of the
/// generic kernel.
pub const MODULES: &[Row] = &[
    // Disks.
    (
        "virtio_blk virtio_scsi virtio_pci virtio_mmio",
        "QEMU, KVM, Firecracker",
    ),
    (
        "sd_mod sr_mod sg",
        "SCSI disks and CD-ROMs, which SATA disks are too",
    ),
    (
        "ahci ata_piix ata_generic",
        "QEMU's and VMware's default disks",
    ),
    ("nvme", "EC2, Google, Azure"),
    ("vmw_pvscsi", "VMware"),
    (
        "hv_vmbus hv_storvsc hv_netvsc hv_utils hv_balloon hyperv_keyboard",
        "Hyper-V, Azure",
    ),
    (
        "pci_hyperv",
        "Azure passes NVMe and network cards through it",
    ),
    ("xen_blkfront xen_netfront", "older EC2"),
    ("loop", "images inside images; podman's storage with quotas"),
    ("zram", "compressed swap"),
    // File systems.
    ("ext4 xfs btrfs", "data disks"),
    (
        "vfat nls_cp437 nls_iso8859_1 nls_utf8 nls_ascii",
        "EFI partitions, USB sticks",
    ),
    ("isofs", "cloud-init's and Lima's configuration disks"),
    ("overlay", "podman's storage driver"),
    (
        "erofs squashfs",
        "the userland image; composefs; snaps and the like",
    ),
    ("fuse virtiofs", "podman machine's volumes, sshfs"),
    ("binfmt_misc", "containers of other architectures"),
    ("efivarfs", "UEFI's variables"),
    ("configfs", "mounted by PID 1"),
    // Network cards.
    ("virtio_net", "QEMU, KVM, Google"),
    ("ena", "EC2"),
    ("gve idpf", "Google"),
    ("vmxnet3", "VMware"),
    ("ixgbevf", "older EC2 with enhanced networking"),
    ("mana", "Azure"),
    // Container networks.
    ("bridge br_netfilter veth", "podman's default network"),
    (
        "macvlan ipvlan",
        "podman network create -d macvlan / ipvlan",
    ),
    (
        "dummy",
        "podman network create --internal with no bridge peers; tests",
    ),
    ("8021q vxlan", "networks between hosts"),
    ("tun tap", "pasta, VPNs"),
    ("wireguard", "VPNs"),
    (
        "nf_tables nft_chain_nat nft_nat nft_masq nft_redir",
        "netavark's rules",
    ),
    (
        "nft_ct nft_limit nft_log nft_numgen nft_hash nft_socket nft_tproxy",
        "users' own rules",
    ),
    (
        "nft_fib nft_fib_ipv4 nft_fib_ipv6 nft_fib_inet",
        "netavark: addresses of the machine itself",
    ),
    (
        "nft_reject nft_reject_ipv4 nft_reject_ipv6 nft_reject_inet",
        "netavark's isolation",
    ),
    ("nft_compat", "iptables-nft inside containers"),
    (
        "nf_conntrack nf_conntrack_netlink nf_nat",
        "netavark forgets UDP flows of old ports",
    ),
    (
        "ip_tables iptable_nat iptable_filter iptable_mangle iptable_raw",
        "docker, k3s inside",
    ),
    (
        "ip6_tables ip6table_nat ip6table_filter ip6table_mangle ip6table_raw",
        "docker, k3s inside",
    ),
    (
        "xt_conntrack xt_addrtype xt_MASQUERADE xt_nat xt_REDIRECT xt_tcpudp",
        "docker, k3s inside",
    ),
    (
        "xt_comment xt_mark xt_connmark xt_multiport xt_statistic xt_limit",
        "kube-proxy inside",
    ),
    (
        "xt_owner xt_set ip_set ip_set_hash_ip ip_set_hash_net",
        "firewalls inside",
    ),
    ("ipt_REJECT ip6t_REJECT", "firewalls inside"),
    (
        "sch_ingress sch_htb sch_tbf sch_netem cls_u32 cls_bpf act_mirred act_police",
        "traffic limits",
    ),
    ("sch_fq tcp_bbr", "fair queueing; links with a high latency"),
    ("af_packet", "DHCP"),
    ("inet_diag tcp_diag udp_diag unix_diag", "ss"),
    // The host.
    (
        "vsock vmw_vsock_virtio_transport hv_sock vsock_loopback",
        "a connection to the host without a network",
    ),
    ("vmw_vsock_vmci_transport vmw_balloon", "VMware"),
    (
        "qemu_fw_cfg",
        "configuration where the command line is too short",
    ),
    (
        "virtio_console virtio_rng",
        "podman machine's ready port; entropy",
    ),
    ("virtio_balloon virtio_mem", "memory given back to the host"),
    ("virtio_input evdev", "the power button, keyboards"),
    ("button", "the ACPI power button"),
    ("ptp_kvm", "the host's clock, after its laptop slept"),
    ("crc32c_intel", "checksums of ext4, xfs and btrfs"),
    ("i6300esb softdog", "watchdogs"),
];

/// Modules of one kernel, unpacked and indexed.
#[derive(Clone, Debug)]
pub struct Modules {
    /// Directory with `usr/lib/modules/<release>/…`.
    pub dir: PathBuf,
    /// Kernel of the modules.
    pub kernel: Kernel,
    /// Release of the kernel.
    pub release: String,
    /// Hash of the inputs.
    pub key: String,
}

/// Content of `modules.dep` and `modules.builtin`.
#[derive(Debug, Default)]
pub struct Index {
    /// Path of each module.
    paths: BTreeMap<String, String>,
    /// Paths of each path's dependencies, direct ones first.
    dependencies: BTreeMap<String, Vec<String>>,
    builtin: BTreeSet<String>,
}

/// Returns a module's name in the kernel: without directory and suffix, with underscores.
pub fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

impl Index {
    /// Parses `modules.dep` and `modules.builtin`.
    pub fn parse(dep: &str, builtin: &str) -> Self {
        let mut index = Index::default();
        for (path, dependencies) in dep.lines().filter_map(|line| line.split_once(':')) {
            index.paths.insert(name_of(path), path.to_string());
            let dependencies = dependencies.split_whitespace().map(str::to_string);
            index
                .dependencies
                .insert(path.to_string(), dependencies.collect());
        }
        index.builtin = builtin.lines().map(name_of).collect();
        index
    }

    /// Returns the paths of the named modules and their dependencies, each after its own
    /// dependencies.
    pub fn closure<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>> {
        let (mut order, mut missing) = (Vec::<String>::new(), Vec::new());
        for name in names {
            let name = name.replace('-', "_");
            if self.builtin.contains(&name) {
                continue;
            }
            let Some(path) = self.paths.get(&name) else {
                missing.push(name);
                continue;
            };
            // modules.dep lists all dependencies of a module, direct ones first.
            let dependencies = self.dependencies.get(path).into_iter().flatten().rev();
            for path in dependencies.chain([path]) {
                if !order.contains(path) {
                    order.push(path.clone());
                }
            }
        }
        ensure!(
            missing.is_empty(),
            "module table: this kernel has no module {}",
            missing.join(", ")
        );
        Ok(order)
    }
}

/// Returns the rows of the tables for a kernel. Names in [`NOT_SLIM`] are still among them.
fn rows(kernel: Kernel) -> impl Iterator<Item = &'static Row> {
    let more = match kernel {
        Kernel::Cloud | Kernel::Slim => &[],
        Kernel::Generic => HARDWARE,
    };
    MODULES.iter().chain(more)
}

fn names(kernel: Kernel, arch: &'static Arch) -> impl Iterator<Item = &'static str> {
    let tables = rows(kernel).flat_map(|(names, _)| names.split(' '));
    let names = EARLY.iter().copied().chain(tables);
    let names = names.filter(move |name| kernel != Kernel::Slim || !contains(NOT_SLIM, name));
    names.filter(|name| !contains(arch.absent_modules, name))
}

fn contains(rows: &[Row], name: &str) -> bool {
    rows.iter()
        .any(|(names, _)| names.split(' ').any(|n| n == name))
}

/// Unpacks the tables' modules and runs depmod on them, unless the result is up to date. `debian`
/// is the tree with depmod, `linux` that with the kernel's packages.
pub fn prepare(
    debian: &PackageTree,
    linux: &PackageTree,
    kernel: Kernel,
    step: &Step,
) -> Result<Modules> {
    let release = linux.kernel_release()?;
    let mut inputs = Inputs::new();
    inputs.add("debian", &debian.key).add("linux", &linux.key);
    inputs.add("release", &release);
    inputs.add(
        "table",
        names(kernel, linux.arch).collect::<Vec<_>>().join(" "),
    );
    inputs.add("format", format!("{} userland 1", patch::FORMAT));
    let key = inputs.finish();
    let dir = paths::cache_of(kernel).join("modules");
    stamp::make(&dir, &key, |to| {
        step.note(&format!("kernel modules of {release}"));
        let full_index = to.join("all");
        depmod(debian, &release, &linux.root.join("usr"), Some(&full_index))?;
        let lists = full_index.join("lib/modules").join(&release);
        let index = read_index(&lists, linux, &release)?;
        fsutil::remove(&full_index)?;
        unpack_all(
            linux,
            &release,
            &index.closure(names(kernel, linux.arch))?,
            to,
        )?;
        depmod(debian, &release, &to.join("usr"), None)?;
        userland::make(debian, &release, to)
    })?;
    Ok(Modules {
        dir,
        kernel,
        release,
        key,
    })
}

fn read_index(lists: &Path, linux: &PackageTree, release: &str) -> Result<Index> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let builtin = linux
        .root
        .join("usr/lib/modules")
        .join(release)
        .join("modules.builtin");
    Ok(Index::parse(
        &read(lists.join("modules.dep"))?,
        &read(builtin)?,
    ))
}

impl Modules {
    /// Returns the directory with the modules and their lists.
    pub fn root(&self) -> PathBuf {
        self.dir.join("usr/lib/modules").join(&self.release)
    }

    /// Returns the directory with the modules and lists of the userland image.
    pub fn userland(&self) -> PathBuf {
        userland::directory(&self.dir, &self.release)
    }

    /// Returns the same modules, original and signed, in a directory of their own.
    ///
    /// # Errors
    /// A file cannot be read, restored or written.
    pub fn originals(&self) -> Result<Modules> {
        let dir = self.dir.with_extension("original");
        let key = format!("{} original", self.key);
        stamp::make(&dir, &key, |to| restore_all(&self.dir, to))?;
        Ok(Modules {
            dir,
            key,
            ..self.clone()
        })
    }

    /// Returns the host's paths of the early modules, in the order of loading.
    pub fn early(&self) -> Result<Vec<PathBuf>> {
        self.closure(EARLY)
    }

    /// Returns the host's paths of the modules that PID 1 loads early on demand, which have no
    /// dependencies.
    pub fn on_demand(&self) -> Result<Vec<PathBuf>> {
        self.closure(ON_DEMAND)
    }

    /// Returns the host's paths of the named modules and their dependencies, each after its own
    /// dependencies.
    pub fn closure(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let paths = closure_in(&self.root(), names)?;
        Ok(paths.iter().map(|path| self.root().join(path)).collect())
    }
}

/// Returns the paths of the named modules and their dependencies below a directory with an index, each after
/// its own dependencies.
fn closure_in(root: &Path, names: &[&str]) -> Result<Vec<String>> {
    let read = |name: &str| {
        let path = root.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let index = Index::parse(&read("modules.dep")?, &read("modules.builtin")?);
    index.closure(names.iter().copied())
}

#[cfg(test)]
mod tests;
