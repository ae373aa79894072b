// SPDX-License-Identifier: Apache-2.0
//! Flags of no meaning at all.

use super::equals;
use anyhow::{Result, ensure};
use tests::{BOOT_LIMIT, Guest, keyless, machine};
use vmm::Ready;

/// Returns bytes like those of a corrupted line. Words without a dot would be kernel parameters or
/// arguments of init, and the kernel panics on more than 32 of those, so there are few and long
/// ones.
fn garbage(len: usize) -> Vec<u8> {
    let mut seed: u32 = 0x00b2_b2b2;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 16
    };
    let mut bytes = Vec::with_capacity(len);
    for n in 0..len {
        let byte = u8::try_from(next() % 255 + 1).unwrap_or(b'?');
        bytes.push(match (n % 90, byte) {
            (0, _) => b' ',
            (1..=4, _) => b"b2p."[n % 90 - 1],
            (_, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0xa0) => b'=',
            (_, byte) => byte,
        });
    }
    bytes
}

fn told_in_ascii(ready: &Ready) -> Result<()> {
    ensure!(!ready.degraded.is_empty(), "not a word on the garbage");
    let clean = |text: &str| text.bytes().all(|b| matches!(b, b' '..=b'~'));
    let clean = ready
        .degraded
        .iter()
        .all(|d| clean(&d.what) && clean(&d.why));
    ensure!(clean, "garbage reaches the console: {:?}", ready.degraded);
    Ok(())
}

#[test]
fn garbage_of_2047_bytes() -> Result<()> {
    let vm = keyless("flags-garbage-2047")?
        .append_bytes(&garbage(2047 - "console=ttyS0 ".len()))
        .start()?;
    told_in_ascii(&vm.wait_ready(BOOT_LIMIT)?)
}

/// A longer command line kills the kernel before its first message: the kernel copies
/// `COMMAND_LINE_SIZE` bytes and then misses the terminator. Longer garbage therefore arrives by
/// fw_cfg.
#[test]
fn garbage_of_4096_bytes_by_fw_cfg() -> Result<()> {
    let bytes = garbage(4096);
    let mut machine = machine("flags-garbage-4096")?;
    for name in ["hostname", "ssh_key", "net", "no-such-flag"] {
        machine = machine.fw_cfg(&format!("opt/org.boot2podman/{name}"), &bytes);
    }
    let guest = Guest::start(&machine)?;
    told_in_ascii(&guest.ready)?;
    equals(&guest, "hostname", "boot2podman")
}
