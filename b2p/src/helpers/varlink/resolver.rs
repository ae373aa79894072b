// SPDX-License-Identifier: Apache-2.0
//! `b2p varlink-resolver`: gives clients the address of an interface.
//!
//! The machine's own interfaces are a table ([`INTERFACE_SOCKETS`]); `/etc/varlink.json`, in the format of the
//! resolver of libvarlink, adds others or replaces them. The file is read for each call.

use std::path::{Path, PathBuf};

use sys::error::{Doing, Result};
use sys::varlink_interfaces::{INTERFACE_SOCKETS, RESOLVER};
use varlink::{
    Answer, Done, Exchange, Failure, Interface, Limits, Map, Service, Value, json, map, serde_json,
};

use crate::common::user_text;

/// Interface, and the address of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Name of the interface.
    interface: String,
    /// Address with the options of the socket, as libvarlink's resolver prints them.
    address: String,
}

/// Path of the configuration, which an administrator may write.
const CONFIG: &str = "/etc/varlink.json";
/// Maximum size of the configuration in bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

const NAME: &str = RESOLVER.interface;

const DESCRIPTION: &str = "\
# Finds the services of this machine.
interface org.varlink.resolver

# Returns the maker of the machine, and the interfaces that Resolve knows.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Returns the address of the service that has an interface.
method Resolve(interface: string) -> (address: string)

# No service has the interface.
error InterfaceNotFound (interface: string)
";

/// Runs the service and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let resolver = Resolver {
        config: CONFIG.into(),
    };
    let service = Service {
        interfaces: &[&resolver],
        ..PRODUCT
    };
    super::run("varlink-resolver", &service, args, Limits::OPEN)
}

/// Identity of this product in the answers of `GetInfo`.
pub(crate) const PRODUCT: Service<'static> = Service {
    vendor: "boot2podman",
    product: "boot2podman",
    version: env!("CARGO_PKG_VERSION"),
    url: "https://github.com/boot2podman/boot2podman",
    interfaces: &[],
};

/// Server of the interface `org.varlink.resolver`.
struct Resolver {
    /// Path of the configuration.
    config: PathBuf,
}

impl Interface for Resolver {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> &str {
        DESCRIPTION
    }

    fn call(&self, exchange: &mut Exchange<'_>) -> Answer {
        match exchange.method {
            "GetInfo" => {
                let config = read_config(&self.config);
                Ok(Done::Reply(info(&merge(&config), &config)))
            }
            "Resolve" => {
                let name = exchange.call.parameters.get("interface");
                let name = name
                    .and_then(Value::as_str)
                    .ok_or_else(|| Failure::parameter("interface"))?;
                let mut entries = merge(&read_config(&self.config)).into_iter();
                let found = entries.find(|entry| entry.interface == name);
                let entry = found.ok_or_else(|| {
                    let parameters = map(json!({ "interface": name }));
                    Failure::new(&format!("{NAME}.InterfaceNotFound"), parameters)
                })?;
                Ok(Done::Reply(map(json!({ "address": entry.address }))))
            }
            other => Err(Failure::method(other)),
        }
    }
}

/// Returns the results of `GetInfo`: a vendor, product, version or url of the configuration replaces that of the product.
fn info(entries: &[Entry], config: &Map) -> Map {
    let text = |key: &str, own: &str| match config.get(key) {
        Some(Value::String(text)) => text.clone(),
        _ => own.to_owned(),
    };
    let names = entries.iter().map(|entry| entry.interface.as_str());
    map(json!({
        "vendor": text("vendor", PRODUCT.vendor),
        "product": text("product", PRODUCT.product),
        "version": text("version", PRODUCT.version),
        "url": text("url", PRODUCT.url),
        "interfaces": names.collect::<Vec<_>>(),
    }))
}

/// Reads the configuration; one that cannot be read is logged, and counts as empty.
fn read_config(path: &Path) -> Map {
    parse_config(path).unwrap_or_else(|why| {
        log::warn!("varlink-resolver: {why}");
        Map::new()
    })
}

fn parse_config(path: &Path) -> Result<Map> {
    let Some(text) = user_text::read(path, MAX_CONFIG_BYTES)? else {
        return Ok(Map::new());
    };
    let config = serde_json::from_slice(&text).map_err(std::io::Error::from);
    config.map(map).on(path)
}

/// Returns the interfaces of the configuration and of the machine, sorted. An interface in both has the address of the
/// configuration.
fn merge(config: &Map) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for service in config
        .get("services")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(address) = service.get("address").and_then(Value::as_str) else {
            log::warn!("varlink-resolver: a service without an address is ignored");
            continue;
        };
        if service
            .get("executable")
            .is_some_and(|value| !value.is_null())
        {
            log::warn!(
                "varlink-resolver: {address}: executable is ignored; a user service can listen there"
            );
        }
        let names = service.get("interfaces").and_then(Value::as_array);
        for name in names.into_iter().flatten().filter_map(Value::as_str) {
            add(&mut entries, name, address);
        }
    }
    for socket in INTERFACE_SOCKETS {
        add(&mut entries, socket.interface, &socket.address());
    }
    sys::sort::sort(&mut entries);
    entries
}

/// Adds an interface, unless the interface has an address already.
fn add(entries: &mut Vec<Entry>, interface: &str, address: &str) {
    if entries.iter().all(|entry| entry.interface != interface) {
        entries.push(Entry {
            interface: interface.to_owned(),
            address: address.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(config: Value, name: &str) -> Option<String> {
        let entries = merge(&map(config));
        entries
            .into_iter()
            .find(|entry| entry.interface == name)
            .map(|entry| entry.address)
    }

    #[test]
    fn the_configuration_adds_to_the_table() {
        let own = "unix:/run/org.varlink.resolver;mode=0666";
        for config in [
            json!({}),
            json!(null),
            json!([]),
            json!({"services": 1}),
            json!({"services": [1, {}, {"address": 2}]}),
        ] {
            assert_eq!(address(config, NAME).as_deref(), Some(own));
        }
        let config = json!({ "vendor": "me", "services": [
            { "address": "unix:/run/a", "interfaces": ["org.a", 1, "org.b"], "executable": {"path": "/bin/a"} },
            { "address": "unix:/run/c", "interfaces": ["org.a", "io.podman"] },
        ]});
        assert_eq!(
            address(config.clone(), "org.a").as_deref(),
            Some("unix:/run/a")
        );
        assert_eq!(
            address(config.clone(), "io.podman").as_deref(),
            Some("unix:/run/c")
        );
        let config = map(config);
        let info = info(&merge(&config), &config);
        assert_eq!(info["vendor"], "me");
        let names = json!([
            "io.podman",
            "org.a",
            "org.b",
            "org.boot2podman.machine",
            NAME
        ]);
        assert_eq!(info["interfaces"], names);
    }

    #[test]
    fn a_configuration_with_windows_line_ends_is_read_and_others_are_named() {
        let dir = std::env::temp_dir().join(format!("b2p-resolver-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("varlink.json");
        assert_eq!(parse_config(&path), Ok(Map::new()));
        for (text, want) in [
            ("\u{feff}{\r\n\"vendor\": \"me\"\r\n}\r\n", Ok("me")),
            (
                "{",
                Err("varlink.json: EOF while parsing an object at line 1 column 1"),
            ),
        ] {
            std::fs::write(&path, text).expect("written");
            let said = parse_config(&path).map_err(|why| why.to_string());
            match want {
                Ok(vendor) => assert_eq!(said.map(|map| map["vendor"].clone()), Ok(vendor.into())),
                Err(why) => assert!(said.is_err_and(|said| said.ends_with(why)), "{why}"),
            }
        }
        std::fs::remove_file(&path).expect("removed");
        // An open that blocks would never return.
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        let why = parse_config(&path).map_err(|why| why.to_string());
        assert!(why.is_err_and(|why| why.ends_with("not a file: a fifo")));
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn the_description_is_in_the_usual_form() {
        let parsed = varlink::idl::Description::parse(DESCRIPTION);
        assert_eq!(parsed.map(|d| d.format()).as_deref(), Ok(DESCRIPTION));
    }
}
