// SPDX-License-Identifier: Apache-2.0
//! `cargo fuzz run remote_log`; without libFuzzer it replays the files it is given.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(remote_log);
