// SPDX-License-Identifier: Apache-2.0
//! Descriptions of machines.

use crate::accel::AcceleratorChoice;
use crate::board::Board;
use crate::disk::Disk;
use anyhow::{Result, ensure};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Kernel and initrd of a machine.
#[derive(Clone, Debug)]
pub struct Artifacts {
    /// Kernel image.
    pub kernel: PathBuf,
    /// Initial RAM disk.
    pub initrd: PathBuf,
}

impl Artifacts {
    /// Returns the files that `make image` writes to `dir`.
    pub fn from_out_dir(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let all = Self {
            kernel: dir.join("vmlinuz"),
            initrd: dir.join("initrd.img"),
        };
        for file in [&all.kernel, &all.initrd] {
            ensure!(
                file.is_file(),
                "{} is missing: run `make image` first",
                file.display()
            );
        }
        Ok(all)
    }
}

/// User of the serial console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Front {
    /// The program that started the machine, by `Vm::console`.
    #[default]
    Program,
    /// The person at this terminal, with QEMU's monitor behind Ctrl-A C.
    Terminal,
}

/// Device of the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ConsoleDevice {
    /// The board's first serial line.
    #[default]
    Serial,
    /// A virtio console: `hvc0`.
    Virtio,
}

impl ConsoleDevice {
    /// Returns QEMU's arguments for the device.
    pub(super) fn arguments(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Serial => &["-serial", "chardev:con"],
            Self::Virtio => &[
                "-device",
                "virtio-serial-pci",
                "-device",
                "virtconsole,chardev=con",
            ],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// Network of the card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// QEMU's user network: DHCP, DNS, NAT, and ports forwarded from 127.0.0.1.
    #[default]
    User,
    /// A hub without another member: no DHCP server ever answers.
    Silent,
    /// No card.
    None,
}

/// Type of the network card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Card {
    /// virtio-net.
    #[default]
    Virtio,
    /// virtio-net without PCI, on boards that have both.
    VirtioMmio,
    /// Intel's 82540EM, which VirtualBox and VMware emulate, too.
    E1000,
}

/// Description of a machine, which [`Machine::start`] starts.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) boot: Option<Artifacts>,
    pub(super) dir: PathBuf,
    pub(super) board: Board,
    pub(super) memory_mib: u32,
    pub(super) cpus: u32,
    pub(super) accel: AcceleratorChoice,
    pub(super) icount: bool,
    pub(super) fixed_addresses: bool,
    pub(super) words: Vec<OsString>,
    pub(super) keys: Vec<String>,
    pub(super) fw_cfg: Vec<(String, Vec<u8>)>,
    pub(super) disks: Vec<Disk>,
    pub(super) network: Network,
    pub(super) card: Card,
    pub(super) entropy: bool,
    pub(super) forwards: Vec<Forward>,
    pub(super) front: Front,
    pub(super) console: ConsoleDevice,
    pub(super) extra: Vec<OsString>,
}

/// A port on 127.0.0.1 that leads into the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forward {
    pub name: String,
    pub guest: u16,
    /// Host port; `None` for any free one.
    pub host: Option<u16>,
}

impl Machine {
    /// Returns a machine that boots these files, with its first serial line as the console, and port
    /// 22 forwarded as `ssh`.
    pub fn new(boot: &Artifacts) -> Self {
        Self {
            boot: Some(boot.clone()),
            ..Self::bare()
        }
    }

    /// Returns a machine that boots from its disks.
    pub fn bare() -> Self {
        Self {
            boot: None,
            dir: PathBuf::from("out/vm/unnamed"),
            board: Board::Q35,
            memory_mib: 1024,
            cpus: 2,
            accel: AcceleratorChoice::Auto,
            icount: false,
            fixed_addresses: false,
            words: Vec::new(),
            keys: Vec::new(),
            fw_cfg: Vec::new(),
            disks: Vec::new(),
            network: Network::User,
            card: Card::Virtio,
            entropy: true,
            forwards: vec![Forward {
                name: "ssh".into(),
                guest: 22,
                host: None,
            }],
            front: Front::Program,
            console: ConsoleDevice::Serial,
            extra: Vec::new(),
        }
    }

    /// Returns the words of the kernel's command line, the console first.
    pub(super) fn command_line(&self) -> Vec<OsString> {
        let device = match self.console {
            ConsoleDevice::Serial => self.board.serial(),
            ConsoleDevice::Virtio => "hvc0",
        };
        let console = format!("console={device}");
        let console = self.boot.iter().map(|_| console.clone().into());
        console.chain(self.words.iter().cloned()).collect()
    }

    /// Sets the directory for the files of this machine: logs, sockets, fw_cfg files. The directory
    /// is emptied at the start.
    #[must_use]
    pub fn dir(self, dir: impl AsRef<Path>) -> Self {
        Self {
            dir: dir.as_ref().to_owned(),
            ..self
        }
    }

    /// Sets the board.
    #[must_use]
    pub fn board(self, board: Board) -> Self {
        Self { board, ..self }
    }

    /// Sets another kernel.
    #[must_use]
    pub fn kernel(mut self, kernel: impl AsRef<Path>) -> Self {
        if let Some(boot) = &mut self.boot {
            boot.kernel = kernel.as_ref().to_owned();
        }
        self
    }

    /// Sets the memory in MiB.
    #[must_use]
    pub fn memory_mib(self, memory_mib: u32) -> Self {
        Self { memory_mib, ..self }
    }

    /// Sets the number of CPUs.
    #[must_use]
    pub fn cpus(self, cpus: u32) -> Self {
        Self { cpus, ..self }
    }

    /// Sets the accelerator.
    #[must_use]
    pub fn accel(self, accel: AcceleratorChoice) -> Self {
        Self { accel, ..self }
    }

    /// Selects the instruction clock: a nanosecond of guest time for each instruction, however busy
    /// the host is. One CPU, TCG.
    #[must_use]
    pub fn icount(self, icount: bool) -> Self {
        Self { icount, ..self }
    }

    /// Loads programs and libraries at the same addresses in every process if TCG emulates the
    /// processor, which then translates them once (`cmdline::with_fixed_addresses`).
    #[must_use]
    pub fn fixed_addresses(self) -> Self {
        Self {
            fixed_addresses: true,
            ..self
        }
    }

    /// Sets another initrd.
    #[must_use]
    pub fn initrd(mut self, initrd: impl AsRef<Path>) -> Self {
        if let Some(boot) = &mut self.boot {
            boot.initrd = initrd.as_ref().to_owned();
        }
        self
    }

    /// Appends words to the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: impl AsRef<str>) -> Self {
        let words = words.as_ref().trim();
        self.words.extend((!words.is_empty()).then(|| words.into()));
        self
    }

    /// Appends any bytes but NUL to the kernel's command line.
    #[must_use]
    pub fn append_bytes(mut self, bytes: &[u8]) -> Self {
        self.words.push(OsString::from_vec(bytes.to_vec()));
        self
    }

    /// Adds a public key for root and the user: on the command line if there is room, else by
    /// fw_cfg.
    #[must_use]
    pub fn ssh_key(mut self, public: &str) -> Self {
        self.keys.push(public.trim().to_owned());
        self
    }

    /// Adds a file that the guest can read through QEMU's fw_cfg device.
    #[must_use]
    pub fn fw_cfg(mut self, name: &str, content: &[u8]) -> Self {
        self.fw_cfg.push((name.to_owned(), content.to_vec()));
        self
    }

    /// Adds a disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Sets the network.
    #[must_use]
    pub fn network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// Sets the type of network card.
    #[must_use]
    pub fn card(self, card: Card) -> Self {
        Self { card, ..self }
    }

    /// Turns the virtio random number device on or off; without the device, the guest has only its
    /// processor's.
    #[must_use]
    pub fn entropy(self, entropy: bool) -> Self {
        Self { entropy, ..self }
    }

    /// Forwards a free port of 127.0.0.1, which `Vm::port(name)` returns, to `guest`.
    #[must_use]
    pub fn forward(mut self, name: &str, guest: u16) -> Self {
        self.forwards.push(Forward {
            name: name.to_owned(),
            guest,
            host: None,
        });
        self
    }

    /// Forwards this port of 127.0.0.1 to the guest's sshd.
    #[must_use]
    pub fn ssh_port(mut self, port: u16) -> Self {
        for forward in self.forwards.iter_mut().filter(|f| f.name == "ssh") {
            forward.host = Some(port);
        }
        self
    }

    /// Connects the console to this terminal: keys, Ctrl-C included, go to the guest; Ctrl-A X ends
    /// QEMU.
    #[must_use]
    pub fn in_terminal(self) -> Self {
        Self {
            front: Front::Terminal,
            ..self
        }
    }

    /// Makes the console a virtio console, which is on PCI; the serial line is connected to nothing.
    #[must_use]
    pub fn virtio_console(self) -> Self {
        Self {
            console: ConsoleDevice::Virtio,
            ..self
        }
    }

    /// Adds arguments for QEMU that no other method covers.
    #[must_use]
    pub fn qemu_args(mut self, args: &[&str]) -> Self {
        self.extra.extend(args.iter().map(OsString::from));
        self
    }
}
