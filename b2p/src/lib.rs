// SPDX-License-Identifier: Apache-2.0
//! Client of PID 1 and helpers that PID 1 runs. Parsers of rich formats, charts and network
//! protocols run here, never in PID 1.
//!
//! [`applets::APPLETS`], the table to read first, lists every command and its function.

pub mod applet;
pub mod applets;
pub mod client;
pub mod common;
pub mod helpers;
