//! The network service, against servers that do exactly what a test wants.
//!
//! | Module | |
//! |---|---|
//! | `lease` | DHCP, from the first second of a lease to its last; carriers; strange servers |
//! | `cards` | several cards, some that come later, addresses by hand, routers |
//!
//! Both run in network namespaces (`tests::lan`): milliseconds, and no machine.

mod cards;
mod lease;
