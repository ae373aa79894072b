// SPDX-License-Identifier: Apache-2.0
//! `b2p varlink-resolver`: gives clients the address of an interface.
//!
//! The machine's own interfaces are a table ([`OWN`]); `/etc/varlink.json`, in the format of the
//! resolver of libvarlink, adds others or replaces them. The file is read for each call.

use std::path::{Path, PathBuf};

use sys::error::{Doing, Result};
use varlink::{
    Answer, Done, Exchange, Failure, Interface, Limits, Map, Service, Value, json, map, serde_json,
};

use crate::common::user_text;

/// Interface, and its address with the options of its socket, as libvarlink's resolver prints them.
type Entry = (String, String);

/// Interfaces of the machine.
const OWN: &[(&str, &str)] = &[
    ("io.podman", "unix:/run/podman/io.podman;mode=0600"),
    (
        "org.boot2podman.machine",
        "unix:/run/boot2podman/machine.varlink;mode=0666",
    ),
    (
        "org.varlink.resolver",
        "unix:/run/org.varlink.resolver;mode=0666",
    ),
];

/// Path of the configuration, which an administrator may write.
const CONFIG: &str = "/etc/varlink.json";
/// Maximum size of the configuration in bytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

const NAME: &str = "org.varlink.resolver";

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
        ..MACHINE
    };
    super::run("varlink-resolver", &service, args, Limits::OPEN)
}

/// Maker of the built-in services.
pub(crate) const MACHINE: Service<'static> = Service {
    vendor: "boot2podman",
    product: "boot2podman",
    version: env!("CARGO_PKG_VERSION"),
    url: "https://github.com/boot2podman/boot2podman",
    interfaces: &[],
};

/// The interface `org.varlink.resolver`.
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
            "GetInfo" => Ok(Done::Reply(info(&read(&self.config)))),
            "Resolve" => {
                let name = exchange.call.parameters.get("interface");
                let name = name
                    .and_then(Value::as_str)
                    .ok_or_else(|| Failure::parameter("interface"))?;
                let (entries, _) = read(&self.config);
                let found = entries.into_iter().find(|(interface, _)| interface == name);
                let (_, address) = found.ok_or_else(|| {
                    let parameters = map(json!({ "interface": name }));
                    Failure::new("org.varlink.resolver.InterfaceNotFound", parameters)
                })?;
                Ok(Done::Reply(map(json!({ "address": address }))))
            }
            other => Err(Failure::method(other)),
        }
    }
}

/// Returns the results of `GetInfo`: the configuration may name another maker.
fn info((entries, config): &(Vec<Entry>, Map)) -> Map {
    let text = |key: &str, own: &str| match config.get(key) {
        Some(Value::String(text)) => text.clone(),
        _ => own.to_owned(),
    };
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    map(json!({
        "vendor": text("vendor", MACHINE.vendor),
        "product": text("product", MACHINE.product),
        "version": text("version", MACHINE.version),
        "url": text("url", MACHINE.url),
        "interfaces": names,
    }))
}

/// Returns all interfaces, sorted, and the members of the configuration.
fn read(path: &Path) -> (Vec<Entry>, Map) {
    let config = config(path).unwrap_or_else(|why| {
        log::warn!("varlink-resolver: {why}");
        Map::new()
    });
    (merge(&config), config)
}

fn config(path: &Path) -> Result<Map> {
    let Some(text) = user_text::read(path, MAX_CONFIG_BYTES)? else {
        return Ok(Map::new());
    };
    let config = serde_json::from_slice(&text).map_err(std::io::Error::from);
    config.map(map).on(path)
}

/// Adds the services of the configuration to the machine's own; those of the configuration win.
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
    for (name, address) in OWN {
        add(&mut entries, name, address);
    }
    sys::sort::sort(&mut entries);
    entries
}

/// Adds an interface, unless the interface has an address already.
fn add(entries: &mut Vec<Entry>, name: &str, address: &str) {
    if entries.iter().all(|(known, _)| known != name) {
        entries.push((name.to_owned(), address.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(config: Value, name: &str) -> Option<String> {
        let entries = merge(&map(config));
        entries
            .into_iter()
            .find(|(known, _)| known == name)
            .map(|(_, address)| address)
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
        let info = info(&(merge(&map(config.clone())), map(config)));
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
        assert_eq!(config(&path), Ok(Map::new()));
        for (text, want) in [
            ("\u{feff}{\r\n\"vendor\": \"me\"\r\n}\r\n", Ok("me")),
            (
                "{",
                Err("varlink.json: EOF while parsing an object at line 1 column 1"),
            ),
        ] {
            std::fs::write(&path, text).expect("written");
            let said = config(&path).map_err(|why| why.to_string());
            match want {
                Ok(vendor) => assert_eq!(said.map(|map| map["vendor"].clone()), Ok(vendor.into())),
                Err(why) => assert!(said.is_err_and(|said| said.ends_with(why)), "{why}"),
            }
        }
        std::fs::remove_file(&path).expect("removed");
        // An open that blocks would never return.
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        let why = config(&path).map_err(|why| why.to_string());
        assert!(why.is_err_and(|why| why.ends_with("not a file: a fifo")));
        std::fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn the_description_is_in_the_usual_form() {
        let parsed = varlink::idl::Description::parse(DESCRIPTION);
        assert_eq!(parsed.map(|d| d.format()).as_deref(), Ok(DESCRIPTION));
    }
}
