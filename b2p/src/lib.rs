// SPDX-License-Identifier: Apache-2.0
//! The client of PID 1 and the helpers that PID 1 runs: what parses rich formats, draws
//! pictures or talks to the network runs here, never in PID 1.
//!
//! [`applets::APPLETS`] lists every command and the function behind it: read it first.

pub mod applet;
pub mod applets;
pub mod client;
pub mod common;
pub mod helpers;
