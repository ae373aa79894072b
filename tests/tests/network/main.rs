//! The network service, against servers that do exactly what a test wants.
//!
//! | Module | |
//! |---|---|
//! | `lease` | DHCP, from the first second of a lease to its last; carriers; strange servers |
//! | `cards` | several cards, some that come later, addresses by hand, routers |
//! | `machine` | a whole machine: names and time for it and its containers, ways in |
//!
//! The first two run in network namespaces (`tests::lan`): milliseconds, and no machine.

mod cards;
mod lease;
mod machine;
