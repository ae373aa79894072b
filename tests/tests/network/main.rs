// SPDX-License-Identifier: Apache-2.0
//! The network service, against servers that the test controls.
//!
//! | Module | |
//! |---|---|
//! | `lease` | DHCP, from the first second of a lease to its last; carriers; strange servers |
//! | `cards` | several cards, some that appear later, static addresses, routers |
//! | `machine` | a whole machine: names and time for it and its containers, open ports |
//!
//! The first two run in network namespaces (`tests::lan`), in milliseconds and without a machine.

mod cards;
mod lease;
mod machine;
