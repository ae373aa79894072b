// SPDX-License-Identifier: Apache-2.0
//! Boards, and the names that QEMU has for them.

/// Board of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Board {
    /// A PC with PCI Express.
    #[default]
    Q35,
    /// QEMU's microvm: virtio over MMIO, no PCI, a minimal firmware (QEMU's
    /// docs/system/i386/microvm.rst). Disks are on [`crate::Bus::Mmio`].
    Microvm,
    /// QEMU's `virt` of aarch64: PCI Express, a device tree unless there is firmware, PL011 (QEMU's
    /// docs/system/arm/virt.rst).
    Virt,
}

impl Board {
    /// Returns the board of virtual machines of an architecture, by its name in the kernel.
    #[must_use]
    pub fn of_arch(arch: &str) -> Self {
        match arch {
            "aarch64" => Self::Virt,
            _ => Self::Q35,
        }
    }

    /// Returns the name in QEMU.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Microvm => "microvm",
            // The newest interrupt controller that the accelerator has: GICv2, the default under TCG, has at most
            // eight processors.
            Self::Virt => "virt,gic-version=max",
        }
    }

    /// Returns the name of QEMU's program.
    pub(super) fn qemu(self) -> &'static str {
        match self {
            Self::Q35 | Self::Microvm => "qemu-system-x86_64",
            Self::Virt => "qemu-system-aarch64",
        }
    }

    /// Returns the kernel's name of the first serial line.
    #[must_use]
    pub fn serial(self) -> &'static str {
        match self {
            Self::Q35 | Self::Microvm => "ttyS0",
            Self::Virt => "ttyAMA0",
        }
    }

    /// Returns true if guests of this board may run under the host's KVM.
    pub(super) fn has_host_processor(self) -> bool {
        let arch = match self {
            Self::Q35 | Self::Microvm => "x86_64",
            Self::Virt => "aarch64",
        };
        arch == std::env::consts::ARCH
    }
}
