//! `cargo fuzz run service_file`; without libFuzzer it replays the files it is given.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(service_file);
