// SPDX-License-Identifier: Apache-2.0
//! Weak references in the static programs. The linker takes no member out of a static C library for
//! a weak reference, and link-time optimisation makes references weak: a call of a function that the
//! C library has would jump to address 0. The symbol table of a program, before its removal, shows such
//! references.

use std::collections::BTreeSet;

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

/// Returns the functions of a C library, which is an archive, that the program refers to and was
/// linked without.
///
/// # Errors
/// One of the two cannot be parsed.
pub fn missing(program: &[u8], c_library: &[u8]) -> Result<Vec<String>> {
    let defined = defined(c_library).context("index of the C library")?;
    let weak = undefined_weak(program).context("symbol table")?;
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
        let own = std::fs::read(std::env::current_exe()?)?;
        let weak = undefined_weak(&own)?;
        // The start files of every C program refer to this symbol.
        assert!(weak.contains("_ITM_registerTMCloneTable"), "{weak:?}");
        assert!(!weak.contains("main"));
        Ok(())
    }

    /// An archive of the functions, of which there is only the index (ar(5)).
    fn archive(names: &[&str]) -> Result<Vec<u8>> {
        let count = u32::try_from(names.len())?;
        let mut index = count.to_be_bytes().to_vec();
        index.extend(names.iter().flat_map(|_| [0, 0, 0, 0]));
        index.extend(
            names
                .iter()
                .flat_map(|name| [name.as_bytes(), &[0]].concat()),
        );
        let size = index.len();
        let header = format!("{:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", "/", 0, 0, 0, 0);
        Ok([b"!<arch>\n", header.as_bytes(), &index].concat())
    }

    #[test]
    fn a_function_of_the_library_that_is_not_linked_is_missing() -> Result<()> {
        let own = std::fs::read(std::env::current_exe()?)?;
        let library = archive(&[
            "_ITM_registerTMCloneTable",
            "__cxa_finalize",
            "main",
            "puts",
        ])?;
        assert_eq!(missing(&own, &library)?, ["_ITM_registerTMCloneTable"]);
        assert!(missing(&own, &archive(&["main", "puts"])?)?.is_empty());
        assert!(missing(&own, b"!<arch>\n").is_err());
        Ok(())
    }
}
