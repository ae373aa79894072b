// SPDX-License-Identifier: Apache-2.0
//! Kernel modules in the form of the image: without signature, without the function tracer's calls,
//! and with a record from which [`restore`] makes the original.
//!
//! Each function of a module begins with a call of `__fentry__`, and the section
//! `__mcount_loc` lists these calls. When the kernel loads the module, it turns each call into a
//! no-op and finds the function of the call by a walk over all of the module's symbols (ftrace.c,
//! `ftrace_module_enable`; module/kallsyms.c, `find_kallsyms_symbol`): 40 of the 48 ms of
//! instructions that `bridge` takes. Here the calls become no-ops beforehand, and the section is
//! not loaded. The function tracer then does not see the module; probes by breakpoint do. A module
//! with anything unexpected keeps its calls.
//!
//! Formats: elf(5); the relocations of the x86-64 psABI, 4.4; module_signature.h.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use object::elf::{
    EM_X86_64, ET_REL, FileHeader64, R_X86_64_PC32, R_X86_64_PLT32, Rela64, SHF_ALLOC, SHT_SYMTAB,
};
use object::read::elf::{FileHeader, Rela, SectionHeader};
use object::{LittleEndian as LE, SymbolIndex};
use sys::modules::restore::{CALL, MAGIC, NOP, RELOCATION, restore};

/// Number of the format, for stamps. A change of this file that changes modules also changes the
/// number.
pub const FORMAT: &str = "1";

/// Marker at the end of a signed module (Documentation/admin-guide/module-signing.rst).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// Size in bytes of a section header, and the offset of its flags.
const HEADER: u64 = 64;
const FLAGS: u64 = 8;

type Elf = FileHeader64<LE>;

/// Changes of a module.
struct Plan {
    /// Offset and value of the flags of the list of calls.
    flags: (u64, u64),
    tables: Vec<Table>,
}

/// Relocations to remove that are of one table and alike.
struct Table {
    /// Offset of the section that the relocations apply to.
    code: u64,
    /// Offset of the table.
    at: u64,
    /// Symbol and type (`r_info`).
    info: u64,
    /// Index and target of each; the target is the second byte of a call.
    entries: Vec<(usize, u64)>,
}

/// Returns the module in the form of the image.
///
/// # Errors
/// The record would not restore the module.
pub fn patch(original: &[u8]) -> Result<Vec<u8>> {
    let body = without_signature(original);
    let mut file = body.to_vec();
    let plan = Plan::make(body).filter(|plan| !plan.tables.is_empty());
    plan.iter().for_each(|plan| plan.apply(&mut file));
    let record = plan.map_or(Vec::new(), |plan| plan.record());
    file.extend(&original[body.len()..]);
    let length = u32::try_from(record.len())?;
    file.extend([&record[..], &length.to_le_bytes(), MAGIC].concat());
    let mut restored = file.clone();
    let same = restore(&mut restored).is_ok() && restored == original;
    ensure!(same, "the record does not restore the original");
    Ok(file)
}

/// Returns a module without its appended signature: the signature, twelve bytes that end in its
/// length, then the marker.
fn without_signature(file: &[u8]) -> &[u8] {
    let without = || {
        let body = file.strip_suffix(SIGNED)?;
        let (rest, info) = body.split_last_chunk::<12>()?;
        let length = u32::from_be_bytes(info[8..].try_into().ok()?);
        rest.get(..rest.len().checked_sub(usize::try_from(length).ok()?)?)
    };
    without().unwrap_or(file)
}

impl Plan {
    /// Returns `None` if there are no calls, or if anything is not as expected.
    fn make(file: &[u8]) -> Option<Plan> {
        let header = Elf::parse(file).ok()?;
        let kind = (header.e_type(LE), header.e_machine(LE));
        if !header.is_little_endian() || kind != (ET_REL, EM_X86_64) {
            return None;
        }
        let sections = header.sections(LE, file).ok()?;
        let (index, list) = sections.enumerate().find(|(_, section)| {
            let name = sections.section_name(LE, section);
            section.sh_flags(LE).contains(SHF_ALLOC) && name == Ok(b"__mcount_loc")
        })?;
        let symbols = sections.symbols(LE, file, SHT_SYMTAB).ok()?;
        let mut named = symbols.enumerate();
        let (tracer, _) = named.find(|(_, s)| symbols.symbol_name(LE, s) == Ok(b"__fentry__"))?;
        let mut tables = Vec::new();
        for section in sections.iter() {
            if let Some((relocations, _)) = section.rela(LE, file).ok()? {
                let code = sections.section(section.info_link(LE)).ok()?;
                let bytes = code.data(LE, file).ok()?;
                for (info, entries) in calls(relocations, tracer, bytes)? {
                    let (code, at) = (code.sh_offset(LE), section.sh_offset(LE));
                    tables.push(Table {
                        code,
                        at,
                        info,
                        entries,
                    });
                }
            }
        }
        let at = header.e_shoff(LE) + index.0 as u64 * HEADER + FLAGS;
        Some(Plan {
            flags: (at, list.sh_flags(LE).0),
            tables,
        })
    }

    /// Makes the changes; their places were checked when the plan was made.
    fn apply(&self, file: &mut [u8]) {
        let mut put = |at: u64, bytes: &[u8]| {
            let at = at as usize;
            file[at..at + bytes.len()].copy_from_slice(bytes);
        };
        for table in &self.tables {
            for (index, target) in &table.entries {
                put(table.code + target - 1, &NOP);
                // R_X86_64_NONE
                put(table.at + (index * RELOCATION) as u64 + 8, &[0; 8]);
            }
        }
        let (at, flags) = self.flags;
        put(at, &(flags & !SHF_ALLOC.0).to_le_bytes());
    }

    /// Returns the changes in the form of [`sys::modules::restore`].
    fn record(&self) -> Vec<u8> {
        let mut numbers = vec![self.flags.0, self.flags.1];
        for table in &self.tables {
            numbers.extend([table.code, table.at, table.info, table.entries.len() as u64]);
            let mut before = 0;
            for (index, _) in &table.entries {
                numbers.push((index - before) as u64);
                before = *index;
            }
        }
        numbers.into_iter().flat_map(leb128).collect()
    }
}

/// Returns the relocations of calls of the tracer, by `r_info`: index and target. `None` if one of
/// them is of something else.
fn calls(
    relocations: &[Rela64<LE>],
    tracer: SymbolIndex,
    code: &[u8],
) -> Option<BTreeMap<u64, Vec<(usize, u64)>>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    let all = relocations.iter().enumerate();
    for (index, relocation) in all.filter(|(_, r)| r.symbol(LE, false) == Some(tracer)) {
        let target = relocation.r_offset(LE);
        let call = usize::try_from(target).ok()?.checked_sub(1)?;
        let is_call = code.get(call..call.checked_add(CALL.len())?)? == CALL;
        // Relative to the end of the call.
        let relative = [R_X86_64_PC32, R_X86_64_PLT32].contains(&relocation.r_type(LE, false))
            && relocation.r_addend(LE) == -4;
        (is_call && relative).then_some(())?;
        let info = relocation.r_info(LE, false);
        found.entry(info).or_default().push((index, target));
    }
    Some(found)
}

/// Returns the bytes of a number (DWARF 5, 7.6).
fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests;
