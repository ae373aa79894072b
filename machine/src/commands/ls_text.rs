// SPDX-License-Identifier: Apache-2.0
//! Text of `ls` and `active`: filters, order and formats.

use std::cmp::Ordering;

use regex_lite::Regex;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::state::State;
use crate::text::go_template::{Missing, Template};
use crate::text::tabwriter;

/// Machine in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Name.
    pub name: String,
    /// Driver, or `not found` if the configuration cannot be read.
    pub driver: String,
    /// State.
    pub state: State,
    /// URL of the API; empty unless the machine runs.
    pub url: String,
    /// Reason of an error, if there is one.
    pub error: String,
    /// Version of podman with a `v`, or `Unknown`.
    pub engine: String,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Number of processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Size of the disk in bytes.
    pub disk: u64,
    /// Bytes of the host's disk that the machine's disk takes.
    pub disk_used: u64,
    /// Bytes of the host's memory that the machine takes; 0 unless it runs.
    pub resident: u64,
    /// Port of sshd on the host.
    pub port: u16,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Time at which the API last answered for the first time, in seconds since 1970.
    pub last_up: Option<u64>,
}

impl Item {
    /// Returns the entry of a machine whose configuration cannot be read.
    #[must_use]
    pub fn broken(name: &str, error: &str) -> Item {
        Item {
            name: name.to_owned(),
            driver: "not found".to_owned(),
            state: State::Error,
            url: String::new(),
            error: error.replace('\n', ""),
            engine: String::new(),
            labels: Vec::new(),
            cpus: 0,
            memory: 0,
            disk: 0,
            disk_used: 0,
            resident: 0,
            port: 0,
            created: 0,
            last_up: None,
        }
    }
}

/// Variables of the environment that say which machine clients use.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// `PODMAN_MACHINE_NAME`.
    pub machine: String,
    /// `DOCKER_HOST`.
    pub docker: String,
    /// `CONTAINER_HOST`.
    pub container: String,
}

impl Clients {
    /// Returns true if clients use this machine, and it runs.
    #[must_use]
    pub fn use_machine(&self, item: &Item) -> bool {
        let url = !item.url.is_empty() && (item.url == self.docker || item.url == self.container);
        item.state == State::Running && (url || item.name == self.machine)
    }
}

/// Returns the machine that clients use.
///
/// # Errors
/// docker-machine's text, if there is none.
pub fn active<'a>(items: &'a [Item], clients: &Clients) -> Result<&'a str, Fault> {
    if let Some(item) = items.iter().find(|item| clients.use_machine(item)) {
        return Ok(&item.name);
    }
    let timeout = items.iter().any(|item| item.state == State::Timeout);
    Err(Fault::new(match timeout {
        true => "Error getting active host: timeout",
        false => "No active host found",
    }))
}

/// Conditions of `--filter`: all keys must match, by one of their values.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    drivers: Vec<String>,
    states: Vec<String>,
    names: Vec<Regex>,
    labels: Vec<String>,
    swarms: Vec<String>,
}

impl Filters {
    /// Parses `key=value` conditions.
    ///
    /// # Errors
    /// An unknown key, no `=`, or a name that is no regular expression.
    pub fn parse<'a>(filters: impl IntoIterator<Item = &'a str>) -> Result<Filters, Fault> {
        let mut all = Filters::default();
        for filter in filters {
            let (key, value) = filter
                .split_once('=')
                .ok_or_else(|| Fault::new("Unsupported filter syntax"))?;
            let key = key.to_lowercase();
            let value = value.to_owned();
            match key.as_str() {
                "driver" => all.drivers.push(value),
                "state" => all.states.push(value),
                "label" => all.labels.push(value),
                "swarm" => all.swarms.push(value),
                "name" => {
                    let regex = Regex::new(&value).map_err(|why| {
                        let text = format!("Invalid regular expression '{value}': {why}");
                        Fault::new(text.replace('\n', " "))
                    })?;
                    all.names.push(regex);
                }
                _ => return Err(Fault::new(format!("Unsupported filter key '{key}'"))),
            }
        }
        Ok(all)
    }

    /// Returns true if the state decides, which then has to be known.
    #[must_use]
    pub fn need_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Returns true for a machine that meets the conditions.
    #[must_use]
    pub fn match_item(&self, item: &Item) -> bool {
        let one = |values: &[String], own: &str| {
            values.is_empty()
                || values
                    .iter()
                    .any(|v| v.to_lowercase() == own.to_lowercase())
        };
        let label = |wanted: &String| {
            item.labels
                .iter()
                .any(|own| match (wanted.split_once('='), own.split_once('=')) {
                    (Some((key, value)), Some((own_key, own_value))) => {
                        key == own_key && value.to_lowercase() == own_value.to_lowercase()
                    }
                    // A key alone asks for the label with any value.
                    (None, own_parts) => *wanted == own_parts.map_or(own.as_str(), |(key, _)| key),
                    (Some(_), None) => wanted == own,
                })
        };
        one(&self.drivers, &item.driver)
            && one(&self.states, item.state.word())
            && (self.names.is_empty() || self.names.iter().any(|n| n.is_match(&item.name)))
            && (self.labels.is_empty() || self.labels.iter().any(label))
            // No machine is a member of a swarm.
            && self.swarms.is_empty()
    }
}

/// Orders names as people do: case does not matter, and `box2` is before `box10`.
#[must_use]
pub fn natural(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (mut left, mut right) = (runs(&a), runs(&b));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return a.cmp(&b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => compare_runs(left, right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Splits a text into runs of digits and of other characters.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digits = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits);
        let (run, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(run)
    })
}

/// Compares runs: numbers by value, then by leading zeros, and before all other text.
fn compare_runs(a: &str, b: &str) -> Ordering {
    let number = |run: &str| run.starts_with(|c: char| c.is_ascii_digit());
    match (number(a), number(b)) {
        (true, true) => {
            let (x, y) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            let value = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            value.then_with(|| a.len().cmp(&b.len()))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

/// Headers of the fields that differ from the field's name in capitals.
#[rustfmt::skip]
const HEADERS: &[(&str, &str)] = &[
    ("ActiveHost", "ACTIVE_HOST"), ("ActiveSwarm", "ACTIVE_SWARM"), ("DockerVersion", "DOCKER"),
    ("DriverName", "DRIVER"), ("EngineOptions", "ENGINE_OPTIONS"), ("Error", "ERRORS"),
    ("LastUp", "LAST UP"), ("ResponseTime", "RESPONSE"), ("SwarmOptions", "SWARM_OPTIONS"),
];

/// Format of podman-machine's table.
const PODMAN: &str =
    "table {{.Name}}\t{{.Active}}\t{{.DriverName}}\t{{.State}}\t{{.URL}}\t{{.Error}}";
/// Format of docker-machine's table.
const DOCKER: &str = "table {{.Name}}\t{{.Active}}\t{{.DriverName}}\t{{.State}}\t{{.URL}}\t\
                      {{.Swarm}}\t{{.DockerVersion}}\t{{.Error}}";

/// Returns the fields of a machine in formats.
fn fields(item: &Item, clients: &Clients) -> Value {
    let is_active = clients.use_machine(item);
    let active = match item.state {
        State::Timeout => "",
        _ if is_active => "*",
        State::Error if item.driver == "not found" => "",
        _ => "-",
    };
    json!({
        "Name": item.name, "Active": active, "ActiveHost": is_active, "ActiveSwarm": false,
        "DriverName": item.driver, "State": item.state.word(), "URL": item.url, "Swarm": "",
        "SwarmOptions": {}, "EngineOptions": {"Labels": item.labels}, "Error": item.error,
        "DockerVersion": item.engine, "ResponseTime": "0s",
        "CPUs": item.cpus, "Memory": item.memory.to_string(), "Disk": item.disk.to_string(),
        "DiskSize": item.disk.to_string(), "DiskUsed": item.disk_used.to_string(),
        "ResidentMemory": item.resident.to_string(), "Port": item.port, "Created": item.created,
        "LastUp": item.last_up, "Running": item.state == State::Running,
        "Starting": item.state == State::Starting, "VMType": item.driver, "Default": is_active,
    })
}

/// Returns a size with at most four digits, as `units.BytesSize` of docker/go-units does.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let power = (bytes.max(1).ilog2() / 10).min(5);
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let value = bytes as f64 / (1_u64 << (10 * power)) as f64;
    let decimals = match value {
        ..10.0 => 3,
        ..100.0 => 2,
        ..1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text = match decimals {
        0 => text.as_str(),
        _ => text.trim_end_matches('0').trim_end_matches('.'),
    };
    format!("{text}{}", UNITS[power as usize])
}

/// Returns the list as text, by a format; an empty one stands for the table of podman-machine or
/// docker-machine.
///
/// # Errors
/// A format that is no template, or that names a field that does not exist.
pub fn render(
    items: &[Item],
    clients: &Clients,
    format: &str,
    as_docker: bool,
) -> Result<String, Fault> {
    let (is_table, text) = template_text(format, as_docker);
    let fault = |why: crate::text::go_template::Error| Fault::new(why.to_string());
    let template = Template::parse(&text).map_err(fault)?;
    let mut out = String::new();
    if is_table {
        out += &template
            .execute(&headers(), Missing::Error)
            .map_err(fault)?;
    }
    for item in items {
        let mut fields = fields(item, clients);
        // podman's formats have these for people; its JSON has bytes.
        for (name, bytes) in [
            ("Memory", item.memory),
            ("Disk", item.disk),
            ("DiskSize", item.disk),
        ] {
            fields[name] = size(bytes).into();
        }
        out += &template.execute(&fields, Missing::Error).map_err(fault)?;
    }
    Ok(match is_table {
        true => tabwriter::align(&out, tabwriter::LS),
        false => out,
    })
}

/// Returns whether a format is that of a table, and the text of its template.
fn template_text(format: &str, as_docker: bool) -> (bool, String) {
    let format = match (format, as_docker) {
        ("", true) => DOCKER,
        ("", false) => PODMAN,
        (format, _) => format,
    };
    let (is_table, text) = match format.strip_prefix("table") {
        Some(text) => (true, text),
        None => (false, format),
    };
    let text = text.trim_matches(' ');
    let text = text.replace("\\t", "\t").replace("\\n", "\n");
    (is_table, text + "\n")
}

fn headers() -> Value {
    let mut headers = fields(&Item::broken("", ""), &Clients::default());
    for (name, value) in headers.as_object_mut().into_iter().flatten() {
        let own = HEADERS.iter().find(|(field, _)| field == name);
        *value = own
            .map_or_else(|| name.to_uppercase(), |(_, h)| (*h).to_owned())
            .into();
    }
    headers
}

/// Returns the list as JSON, for `--json`.
#[must_use]
pub fn json_list(items: &[Item], clients: &Clients) -> String {
    let list: Vec<Value> = items.iter().map(|item| fields(item, clients)).collect();
    super::inspect_text::pretty(&Value::from(list)) + "\n"
}

#[cfg(test)]
#[path = "ls_text_tests.rs"]
mod tests;
