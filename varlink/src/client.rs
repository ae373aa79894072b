// SPDX-License-Identifier: Apache-2.0
//! Client of a service.

use std::os::fd::OwnedFd;

use sys::error::{Error, Result};

use crate::address::Address;
use crate::connection::Connection;
use crate::message::{Call, Reply};

/// Longest reply that a client accepts, in bytes.
const LIMIT: usize = 64 << 20;

/// Connection to a service.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects to the service at an address.
    ///
    /// # Errors
    /// The errno of connect(2).
    pub fn connect(address: &Address) -> Result<Client> {
        Client::new(address.connect()?)
    }

    /// Returns the client of a connected socket.
    ///
    /// # Errors
    /// The errno of fcntl(2).
    pub fn new(socket: OwnedFd) -> Result<Client> {
        let connection = Connection::new(socket, LIMIT)?;
        Ok(Client { connection })
    }

    /// Sends a call. [`Client::receive`] returns the replies, except to a `oneway` call.
    ///
    /// # Errors
    /// The errno of write(2).
    pub fn send(&mut self, call: &Call) -> Result<()> {
        self.connection.send(&call.encode())
    }

    /// Receives the next reply, or `None` if the service has closed the connection.
    ///
    /// # Errors
    /// The message is no reply; the errno of read(2).
    pub fn receive(&mut self) -> Result<Option<Reply>> {
        let message = self.connection.receive()?;
        message.map(|message| Reply::parse(&message)).transpose()
    }

    /// Calls a method and returns its reply.
    ///
    /// # Errors
    /// Errors of [`Client::send`] and [`Client::receive`]; the service closes the connection.
    pub fn call(&mut self, call: &Call) -> Result<Reply> {
        self.send(call)?;
        let reply = self.receive()?;
        reply.ok_or_else(|| Error::invalid("the service has closed the connection"))
    }

    /// Ends the framing, after the reply to a call with `upgrade`.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}
