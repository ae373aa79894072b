// SPDX-License-Identifier: Apache-2.0
//! Machines of the peers: this system's userland image without its own programs, with the files of
//! the peer added, in an initrd of the same layout (an erofs under a tmpfs).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use initramfs::erofs::Compression;
use initramfs::fetch::{BuildConfig, PackageTree};
use initramfs::modules::{self, Modules};
use initramfs::progress::{Step, megabytes};
use initramfs::stamp::{self, Inputs};
use initramfs::tree::{Node, Source, Tree};
use initramfs::{archive, erofs, image, kernel, ldcache, overlay, paths, userland};

use crate::peers::{COMMON, Peer};

/// Parts that all peers' machines share.
pub struct Parts {
    pub(crate) debian: PackageTree,
    pub(crate) others: PackageTree,
    modules: Modules,
    pub(crate) out: PathBuf,
}

/// Files of the userland image that only this project's PID 1 and helpers use.
const OURS: &[&str] = &[
    "usr/lib/boot2podman",
    "usr/bin/b2p",
    "usr/bin/systemctl",
    "usr/bin/ping",
    "usr/bin/ping6",
    "usr/sbin/init",
    "usr/sbin/modprobe",
    "usr/sbin/poweroff",
    "usr/sbin/reboot",
    "usr/sbin/halt",
    "usr/sbin/apparmor_parser",
    "usr/sbin/shutdown",
    "usr/share/boot2podman/hooks.d/",
];

/// Programs of sshd, by the paths of the configuration that the peers share (etc/ssh/sshd_config). In this system they are
/// `b2p`, in the peers the package's own.
const PACKAGES: &[(&str, &str)] = &[
    (
        "usr/lib/boot2podman/sshd-session",
        "../openssh/sshd-session",
    ),
    ("usr/lib/boot2podman/sshd-auth", "../openssh/sshd-auth"),
];

/// Drivers that are loaded from the initrd as well, as Debian's own would: network card and disk.
const DRIVERS: &[&str] = &["virtio_blk", "virtio_net"];

/// Returns the directory of a peer's files in the repository.
pub fn files(name: &str) -> PathBuf {
    paths::root().join("bench/peers").join(name)
}

impl Parts {
    /// Fetches packages that are missing.
    pub fn fetch(config: &BuildConfig, step: &Step) -> Result<Self> {
        let (debian, linux) = (config.fetch_userland(step)?, kernel::fetch(config, step)?);
        // The peers load them as Debian's own initrd does.
        let modules = modules::prepare(&debian, &linux, config.kernel, step)?.originals()?;
        let out = paths::out().join("bench").join(config.kernel.name());
        fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
        Ok(Parts {
            others: config.fetch_peers(step)?,
            debian,
            modules,
            out,
        })
    }

    /// Returns the kernel's release.
    pub fn release(&self) -> &str {
        &self.modules.release
    }

    /// Makes a peer's initrd if necessary, and returns its path.
    pub fn initrd(&self, peer: &Peer, step: &Step) -> Result<PathBuf> {
        let base = self.base()?;
        let layer = self.layer(peer, &base).with_context(|| peer.name)?;
        let below = self.erofs("common", &base, step)?;
        let above = self.erofs(peer.name, &layer, step)?;
        let initrd = self.out.join(format!("{}.img", peer.name));
        let mut inputs = Inputs::new();
        inputs.add_file("below", &below)?;
        inputs.add_file("above", &above)?;
        inputs.add_file("init", &files("common").join("init"))?;
        inputs.add("format", "3").add("modules", &self.modules.key);
        stamp::make(&initrd, &inputs.finish(), |to| {
            self.pack(&[&below, &above], to)
        })?;
        let bytes = fs::metadata(&initrd)?.len();
        step.note(&format!("{}: {}", peer.what, megabytes(bytes)));
        Ok(initrd)
    }

    fn erofs(&self, name: &str, tree: &Tree, step: &Step) -> Result<PathBuf> {
        let image = self.out.join(format!("{name}.erofs"));
        let keys = [&*self.debian.key, &self.others.key, &self.modules.key];
        stamp::make(
            &image,
            &erofs::key(tree, &keys, Compression::PerFile),
            |to| {
                step.note(&format!("{name}: the userland image"));
                erofs::make(&self.debian, tree, Compression::PerFile, to)
            },
        )?;
        Ok(image)
    }

    /// Returns the userland without this project's own programs.
    fn base(&self) -> Result<Tree> {
        let mut tree = image::assemble(&self.debian, &self.modules)?;
        tree.remove_all(OURS);
        tree.dir("usr/share/boot2podman/hooks.d");
        tree.link("etc/resolv.conf", "../run/resolv.conf");
        let busybox = self.debian.root.join("usr/bin/busybox");
        tree.file("usr/bin/busybox", &busybox, 0o755);
        tree.add_missing(userland::select_from(&self.others, COMMON)?);
        overlay::apply(&mut tree, &files("common").join("root"))?;
        Ok(tree)
    }

    /// Returns a peer's additions as an image of their own, so that the large one is made once. The
    /// kernel stacks both under the tmpfs.
    fn layer(&self, peer: &Peer, base: &Tree) -> Result<Tree> {
        let mut layer = userland::select_from(&self.others, peer.picks)?;
        layer.remove_all(peer.without);
        layer.remove_common(base);
        for name in peer.above.iter().chain([&peer.name]) {
            overlay::apply(&mut layer, &files(name).join("root"))?;
        }
        for (path, target) in PACKAGES.iter().chain(peer.links) {
            layer.link(path, target);
        }
        let mut whole = layer.clone();
        whole.add_missing(base.clone());
        ldcache::add(self.debian.arch, &mut whole)?;
        if let Some(Node::File(Source::Bytes(cache))) =
            whole.get("etc/ld.so.cache").map(|e| &e.node)
        {
            layer.bytes("etc/ld.so.cache", cache.clone(), 0o644);
        }
        Ok(layer)
    }

    /// Packs an initrd whose head is this system's, with a shell in the place of PID 1 and its
    /// client.
    fn pack(&self, images: &[&Path; 2], to: &Path) -> Result<()> {
        let mut head = Tree::new();
        for dir in ["dev", "proc", "sys", "run", "root"] {
            head.dir(dir);
        }
        head.put("dev/console", Node::Char(5, 1), 0o600);
        head.put("dev/null", Node::Char(1, 3), 0o666);
        head.file("init", &files("common").join("init"), 0o755);
        let busybox = self.debian.root.join("usr/bin/busybox");
        head.file("bin/busybox", &busybox, 0o755);
        for name in ["sh", "mount", "mkdir", "insmod", "switch_root"] {
            head.link(&format!("bin/{name}"), "busybox");
        }
        let mut order = String::new();
        let roots = [self.modules.early()?, self.modules.on_demand()?];
        let drivers = self.modules.closure(DRIVERS)?;
        for module in roots.into_iter().flatten().chain(drivers) {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            head.file(&format!("modules/{name}"), &module, 0o644);
            order += &format!("{name}\n");
        }
        head.bytes("modules/order", order, 0o644);
        let mut tail = Tree::new();
        tail.file("common.erofs", images[0], 0o444);
        tail.file("peer.erofs", images[1], 0o444);
        let file = fs::File::create(to).with_context(|| format!("write {}", to.display()))?;
        let mut file = std::io::BufWriter::new(file);
        archive::cpio::write(&head, &mut file)?;
        archive::cpio::write(&tail, &mut file)?;
        Ok(file.flush()?)
    }
}
