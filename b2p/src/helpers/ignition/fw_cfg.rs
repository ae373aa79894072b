// SPDX-License-Identifier: Apache-2.0
//! Documents in QEMU's fw_cfg (docs/specs/fw_cfg.rst of QEMU). The kernel's file has one page for each read(2), and for
//! each page it selects the entry anew and reads all bytes before that page, one at a time
//! (drivers/firmware/qemu_fw_cfg.c, `fw_cfg_read_blob`): 1 MB takes 19 s where the processor is emulated. On a PC, a longer
//! document is therefore read from the device's port, in one go.
//!
//! The device has one selector, and no process can hold the kernel's lock on it. Two readers at a time would get wrong
//! bytes, and neither of them an error. This module is the only reader at its time, for three reasons: the kernel itself
//! reads when its driver is loaded, before the first service; flags are read from the copy that PID 1 has made
//! ([`sys::config_sources::fw_cfg_is_shared`]); `b2p data`, which reads the boot order, takes the lock that this
//! module takes. A script of root that reads the kernel's files at the same time is the exception. Such a script
//! cannot change the document, which counts only if two passes agree, but may itself get wrong bytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use log::warn;
use sys::config_sources;
use sys::error::{Doing, Error, Result};

use super::document::MAX_BYTES;

/// Bytes of a page: most that the kernel's file returns at once (fs/kernfs/file.c, `kernfs_file_read_iter`).
const PAGE: usize = 4096;
/// Ranges of ports and their owners (proc_ioports(5)).
const IOPORTS: &str = "/proc/ioports";
/// Owner's name of the device's ports (drivers/firmware/qemu_fw_cfg.c, `fw_cfg_do_platform_probe`).
const OWNER: &str = "fw_cfg_io";

/// Returns the content of an entry; `None` if there is none. Of a content that is longer than [`MAX_BYTES`], one
/// byte more than that is returned.
///
/// # Errors
/// The entry cannot be read.
pub fn read(entry: &Path) -> Result<Option<Vec<u8>>> {
    let raw = entry.join("raw");
    let mut file = match File::open(&raw) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.on(&raw)?,
    };
    let mut bytes = vec![0; PAGE];
    let count = file.read(&mut bytes).on(&raw)?;
    bytes.truncate(count);
    if count < PAGE {
        return Ok(Some(bytes));
    }
    match by_port(entry, &bytes) {
        Ok(all) => return Ok(Some(all)),
        Err(why) => warn!("ignition: fw_cfg is read by way of the kernel, which is slow: {why}"),
    }
    let rest = MAX_BYTES + 1 - bytes.len();
    file.take(rest as u64).read_to_end(&mut bytes).on(&raw)?;
    Ok(Some(bytes))
}

/// Returns the content of an entry that begins with `start`, from the device's port.
fn by_port(entry: &Path, start: &[u8]) -> Result<Vec<u8>> {
    if config_sources::fw_cfg_is_shared() {
        return Err(Error::invalid("there is no copy of the flags"));
    }
    let ports = fs::read_to_string(IOPORTS).on(IOPORTS)?;
    let base = base_of(&ports).ok_or_else(|| Error::invalid("it has no port"))?;
    let size = number(&entry.join("size"))?.min(MAX_BYTES + 1);
    let key = number(&entry.join("key"))?;
    let key = u16::try_from(key).map_err(|_| Error::invalid(format!("its key is {key}")))?;
    let _alone = config_sources::lock_fw_cfg()?;
    let port = port::Port::open(base)?;
    twice(start, size, |bytes| port.read(key, bytes))
}

/// Returns `size` bytes if two passes agree on them, and they begin with `start`.
fn twice(start: &[u8], size: usize, mut read: impl FnMut(&mut [u8])) -> Result<Vec<u8>> {
    let [mut first, mut second] = [vec![0; size], vec![0; size]];
    read(&mut first);
    read(&mut second);
    match first == second && first.starts_with(start) {
        true => Ok(first),
        false => Err(Error::invalid("another process has read it meanwhile")),
    }
}

fn number(path: &Path) -> Result<usize> {
    let text = fs::read_to_string(path).on(path)?;
    let number = text.trim().parse();
    number.map_err(|_| Error::invalid(format!("{}: {text:?} is no number", path.display())))
}

/// Returns the first port of the device.
fn base_of(ports: &str) -> Option<u16> {
    let mut ranges = ports
        .lines()
        .filter_map(|line| line.trim().split_once(" : "));
    let (range, _) = ranges.find(|(_, owner)| *owner == OWNER)?;
    u16::from_str_radix(range.split_once('-')?.0, 16).ok()
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions that read from a port")]
mod port {
    use std::arch::asm;
    use std::fs;

    use nix::errno::Errno;
    use sys::error::{Doing, Error, Result};

    use super::PAGE;

    /// Ports of the device: the selector, two bytes, whose second port is that of the data when read.
    const COUNT: libc::c_ulong = 2;
    /// Features of the processors (proc_cpuinfo(5)).
    const CPUINFO: &str = "/proc/cpuinfo";

    /// Ports that this process may use while the value exists.
    pub struct Port(u16);

    impl Port {
        /// Gives this process the ports from `base` on.
        ///
        /// # Errors
        /// The kernel refuses it, as it does in lockdown. In a trust domain of Intel TDX, the instructions end a program
        /// (arch/x86/coco/tdx/tdx.c, `virt_exception_user`), though ioperm(2) succeeds.
        pub fn open(base: u16) -> Result<Port> {
            let processor = fs::read_to_string(CPUINFO).on(CPUINFO)?;
            if processor.contains("tdx_guest") {
                return Err(Error::invalid("programs in a trust domain use no ports"));
            }
            allow(base, 1).doing("ioperm").map(|()| Port(base))
        }

        /// Fills `bytes` with the content of entry `key`, and zeros after its end.
        pub fn read(&self, key: u16, bytes: &mut [u8]) {
            // SAFETY: the kernel has allowed the port (`open`); the instruction writes no memory.
            unsafe {
                asm!("out dx, ax", in("dx") self.0, in("ax") key, options(nostack, preserves_flags));
            }
            // KVM takes up to 1024 bytes from the device before it writes them, and they are lost if the page is not
            // there (arch/x86/kvm/emulate.c, `pio_in_emulated`). This buffer has been written.
            let mut buffer = [0xff; PAGE];
            for piece in bytes.chunks_mut(PAGE) {
                // SAFETY: the kernel has allowed the port, and `piece` is no longer than `buffer`, to whose start the
                // instruction writes.
                unsafe {
                    asm!(
                        "rep insb",
                        in("dx") self.0 + 1,
                        inout("rdi") buffer.as_mut_ptr() => _,
                        inout("rcx") piece.len() => _,
                        options(nostack, preserves_flags)
                    );
                }
                piece
                    .iter_mut()
                    .zip(buffer)
                    .for_each(|(to, from)| *to = from);
            }
        }
    }

    impl Drop for Port {
        fn drop(&mut self) {
            let _ = allow(self.0, 0);
        }
    }

    fn allow(base: u16, on: libc::c_int) -> nix::Result<()> {
        // SAFETY: ioperm(2) takes numbers alone, and without the instructions above it has no effect.
        let done = unsafe { libc::syscall(libc::SYS_ioperm, libc::c_ulong::from(base), COUNT, on) };
        Errno::result(done).map(drop)
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod port {
    use sys::error::{Error, Result};

    /// Ports, which this architecture does not have.
    pub enum Port {}

    impl Port {
        /// Fails.
        ///
        /// # Errors
        /// Processors of this architecture have no ports.
        pub fn open(_: u16) -> Result<Port> {
            Err(Error::invalid("the processor has no ports"))
        }

        /// Has no value to be called on.
        pub fn read(&self, _: u16, _: &mut [u8]) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn entries_of_each_size() {
        let temp = Temp::new();
        assert_eq!(read(temp.dir()), Ok(None));
        for size in [0, 2, PAGE - 1, PAGE, 3 * PAGE + 1] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            fs::write(temp.path("raw"), &bytes).unwrap();
            assert_eq!(read(temp.dir()).unwrap().unwrap(), bytes, "{size}");
        }
    }

    #[test]
    fn ports_of_the_device() {
        let ports =
            "0000-0cf7 : PCI Bus 0000:00\n  0510-051b : QEMU0002:00\n    0510-051b : fw_cfg_io\n";
        assert_eq!(base_of(ports), Some(0x510));
        assert_eq!(base_of("0070-0077 : rtc0\n"), None);
        // A process that is not root sees zeros, and is refused by ioperm(2).
        assert_eq!(base_of("0000-0000 : fw_cfg_io\n"), Some(0));
    }

    #[test]
    fn twice_returns_bytes_that_two_passes_agree_on() {
        let mut passes = 0;
        let mut twice_of = |second: u8, start: &[u8]| {
            twice(start, 3, |bytes| {
                passes += 1;
                bytes.copy_from_slice(&[1, 2, if passes % 2 == 0 { second } else { 3 }]);
            })
        };
        assert_eq!(twice_of(3, &[1, 2]), Ok(vec![1, 2, 3]));
        assert!(why(twice_of(4, &[1, 2])).contains("another process"));
        assert!(why(twice_of(3, &[2])).contains("another process"));
    }
}
