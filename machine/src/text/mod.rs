// SPDX-License-Identifier: Apache-2.0
//! Text for people and scripts: pure functions without a system call.

pub mod go_template;
pub mod hints;
pub mod shell;
pub mod tabwriter;
