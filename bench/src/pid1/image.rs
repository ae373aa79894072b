// SPDX-License-Identifier: Apache-2.0
//! The machine of `CASE=pid1`: an initrd with the candidates' programs, without mounts or drivers.
//! Files are in memory, so that no start waits for decompression.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use initramfs::programs::{self, Target};
use initramfs::progress::{Step, megabytes};
use initramfs::stamp::{self, Inputs};
use initramfs::tree::{Node, Tree};
use initramfs::{archive, erofs, ldcache, overlay, userland};

use crate::image::{Parts, files};

/// Files from the packages of the peers.
const PEERS: &[(&str, &str)] = &[
    ("usr/bin/tini-static", "a candidate"),
    ("usr/bin/dumb-init", "a candidate"),
    ("usr/bin/catatonit", "a candidate"),
    ("usr/bin/s6-svscan", "a candidate"),
    ("usr/bin/s6-supervise", "supervises one service"),
    ("usr/sbin/runit", "a candidate"),
    ("usr/bin/runsvdir", "stage 2 of runit"),
    ("usr/bin/runsv", "supervises one service"),
    ("usr/lib/systemd/systemd", "a candidate"),
    ("usr/lib/systemd/systemd-executor", "starts its services"),
    (
        "usr/lib/x86_64-linux-gnu/libmount.so.1",
        "systemd's mount units; dlopen",
    ),
];
/// Files of this project.
const OURS: &[(&str, &str)] = &[("usr/bin/busybox", "a candidate, and runit's stages")];
/// Links of a merged /usr.
const LINKS: &[(&str, &str)] = &[
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("usr/lib/bench/work", "/init"),
];

impl Parts {
    /// Makes the initrd if necessary, and returns its path.
    pub fn alone(&self, step: &Step) -> Result<PathBuf> {
        let target = Target::choose();
        let ours = programs::build(target)?;
        let driver = programs::build_program(target, "bench-pid1", &[])?;
        let tree = self.tree(&ours, &driver)?;
        let initrd = self.out.join(format!("{}.img", super::NAME));
        let keys = [&*self.debian.key, &self.others.key];
        let mut inputs = Inputs::new();
        inputs.add("tree", erofs::key(&tree, &keys, erofs::Compression::None));
        for file in [&driver, &ours.init, &ours.b2p] {
            inputs.add_file("program", file)?;
        }
        stamp::make(&initrd, &inputs.finish(), |to| {
            let file = fs::File::create(to).with_context(|| format!("write {}", to.display()))?;
            let mut file = std::io::BufWriter::new(file);
            archive::cpio::write(&tree, &mut file)?;
            Ok(file.flush()?)
        })?;
        step.note(&format!(
            "PID 1 alone: {}",
            megabytes(fs::metadata(&initrd)?.len())
        ));
        Ok(initrd)
    }

    fn tree(&self, ours: &programs::Programs, driver: &Path) -> Result<Tree> {
        let mut tree = userland::select_from(&self.others, PEERS)?;
        tree.add_missing(userland::select_from(&self.debian, OURS)?);
        ldcache::add(self.debian.arch, &mut tree)?;
        for dir in ["dev", "proc", "sys", "run", "root", "tmp", "mnt", "bench"] {
            tree.dir(dir);
        }
        tree.put("dev/console", Node::Char(5, 1), 0o600);
        for (path, target) in LINKS {
            tree.link(path, target);
        }
        tree.file("init", driver, 0o755);
        tree.file("usr/lib/boot2podman/init", &ours.init, 0o755);
        tree.file("usr/bin/b2p", &ours.b2p, 0o755);
        overlay::apply(&mut tree, &files(super::NAME).join("root"))?;
        Ok(tree)
    }
}
