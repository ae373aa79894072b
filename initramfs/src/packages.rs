// SPDX-License-Identifier: Apache-2.0
//! Debian packages that are fetched, each with a reason. A tree is a directory into which packages are unpacked. The
//! packages of a kernel are in a separate tree, so that several kernels share the other packages. apt adds dependencies;
//! the image contains only the files that [`crate::userland`] and [`crate::modules`] name.

use crate::arch::Arch;

/// Use of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Files of the package go into the image.
    Image,
    /// Programs of the package run on the host, with the tree's loader (see [`crate::tools`]).
    Tool,
}

/// Package to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Name in Debian.
    pub name: &'static str,
    /// Use of the package: files for the image, or programs that run when the image is built.
    pub used: Use,
    /// Reason for the package.
    pub why: &'static str,
}

const fn image(name: &'static str, why: &'static str) -> Package {
    Package {
        name,
        used: Use::Image,
        why,
    }
}

const fn tool(name: &'static str, why: &'static str) -> Package {
    Package {
        name,
        used: Use::Tool,
        why,
    }
}

/// Packages of the userland and of the tools that make the image.
pub const PACKAGES: &[Package] = &[
    image("podman", "the container engine"),
    image("crun", "the OCI runtime: small, C, starts fast"),
    image("conmon", "holds each container's stdio and exit status"),
    image("netavark", "container networks"),
    image("aardvark-dns", "DNS server for the names of containers"),
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
    image("openssh-server", "login over the network"),
    image("openssh-sftp-server", "scp and sshfs"),
    image(
        "openssh-client",
        "ssh-keygen, which checks keys; scp, which the client's scp -O runs in the machine",
    ),
    image("e2fsprogs", "data disks: make, check, grow"),
    image(
        "mount",
        "mount(8) with context= and helpers, which busybox's mount lacks",
    ),
    image("util-linux", "blkid and lsblk: names and labels of disks"),
    image(
        "procps",
        "ps with the options of POSIX, which podman top uses; busybox's ps lacks most of them",
    ),
    image("busybox-static", "all other commands, in one file"),
    image(
        "dash",
        "/bin/sh; busybox's sh would run its built-in mount and modprobe instead of the image's",
    ),
    image(
        "bash",
        "the login shell; podman machine and Lima run it by name",
    ),
    image("sudo", "root for the user core"),
    image(
        "libpam-modules",
        "pam_permit.so, which sudo's PAM configuration uses",
    ),
    image(
        "ca-certificates",
        "certificate authorities, for pulling images",
    ),
    image("netbase", "/etc/services and /etc/protocols"),
    image("tzdata", "tz=, and podman run --tz"),
    image("ncurses-base", "terminal descriptions"),
    tool("erofs-utils", "mkfs.erofs"),
    tool("kmod", "depmod"),
    tool(
        "apparmor",
        "apparmor_parser, which compiles the profile of containers",
    ),
    tool(
        "lz4",
        "compresses the parts of the initrd that initrd.rs selects",
    ),
    tool(
        "zstd",
        "compresses the slim kernel's initrd on media by default",
    ),
    tool("xz-utils", "compresses that initrd with PACK=xz"),
    tool(
        "squashfs-tools",
        "examples/sizes.rs compares image sizes with squashfs",
    ),
    tool("podman-remote", "client of the podman API in the tests"),
    tool("docker-cli", "docker client in the tests"),
    tool("docker-compose", "compose client in the tests"),
];

/// Packages that build the ISO and the disk image. The boot loaders and grub-mkimage come from [`Arch::loaders`].
/// `make image` does not fetch these packages.
pub const MEDIA: &[Package] = &[
    tool("xorriso", "writes the ISO"),
    tool("mtools", "fills the FAT file system that UEFI reads"),
];

/// Peers: the systems that `make bench` compares with this one, in a separate tree. Packages such as systemd-sysv, which
/// install a link /sbin/init, are left out, because they conflict; bench/src/peers.rs makes the links.
pub const PEERS: &[Package] = &[
    image(
        "systemd",
        "compared as PID 1 of a machine, with journald and networkd",
    ),
    image("udev", "systemd-networkd waits for udev"),
    image("openrc", "compared as PID 1 of a machine"),
    image("runit", "compared as PID 1 of a machine"),
    image("finit", "compared as PID 1 of a machine"),
    image(
        "finit-plugins",
        "plugins by which finit's documentation configures network and modules",
    ),
    image("s6", "compared as a supervisor in a container"),
    image("tini", "compared as PID 1 of a container"),
    image("dumb-init", "compared as PID 1 of a container"),
    image("catatonit", "compared as PID 1 of a container"),
    image("kmod", "modprobe of the peers"),
    image("base-files", "the links of a merged /usr"),
];

/// Varlink clients of other projects, for tests, in a separate tree.
pub const VARLINK_CLIENTS: &[Package] = &[
    tool("systemd", "varlinkctl"),
    tool("varlink-go", "varlink-go-certification"),
];

/// Packages that compile the slim kernel, in a tree that is the root directory of the build: the compiler is that of the
/// image's Debian suite, not the host's.
pub const BUILDER: &[Package] = &[
    tool("linux-source", "the kernel's source, with Debian's patches"),
    tool("gcc", "the compiler of the kernel and of its own tools"),
    tool("base-files", "the links /bin, /lib and /lib64 into /usr"),
    tool("libc6-dev", "headers for the kernel's own tools"),
    tool("libelf-dev", "objtool reads object files with it"),
    tool("make", "the kernel's build system"),
    tool("flex", "generates the scanner of Kconfig"),
    tool("bison", "generates the parser of Kconfig"),
    tool("bc", "computes the constants of the clock"),
    tool("gawk", "tables of instructions and of features"),
    tool("perl-base", "checks of the headers"),
    tool("zstd", "packs the kernel"),
    tool("xz-utils", "unpacks the source"),
    tool("tar", "unpacks the source"),
    tool("dash", "the build's shell"),
    tool("bash", "some scripts require it"),
    tool("coreutils", "commands of the build"),
    tool("findutils", "commands of the build"),
    tool("diffutils", "commands of the build"),
    tool("grep", "commands of the build"),
    tool("sed", "commands of the build"),
    tool("gzip", "/proc/config.gz"),
];

/// Packages of another Debian release in which `make reproducible` builds, in a separate tree.
pub const OTHER_HOST: &[Package] = &[
    tool("base-files", "the links /bin, /lib and /lib64 into /usr"),
    tool("dash", "the shell"),
    tool("coreutils", "env and others"),
    tool("gcc", "linker for build scripts and procedural macros"),
    tool("libc6-dev", "start files and headers for gcc"),
    tool("git", "the time of the commit"),
    tool("qemu-utils", "qemu-img, for the disk"),
];

/// Packages of a host that runs the disk image with Debian's own podman machine, for the tests, in a separate tree.
pub const MACHINE_HOST: &[Package] = &[
    tool("base-files", "the links /bin, /lib and /lib64 into /usr"),
    tool("bash", "the host's first process, and the wrapper of QEMU"),
    tool("dash", "/bin/sh"),
    tool("coreutils", "env, timeout and others"),
    tool(
        "findutils",
        "find, which lists the files that a removed machine leaves",
    ),
    tool("util-linux", "setpriv"),
    tool("podman", "podman machine"),
    tool("qemu-system-x86", "the machines"),
    tool("qemu-utils", "qemu-img, with which podman enlarges disks"),
    tool("gvproxy", "the machines' network"),
    tool("virtiofsd", "the machines' volumes"),
    tool("openssh-client", "ssh and ssh-keygen"),
    tool("curl", "clients of published ports and of the API"),
    tool("docker-registry", "a registry to pull the disk from"),
    tool("skopeo", "pushes the disk"),
];

/// Servers of network file systems, for the tests of extensions, in a separate tree.
pub const FILE_SERVERS: &[Package] = &[
    tool("base-files", "the links /bin, /lib and /lib64 into /usr"),
    tool("coreutils", "env"),
    tool("nfs-ganesha", "an NFS server in user space"),
    tool(
        "nfs-ganesha-vfs",
        "back end of nfs-ganesha for local directories",
    ),
    tool("samba", "an SMB server"),
];

/// Kernels that an image can be built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Debian's kernel for virtual machines: virtio, Hyper-V, Xen, the large clouds.
    Cloud,
    /// Debian's kernel for all machines: also bare metal, VirtualBox, VMware, USB, SD cards.
    Generic,
    /// Kernel for virtual machines, compiled from Debian's source without modules
    /// ([`crate::kernel`]).
    Slim,
}

impl Kernel {
    /// All kernels, the default first.
    pub const ALL: &[Kernel] = &[Kernel::Cloud, Kernel::Generic, Kernel::Slim];

    /// Returns the kernel of this name, a value of `KERNEL=`; an empty name is the default.
    ///
    /// # Errors
    /// The name is unknown; the message lists the kernels.
    pub fn parse(name: &str) -> Result<Self, String> {
        let mut kernels = Self::ALL.iter().copied();
        let found = kernels.find(|kernel| name.is_empty() || kernel.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kernel| kernel.name()).collect();
            let names = names.join(" or ");
            format!("KERNEL={name}: no such kernel; use {names}")
        })
    }

    /// Returns the value of `KERNEL=`, which is also the name of the directory under `out/`.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Cloud => "cloud",
            Kernel::Generic => "generic",
            Kernel::Slim => "slim",
        }
    }

    /// Returns the packages of the kernel: one that always depends on the newest version, or
    /// those that the slim kernel is compiled with.
    pub fn packages(self, arch: &Arch) -> Vec<&'static str> {
        match self {
            Kernel::Cloud => vec![arch.cloud_kernel],
            Kernel::Generic => vec![arch.generic_kernel],
            Kernel::Slim => builder(arch),
        }
    }
}

/// Returns the packages of the host that the slim kernel of an architecture is compiled with: the compiler of another
/// architecture is a package beside gcc, which compiles the build's own programs.
fn builder(arch: &Arch) -> Vec<&'static str> {
    let compiler = (!arch.is_host()).then_some(arch.slim.compiler);
    names(BUILDER).into_iter().chain(compiler).collect()
}

/// Returns the names of packages, in the table's order.
pub fn names(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().map(|p| p.name).collect()
}

/// Returns the names of the packages that a tree of this architecture has: tools run on the host only.
pub fn names_for(packages: &[Package], arch: &Arch) -> Vec<&'static str> {
    let belongs = |p: &&Package| arch.is_host() || p.used == Use::Image;
    packages.iter().filter(belongs).map(|p| p.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_has_no_duplicate_and_every_table_has_reasons() {
        let mut names = names(PACKAGES);
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let mut packages = PACKAGES
            .iter()
            .chain(MEDIA)
            .chain(BUILDER)
            .chain(PEERS)
            .chain(VARLINK_CLIENTS)
            .chain(OTHER_HOST)
            .chain(MACHINE_HOST)
            .chain(FILE_SERVERS);
        assert!(packages.all(|p| !p.why.is_empty()));
    }

    #[test]
    fn kernel_parse_accepts_known_names_and_lists_them_in_its_error() {
        assert_eq!(Kernel::parse(""), Ok(Kernel::Cloud));
        for kernel in Kernel::ALL {
            assert_eq!(Kernel::parse(kernel.name()), Ok(*kernel));
        }
        let error = Kernel::parse("slime").expect_err("there is no such kernel");
        for part in ["KERNEL=slime", "cloud", "generic", "slim"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
