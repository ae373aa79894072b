//! A kernel module without what the function tracer wants of it.
//!
//! Each function of a module begins with a call of `__fentry__`, and the section
//! `__mcount_loc` lists these calls. While it loads the module the kernel makes each a
//! no-op, and looks up in whose function it is by a walk over all of the module's symbols
//! (ftrace.c, `ftrace_module_enable`; module/kallsyms.c, `find_kallsyms_symbol`): 40 of
//! the 48 ms of instructions that `bridge` takes. Here the calls are no-ops before, and
//! the section is not loaded. The function tracer does not see the module then; probes by
//! breakpoint do. Where anything is not just as expected the module is left as it is.
//!
//! Formats: elf(5); the relocations of the x86-64 psABI, 4.4.

use std::ops::Range;

/// `nopl 0x0(%rax,%rax,1)`, the kernel's own (arch/x86/include/asm/nops.h).
const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];
/// `call`, its target left to the relocation.
const CALL: [u8; 5] = [0xe8, 0, 0, 0, 0];
const X86_64: u16 = 62;
const SHT_SYMTAB: u32 = 2;
const SHT_RELA: u32 = 4;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC: u64 = 2;
/// R_X86_64_PC32 and R_X86_64_PLT32: from behind the call, so with an addend of -4.
const RELATIVE: [u32; 2] = [2, 4];
/// Bytes of a section's header, of a symbol, of a relocation.
const HEADER: usize = 64;
const SYMBOL: usize = 24;
const RELOCATION: usize = 24;

/// Section headers and what they are of.
struct Elf<'a> {
    file: &'a [u8],
    sections: Vec<Section>,
}

#[derive(Clone, Copy)]
struct Section {
    /// Where its header is.
    header: usize,
    name: usize,
    kind: u32,
    flags: u64,
    at: usize,
    size: usize,
    link: usize,
    info: usize,
}

/// Takes the tracer's calls out of a module; how many there were.
pub fn untrace(file: &mut [u8]) -> usize {
    let Some((section, calls)) = plan(file) else {
        return 0;
    };
    // What plan has read is there.
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

/// The list's section, and where each call and its relocation are.
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

    /// The number of the symbol of this name.
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

    /// Where the call is that this relocation is of.
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
    /// `None` where the file ends before the section does.
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
