//! `cargo fuzz run supervisor_events`; without libFuzzer it replays the files it is given.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(supervisor_events);
