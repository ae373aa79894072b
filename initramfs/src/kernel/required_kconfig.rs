// SPDX-License-Identifier: Apache-2.0
//! Kernel options that podman, netavark, crun and the rest of the machine need. Drivers and file
//! systems that Debian builds as modules are rows of [`crate::modules`] instead; this table has
//! the options that no module can add.

use super::kconfig;

/// Names of options, separated by spaces, and the reason for them.
type Requirement = (&'static str, &'static str);

/// Options that must be built in or modules.
#[rustfmt::skip]
pub const REQUIRED: &[Requirement] = &[
    ("NAMESPACES UTS_NS IPC_NS USER_NS PID_NS NET_NS",         "namespaces, which containers consist of"),
    ("CGROUPS MEMCG CGROUP_PIDS CPUSETS BLK_CGROUP CFS_BANDWIDTH CGROUP_FREEZER",
                                                               "podman run --memory, --pids-limit, --cpus; podman pause"),
    ("CGROUP_BPF BPF_SYSCALL",                                 "crun's device rules are BPF programs in cgroup v2"),
    ("SECCOMP SECCOMP_FILTER",                                 "containers' default profile; sshd's sandbox"),
    ("SECURITY_LANDLOCK SECURITY_YAMA SECURITY_LOCKDOWN_LSM",  "hardening, as Debian has it"),
    ("STACKPROTECTOR_STRONG RANDOMIZE_BASE STRICT_KERNEL_RWX CPU_MITIGATIONS", "hardening, as Debian has it"),
    ("PROC_CHILDREN",                                          "b2p sshd sees whether a session works or waits for its client"),
    ("KEYS",                                                   "crun gives each container a session keyring"),
    ("POSIX_MQUEUE SYSVIPC",                                   "/dev/mqueue and shared memory in containers"),
    ("FHANDLE INOTIFY_USER EPOLL SIGNALFD TIMERFD EVENTFD",    "PID 1, conmon, podman, sshd"),
    ("TMPFS TMPFS_XATTR TMPFS_POSIX_ACL DEVTMPFS SHMEM MEMFD_CREATE",
                                                               "the root's upper layer; crun runs from a memfd"),
    ("OVERLAY_FS FUSE_FS EROFS_FS EXT4_FS",                    "the root, podman's storage, the data disk"),
    ("EROFS_FS_BACKED_BY_FILE EROFS_FS_ZIP EROFS_FS_ZIP_ZSTD", "the userland image, as it lies in the initrd"),
    ("BLK_DEV_INITRD",                                         "the initrd holds the whole machine"),
    ("UNIX INET IPV6 PACKET",                                  "the network; DHCP"),
    ("BRIDGE BRIDGE_NETFILTER VETH MACVLAN IPVLAN VLAN_8021Q VXLAN DUMMY TUN", "podman's networks; pasta"),
    ("NF_TABLES NF_TABLES_INET NFT_NAT NFT_MASQ NFT_CT NFT_REJECT NFT_FIB_INET NFT_FIB_IPV4",
                                                               "netavark's rules"),
    ("NF_CONNTRACK NF_CT_NETLINK NF_NAT",                      "netavark: published ports, and forgetting them"),
    ("NFT_COMPAT NETFILTER_XT_MATCH_COMMENT NETFILTER_XT_MATCH_ADDRTYPE", "iptables inside containers"),
    ("IP_MULTIPLE_TABLES IPV6_MULTIPLE_TABLES",                "policy routing; wireguard"),
    ("UNIX_DIAG INET_DIAG",                                    "ss(8)"),
    ("SWAP ZRAM",                                              "b2p.swap"),
    ("BINFMT_ELF BINFMT_SCRIPT BINFMT_MISC COMPAT",            "images of other architectures, and of 32 bits"),
    ("QUOTA",                                                  "podman's quotas on ext4 and xfs"),
    ("ACPI_BUTTON",                                            "the power button"),
    ("MAGIC_SYSRQ PRINTK VT SERIAL_8250_CONSOLE",              "consoles and kernel messages"),
    ("PSI",                                                    "/proc/pressure: for programs that watch memory"),
    ("EFI_STUB EFIVAR_FS",                                     "booted by UEFI"),
];

/// Returns a message for each required option that the kernel's configuration lacks.
pub fn missing(config: &str) -> Vec<String> {
    let options = kconfig::parse(config);
    let enabled = |name: &str| options.get(name).is_some_and(|v| *v == "y" || *v == "m");
    let mut missing = Vec::new();
    for (names, why) in REQUIRED {
        for name in names.split(' ').filter(|name| !enabled(name)) {
            missing.push(format!("this kernel has no CONFIG_{name}: {why}"));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ARCHES;

    #[test]
    fn missing_options_are_named_with_their_purpose() {
        let names = REQUIRED.iter().flat_map(|(names, _)| names.split(' '));
        let config: String = names.map(|name| format!("CONFIG_{name}=y\n")).collect();
        assert_eq!(missing(&config), [""; 0]);
        let config = config.replace("CONFIG_VETH=y", "# CONFIG_VETH is not set");
        let messages = missing(&config);
        assert_eq!(messages.len(), 1);
        assert!(
            messages[0].contains("CONFIG_VETH: podman's networks"),
            "{messages:?}"
        );
    }

    /// Options that Kconfig turns on by itself.
    const SELECTED: &[&str] = &["CONFIG_NF_NAT"];

    #[test]
    fn our_fragment_has_each_required_option_or_one_that_selects_it() {
        let text = include_str!("../../kernel/slim.config");
        let selected = |message: &String| SELECTED.iter().any(|name| message.contains(name));
        for arch in ARCHES {
            let mut messages = missing(&kconfig::for_arch(text, arch.name));
            messages.retain(|message| !selected(message));
            assert_eq!(messages, [""; 0], "{}", arch.name);
        }
    }
}
