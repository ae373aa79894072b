// SPDX-License-Identifier: Apache-2.0
//! The varlink protocol (varlink.org): JSON objects, each followed by a NUL byte, on a stream
//! socket.
//!
//! - [`Call`] and [`Reply`] are the messages, [`Connection`] their framing.
//! - [`serve`] answers the calls of a [`Service`], which is a list of [`Interface`]s.
//! - [`Client`] calls the methods of a service at an [`Address`].
//! - [`idl`] reads interface descriptions, and writes them in the usual form.
//!
//! The crate has no unsafe code. The caller supplies a descriptor that a parent process passed.

mod address;
mod client;
mod connection;
pub mod idl;
mod message;
mod server;
mod service;
mod value;

pub use address::{Address, Target};
pub use client::Client;
pub use connection::{Connection, Raw};
pub use message::{Call, Reply, error};
pub use server::{IDLE, Limits, serve, start_thread};
pub use service::{Answer, Done, Exchange, Failure, Interface, SERVICE_INTERFACE, Service};

pub use value::{Map, map, object, text};

pub use serde_json::{self, Value};
