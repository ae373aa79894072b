//! cloud-init's NoCloud, a subset of it: a disk with the label `cidata` says what the
//! machine is to be. `b2p cloud`, run once by PID 1 before what depends on it;
//! `b2p cloud scripts` runs the commands when the machine is ready.
//!
//! [`seed`] finds the disk; [`userdata`], [`network`] and what they use read it, pure;
//! [`apply`], [`people`], [`files`] do it, and may do it again; [`scripts`] is the end of
//! it. docs/guide/cloud.md has what is supported. Without such a disk nothing happens.

mod apply;
pub mod base64;
pub mod diagnostics;
mod files;
pub mod network;
pub mod schema;
mod scripts;
mod seed;
pub mod user;
pub mod userdata;
pub mod users;
pub mod yaml;

use std::time::{Duration, Instant};

use config::Config;
use log::{info, warn};

use crate::common::degraded::Degraded;
use crate::common::paths::Paths;
use crate::helpers::compat::lima;
use diagnostics::Notes;
use seed::Seed;
use userdata::{Kind, UserData};

/// All of it may take so long; PID 1 waits somewhat longer (init/src/service_table/table.rs).
const MOST: Duration = Duration::from_secs(60);

/// Does what the disk says; what cannot be is said and is no failure of the program.
pub fn main(words: &[String]) -> i32 {
    match words {
        [] => {}
        [word] if word == "scripts" => return scripts::main(),
        _ => {
            crate::common::terminal::print_error("usage: b2p cloud [scripts]");
            return 2;
        }
    }
    let end = Instant::now() + MOST;
    let mut notes = Notes::default();
    let read = match seed::find() {
        Ok(None) => return 0, // nearly always: nothing is read or written for it
        Ok(Some(device)) => {
            seed::link_by_label(&device);
            seed::read_seed(&device)
        }
        Err(why) => Err(why),
    };
    match read {
        Ok(seed) => all(&seed, &sys::config_sources::read().0, end, &mut notes),
        Err(why) => notes.wrong(why),
    }
    say("cloud", &notes)
}

/// Tells the log, and PID 1 of what is wrong.
fn say(service: &str, notes: &Notes) -> i32 {
    notes.left.iter().for_each(|n| info!("cloud: {n}"));
    notes.wrong.iter().for_each(|n| warn!("cloud: {n}"));
    let mut degraded = Degraded::of(service);
    for note in &notes.wrong {
        degraded.add(note);
    }
    degraded.report()
}

/// What meta-data says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meta {
    /// Commands are run once for each.
    instance: String,
    hostname: Option<String>,
    keys: Vec<String>,
}

fn meta(bytes: &[u8], notes: &mut Notes) -> Meta {
    let text = String::from_utf8_lossy(bytes);
    let tree = yaml::parse(&text).unwrap_or_else(|why| {
        notes.wrong(format!("meta-data: {why}"));
        yaml::Node::Null
    });
    let name = |name: &str| tree.word(name).map(str::to_owned);
    let keys = tree.get("public-keys").or_else(|| tree.get("public_keys"));
    Meta {
        // cloud-init's own for want of another.
        instance: name("instance-id").unwrap_or_else(|| "iid-datasource-nocloud".into()),
        hostname: name("local-hostname").or_else(|| name("hostname")),
        keys: keys.map(|k| user::keys(k, notes)).unwrap_or_default(),
    }
}

fn all(seed: &Seed, config: &Config, end: Instant, notes: &mut Notes) {
    let meta = meta(&seed.meta_data, notes);
    if !seed.vendor_data.trim_ascii().is_empty() {
        notes.left("vendor-data is not supported");
    }
    if !seed.network_config.trim_ascii().is_empty() {
        let text = String::from_utf8_lossy(&seed.network_config);
        apply::network(&text, config, notes).unwrap_or_else(|why| notes.wrong(why));
    }
    if seed.is_from_lima {
        lima::install().unwrap_or_else(|why| notes.wrong(why.to_string()));
    }
    let data = user_data(&seed.user_data, notes);
    if let Some(name) = userdata::hostname(&data, meta.hostname.as_deref()) {
        apply::hostname(&name).unwrap_or_else(|why| notes.wrong(why));
    }
    let keys: Vec<String> = data.keys.iter().chain(&meta.keys).cloned().collect();
    if !keys.is_empty() {
        let joined = crate::helpers::data::keys::add(&Paths::default(), &keys.join("\n"));
        joined.unwrap_or_else(|why| notes.wrong(why));
    }
    users::make(&data.users, notes);
    apply::certs(&data.certs, notes);
    if let Some(zone) = data.timezone.as_deref().filter(|_| config.tz.is_none()) {
        crate::helpers::time::zone::set_zone(zone).unwrap_or_else(|why| notes.wrong(why));
    }
    apply::mounts(&data.mounts, end, notes);
    written(&data, false, notes);
    scripts::boot(&data.bootcmd, end, notes);
    scripts::keep(&meta.instance, &seed.user_data).unwrap_or_else(|why| notes.wrong(why));
}

/// What user-data is, read if it is ours to read.
fn user_data(bytes: &[u8], notes: &mut Notes) -> UserData {
    match userdata::kind(bytes) {
        Kind::Nothing | Kind::Script(_) => UserData::default(),
        Kind::Other(what) => {
            notes.wrong(format!(
                "user-data: {what}: not supported, none of it is taken"
            ));
            UserData::default()
        }
        Kind::Config(text) => match userdata::read(text) {
            Ok((data, more)) => {
                notes.left.extend(more.left);
                notes.wrong.extend(more.wrong);
                data
            }
            Err(why) => {
                notes.wrong(format!("user-data: {why}; none of it is taken"));
                UserData::default()
            }
        },
    }
}

/// Writes the files of one of the two times.
fn written(data: &UserData, deferred: bool, notes: &mut Notes) {
    for file in data.files.iter().filter(|f| f.defer == deferred) {
        files::write(file).unwrap_or_else(|why| notes.wrong(format!("write_files: {why}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_data_as_lima_has_it_and_none() {
        let mut notes = Notes::default();
        let said = meta(b"instance-id: iid-1\nlocal-hostname: lima-x\n", &mut notes);
        assert_eq!(
            (said.instance.as_str(), said.hostname.as_deref()),
            ("iid-1", Some("lima-x"))
        );
        assert_eq!(meta(b"", &mut notes).instance, "iid-datasource-nocloud");
        assert!(notes.wrong.is_empty());
        meta(b"a: [", &mut notes);
        assert_eq!(notes.wrong.len(), 1);
    }
}
