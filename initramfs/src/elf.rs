// SPDX-License-Identifier: Apache-2.0
//! ELF files: their dependencies, which are the interpreter and the shared libraries, and their parts
//! that are loaded.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf::{
    DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, ET_DYN, FileHeader64, PF_W, PF_X, PT_GNU_RELRO,
    PT_GNU_STACK, PT_INTERP, PT_LOAD,
};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

/// Name and dependencies in the headers of an ELF file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Name that a library calls itself.
    pub soname: Option<String>,
    /// Path of the interpreter.
    pub interpreter: Option<String>,
    /// Names of shared libraries.
    pub libraries: Vec<String>,
    /// Directories to search before the default one.
    pub search: Vec<String>,
}

/// Reads the dependencies of a file; a file that is not a 64-bit ELF file has none.
pub fn needs(path: &Path) -> Result<Needs> {
    let data = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if !data.starts_with(b"\x7fELF\x02") {
        return Ok(Needs::default());
    }
    parse(&data).with_context(|| format!("{}: read as ELF", path.display()))
}

fn parse(data: &[u8]) -> Result<Needs> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    let sections = header.sections(endian, data)?;
    for segment in header.program_headers(endian, data)? {
        if segment.p_type(endian) == PT_INTERP
            && let Some(name) = segment.interpreter(endian, data)?
        {
            needs.interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    let Some((entries, link)) = sections.dynamic(endian, data)? else {
        return Ok(needs);
    };
    let strings = sections.strings(endian, data, link)?;
    for entry in entries {
        let tag = entry.tag(endian);
        if ![DT_NEEDED, DT_RUNPATH, DT_RPATH, DT_SONAME].contains(&tag) {
            continue;
        }
        let text = String::from_utf8_lossy(entry.string(endian, strings)?).into_owned();
        match tag {
            DT_NEEDED => needs.libraries.push(text),
            DT_SONAME => needs.soname = Some(text),
            _ => needs.search.extend(text.split(':').map(str::to_string)),
        }
    }
    Ok(needs)
}

/// Refuses a program that loads at a fixed address, or with memory that is both writable and executable, its stack
/// included, or whose relocated data stays writable.
pub fn check_hardened(data: &[u8]) -> Result<()> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let has = |kind, flags| {
        let mut of_kind = segments.iter().filter(|s| s.p_type(endian) == kind);
        of_kind.any(|s| s.p_flags(endian).0 & flags == flags)
    };
    if header.e_type(endian) != ET_DYN {
        bail!("the program loads at a fixed address: it is not position-independent");
    }
    if has(PT_LOAD, PF_W.0 | PF_X.0) {
        bail!("a segment of the program is both writable and executable");
    }
    if !has(PT_GNU_STACK, 0) || has(PT_GNU_STACK, PF_X.0) {
        bail!("the stack of the program is executable");
    }
    if !has(PT_GNU_RELRO, 0) {
        bail!("relocated data of the program stays writable");
    }
    Ok(())
}

/// Returns the parts of a program that the kernel loads: the segments without the sections, which
/// contain the symbol table (elf(5)).
pub fn loaded_part(data: &[u8]) -> Result<Vec<u8>> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?.iter();
    let ends = segments.map(|s| s.p_offset(endian) + s.p_filesz(endian));
    let end = usize::try_from(ends.max().context("no segment")?)?;
    let mut loaded = data.get(..end).context("a segment is cut off")?.to_vec();
    let (header, _) = object::pod::from_bytes_mut::<FileHeader64<Endianness>>(&mut loaded)
        .map_err(|()| anyhow::anyhow!("no header"))?;
    header.e_shoff.set(endian, 0);
    header.e_shnum.set(endian, 0);
    header.e_shstrndx.set(endian, object::elf::SymbolSection(0));
    Ok(loaded)
}

/// Searches `root` for a library as the loader does: in the directories `search`, then in `default`.
/// Returns its path relative to `root`.
pub fn locate(root: &Path, library: &str, search: &[String], default: &str) -> Result<String> {
    let runpath = search.iter().map(|dir| dir.trim_matches('/'));
    for dir in runpath.chain([default]) {
        let path = format!("{dir}/{library}");
        if root.join(&path).exists() {
            return Ok(path);
        }
    }
    bail!("library {library} is neither in {search:?} nor in /{default}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_lists_interpreter_and_libraries() -> Result<()> {
        let needs = needs(&std::env::current_exe()?)?;
        assert!(needs.interpreter.is_some_and(|i| i.contains("ld-linux")));
        assert!(
            needs.libraries.iter().any(|l| l == "libc.so.6"),
            "{:?}",
            needs.libraries
        );
        Ok(())
    }

    #[test]
    fn a_program_at_a_fixed_address_and_one_with_writable_code_are_refused() -> Result<()> {
        let good = fs::read("/bin/true")?;
        check_hardened(&good)?;
        let refused = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            check_hardened(&bad)
                .map_err(|e| e.to_string())
                .err()
                .unwrap_or_default()
        };
        // e_type: ET_EXEC. The first program headers follow the header of 64 bytes, each with 56 bytes.
        assert!(refused(16, 2).contains("fixed address"));
        let kinds = || {
            good[64..]
                .chunks(56)
                .map(|h| u32::from_le_bytes([h[0], h[1], h[2], h[3]]))
        };
        let index = |kind: u32| kinds().position(|k| k == kind).unwrap_or_default();
        let flags = |kind: u32| 64 + 56 * index(kind) + 4;
        assert!(refused(flags(1), 7).contains("both writable and executable"));
        assert!(refused(flags(0x6474_e551), 7).contains("stack"));
        assert!(refused(flags(0x6474_e552) - 4, 0).contains("relocated data"));
        Ok(())
    }

    #[test]
    fn the_loaded_part_runs_and_has_no_symbols() -> Result<()> {
        let whole = fs::read("/bin/true")?;
        let loaded = loaded_part(&whole)?;
        assert!(loaded.len() < whole.len());
        let dir = tempfile::tempdir()?;
        let program = dir.path().join("true");
        crate::fsutil::replace_program(&program, &loaded)?;
        assert!(std::process::Command::new(&program).status()?.success());
        let header = FileHeader64::<Endianness>::parse(&*loaded)?;
        assert!(header.sections(header.endian()?, &*loaded)?.is_empty());
        assert_eq!(loaded_part(&loaded)?, loaded);
        assert!(loaded_part(&loaded[..loaded.len() - 1]).is_err());
        assert!(loaded_part(b"#!/bin/sh\n").is_err());
        Ok(())
    }

    #[test]
    fn a_script_needs_nothing_and_a_cut_file_is_an_error() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let script = dir.path().join("script");
        fs::write(&script, "#!/bin/sh\n")?;
        assert_eq!(needs(&script)?, Needs::default());
        let cut = dir.path().join("cut");
        fs::write(&cut, b"\x7fELF\x02\x01\x01")?;
        assert!(needs(&cut).is_err());
        Ok(())
    }

    #[test]
    fn a_missing_library_is_named() {
        let error = locate(Path::new("/nonexistent"), "libx.so.1", &[], "usr/lib")
            .map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("libx.so.1")));
    }
}
