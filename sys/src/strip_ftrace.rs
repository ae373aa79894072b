// SPDX-License-Identifier: Apache-2.0
//! Removal of the function tracer's calls from a kernel module.
//!
//! Each function of a module begins with a call of `__fentry__`, and the section
//! `__mcount_loc` lists these calls. When the kernel loads the module, it turns each call into a
//! no-op and finds the function that it belongs to by a walk over all of the module's symbols
//! (ftrace.c, `ftrace_module_enable`; module/kallsyms.c, `find_kallsyms_symbol`): 40 of the 48
//! ms of instructions that `bridge` takes. Here the calls become no-ops beforehand, and the
//! section is not loaded. The function tracer then does not see the module; probes by breakpoint
//! do. A module with anything unexpected is left unchanged.
//!
//! Formats: elf(5); the relocations of the x86-64 psABI, 4.4.

use std::ops::Range;

/// `nopl 0x0(%rax,%rax,1)`, the kernel's own (arch/x86/include/asm/nops.h).
const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];
/// `call`, whose target the relocation fills in.
const CALL: [u8; 5] = [0xe8, 0, 0, 0, 0];
const X86_64: u16 = 62;
const SHT_SYMTAB: u32 = 2;
const SHT_RELA: u32 = 4;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC: u64 = 2;
/// R_X86_64_PC32 and R_X86_64_PLT32: relative to the end of the call, so with an addend of -4.
const RELATIVE: [u32; 2] = [2, 4];
/// Size in bytes of a section header; those of a symbol and a relocation follow.
const HEADER: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 24;

/// Section headers of a module.
struct Elf<'a> {
    file: &'a [u8],
    sections: Vec<Section>,
}

#[derive(Clone, Copy)]
struct Section {
    /// Offset of the section's header.
    header: usize,
    name: usize,
    kind: u32,
    flags: u64,
    at: usize,
    size: usize,
    link: usize,
    info: usize,
}

/// Removes the tracer's calls from a module; returns their number.
pub fn untrace(file: &mut [u8]) -> usize {
    let Some((section, calls)) = plan(file) else {
        return 0;
    };
    // The offsets were checked when the plan was made.
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = file.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    for (call, relocation) in &calls {
        put(*call, &NOP);
        put(relocation + 8, &[0; 8]); // R_X86_64_NONE
    }
    put(
        section.header + 8,
        &(section.flags & !SHF_ALLOC).to_le_bytes(),
    );
    calls.len()
}

/// Returns the section of the list, and the offsets of each call and its relocation.
fn plan(file: &[u8]) -> Option<(Section, Vec<(usize, usize)>)> {
    let elf = Elf::read(file)?;
    let names = elf.sections.get(usize::from(half(file, 62)?))?;
    let list = elf
        .sections
        .iter()
        .find(|s| s.flags & SHF_ALLOC != 0 && elf.name(names, s.name) == Some(b"__mcount_loc"))?;
    let fentry = elf.symbol(b"__fentry__")?;
    let mut calls = Vec::new();
    for table in elf.sections.iter().filter(|s| s.kind == SHT_RELA) {
        let target = elf.sections.get(table.info)?;
        for at in table.range().step_by(RELOCATION) {
            if long(file, at + 8)? >> 32 == fentry {
                calls.push((elf.call(target, at)?, at));
            }
        }
    }
    Some((*list, calls))
}

impl<'a> Elf<'a> {
    fn read(file: &'a [u8]) -> Option<Self> {
        // 64 bits, little-endian, relocatable, x86-64.
        let known = file.starts_with(b"\x7fELF\x02\x01")
            && half(file, 16)? == 1
            && half(file, 18)? == X86_64
            && usize::from(half(file, 58)?) == HEADER;
        let (first, count) = (number(file, 40)?, usize::from(half(file, 60)?));
        let header = |i: usize| Section::read(file, first.checked_add(i * HEADER)?);
        let sections = (0..count).map(header).collect::<Option<_>>()?;
        known.then_some(Elf { file, sections })
    }

    fn name(&self, strings: &Section, at: usize) -> Option<&'a [u8]> {
        let text = self.file.get(strings.range())?;
        text.get(at..)?.split(|&b| b == 0).next()
    }

    /// Returns the index of the symbol of this name.
    fn symbol(&self, name: &[u8]) -> Option<u64> {
        let table = self.sections.iter().find(|s| s.kind == SHT_SYMTAB)?;
        let strings = self.sections.get(table.link)?;
        let mut symbols = self.file.get(table.range())?.chunks_exact(SYMBOL);
        let is = |symbol: &[u8]| {
            let at = word(symbol, 0).map(|at| at as usize);
            at.and_then(|at| self.name(strings, at)) == Some(name)
        };
        u64::try_from(symbols.position(is)?).ok()
    }

    /// Returns the offset of the call that a relocation belongs to.
    fn call(&self, target: &Section, at: usize) -> Option<usize> {
        let inside = number(self.file, at)?.checked_sub(1)?;
        let fits = inside.checked_add(CALL.len())? <= target.size
            && RELATIVE.contains(&word(self.file, at + 8)?)
            && long(self.file, at + 16)?.cast_signed() == -4;
        let call = target.at.checked_add(inside)?;
        let bytes = self.file.get(call..call.checked_add(CALL.len())?)?;
        (fits && bytes == CALL).then_some(call)
    }
}

impl Section {
    /// Returns `None` if the file ends before the section does.
    fn read(file: &[u8], header: usize) -> Option<Section> {
        bytes::<HEADER>(file, header)?;
        let mut section = Section {
            header,
            name: word(file, header)? as usize,
            kind: word(file, header + 4)?,
            flags: long(file, header + 8)?,
            at: number(file, header + 24)?,
            size: number(file, header + 32)?,
            link: word(file, header + 40)? as usize,
            info: word(file, header + 44)? as usize,
        };
        if section.kind == SHT_NOBITS {
            section.size = 0; // of memory, not of the file
        }
        (section.at.checked_add(section.size)? <= file.len()).then_some(section)
    }

    fn range(&self) -> Range<usize> {
        self.at..self.at + self.size
    }
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(file: &[u8], at: usize) -> Option<u16> {
    bytes(file, at).map(u16::from_le_bytes)
}

fn word(file: &[u8], at: usize) -> Option<u32> {
    bytes(file, at).map(u32::from_le_bytes)
}

fn long(file: &[u8], at: usize) -> Option<u64> {
    bytes(file, at).map(u64::from_le_bytes)
}

fn number(file: &[u8], at: usize) -> Option<usize> {
    usize::try_from(long(file, at)?).ok()
}

#[cfg(test)]
mod tests;
