//! `cargo fuzz run extension`; without libFuzzer it replays the files it is given.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(extension);
