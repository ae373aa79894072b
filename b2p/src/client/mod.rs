// SPDX-License-Identifier: Apache-2.0
//! Commands for people: each asks PID 1 on the control socket, or reads files, and prints.

pub mod boot;
pub mod flags;
pub mod gantt;
pub mod help;
pub mod key;
pub mod log;
pub mod openrc;
pub mod ping;
pub mod power;
pub mod rescue;
pub mod service;
pub mod status;
pub mod systemctl;
pub mod varlink;
pub mod version;
