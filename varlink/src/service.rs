// SPDX-License-Identifier: Apache-2.0
//! Services, their interfaces, and the answer to one call.

use sys::error::{Error, Result};

use crate::connection::{Connection, Raw};
use crate::json;
use crate::message::{Call, Reply, error};
use crate::value::{Map, map};

/// Name of the interface that every service has.
pub const SERVICE_INTERFACE: &str = "org.varlink.service";

/// Description of that interface. Its names are facts of the protocol (varlink.org/Service).
const SERVICE_DESCRIPTION: &str = "\
# Interface that every varlink service has.
interface org.varlink.service

# Returns the maker of the service, and its interfaces.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Returns the description of one interface.
method GetInterfaceDescription(interface: string) -> (description: string)

# The service has no such interface.
error InterfaceNotFound (interface: string)

# The interface has no such method.
error MethodNotFound (method: string)

# The service does not implement the method.
error MethodNotImplemented (method: string)

# The parameter has a wrong type or value.
error InvalidParameter (parameter: string)

# The client may not call the method.
error PermissionDenied ()

# The method replies more than once, and the call does not allow that.
error ExpectedMore ()
";

/// Interface of a service.
pub trait Interface: Sync {
    /// Name, such as `io.podman`.
    fn name(&self) -> &str;

    /// Description in varlink's language.
    fn description(&self) -> &str;

    /// Answers a call of one of its methods.
    ///
    /// # Errors
    /// The error to reply with, or the reason why the connection cannot be used any longer.
    fn call(&self, exchange: &mut Exchange<'_>) -> Answer;
}

/// Answer to a call.
pub type Answer = std::result::Result<Done, Failure>;

/// Successful answer.
pub enum Done {
    /// Last or only reply.
    Reply(Map),
    /// Reply after which the connection carries another protocol, and the function that speaks the
    /// other protocol. Calls follow if the function gives the connection back.
    Upgrade(Map, Box<dyn FnOnce(Raw) -> Option<Raw>>),
}

/// Reason why a call fails.
#[derive(Debug)]
pub enum Failure {
    /// Error to reply with.
    Reply(Box<Reply>),
    /// The connection is lost.
    Lost(Error),
}

impl Failure {
    /// An error of an interface: its whole name, and its parameters.
    #[must_use]
    pub fn new(name: &str, parameters: Map) -> Failure {
        Failure::Reply(Box::new(Reply::failed(name, parameters)))
    }

    /// The error for a parameter of another type than the description declares.
    #[must_use]
    pub fn parameter(name: &str) -> Failure {
        Failure::Reply(Box::new(Reply::invalid_parameter(name)))
    }

    /// The error for a method that the interface does not have.
    #[must_use]
    pub fn method(name: &str) -> Failure {
        Failure::new(error::METHOD_NOT_FOUND, map(json!({ "method": name })))
    }

    /// The error for a client that may not call the method.
    #[must_use]
    pub fn denied() -> Failure {
        Failure::new(error::PERMISSION_DENIED, Map::new())
    }

    /// The error for a call without `more` of a method that replies more than once.
    #[must_use]
    pub fn expected_more() -> Failure {
        Failure::new(error::EXPECTED_MORE, Map::new())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Lost(error)
    }
}

/// State of one call during its answer.
pub struct Exchange<'a> {
    /// Name of the method, without the interface.
    pub method: &'a str,
    /// The call.
    pub call: &'a Call,
    /// Connection to the client.
    pub connection: &'a mut Connection,
}

impl Exchange<'_> {
    /// Sends a reply that others follow.
    ///
    /// # Errors
    /// `ExpectedMore` if the client does not accept several; the errno of write(2).
    pub fn send(&mut self, parameters: Map) -> Result<(), Failure> {
        if !self.call.more {
            return Err(Failure::expected_more());
        }
        let reply = Reply {
            continues: true,
            ..Reply::of(parameters)
        };
        Ok(self.connection.send(&reply.encode())?)
    }
}

/// Service: its maker, and its interfaces in the order in which `GetInfo` names them.
pub struct Service<'a> {
    /// Vendor.
    pub vendor: &'a str,
    /// Name of the product.
    pub product: &'a str,
    /// Version of the product.
    pub version: &'a str,
    /// Address of the product's site.
    pub url: &'a str,
    /// Interfaces beside `org.varlink.service`.
    pub interfaces: &'a [&'a dyn Interface],
}

impl Service<'_> {
    /// Answers the calls of one connection until its end.
    ///
    /// # Errors
    /// A message that is no call; the errno of read(2) or write(2).
    pub fn run(&self, mut connection: Connection) -> Result<()> {
        while let Some(message) = connection.receive()? {
            let call = Call::parse(&message)?;
            let reply = match self.answer(&call, &mut connection) {
                Ok(Done::Reply(parameters)) => Reply::of(parameters),
                Ok(Done::Upgrade(parameters, speak)) => {
                    connection.send(&Reply::of(parameters).encode())?;
                    let Some(raw) = speak(connection.into_raw()) else {
                        return Ok(());
                    };
                    connection = raw.into();
                    continue;
                }
                Err(Failure::Reply(reply)) => *reply,
                Err(Failure::Lost(error)) => return Err(error),
            };
            if !call.oneway {
                connection.send(&reply.encode())?;
            }
        }
        Ok(())
    }

    fn answer(&self, call: &Call, connection: &mut Connection) -> Answer {
        let (interface, method) = call.names().ok_or_else(|| Failure::parameter("method"))?;
        if call.malformed {
            return Err(Failure::parameter("parameters"));
        }
        if interface == SERVICE_INTERFACE {
            return self.describe(method, &call.parameters);
        }
        let found = self.interfaces.iter().find(|i| i.name() == interface);
        let found = found.ok_or_else(|| interface_not_found(interface))?;
        let mut exchange = Exchange {
            method,
            call,
            connection,
        };
        found.call(&mut exchange)
    }

    /// Answers a call of `org.varlink.service`.
    fn describe(&self, method: &str, parameters: &Map) -> Answer {
        match method {
            "GetInfo" => Ok(Done::Reply(map(json!({
                "vendor": self.vendor,
                "product": self.product,
                "version": self.version,
                "url": self.url,
                "interfaces": self.names().collect::<Vec<_>>(),
            })))),
            "GetInterfaceDescription" => {
                let name = parameters.get("interface").and_then(|name| name.as_str());
                let name = name.ok_or_else(|| Failure::parameter("interface"))?;
                let found = self.interfaces.iter().find(|i| i.name() == name);
                let description = match found {
                    Some(interface) => interface.description(),
                    None if name == SERVICE_INTERFACE => SERVICE_DESCRIPTION,
                    None => return Err(interface_not_found(name)),
                };
                Ok(Done::Reply(map(json!({ "description": description }))))
            }
            _ => Err(Failure::method(method)),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(SERVICE_INTERFACE).chain(self.interfaces.iter().map(|i| i.name()))
    }
}

fn interface_not_found(name: &str) -> Failure {
    Failure::new(
        error::INTERFACE_NOT_FOUND,
        map(json!({ "interface": name })),
    )
}
