// SPDX-License-Identifier: Apache-2.0
//! `ports`: ports that a machine publishes on the host.

use super::{dirs, inspect_text, is_on, machine, one_name, set, state};
use crate::fault::Fault;
use crate::keeper::control;
use crate::keeper::ports::parse;
use crate::store::record::Forward;
use crate::store::{Dirs, Machine};
use crate::text::tabwriter;
use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Returns the parser of `ports`.
pub fn command() -> Command {
    let change = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(
            Arg::new("words")
                .value_name("[NAME] [ADDRESS:]HOST[:GUEST][/udp]")
                .action(ArgAction::Append)
                .num_args(1..)
                .required(true)
                .help("Machine, and a port of the host with the machine's port"),
        )
    };
    Command::new("ports")
        .about("List the ports that a machine publishes on this host")
        .args_conflicts_with_subcommands(true)
        .args(one_name())
        .arg(super::json_flag())
        .subcommand(change("add", "Publish a port at once and at each start"))
        .subcommand(change("rm", "Take a port back"))
}

/// Runs `ports`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    match matches.subcommand() {
        Some((action, own)) => change(&dirs, own, action == "add")?,
        None => list(&machine(&dirs, matches)?, matches.get_flag("json"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(machine: &Machine, as_json: bool) -> Result<()> {
    let own = machine.config()?.ports;
    let now = machine.live_record().map(|record| record.forwards);
    let now = now.unwrap_or_default();
    let mut all: Vec<&Forward> = now.iter().collect();
    all.extend(
        own.iter()
            .filter(|port| !now.iter().any(|other| other.same_port(port))),
    );
    all.sort_unstable();
    let rows: Vec<Row> = all
        .into_iter()
        .map(|port| Row {
            port,
            listens: now.contains(port),
            kept: own.contains(port),
        })
        .collect();
    print!("{}", render(&rows, as_json));
    Ok(())
}

/// Port in the list.
struct Row<'a> {
    port: &'a Forward,
    /// True if QEMU listens.
    listens: bool,
    /// True if the port is published at each start.
    kept: bool,
}

fn render(rows: &[Row<'_>], as_json: bool) -> String {
    if as_json {
        let object = |row: &Row<'_>| {
            json!({
                "Protocol": row.port.protocol, "Address": row.port.address, "Port": row.port.port,
                "GuestPort": row.port.guest, "Listens": row.listens, "Kept": row.kept,
            })
        };
        return inspect_text::pretty(&rows.iter().map(object).collect::<Value>()) + "\n";
    }
    let mut text = "PROTOCOL\tADDRESS\tPORT\tGUEST\tLISTENS\tKEPT\n".to_owned();
    let word = |is: bool| if is { "yes" } else { "no" };
    for Row {
        port,
        listens,
        kept,
    } in rows
    {
        text += &format!(
            "{}\t{}\t{}\t{}\t{}\t{}\n",
            port.protocol,
            port.address,
            port.port,
            port.guest,
            word(*listens),
            word(*kept)
        );
    }
    tabwriter::align(&text, tabwriter::LS)
}

fn change(dirs: &Dirs, matches: &ArgMatches, add: bool) -> Result<()> {
    let words: Vec<&String> = matches.get_many("words").into_iter().flatten().collect();
    let (name, port) = match words.as_slice() {
        [port] => (None, port),
        [name, port] => (Some(name.as_str()), port),
        _ => return Err(Fault::new("Improper number of arguments").into()),
    };
    let machine = super::named(dirs, name)?;
    let request = request(port)?;
    let forward = parse(&request, &machine.config()?.publish_on)?;
    match add {
        true => publish(dirs, &machine, forward),
        false => take_back(dirs, &machine, &forward, has_address(&request)),
    }
}

/// Publishes a port now and at each start.
fn publish(dirs: &Dirs, machine: &Machine, forward: Forward) -> Result<()> {
    let now = machine.live_record().map(|record| record.forwards);
    let is_published = now.is_some_and(|now| now.iter().any(|other| other.same_port(&forward)));
    let mut has_exposed = false;
    let changed = set::change(dirs, machine, |config| {
        if is_on(state(dirs, machine)?) {
            ask(machine, "expose", &forward)?;
            has_exposed = !is_published;
        }
        config.ports.retain(|other| !other.same_port(&forward));
        config.ports.push(forward.clone());
        Ok(())
    });
    // A port that is not kept is not published either: the command has failed.
    if changed.is_err() && has_exposed {
        let _ = ask(machine, "unexpose", &forward);
    }
    changed
}

/// Takes a port back; without an address, on all addresses.
fn take_back(dirs: &Dirs, machine: &Machine, port: &Forward, has_address: bool) -> Result<()> {
    let is_meant = |other: &Forward| {
        (&other.protocol, other.port) == (&port.protocol, port.port)
            && (!has_address || other.address == port.address)
    };
    let is_on = is_on(state(dirs, machine)?);
    let record = machine.live_record().filter(|_| is_on);
    let mut now = record.map(|record| record.forwards).unwrap_or_default();
    now.retain(is_meant);
    if now.is_empty() && !machine.config()?.ports.iter().any(is_meant) {
        let (name, Forward { protocol, port, .. }) = (&machine.name, port);
        let text = format!(
            "Error: {protocol} port {port} is not published: `ports {name}` lists those that are"
        );
        return Err(Fault::new(text).into());
    }
    set::change(dirs, machine, |config| {
        config.ports.retain(|other| !is_meant(other));
        Ok(())
    })?;
    now.iter()
        .try_for_each(|port| ask(machine, "unexpose", port))
}

/// Returns true for a request with an address of the host.
fn has_address(request: &Value) -> bool {
    let local = request["local"].as_str();
    local.is_some_and(|local| !local.starts_with(':'))
}

/// Sends a port to the keeper of a machine.
fn ask(machine: &Machine, action: &str, port: &Forward) -> Result<()> {
    let request = json!({
        "do": action, "local": format!("{}:{}", port.address, port.port),
        "remote": format!(":{}", port.guest), "protocol": port.protocol,
    });
    let answer = control::ask(&machine.run_file(control::SOCKET), &request)?;
    match answer["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(()),
    }
}

/// Returns the request to a keeper for `[ADDRESS:]HOST[:GUEST][/PROTOCOL]`.
fn request(text: &str) -> Result<Value> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let words: Vec<&str> = ports.split(':').collect();
    let (address, host, guest) = match words.as_slice() {
        [port] => ("", *port, *port),
        [address, port] if address.contains('.') => (*address, *port, *port),
        [host, guest] => ("", *host, *guest),
        [address, host, guest] => (*address, *host, *guest),
        _ => {
            let text =
                format!("Error: {text}: must be [ADDRESS:]HOST[:GUEST][/udp], as in 8080:80");
            return Err(Fault::new(text).into());
        }
    };
    Ok(json!({
        "local": format!("{address}:{host}"), "remote": format!(":{guest}"), "protocol": protocol,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_command_line() {
        for (text, expected) in [
            ("8080:80", "tcp:127.0.0.1:8080-:80"),
            ("8080", "tcp:127.0.0.1:8080-:8080"),
            ("0.0.0.0:8080", "tcp:0.0.0.0:8080-:8080"),
            ("127.0.0.2:53:5353/udp", "udp:127.0.0.2:53-:5353"),
        ] {
            let forward = parse(&request(text).expect(text), "127.0.0.1").expect(text);
            let Forward {
                protocol,
                address,
                port,
                guest,
            } = &forward;
            assert_eq!(format!("{protocol}:{address}:{port}-:{guest}"), expected);
        }
        for text in [
            "",
            "x",
            "80:0",
            "1:2:3:4",
            "80/sctp",
            "[::1]:80:80",
            "80:80\nquit",
        ] {
            let parsed = request(text).and_then(|request| parse(&request, "127.0.0.1"));
            assert!(parsed.is_err(), "{text}");
        }
    }

    #[test]
    fn render_lists_ports_and_their_state() {
        let port = parse(&request("8080:80").expect("right"), "127.0.0.1").expect("right");
        let rows = [Row {
            port: &port,
            listens: true,
            kept: false,
        }];
        let text = render(&rows, false);
        assert_eq!(
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>())
                .collect::<Vec<_>>(),
            [
                ["PROTOCOL", "ADDRESS", "PORT", "GUEST", "LISTENS", "KEPT"],
                ["tcp", "127.0.0.1", "8080", "80", "yes", "no"]
            ]
        );
        let json: Vec<Value> = serde_json::from_str(&render(&rows, true)).expect("JSON");
        assert_eq!(
            (json[0]["Port"].as_u64(), json[0]["Kept"].as_bool()),
            (Some(8080), Some(false))
        );
        assert_eq!(render(&[], true), "[]\n");
    }
}
