// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

const SHT_RELA: u32 = 4;
const ALLOC: u64 = 2;
const X86_64: u16 = 62;

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
            (place(b"__mcount_loc"), 1, ALLOC, &[0; 16], 0, 0),
            (0, 2, 0, &symbols, 5, 0),
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

/// Length of the ELF header, which [`Module::file`] begins with.
const START: usize = 64;
/// Index of the list of calls among the sections.
const LIST: usize = 3;

fn long(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap())
}

fn signed(mut body: Vec<u8>) -> Vec<u8> {
    body.extend(b"SIGNATURE");
    body.extend([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    body.extend(SIGNED);
    body
}

#[test]
fn patch_removes_only_the_calls_of_the_tracer() {
    let module = Module::good();
    let original = signed(module.file());
    let file = patch(&original).unwrap();
    let text = |at: usize| &file[START + at..START + at + 5];
    assert_eq!((text(4), text(24)), (&NOP[..], &NOP[..]));
    assert_eq!(text(10), CALL);
    let rela = START + module.text.len();
    let infos = [0, 1, 2].map(|i| long(&file, rela + i * RELOCATION + 8));
    assert_eq!(infos, [0, 2 << 32 | 4, 0]);
    let headers = usize::try_from(long(&file, 40)).unwrap();
    let flags = headers + LIST * HEADER as usize + FLAGS as usize;
    assert_eq!((long(&original, flags), long(&file, flags)), (ALLOC, 0));
    let differ = original.iter().zip(&file).filter(|(a, b)| a != b).count();
    // Each call differs in five bytes less its last two zeros, each relocation in two, and one flag
    // differs.
    assert_eq!(differ, 2 * 3 + 2 * 2 + 1);
}

#[test]
fn the_record_restores_the_original() {
    for original in [
        signed(Module::good().file()),
        Module::good().file(),
        b"text".to_vec(),
    ] {
        let mut file = patch(&original).unwrap();
        assert!(file.ends_with(MAGIC) && file != original);
        assert_eq!((restore(&mut file), &file), (Ok(()), &original));
    }
}

#[test]
fn unexpected_modules_keep_their_calls() {
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
        let original = module.file();
        let file = patch(&original).unwrap();
        assert_eq!(file, [&original[..], &[0; 4], MAGIC].concat(), "{i}");
    }
}

#[test]
fn the_signature_is_cut_off_and_nonsense_is_left_alone() {
    assert_eq!(
        without_signature(&signed(b"ELF body".to_vec())),
        b"ELF body"
    );
    assert_eq!(without_signature(b"ELF body"), b"ELF body");
    let lying = [&[0xff; 12][..], SIGNED].concat();
    assert_eq!(without_signature(&lying), lying);
    assert_eq!(without_signature(SIGNED), SIGNED);
}

/// A file that is cut or changed anywhere is patched and restored, or refused.
#[test]
fn no_file_is_a_reason_to_panic() {
    let file = Module::good().file();
    for end in 0..file.len() {
        let _ = patch(&file[..end]);
    }
    for at in 0..file.len() {
        for byte in [0x7f, 0x80, 0xff] {
            let mut bent = file.clone();
            bent[at] = byte;
            let _ = patch(&bent);
        }
    }
}
