// SPDX-License-Identifier: Apache-2.0
//! The commands that call one method: info, help, call, resolve; and format.

use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use sys::error::{Doing, Error};
use varlink::idl::Description;
use varlink::{Call, Client, Map, Reply, Target, Value, json, map, serde_json};

use super::RESOLVER;
use super::connect::{self, connect, interface};
use super::failure::{self, Failure};
use super::options::{Options, wrong};
use crate::common::args::{Arg, Args};
use crate::common::atomic_file;
use crate::common::terminal::{plain, print, print_plain, print_plain_error};

/// `info [ADDRESS]`: shows the maker of a service and its interfaces.
pub(super) fn info(options: &Options, args: &[String]) -> Result<(), Failure> {
    let address = optional(args)?;
    if address.is_none() && options.activate.is_none() && options.bridge.is_none() {
        return Err(missing("ADDRESS"));
    }
    let target = Target {
        address: address.map(str::to_owned),
        name: String::new(),
    };
    let (_started, mut client) = connect(options, &target)?.client()?;
    let call = Call::new("org.varlink.service.GetInfo", Map::new());
    let info = results(ask(&mut client, &call)?)?;
    print(&info_text(&info, std::io::stdout().is_terminal()));
    Ok(())
}

/// Returns the lines of `info`. On a terminal titles are bold, and the service's texts drive no terminal.
fn info_text(info: &Map, is_terminal: bool) -> String {
    let title = |title: &str| match is_terminal {
        true => format!("\x1b[0;1;39m{title}:\x1b[0m"),
        false => format!("{title}:"),
    };
    let shown = |value: &str| match is_terminal {
        true => plain(value),
        false => value.to_owned(),
    };
    let mut text = String::new();
    let rows = [
        ("Vendor", "vendor"),
        ("Product", "product"),
        ("Version", "version"),
        ("URL", "url"),
    ];
    for (name, key) in rows {
        if let Some(value) = info.get(key).and_then(Value::as_str) {
            text += &format!("{} {}\n", title(name), shown(value));
        }
    }
    text += &title("Interfaces");
    text.push('\n');
    for name in info
        .get("interfaces")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        text += &format!("  {}\n", shown(name.as_str().unwrap_or_default()));
    }
    text.push('\n');
    text
}

/// `help [ADDRESS/]INTERFACE`: shows the description of an interface.
pub(super) fn help(options: &Options, args: &[String]) -> Result<(), Failure> {
    let target = Target::parse(optional(args)?.ok_or_else(|| missing("INTERFACE"))?);
    let name = interface(&target.name).to_owned();
    let (_started, mut client) = connect(options, &target)?.client()?;
    let call = Call::new(
        "org.varlink.service.GetInterfaceDescription",
        map(json!({ "interface": name })),
    );
    let reply = results(ask(&mut client, &call)?)?;
    let text = reply.get("description").and_then(Value::as_str);
    let text = text.ok_or_else(|| Failure::new(failure::INVALID_MESSAGE, "no description"))?;
    match Description::parse(text) {
        Ok(description) => show(&description.format()),
        // A description with a mistake still helps a person.
        Err(_) => show(text),
    }
    Ok(())
}

/// `call [-m] [ADDRESS/]INTERFACE.METHOD [JSON|-]`: calls a method and shows its replies.
pub(super) fn call(options: &Options, args: &[String]) -> Result<(), Failure> {
    let (mut more, mut operands) = (false, Vec::new());
    let mut reader = Args::new(args);
    while let Some(arg) = reader.next_arg().map_err(wrong)? {
        match arg {
            Arg::Short('m') | Arg::Long("more") => more = true,
            Arg::Operand(operand) => operands.push(operand),
            other => return Err(wrong(other.unknown())),
        }
    }
    let (target, parameters) = match operands[..] {
        [] => return Err(missing("INTERFACE.METHOD")),
        [method] => (method, None),
        [method, parameters] => (method, Some(parameters)),
        [_, _, third, ..] => {
            return Err(Failure::argument(format!("{third}: one argument too many")));
        }
    };
    let target = Target::parse(target);
    if !target.name.contains('.') {
        let text = format!("{}: no method: must be INTERFACE.METHOD", target.name);
        return Err(Failure::argument(text));
    }
    let parameters = parse_parameters(parameters)?;
    let (_started, mut client) = connect(options, &target)?.client()?;
    let call = Call {
        more,
        ..Call::new(target.name, parameters)
    };
    replies(&mut client, &call)
}

/// Shows replies until the last one.
fn replies(client: &mut Client, call: &Call) -> Result<(), Failure> {
    let mut reply = ask(client, call)?;
    loop {
        if reply.error.is_some() {
            return results(reply).map(drop);
        }
        show(&pretty(&reply.parameters));
        if !reply.continues {
            return Ok(());
        }
        reply = client
            .receive()
            .map_err(lost)?
            .ok_or_else(Failure::closed)?;
    }
}

/// `resolve [INTERFACE]`: shows the address of an interface, or all interfaces that have one.
pub(super) fn resolve(options: &Options, args: &[String]) -> Result<(), Failure> {
    if let Some(interface) = optional(args)? {
        let address = connect::resolve(options, interface)?;
        show(&format!("{address}\n"));
        return Ok(());
    }
    let resolver = options.resolver.as_deref().unwrap_or(RESOLVER);
    let call = Call::new("org.varlink.resolver.GetInfo", Map::new());
    let info = connect::ask_resolver(options, resolver, &call).map_err(Failure::connect)?;
    let names = info.get("interfaces").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    show(&names.map(|name| format!("{name}\n")).collect::<String>());
    Ok(())
}

/// `format [-i] FILE|-`: shows a description in the usual form, or rewrites the file.
pub(super) fn format(_: &Options, args: &[String]) -> Result<(), Failure> {
    let (mut in_place, mut file) = (false, None);
    let mut reader = Args::new(args);
    while let Some(arg) = reader.next_arg().map_err(wrong)? {
        match arg {
            Arg::Short('i') | Arg::Long("in-place") => in_place = true,
            Arg::Operand(operand) if file.is_none() => file = Some(operand),
            other => return Err(wrong(other.unknown())),
        }
    }
    let file = file.ok_or_else(|| missing("FILE"))?;
    let text = match file {
        "-" => read_input().map_err(argument)?,
        path => std::fs::read_to_string(path).on(path).map_err(argument)?,
    };
    let description = Description::parse(&text).on(file).map_err(argument)?;
    match (in_place, file) {
        (true, "-") => return Err(Failure::argument("-i needs a file, not `-`")),
        (true, path) => rewrite(path, &description.format()).map_err(argument)?,
        (false, _) => print(&description.format()),
    }
    Ok(())
}

/// Replaces a file, or the file that a link leads to, by one with the same permission bits and owner.
fn rewrite(path: &str, text: &str) -> sys::error::Result<()> {
    let file = std::fs::canonicalize(path).on(path)?;
    let old = std::fs::metadata(&file).on(&file)?;
    let owner = (old.uid(), old.gid());
    atomic_file::replace_as(&file, text.as_bytes(), old.mode() & 0o7777, Some(owner))
}

/// Writes text of a service to the standard output: a terminal gets no control characters, while a program gets
/// the bytes.
fn show(text: &str) {
    match std::io::stdout().is_terminal() {
        true => print_plain(text),
        false => print(text),
    }
}

fn argument(error: Error) -> Failure {
    Failure::argument(error.to_string())
}

/// Returns the only argument, if there is one.
fn optional(args: &[String]) -> Result<Option<&str>, Failure> {
    match args {
        [] => Ok(None),
        [option, ..] if option.starts_with('-') => {
            Err(Failure::argument(format!("{option}: no such option")))
        }
        [only] => Ok(Some(only)),
        [_, second, ..] => Err(Failure::argument(format!(
            "{second}: one argument too many"
        ))),
    }
}

fn missing(name: &str) -> Failure {
    Failure::new(
        failure::MISSING_ARGUMENT,
        format!("{name} is missing; see `varlink --help`"),
    )
}

/// Parses the parameters of a call: an object, or `-` for one on the standard input.
fn parse_parameters(text: Option<&str>) -> Result<Map, Failure> {
    let text = match text {
        None => return Ok(Map::new()),
        Some("-") => read_input().map_err(argument)?,
        Some(text) => text.to_owned(),
    };
    match serde_json::from_slice(text.as_bytes()) {
        Ok(Value::Object(parameters)) => Ok(parameters),
        Ok(_) => Err(invalid_json(
            "must be an object, such as {\"name\": \"web\"}",
        )),
        Err(e) => Err(invalid_json(&e.to_string())),
    }
}

fn invalid_json(why: &str) -> Failure {
    let text = format!("Unable to parse input parameters, must be valid JSON\n{why}");
    Failure::new(failure::INVALID_JSON, text)
}

fn read_input() -> sys::error::Result<String> {
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let mut text = String::new();
    let read = input.and_then(|input| std::fs::File::from(input).read_to_string(&mut text));
    read.doing("standard input")?;
    Ok(text)
}

/// Sends a call and returns its first reply.
fn ask(client: &mut Client, call: &Call) -> Result<Reply, Failure> {
    client.send(call).map_err(lost)?;
    client.receive().map_err(lost)?.ok_or_else(Failure::closed)
}

/// Returns the results of a reply; shows the parameters of an error.
fn results(reply: Reply) -> Result<Map, Failure> {
    let Some(name) = reply.error else {
        return Ok(reply.parameters);
    };
    print_plain_error(&format!("Call failed with error: {name}"));
    if !reply.parameters.is_empty() {
        show(&pretty(&reply.parameters));
    }
    Err(Failure {
        status: failure::REMOTE_ERROR,
        text: None,
    })
}

/// Turns a failure of the connection into one of the tool.
fn lost(error: Error) -> Failure {
    use nix::errno::Errno;
    match error.errno() {
        Some(Errno::EAGAIN) => Failure::new(failure::TIMEOUT, "Timeout."),
        Some(Errno::EPIPE | Errno::ECONNRESET) => Failure::closed(),
        Some(_) => Failure::new(failure::PANIC, error.to_string()),
        None => Failure::new(failure::INVALID_MESSAGE, error.to_string()),
    }
}

/// Returns an object as text: two blanks a level, names sorted, without members that are null.
#[must_use]
pub fn pretty(parameters: &Map) -> String {
    let mut text = String::new();
    write(&Value::Object(parameters.clone()), 0, &mut text);
    text.push('\n');
    text
}

/// Appends a value as text.
fn write(value: &Value, depth: usize, text: &mut String) {
    let mut parts: Vec<(String, &Value)> = Vec::new();
    let signs = match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            for (name, value) in members {
                parts.push((varlink::text(&name.as_str().into()) + ": ", value));
            }
            ["{", "}"]
        }
        Value::Array(elements) => {
            for element in elements {
                parts.push((String::new(), element));
            }
            ["[", "]"]
        }
        other => {
            *text += &varlink::text(other);
            return;
        }
    };
    *text += signs[0];
    for (place, (name, value)) in parts.iter().enumerate() {
        *text += if place == 0 { "\n" } else { ",\n" };
        *text += &"  ".repeat(depth + 1);
        *text += name;
        write(value, depth + 1, text);
    }
    if !parts.is_empty() {
        text.push('\n');
        *text += &"  ".repeat(depth);
    }
    *text += signs[1];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_sorted_and_have_no_null() {
        let parameters = map(json!({
            "b": 1.5, "a": [], "c": {}, "d": null, "e": [null, {"z": null, "y": "ü"}]
        }));
        let text = "{\n  \"a\": [],\n  \"b\": 1.5,\n  \"c\": {},\n  \"e\": [\n    null,\n    {\n      \
            \"y\": \"ü\"\n    }\n  ]\n}\n";
        assert_eq!(pretty(&parameters), text);
        assert_eq!(pretty(&Map::new()), "{}\n");
    }

    #[test]
    fn info_is_plain_in_a_pipe_and_leaves_out_what_is_missing() {
        let info = map(json!({
            "vendor": "Atomic", "product": "podman", "version": "5.4.2",
            "interfaces": ["org.varlink.service", "io.podman"]
        }));
        let text = "Vendor: Atomic\nProduct: podman\nVersion: 5.4.2\nInterfaces:\n  \
            org.varlink.service\n  io.podman\n\n";
        assert_eq!(info_text(&info, false), text);
        let bold = "\x1b[0;1;39mVendor:\x1b[0m Atomic\n";
        assert!(info_text(&info, true).starts_with(bold));
        let evil = map(json!({"vendor": "\u{1b}]0;x\u{7}", "interfaces": ["a\u{9b}2J"]}));
        let shown = info_text(&evil, true);
        assert!(shown.contains("\\x1b]0;x\\x07\n") && !shown.contains('\u{9b}'));
        assert!(info_text(&evil, false).contains('\u{1b}'));
    }
}
