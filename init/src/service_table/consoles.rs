// SPDX-License-Identifier: Apache-2.0
//! Services of the console terminals.

use config::Console;
use services::{Restart, ServiceDef};
use sys::paths::B2P;

use super::names::*;
use super::{Row, adapt};

/// Rows of the service table about console terminals: each stands for one service per terminal.
pub const CONSOLES: &[Row] = &[
    Row {
        when: |config, _| config.console != Console::Off,
        def: ServiceDef {
            name: CONSOLE_PREFIX,
            why: "a person at a console sees the state of the machine, or gets a shell",
            argv: &[B2P, "console", "status"],
            after_ready: true,
            restart: Restart::Never,
            ..ServiceDef::DEFAULT
        },
        adapt: adapt::console,
        per_terminal: true,
        ..Row::DEFAULT
    },
    Row {
        def: ServiceDef {
            name: RESCUE_PREFIX,
            why: "a person can examine and repair the machine while the services continue",
            argv: &[B2P, "console", "rescue"],
            after_ready: true,
            restart: Restart::Never,
            ..ServiceDef::DEFAULT
        },
        per_terminal: true,
        ..Row::DEFAULT
    },
];
