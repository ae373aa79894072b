//! What podman, netavark, crun and the rest of the machine ask of a kernel, whichever it
//! is. Drivers and file systems that Debian has as modules are rows of
//! [`crate::modules`]; here is what is part of the kernel or not at all.

use super::config;

/// Names of options, why.
type Row = (&'static str, &'static str);

/// Each must be built in, or a module.
#[rustfmt::skip]
pub const NEEDS: &[Row] = &[
    ("NAMESPACES UTS_NS IPC_NS USER_NS PID_NS NET_NS",         "what a container is made of"),
    ("CGROUPS MEMCG CGROUP_PIDS CPUSETS BLK_CGROUP CFS_BANDWIDTH CGROUP_FREEZER",
                                                               "podman run --memory, --pids-limit, --cpus; podman pause"),
    ("CGROUP_BPF BPF_SYSCALL",                                 "crun's rules of devices are BPF programs in cgroup v2"),
    ("SECCOMP SECCOMP_FILTER",                                 "containers' default profile; sshd's sandbox"),
    ("SECURITY_LANDLOCK SECURITY_YAMA SECURITY_LOCKDOWN_LSM",  "hardening, as Debian has it"),
    ("STACKPROTECTOR_STRONG RANDOMIZE_BASE STRICT_KERNEL_RWX CPU_MITIGATIONS", "the same"),
    ("KEYS",                                                   "crun gives each container a session keyring"),
    ("POSIX_MQUEUE SYSVIPC",                                   "/dev/mqueue and shared memory in containers"),
    ("FHANDLE INOTIFY_USER EPOLL SIGNALFD TIMERFD EVENTFD",    "PID 1, conmon, podman, sshd"),
    ("TMPFS TMPFS_XATTR TMPFS_POSIX_ACL DEVTMPFS SHMEM MEMFD_CREATE",
                                                               "the root's upper layer; crun runs from a memfd"),
    ("OVERLAY_FS FUSE_FS EROFS_FS EXT4_FS",                    "the root, podman's storage, the data disk"),
    ("EROFS_FS_BACKED_BY_FILE EROFS_FS_ZIP EROFS_FS_ZIP_ZSTD", "the userland image, as it lies in the initrd"),
    ("BLK_DEV_INITRD",                                         "the whole machine is in it"),
    ("UNIX INET IPV6 PACKET",                                  "the network; DHCP"),
    ("BRIDGE BRIDGE_NETFILTER VETH MACVLAN IPVLAN VLAN_8021Q VXLAN DUMMY TUN", "podman's networks; pasta"),
    ("NF_TABLES NF_TABLES_INET NFT_NAT NFT_MASQ NFT_CT NFT_REJECT NFT_FIB_INET NFT_FIB_IPV4",
                                                               "netavark's rules"),
    ("NF_CONNTRACK NF_CT_NETLINK NF_NAT",                      "netavark: published ports, and forgetting them"),
    ("NFT_COMPAT NETFILTER_XT_MATCH_COMMENT NETFILTER_XT_MATCH_ADDRTYPE", "iptables inside containers"),
    ("IP_MULTIPLE_TABLES IPV6_MULTIPLE_TABLES",                "policy routing; wireguard"),
    ("UNIX_DIAG INET_DIAG",                                    "ss(8)"),
    ("SWAP ZRAM",                                              "b2p.swap"),
    ("BINFMT_ELF BINFMT_SCRIPT BINFMT_MISC IA32_EMULATION",    "images of other architectures"),
    ("QUOTA",                                                  "podman's quotas on ext4 and xfs"),
    ("ACPI_BUTTON",                                            "the power button"),
    ("MAGIC_SYSRQ PRINTK VT SERIAL_8250_CONSOLE",              "consoles, and a way to say what went wrong"),
    ("PSI",                                                    "/proc/pressure: who watches memory asks there"),
    ("EFI_STUB EFIVAR_FS",                                     "booted by UEFI"),
];

/// What `text`, a kernel's configuration, has not, each with what is then missing.
pub fn missing(text: &str) -> Vec<String> {
    let options = config::parse(text);
    let has = |name: &str| options.get(name).is_some_and(|v| *v == "y" || *v == "m");
    let mut missing = Vec::new();
    for (names, why) in NEEDS {
        for name in names.split(' ').filter(|name| !has(name)) {
            missing.push(format!("this kernel has no CONFIG_{name}: {why}"));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_for() {
        let all = NEEDS.iter().flat_map(|(names, _)| names.split(' '));
        let text: String = all.map(|name| format!("CONFIG_{name}=y\n")).collect();
        assert_eq!(missing(&text), [""; 0]);
        let text = text.replace("CONFIG_VETH=y", "# CONFIG_VETH is not set");
        let said = missing(&text);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains("CONFIG_VETH: podman's networks"),
            "{said:?}"
        );
    }

    /// What Kconfig turns on by itself.
    const FOLLOWS: &[&str] = &["CONFIG_NF_NAT"];

    /// slim.config must ask for all of it, or for what turns it on.
    #[test]
    fn our_fragment_has_it() {
        let text = include_str!("../../kernel/slim.config");
        let follows = |said: &String| FOLLOWS.iter().any(|name| said.contains(name));
        let mut lost = missing(text);
        lost.retain(|said| !follows(said));
        assert_eq!(lost, [""; 0]);
    }
}
