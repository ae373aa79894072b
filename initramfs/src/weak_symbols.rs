// SPDX-License-Identifier: Apache-2.0
//! Weak references in the static programs. The linker takes no member out of a static C library for
//! a weak reference, and link-time optimisation makes references weak: a call of a function that the
//! C library has would jump to address 0. The symbol table of a program that is not stripped shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::{FileHeader64, SHN_UNDEF, SHT_SYMTAB, STB_WEAK};
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader, Sym};

/// Functions that are referred to by one place only, which checks the address, with that place.
const CHECKED: &[(&str, &str)] = &[
    (
        "__cxa_finalize",
        "the start files of a C program (libgcc/crtstuff.c, __do_global_dtors_aux)",
    ),
    (
        "gettid",
        "std, which makes the system call where it is null (std/src/sys/thread/unix.rs)",
    ),
];

/// Returns the functions of the C library that the program refers to and was linked without.
///
/// # Errors
/// One of the files cannot be read.
pub fn missing(program: &Path, c_library: &Path) -> Result<Vec<String>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let defined = defined(&read(c_library)?).with_context(|| c_library.display().to_string())?;
    let weak = undefined_weak(&read(program)?).with_context(|| program.display().to_string())?;
    let is_checked = |name: &String| CHECKED.iter().any(|(checked, _)| checked == name);
    Ok(weak
        .into_iter()
        .filter(|name| defined.contains(name) && !is_checked(name))
        .collect())
}

/// Returns the names that an archive defines, from its index.
fn defined(archive: &[u8]) -> Result<BTreeSet<String>> {
    let archive = ArchiveFile::parse(archive)?;
    let symbols = archive.symbols()?.context("the archive has no index")?;
    symbols
        .map(|symbol| Ok(String::from_utf8_lossy(symbol?.name()).into_owned()))
        .collect()
}

/// Returns the weak symbols of an ELF file that nothing defines.
fn undefined_weak(data: &[u8]) -> Result<BTreeSet<String>> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let symbols = sections.symbols(endian, data, SHT_SYMTAB)?;
    let weak = symbols
        .iter()
        .filter(|s| s.st_bind() == STB_WEAK && s.st_shndx(endian) == SHN_UNDEF);
    weak.map(|s| {
        let name = s.name(endian, symbols.strings())?;
        Ok(String::from_utf8_lossy(name).into_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_references_of_this_program_are_found() -> Result<()> {
        let own = fs::read(std::env::current_exe()?)?;
        let weak = undefined_weak(&own)?;
        // The start files of every C program refer to it.
        assert!(weak.contains("_ITM_registerTMCloneTable"), "{weak:?}");
        assert!(!weak.contains("main"));
        Ok(())
    }
}
