// SPDX-License-Identifier: Apache-2.0
//! Runs every target on its corpus, and on reproducible mutations of the corpus.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{fs, thread};

use fuzz::mutator::{Random, mutate};
use fuzz::{TARGETS, Target};

/// Number of mutations of each corpus, which take some seconds without optimization.
const MUTATIONS: u64 = 10_000;
/// Maximum size of the corpus in bytes, because the corpus is stored with the source.
const MAX_CORPUS_BYTES: usize = 200_000;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let files = fs::read_dir(dir.join(target.name)).unwrap();
    let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn check(target: &Target, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(data))).is_err() {
        panic!("{}: {}", target.name, data.escape_ascii());
    }
}

#[test]
fn there_is_a_small_corpus_for_each() {
    let sizes = TARGETS.iter().map(|target| {
        let inputs = corpus(target);
        assert!(inputs.len() >= 3, "{}", target.name);
        inputs.iter().map(Vec::len).sum::<usize>()
    });
    let size: usize = sizes.sum();
    assert!(size <= MAX_CORPUS_BYTES, "{size} bytes");
}

#[test]
fn the_corpus_holds() {
    for target in TARGETS {
        corpus(target).iter().for_each(|data| check(target, data));
    }
}

#[test]
fn mutations_of_the_corpus_keep_the_invariants() {
    let run = |target: &Target| {
        let inputs = corpus(target);
        let mut random = Random::new(TARGETS.len() as u64 + inputs.len() as u64);
        for _ in 0..MUTATIONS {
            check(target, &mutate(&mut random, target, &inputs));
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
