// SPDX-License-Identifier: Apache-2.0
//! Machines that an extension is made for: those of an architecture with one of its kernels.

use anyhow::{Context, Result};
use initramfs::arch::Arch;
use initramfs::ext;
use initramfs::packages::Kernel;
use initramfs::paths;
use std::fs;
use std::path::Path;
use tests::{Guest, image};
use vmm::Disk;

/// Kernel and architecture of a machine.
#[derive(Clone, Copy)]
pub struct Target {
    /// Architecture of the machine.
    pub arch: &'static Arch,
    kernel: Kernel,
}

impl Target {
    /// The machine of `make image`.
    pub fn usual() -> Self {
        Target::of_kernel(Kernel::Cloud)
    }

    /// The architecture that `ARCH=` selects, with a kernel.
    pub fn of_kernel(kernel: Kernel) -> Self {
        let arch = Arch::from_env().unwrap_or(Arch::host());
        Target { arch, kernel }
    }

    /// The usual kernel of an architecture.
    pub fn of_arch(name: &str) -> Result<Self> {
        Ok(Target {
            arch: Arch::parse(name)?,
            ..Target::usual()
        })
    }

    /// Returns a name for the test in this machine.
    pub fn test(self, name: &str) -> String {
        match (self.arch.is_host(), self.kernel) {
            (true, Kernel::Cloud) => name.to_owned(),
            (true, kernel) => format!("{name}-{}", kernel.name()),
            (false, _) => format!("{name}-{}", self.arch.name),
        }
    }

    /// Copies an extension that `make ext` has made for this machine.
    fn copy(self, name: &str, dir: &Path) -> Result<()> {
        let out = paths::out_for(self.arch);
        let dirs = [out.join("ext"), out.join(self.kernel.name()).join("ext")];
        let mut images = dirs
            .map(|dir| dir.join(format!("{name}.erofs")))
            .into_iter();
        let image = images.find(|image| image.exists());
        let image = image.with_context(|| {
            let (arch, kernel) = (self.arch.name, self.kernel.name());
            format!("`make ext NAME={name} ARCH={arch} KERNEL={kernel}` makes it")
        })?;
        for file in [ext::manifest_of(&image), image] {
            let to = dir.join(file.file_name().context("a file has a name")?);
            fs::copy(&file, to)?;
        }
        Ok(())
    }

    /// Returns the machine with these extensions on a data disk of its own, with flags.
    pub fn machine(
        self,
        test: &str,
        names: &[&str],
        flags: &str,
        dir: &Path,
    ) -> Result<vmm::Machine> {
        let fill = |to: &Path| names.iter().try_for_each(|name| self.copy(name, to));
        let data = crate::disk(dir, 2048, fill)?;
        let test = self.test(test);
        let machine = match (self.arch.is_host(), self.kernel) {
            (true, Kernel::Cloud) => tests::machine(&test)?,
            (true, kernel) => tests::machine_of(kernel, &test)?,
            (false, _) => tests::machine_of_arch(self.arch, &test)?,
        };
        let machine = machine.memory_mib(2048);
        Ok(machine.append(flags).disk(Disk::raw(data.file())))
    }

    /// Loads the tests' image for root.
    pub fn load(self, guest: &Guest) -> Result<()> {
        let archive = fs::read(image::archive_for(guest.vm.dir(), self.arch)?)?;
        tests::text(&guest.ssh_with("root", "podman load -q", &archive)?).map(drop)
    }
}
