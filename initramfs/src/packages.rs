//! Which Debian packages are fetched, and why; the kernel is one more, in a tree of its
//! own, so that two kernels share the rest. apt adds what they depend on; of all
//! that, only what [`crate::userland`] and [`crate::modules`] name reaches the image.

/// What a package is fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Files of it go into the machine.
    Image,
    /// It is run on the host, through its own loader (see [`crate::tools`]).
    Tool,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name in Debian.
    pub name: &'static str,
    /// What it is fetched for.
    pub used: For,
    /// Why.
    pub why: &'static str,
}

const fn image(name: &'static str, why: &'static str) -> Package {
    Package {
        name,
        used: For::Image,
        why,
    }
}

const fn tool(name: &'static str, why: &'static str) -> Package {
    Package {
        name,
        used: For::Tool,
        why,
    }
}

/// The table.
pub const PACKAGES: &[Package] = &[
    image("podman", "the container engine: the point of the machine"),
    image("crun", "the OCI runtime: small, C, starts fast"),
    image("conmon", "holds each container's stdio and exit status"),
    image("netavark", "container networks"),
    image("aardvark-dns", "names between containers"),
    image(
        "catatonit",
        "podman run --init, and the rootless pause process",
    ),
    image("nftables", "netavark's firewall driver"),
    image("passt", "pasta: rootless networking"),
    image(
        "uidmap",
        "newuidmap and newgidmap: rootless user namespaces",
    ),
    image(
        "golang-github-containers-common",
        "the default seccomp profile",
    ),
    image("openssh-server", "the way in"),
    image("openssh-sftp-server", "scp and sshfs"),
    image(
        "openssh-client",
        "ssh-keygen for people's keys; scp -O needs scp there",
    ),
    image("e2fsprogs", "data disks: make, check, grow"),
    image(
        "mount",
        "mount that knows context= and helpers, unlike busybox",
    ),
    image("util-linux", "blkid and lsblk: which disk is which"),
    image("busybox-static", "every other command, in one file"),
    image(
        "dash",
        "sh: busybox's prefers its own mount, modprobe and others to ours",
    ),
    image(
        "bash",
        "people's shell; podman machine and Lima ask for it by name",
    ),
    image("sudo", "core becomes root"),
    image("libpam-modules", "sudo asks PAM; pam_permit answers"),
    image("ca-certificates", "who to trust when pulling"),
    image("netbase", "/etc/services and /etc/protocols"),
    image("tzdata", "tz=, and podman run --tz"),
    image("ncurses-base", "terminal descriptions"),
    tool("erofs-utils", "mkfs.erofs"),
    tool("kmod", "depmod"),
    tool("libc-bin", "ldconfig"),
    tool("lz4", "the initrd's head, when asked for"),
    tool("zstd", "the initrd's head, when asked for"),
    tool("xz-utils", "the smallest initrd, when asked for"),
    tool("squashfs-tools", "examples/sizes.rs compares"),
    tool("podman-remote", "the tests' client"),
    tool("docker-cli", "the tests' other client"),
    tool("docker-compose", "the tests' third client"),
];

/// What a medium to boot from is made with, in a tree of its own: who runs
/// `make image` alone does without.
pub const LOADERS: &[Package] = &[
    tool("grub-pc-bin", "the boot loader for BIOS"),
    tool("grub-efi-amd64-bin", "the same for UEFI"),
    tool("xorriso", "writes the ISO"),
    tool("mtools", "fills the FAT file system that UEFI reads"),
];

/// What `make bench` compares this system with, in a tree of its own. None of the
/// packages that make one of them /sbin/init: those exclude each other, and hold a
/// link or two that bench/src/peers.rs makes.
pub const PEERS: &[Package] = &[
    image("systemd", "a peer, with journald and networkd"),
    image("udev", "systemd-networkd waits for it"),
    image("openrc", "a peer"),
    image("runit", "a peer"),
    image("finit", "a peer"),
    image(
        "finit-plugins",
        "its documentation's way to the network and modules",
    ),
    image("s6", "a peer as a supervisor in a container"),
    image("tini", "the same"),
    image("dumb-init", "the same"),
    image("kmod", "the peers' modprobe"),
    image("base-files", "the links of a merged /usr"),
];

/// What the slim kernel is built with, in a tree of its own that the build sees as its
/// root: the compiler is the suite's, whatever the host has.
pub const BUILDER: &[Package] = &[
    tool("linux-source", "the kernel's source, with Debian's patches"),
    tool("gcc", "the compiler of the kernel and of its own tools"),
    tool("base-files", "/bin, /lib and /lib64, which lead into /usr"),
    tool("libc6-dev", "for those tools"),
    tool("libelf-dev", "objtool reads object files with it"),
    tool("make", "the kernel's build system"),
    tool("flex", "Kconfig's language"),
    tool("bison", "the same"),
    tool("bc", "computes the constants of the clock"),
    tool("gawk", "tables of instructions and of features"),
    tool("perl-base", "checks of the headers"),
    tool("zstd", "packs the kernel"),
    tool("xz-utils", "unpacks the source"),
    tool("tar", "the same"),
    tool("dash", "the build's shell"),
    tool("bash", "a few of its scripts name it"),
    tool("coreutils", "and its commands"),
    tool("findutils", "the same"),
    tool("diffutils", "the same"),
    tool("grep", "the same"),
    tool("sed", "the same"),
    tool("gzip", "the same; /proc/config.gz"),
];

/// Packages of another Debian release that `make reproducible` builds in, in a tree of its own.
pub const OTHER_HOST: &[Package] = &[
    tool("base-files", "/bin, /lib and /lib64, which lead into /usr"),
    tool("dash", "the shell"),
    tool("coreutils", "env and others"),
    tool("gcc", "links what cargo runs on the host"),
    tool("libc6-dev", "for gcc"),
    tool("git", "the time of the commit"),
    tool("qemu-utils", "qemu-img, for the disk"),
];

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Virtual machines: virtio, Hyper-V, Xen, the big clouds.
    Cloud,
    /// The same, and bare metal, VirtualBox, VMware, USB, SD cards.
    Generic,
    /// Built from Debian's source for virtual machines, all in one file, without modules
    /// ([`crate::kernel`]).
    Slim,
}

impl Kernel {
    /// Each of them, the default first.
    pub const ALL: &[Kernel] = &[Kernel::Cloud, Kernel::Generic, Kernel::Slim];

    /// Reads `KERNEL=`.
    pub fn parse(name: &str) -> Result<Self, String> {
        let mut all = Self::ALL.iter().copied();
        let found = all.find(|kernel| name.is_empty() || kernel.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kernel| kernel.name()).collect();
            let names = names.join(" or ");
            format!("KERNEL={name}: it is {names}")
        })
    }

    /// As `KERNEL=` has it; also the name of its directory under out/.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Cloud => "cloud",
            Kernel::Generic => "generic",
            Kernel::Slim => "slim",
        }
    }

    /// The packages that it comes from: one that always depends on the newest kernel, or
    /// what it is built with.
    pub fn packages(self) -> Vec<&'static str> {
        match self {
            Kernel::Cloud => vec!["linux-image-cloud-amd64"],
            Kernel::Generic => vec!["linux-image-amd64"],
            Kernel::Slim => names(BUILDER),
        }
    }
}

/// All names but the kernel's, in the table's order.
pub fn names(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().map(|p| p.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_package_twice_and_each_with_a_reason() {
        let mut names = names(PACKAGES);
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        let mut all = PACKAGES
            .iter()
            .chain(LOADERS)
            .chain(BUILDER)
            .chain(PEERS)
            .chain(OTHER_HOST);
        assert!(all.all(|p| !p.why.is_empty()));
    }

    #[test]
    fn an_unknown_kernel_is_named() {
        assert_eq!(Kernel::parse(""), Ok(Kernel::Cloud));
        for kernel in Kernel::ALL {
            assert_eq!(Kernel::parse(kernel.name()), Ok(*kernel));
        }
        let said = Kernel::parse("slime").expect_err("there is no such kernel");
        for word in ["KERNEL=slime", "cloud", "generic", "slim"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
