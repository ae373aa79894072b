// SPDX-License-Identifier: Apache-2.0
//! The network service, against servers that the test controls.
//!
//! | Module | |
//! |---|---|
//! | `lease` | DHCP, from the first second of a lease to its last; carriers; strange servers |
//! | `cards` | several cards, some that appear later, static addresses, routers |
//! | `reach` | how far a DHCP server is trusted |
//! | `forwarding` | what neighbours reach through the machine, and what containers may tell it |
//! | `machine` | a whole machine: names and time for it and its containers, open ports |
//!
//! All but the last run in network namespaces (`tests::lan`), in milliseconds and without a machine.

mod cards;
mod forwarding;
mod lease;
mod machine;
mod reach;
mod routers;
