//! Every target over its corpus, and over mutations of it: the same ones in every
//! run, so that what fails here fails again.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{fs, thread};

use fuzz::mutator::{Random, mutant};
use fuzz::{TARGETS, Target};

/// So many mutations of each corpus; together some seconds, unoptimized.
const MUTATIONS: u64 = 10_000;
/// The whole corpus is to stay small enough to be kept with the source.
const LARGEST: usize = 200_000;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let files = fs::read_dir(dir.join(target.name)).unwrap();
    let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn holds(target: &Target, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(data))).is_err() {
        panic!("{}: {}", target.name, data.escape_ascii());
    }
}

#[test]
fn there_is_a_small_corpus_for_each() {
    let sizes = TARGETS.iter().map(|target| {
        let all = corpus(target);
        assert!(all.len() >= 3, "{}", target.name);
        all.iter().map(Vec::len).sum::<usize>()
    });
    let size: usize = sizes.sum();
    assert!(size <= LARGEST, "{size} bytes");
}

#[test]
fn the_corpus_holds() {
    for target in TARGETS {
        corpus(target).iter().for_each(|data| holds(target, data));
    }
}

#[test]
fn mutations_hold() {
    let run = |target: &Target| {
        let all = corpus(target);
        let mut random = Random::new(TARGETS.len() as u64 + all.len() as u64);
        for _ in 0..MUTATIONS {
            holds(target, &mutant(&mut random, target, &all));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = TARGETS
            .iter()
            .map(|t| scope.spawn(move || run(t)))
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
