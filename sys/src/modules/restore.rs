// SPDX-License-Identifier: Apache-2.0
//! Original bytes of a module that the image builder changed.
//!
//! The builder cuts off the signature, turns calls of the function tracer into no-ops, and appends
//! a record of both (`initramfs/src/modules/patch.rs`). The kernel ignores the bytes after an ELF
//! file.
//!
//! ```text
//! module | signature | changes | length of the changes: u32 | MAGIC
//! changes: offset of the flags of the list of calls, their value,
//!          then for each table of relocations: offset of the code, offset of the table,
//!          `r_info` of each relocation that was removed, their number,
//!          and the index of each, as the distance from the one before
//! ```
//! Numbers are LEB128 (DWARF 5, 7.6), the others little-endian. Where nothing was changed, the
//! changes are empty. A wrong record gives an error or bytes that the kernel refuses, because
//! their signature does not fit.

/// End of a file with a record.
pub const MAGIC: &[u8; 8] = b"b2p-mod\n";
/// `nopl 0x0(%rax,%rax,1)`, the kernel's own (arch/x86/include/asm/nops.h).
pub const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];
/// `call`, whose target the relocation fills in.
pub const CALL: [u8; 5] = [0xe8, 0, 0, 0, 0];
/// Size in bytes of a relocation with addend (elf(5), `Elf64_Rela`); `r_info` is at 8.
pub const RELOCATION: usize = 24;

/// The record of a module is not consistent with the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Restores the original bytes of a module. A file without a record is not changed.
///
/// # Errors
/// The record is damaged; the content of `file` is then undefined.
pub fn restore(file: &mut Vec<u8>) -> Result<(), Damaged> {
    let Some(rest) = file.strip_suffix(MAGIC) else {
        return Ok(());
    };
    let split = || {
        let (rest, length) = rest.split_last_chunk()?;
        let start = rest
            .len()
            .checked_sub(u32::from_le_bytes(*length) as usize)?;
        Some((start, rest.len()))
    };
    let (start, end) = split().ok_or(Damaged)?;
    let changes = file.split_off(start);
    let numbers = Numbers(changes.get(..end - start).unwrap_or(&[]));
    undo(file, numbers).ok_or(Damaged)
}

fn undo(file: &mut [u8], mut numbers: Numbers<'_>) -> Option<()> {
    if numbers.0.is_empty() {
        return Some(());
    }
    let flags = numbers.offset()?;
    *bytes(file, flags)? = numbers.next()?.to_le_bytes();
    while !numbers.0.is_empty() {
        let (code, mut at) = (numbers.offset()?, numbers.offset()?);
        let (info, count) = (numbers.next()?, numbers.next()?);
        // Each turn takes at least a byte of the record.
        for _ in 0..count {
            at = at.checked_add(numbers.offset()?.checked_mul(RELOCATION)?)?;
            let target = usize::try_from(u64::from_le_bytes(*bytes(file, at)?)).ok()?;
            // The relocation is of the operand, one byte after the call.
            let call = code.checked_add(target)?.checked_sub(1)?;
            exchange(bytes(file, call)?, NOP, CALL)?;
            exchange(bytes(file, at.checked_add(8)?)?, [0; 8], info.to_le_bytes())?;
        }
    }
    Some(())
}

fn bytes<const N: usize>(file: &mut [u8], at: usize) -> Option<&mut [u8; N]> {
    file.get_mut(at..at.checked_add(N)?)?.try_into().ok()
}

fn exchange<const N: usize>(place: &mut [u8; N], from: [u8; N], to: [u8; N]) -> Option<()> {
    (std::mem::replace(place, to) == from).then_some(())
}

/// Numbers that were not read yet.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn offset(&mut self) -> Option<usize> {
        usize::try_from(self.next()?).ok()
    }
}

#[cfg(test)]
mod tests;
