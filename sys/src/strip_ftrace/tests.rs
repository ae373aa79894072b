// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

const NAMES: &[u8] = b"\0.text\0.rela.text\0__mcount_loc\0__fentry__\0other\0";

fn place(name: &[u8]) -> u32 {
    let at = NAMES.windows(name.len()).position(|w| w == name);
    u32::try_from(at.unwrap()).unwrap()
}

/// A module of two functions, each with a call of the tracer and one of another symbol, and the
/// offsets of its parts.
struct Module {
    text: Vec<u8>,
    /// Offset, type, symbol, addend.
    relocations: Vec<(u64, u64, u64, i64)>,
    machine: u16,
}

impl Module {
    fn good() -> Self {
        let mut text = vec![0x90; 40];
        for at in [4, 10, 24] {
            text[at..at + 5].copy_from_slice(&CALL);
        }
        Module {
            text,
            relocations: vec![(5, 4, 1, -4), (11, 4, 2, -4), (25, 2, 1, -4)],
            machine: X86_64,
        }
    }

    fn file(&self) -> Vec<u8> {
        let word = |n: u32| n.to_le_bytes().to_vec();
        let rela: Vec<u8> = self
            .relocations
            .iter()
            .flat_map(|(at, kind, symbol, addend)| {
                let info = symbol << 32 | kind;
                [at.to_le_bytes(), info.to_le_bytes(), addend.to_le_bytes()].concat()
            })
            .collect();
        let symbol = |name: u32| [word(name), vec![0; 20]].concat();
        let fentry = symbol(place(b"__fentry__"));
        let symbols = [symbol(0), fentry, symbol(place(b"other"))].concat();
        // Name, kind, flags, bytes, link, info.
        type Row<'a> = (u32, u32, u64, &'a [u8], u32, u32);
        let rows: [Row<'_>; 6] = [
            (0, 0, 0, b"", 0, 0),
            (place(b".text"), 1, 6, &self.text, 0, 0),
            (place(b".rela.text"), SHT_RELA, 0, &rela, 4, 1),
            (place(b"__mcount_loc"), 1, SHF_ALLOC, &[0; 16], 0, 0),
            (0, SHT_SYMTAB, 0, &symbols, 5, 0),
            (0, 3, 0, NAMES, 0, 0),
        ];
        let (mut bodies, mut headers): (Vec<u8>, Vec<u8>) = Default::default();
        for (name, kind, flags, bytes, link, info) in rows {
            let at = 64 + bodies.len() as u64;
            bodies.extend(bytes);
            let size = bytes.len() as u64;
            let longs = [flags, 0, at, size].map(u64::to_le_bytes).concat();
            headers.extend([word(name), word(kind), longs, word(link), word(info)].concat());
            headers.extend([0; 16]);
        }
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(64, 0);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &1u16.to_le_bytes());
        put(18, &self.machine.to_le_bytes());
        put(40, &(64 + bodies.len() as u64).to_le_bytes());
        put(58, &64u16.to_le_bytes());
        put(60, &6u16.to_le_bytes());
        put(62, &5u16.to_le_bytes());
        file.extend(bodies);
        file.extend(headers);
        file
    }
}

#[test]
fn the_tracers_calls_are_gone_and_no_others() {
    let module = Module::good();
    let (before, mut file) = (module.file(), module.file());
    assert_eq!(untrace(&mut file), 2);
    let text = |at: usize| &file[64 + at..64 + at + 5];
    assert_eq!((text(4), text(24)), (&NOP[..], &NOP[..]));
    assert_eq!(text(10), CALL);
    let rela = 64 + module.text.len();
    let kinds = [0, 1, 2].map(|i| long(&file, rela + i * RELOCATION + 8).unwrap());
    assert_eq!(kinds, [0, 2 << 32 | 4, 0]);
    let list = plan(&before).unwrap().0;
    assert_eq!(long(&file, list.header + 8), Some(0), "it is not loaded");
    let differ = before.iter().zip(&file).filter(|(a, b)| a != b).count();
    // Each call differs in five bytes less its last two zeros, each relocation in two, and one flag
    // differs.
    assert_eq!(differ, 2 * 3 + 2 * 2 + 1);
    assert_eq!(untrace(&mut file), 0, "once is enough");
}

#[test]
fn what_is_not_as_expected_stays_as_it_is() {
    let bent: [fn(&mut Module); 7] = [
        |m| m.text[4] = 0xe9,        // a jump
        |m| m.text[6] = 1,           // a target of its own
        |m| m.relocations[0].3 = 0,  // another addend
        |m| m.relocations[0].1 = 1,  // an address, not a distance
        |m| m.relocations[0].0 = 0,  // before the section
        |m| m.relocations[0].0 = 36, // over its end
        |m| m.machine = 183,         // aarch64
    ];
    for (i, bend) in bent.into_iter().enumerate() {
        let mut module = Module::good();
        bend(&mut module);
        let (before, mut file) = (module.file(), module.file());
        assert_eq!((untrace(&mut file), &file), (0, &before), "{i}");
    }
}

#[test]
fn a_file_that_is_cut_or_bent_anywhere_is_no_reason_to_panic() {
    let file = Module::good().file();
    for end in 0..file.len() {
        let mut cut = file[..end].to_vec();
        assert_eq!((untrace(&mut cut), cut.as_slice()), (0, &file[..end]));
    }
    for at in 0..file.len() {
        for byte in [0x7f, 0x80, 0xff] {
            let mut bent = file.clone();
            bent[at] = byte;
            untrace(&mut bent);
            assert_eq!(bent.len(), file.len());
        }
    }
}
