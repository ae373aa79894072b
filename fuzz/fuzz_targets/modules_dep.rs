//! `cargo fuzz run modules_dep`; without libFuzzer it replays the files it is given.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(modules_dep);
