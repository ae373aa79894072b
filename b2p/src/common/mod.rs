//! TODO-DOC

pub mod args;
pub mod certs;
pub mod clock;
pub mod control_client;
pub mod listen_fds;
pub mod log;
pub mod notify;
pub mod sshkey;
pub mod stop;
pub mod table;
pub mod terminal;
#[cfg(test)]
pub mod testing;
pub mod units;
pub mod users;
