// SPDX-License-Identifier: Apache-2.0
//! Program of `cargo fuzz run varlink_message`. Without libFuzzer it replays the files that it is given.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(varlink_message);
