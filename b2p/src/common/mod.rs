//! TODO-DOC

pub mod certs;
pub mod clock;
pub mod control_client;
pub mod notify;
pub mod sshkey;
pub mod table;
pub mod terminal;
pub mod units;
pub mod users;
