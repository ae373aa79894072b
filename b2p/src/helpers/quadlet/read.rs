// SPDX-License-Identifier: Apache-2.0
//! Units of one owner: those of podman's generator, plain unit files, drop-ins, and instances of templates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::errno::Errno;
use sys::error::{Error, Result};

use super::convert::{self, Definition};
use super::paths::{self, DEFINITIONS, template_of};
use super::plain::{self, is_off};
use super::present::Present;
use super::specifiers::Owner;
use super::timer::{UnitTimer, started_unit};
use super::unit::{self, Unit};
use super::unit_error::Fault;
use super::{NAME, UNREADABLE, disk_units, generator, host, other_units, words};

/// Most bytes of the units of a user other than root, with those that instances repeat. These bytes are
/// kept in memory.
const MAX_USER_BYTES: usize = 4 << 20;

/// Units of one owner: those that are loaded, and the faults of the others.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub definitions: Vec<Definition>,
    /// Units by their names.
    pub units: Vec<(String, Unit)>,
    /// Texts of the units, with their drop-ins.
    pub texts: Vec<String>,
    /// Texts of templates by their names, `web@.service`, and the drop-ins of instances, `web@2.service.d`.
    pub templates: Vec<(String, String)>,
    pub faults: Vec<Fault>,
    /// Units whose files are there.
    pub present: Present,
    /// Timers with their texts, and those that a boot starts.
    pub timers: Vec<(UnitTimer, String)>,
    pub wanted_timers: Vec<String>,
}

/// Texts of units before instances are made of templates.
#[derive(Debug, Default)]
struct Texts {
    units: BTreeMap<String, String>,
    drop_ins: BTreeMap<String, String>,
    /// Units that a link has a boot start.
    wanted: BTreeSet<String>,
}

impl Texts {
    /// Adds the output of a generator; later texts replace earlier ones.
    fn add(&mut self, output: &str) {
        for (name, text) in unit::split_output(output) {
            if name == plain::WANTED {
                self.wanted.extend(text.lines().map(str::to_owned));
            } else if let Some(name) = name.strip_suffix(plain::DROP_INS) {
                let drop_ins = self.drop_ins.entry(name.to_owned()).or_default();
                drop_ins.push_str(text);
            } else {
                self.units.insert(name.to_owned(), text.to_owned());
            }
        }
        self.wanted.remove("");
    }

    /// Returns the templates with their texts, and the drop-ins of instances, which `systemctl start web@2` finds
    /// beside the template.
    fn templates(&self) -> Vec<(String, String)> {
        let templates = self.units.keys().filter(|name| is_template(name));
        let templates = templates.filter_map(|name| Some((name.clone(), self.whole(name)?)));
        let drop_ins = self.drop_ins.iter();
        let drop_ins = drop_ins.filter(|(name, _)| template_of(name).is_some());
        let drop_ins =
            drop_ins.map(|(name, text)| (format!("{name}{}", plain::DROP_INS), text.clone()));
        templates.chain(drop_ins).collect()
    }

    /// Returns the text of a unit with its drop-ins, those of more units first.
    fn whole(&self, name: &str) -> Option<String> {
        let template = template_of(name);
        let of_template = || self.units.get(template.as_deref()?);
        let mut text = self.units.get(name).or_else(of_template)?.clone();
        let mut names = extended_by_prefix(name);
        names.extend(template.iter().cloned().chain([name.to_owned()]));
        for drop_ins in names.iter().filter_map(|name| self.drop_ins.get(name)) {
            text.push('\n');
            text.push_str(drop_ins);
        }
        Some(text)
    }
}

/// Returns the names of drop-ins that extend a unit with others: all services, and those whose names begin with a part
/// of its own up to a hyphen, such as `web-.service` (systemd.unit(5)).
fn extended_by_prefix(name: &str) -> Vec<String> {
    let stem = name.strip_suffix(".service").unwrap_or(name);
    let stem = stem.split('@').next().unwrap_or(stem);
    let hyphens = stem.match_indices('-').map(|(at, _)| at);
    let prefixes = hyphens.filter_map(|at| stem.get(..=at));
    let prefixes = prefixes.filter(|prefix| *prefix != stem);
    let prefixes = prefixes.map(|prefix| format!("{prefix}.service"));
    [plain::ALL.to_owned()]
        .into_iter()
        .chain(prefixes)
        .collect()
}

fn is_template(name: &str) -> bool {
    name.ends_with("@.service")
}

/// Reads the units of an owner.
///
/// # Errors
/// A generator cannot be started, or has not ended in time; a user has too much text.
pub(super) fn read(owner: &Owner) -> Result<Loaded> {
    let mut texts = Texts::default();
    let mut loaded = Loaded::default();
    let mut output = match generator::has_files(owner) {
        true => generator::run(owner)?,
        false => generator::Generated::default(),
    };
    disk_units::add(owner, &mut output);
    texts.add(&output.units);
    loaded.faults = output.faults;
    texts.add(&plain::read(owner)?);
    loaded.present = Present::of(&texts.units);
    let bytes = texts.units.values().chain(texts.drop_ins.values());
    if owner.uid != 0 && bytes.map(String::len).sum::<usize>() > MAX_USER_BYTES {
        let most = format!("more than {MAX_USER_BYTES} bytes of units");
        return Err(Error::invalid(most));
    }
    let (timers, faults) = other_units::take(&mut texts.units, &texts.drop_ins, owner);
    loaded.timers = timers;
    loaded.faults.extend(faults);
    loaded.wanted_timers = texts.wanted.iter().cloned().collect();
    loaded.templates = texts.templates();
    let mut names = names(owner, &texts, &loaded.templates);
    let timers = loaded.timers.iter();
    names.extend(timers.map(|(timer, text)| started_unit(&timer.unit, &Unit::parse(text))));
    take_all(&mut loaded, owner, &texts, names);
    convert::link(&mut loaded.definitions);
    Ok(loaded)
}

/// Returns the names of the units of an owner: their own, those of links, and instances of templates.
fn names(owner: &Owner, texts: &Texts, templates: &[(String, String)]) -> Vec<String> {
    let units = texts.units.keys().filter(|name| !is_template(name));
    // A template is no unit; a link to one asks for its default instance (systemd.unit(5), "DefaultInstance=").
    let wanted = texts.wanted.iter().filter(|name| !is_template(name));
    let default_instances = templates.iter();
    let default_instances =
        default_instances.filter_map(|(name, text)| default_instance(name, text));
    let names = units.chain(wanted).cloned();
    names
        .chain(default_instances)
        .chain(instances(owner))
        .collect()
}

/// Returns the unit of an instance whose template was read before; `None` if there is no such template.
///
/// # Errors
/// The template cannot be read.
pub(super) fn instance(owner: &Owner, name: &str) -> Result<Option<Loaded>> {
    let Some(template) = template_of(name) else {
        return Ok(None);
    };
    let text = match sys::files::read_text(paths::template(&template, owner)) {
        Err(why) if why.errno() == Some(Errno::ENOENT) => return Ok(None),
        text => text?,
    };
    let mut texts = Texts::default();
    texts.units.insert(template, text);
    let drop_ins = format!("{name}{}", plain::DROP_INS);
    let drop_ins = sys::files::read_text(paths::template(&drop_ins, owner));
    texts
        .drop_ins
        .extend(drop_ins.ok().map(|text| (name.to_owned(), text)));
    let mut loaded = Loaded::default();
    take_all(&mut loaded, owner, &texts, vec![name.to_owned()]);
    Ok(Some(loaded))
}

/// Makes definitions of units, and of the instances that these name.
fn take_all(loaded: &mut Loaded, owner: &Owner, texts: &Texts, mut names: Vec<String>) {
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    sys::sort::sort(&mut names);
    names.reverse();
    while let Some(name) = names.pop() {
        let Some(text) = texts.whole(&name).filter(|_| seen.insert(name.clone())) else {
            continue;
        };
        bytes += text.len();
        if owner.uid != 0 && bytes > MAX_USER_BYTES {
            let fault = format!("{name}: more than {MAX_USER_BYTES} bytes of units of one user");
            return loaded.faults.push(Fault::of_quadlet(fault));
        }
        let unit = Unit::parse(&text);
        if is_off(&unit) {
            continue;
        }
        let at = loaded.definitions.len();
        take(loaded, owner, name, unit, text);
        let Some(definition) = loaded.definitions.get_mut(at) else {
            continue;
        };
        // An [Install] section has no effect on a plain unit without a link.
        definition.at_boot &= !is_plain(texts, &definition.unit);
        definition.at_boot |= is_wanted(texts, &definition.unit);
        let instances = definition.pulled.iter().filter(|name| name.contains('@'));
        names.extend(instances.cloned());
    }
}

/// Returns true for a unit to which a link leads, and for the default instance of a template to which one leads.
fn is_wanted(texts: &Texts, name: &str) -> bool {
    let by_template = || {
        let template = template_of(name).filter(|t| texts.wanted.contains(t))?;
        let text = texts.units.get(&template)?;
        default_instance(&template, text)
    };
    texts.wanted.contains(name) || by_template().as_deref() == Some(name)
}

/// Returns true for a unit that is a file of its owner, or an instance of one.
fn is_plain(texts: &Texts, name: &str) -> bool {
    let of_template = || texts.units.get(&template_of(name)?);
    let text = texts.units.get(name).or_else(of_template);
    text.is_some_and(|text| {
        Unit::parse(text)
            .last(plain::PATH.0, plain::PATH.1)
            .is_some()
    })
}

fn take(loaded: &mut Loaded, owner: &Owner, name: String, unit: Unit, text: String) {
    let (section, key) = UNREADABLE;
    let unread = unit.assignments().iter();
    let unread = unread.filter(|a| a.section == section && a.key == key);
    let faults = unread.map(|a| Fault::of_quadlet(format!("{name}: left out: {}", a.value)));
    loaded.faults.extend(faults);
    let specifiers = host::specifiers(&name, &unit, owner.clone());
    let definition = match Definition::of(&unit, &specifiers) {
        Ok(definition) => definition,
        Err(why) => {
            let fault = Fault::of_quadlet(format!("{name}: {why}"));
            return loaded.faults.push(fault);
        }
    };
    let service = &definition.service;
    if loaded.definitions.iter().any(|d| d.service == *service) {
        let fault = format!("{name}: another unit is the service {service}");
        return loaded.faults.push(Fault::of_quadlet(fault));
    }
    if !definition.unsupported.is_empty() {
        let keys = definition.unsupported.join(" ");
        let fault = format!("{name}: keys without effect here: {keys}");
        loaded.faults.push(Fault::of_quadlet(fault));
    }
    if !definition.unknown_units.is_empty() {
        let values = definition.unknown_units.join(" ");
        let right = "a .service, or for a start at boot default.target";
        let fault =
            format!("{name}: without effect, as no such unit is read here: {values}; {right} is");
        loaded.faults.push(Fault::of_quadlet(fault));
    }
    if let Some(key) = words::unknown_escape(&unit) {
        let why = "an escape that systemd.syntax(7) does not have is kept as it is";
        let fault = format!("{name}: {key}: {why}");
        loaded.faults.push(Fault::of_quadlet(fault));
    }
    loaded.definitions.push(definition);
    loaded.units.push((name, unit));
    loaded.texts.push(text);
}

/// Returns the instance that a template itself stands for.
fn default_instance(template: &str, text: &str) -> Option<String> {
    let unit = Unit::parse(text);
    let instance = unit.last("Install", "DefaultInstance")?;
    let prefix = template.strip_suffix("@.service")?;
    Some(format!("{prefix}@{instance}.service"))
}

/// Returns the instances that the owner's services were made of: one that was started by its name stays.
fn instances(owner: &Owner) -> Vec<String> {
    let entries = fs::read_dir(DEFINITIONS).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let name = |service: String| {
        let text = sys::files::read_text(paths::unit(&service)).ok()?;
        let name = Unit::parse(&text).last(NAME.0, NAME.1)?.to_owned();
        let is_own = paths::service_name(&name, owner).is_some_and(|own| own == service);
        (is_own && name.contains('@')).then_some(name)
    };
    names.filter_map(name).collect()
}

#[cfg(test)]
#[path = "read/tests.rs"]
mod tests;
