// SPDX-License-Identifier: Apache-2.0
//! `b2p cloud`: configures the machine by a seed of cloud-init (NoCloud), a disk with the label
//! `cidata`. docs/guide/cloud.md lists the supported part of cloud-init. PID 1 runs `b2p cloud` before the services that
//! depend on the seed, and `b2p cloud scripts`, which runs the commands of the seed, after the ready line. PID 1 also
//! runs both when a CD drive appears later. Without a seed nothing happens.
//!
//! [`seed`] finds the disk. [`userdata`], [`network`] and the modules that they use parse the seed
//! and change nothing. [`apply`], [`users`] and [`files`] apply the result, and may do so again.
//! [`scripts`] runs the commands.

pub(crate) mod apply;
pub mod base64;
pub mod diagnostics;
pub(crate) mod files;
mod machine_user;
pub mod network;
pub mod schema;
mod scripts;
mod seed;
pub mod user;
pub mod userdata;
pub mod users;
pub mod yaml;

use std::path::Path;
use std::time::{Duration, Instant};

use config::Config;
use log::{info, warn};
use sys::paths::READY;

use crate::common::confined::Tree;
use crate::common::degraded::Degraded;
use crate::common::paths::Paths;
use crate::common::terminal::print_error;
use crate::helpers::compat::{lima, session_environment};
use crate::helpers::data::keys;
use crate::helpers::time::zone;
use diagnostics::Diagnostics;
use seed::Seed;
use userdata::{Format, UserData};

/// Time limit of the mounts and commands of a seed; PID 1 waits somewhat longer
/// (init/src/service_table/configuration.rs).
const TIMEOUT: Duration = Duration::from_secs(60);
/// Instance id of a seed whose meta-data has no `instance-id`: the id that cloud-init uses (DataSourceNoCloud.py).
const DEFAULT_INSTANCE: &str = "iid-datasource-nocloud";

/// Applies the seed, or with `scripts` runs the commands of the seed. Returns 2 for wrong arguments, 0 without a seed, else
/// the status of [`Degraded::report`]; a setting that cannot be applied becomes a degraded line.
pub fn main(args: &[String]) -> i32 {
    match args {
        [] => {}
        [arg] if arg == "scripts" => return scripts::main(),
        _ => {
            print_error("usage: b2p cloud [scripts]");
            return 2;
        }
    }
    let deadline = Instant::now() + TIMEOUT;
    let mut diagnostics = Diagnostics::default();
    let seed = match seed::find() {
        // The usual case neither reads nor writes a file.
        Ok(None) => return 0,
        Ok(Some(device)) => {
            seed::link_by_label(&device);
            seed::read_seed(&device, &mut diagnostics)
        }
        Err(why) => Err(why),
    };
    let (config, _) = sys::config_sources::read();
    match seed {
        Ok(seed) => apply_seed(&seed, &config, deadline, &mut diagnostics),
        Err(why) => diagnostics.failed(why),
    }
    report("cloud", &diagnostics)
}

/// Logs the diagnostics, and reports failures as degraded lines of `service`; returns the
/// exit status.
fn report(service: &str, diagnostics: &Diagnostics) -> i32 {
    let (unsupported, failed) = (&diagnostics.unsupported, &diagnostics.failed);
    unsupported.iter().for_each(|line| info!("cloud: {line}"));
    failed.iter().for_each(|line| warn!("cloud: {line}"));
    let mut degraded = Degraded::of(service);
    for line in failed {
        degraded.add(line);
    }
    degraded.report()
}

/// Parsed meta-data.
#[derive(Debug, Default, PartialEq, Eq)]
struct MetaData {
    /// Instance id: commands that run once per instance run again when the id changes.
    instance: String,
    hostname: Option<String>,
    keys: Vec<String>,
}

fn parse_meta_data(bytes: &[u8], diagnostics: &mut Diagnostics) -> MetaData {
    let text = String::from_utf8_lossy(bytes);
    let (entries, fault) = yaml::entries("meta-data", &text, diagnostics);
    diagnostics.record(fault.map_or(Ok(()), Err));
    let mut meta_data = MetaData::default();
    for (name, value) in entries.iter().filter(|(_, v)| *v != yaml::Node::Null) {
        let place = format!("meta-data: {name}");
        match name.as_str() {
            "public-keys" | "public_keys" => {
                meta_data
                    .keys
                    .extend(user::keys(&place, value, diagnostics));
            }
            "instance-id" | "local-hostname" | "hostname" => {
                let text = value.expect_text(&place, diagnostics).map(str::to_owned);
                match name.as_str() {
                    "instance-id" => meta_data.instance = text.unwrap_or_default(),
                    "local-hostname" => meta_data.hostname = text,
                    _ => meta_data.hostname = meta_data.hostname.or(text),
                }
            }
            _ => {}
        }
    }
    if meta_data.instance.is_empty() {
        meta_data.instance = DEFAULT_INSTANCE.to_owned();
    }
    meta_data
}

fn apply_seed(seed: &Seed, config: &Config, deadline: Instant, diagnostics: &mut Diagnostics) {
    let meta_data = parse_meta_data(&seed.meta_data, diagnostics);
    if seed.has_vendor_data {
        diagnostics.failed("vendor-data: not supported; use user-data");
    }
    if !seed.network_config.trim_ascii().is_empty() {
        let text = String::from_utf8_lossy(&seed.network_config);
        let applied = apply::network(&text, config, diagnostics);
        diagnostics.record(applied);
    }
    if seed.is_from_lima {
        diagnostics.record(lima::install());
    }
    let data = parse_user_data(&seed.user_data, &machine_user::of_flags(), diagnostics);
    if let Some(name) = userdata::hostname(&data, meta_data.hostname.as_deref()) {
        diagnostics.record(apply::hostname(&name));
    }
    let of_meta_data = meta_data.keys.iter().filter(|_| !data.ignores_public_keys);
    let lines: Vec<String> = data.keys.iter().chain(of_meta_data).cloned().collect();
    if !lines.is_empty() {
        diagnostics.record(keys::add(&Paths::default(), &lines.join("\n")));
    }
    // `user:` of the document replaces `core` only before the ready line. After the ready line `core` remains, and the user
    // of the document is added with the same groups and sudo.
    let replaces_core = data.replaces_core && !Path::new(READY).exists();
    let replaced = replaces_core.then(|| user::DEFAULT.to_owned());
    users::add_all(&data.users, replaced.as_slice(), diagnostics);
    apply::certs(&data.certs, diagnostics);
    if let Some(zone) = data.timezone.as_deref().filter(|_| config.tz.is_none()) {
        diagnostics.record(zone::set_zone(zone));
    }
    apply::mounts(&data.mounts, deadline, diagnostics);
    write_files(&data, false, diagnostics);
    scripts::run_bootcmd(&data.bootcmd, deadline, diagnostics);
    diagnostics.record(scripts::save(&meta_data.instance, &seed.user_data));
}

/// Parses user-data. Returns an empty result, with a diagnostic, if the format is not supported. `default` is the name of
/// the user that the entry `default` of `users:` stands for.
fn parse_user_data(bytes: &[u8], default: &str, diagnostics: &mut Diagnostics) -> UserData {
    let text = match userdata::format(bytes) {
        Format::Empty | Format::Script(_) => return UserData::default(),
        Format::CloudConfig(text) => text,
        Format::Unsupported(what) => {
            diagnostics.failed(format_args!(
                "user-data: {what}: this format is not supported; nothing of the file is applied"
            ));
            return UserData::default();
        }
    };
    let (data, found) = userdata::parse(text, default);
    diagnostics.append(found);
    data
}

/// Writes the files whose `defer` equals `deferred`: with true, the files that wait for the ready line.
fn write_files(data: &UserData, deferred: bool, diagnostics: &mut Diagnostics) {
    for file in data.files.iter().filter(|file| file.defer == deferred) {
        let written = Tree::open(Path::new("/")).and_then(|root| files::write(&root, file));
        if let Err(why) = written {
            diagnostics.failed(format_args!("write_files: {why}"));
        }
    }
    if data
        .files
        .iter()
        .any(|file| file.defer == deferred && session_environment::is_source(&file.path))
    {
        diagnostics.record(session_environment::apply());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_meta_data_of_lima_and_of_an_empty_file() {
        let mut diagnostics = Diagnostics::default();
        let text = b"instance-id: iid-1\nlocal-hostname: lima-x\n";
        let meta_data = parse_meta_data(text, &mut diagnostics);
        assert_eq!(meta_data.instance, "iid-1");
        assert_eq!(meta_data.hostname.as_deref(), Some("lima-x"));
        let empty = parse_meta_data(b"", &mut diagnostics);
        assert_eq!(empty.instance, DEFAULT_INSTANCE);
        assert!(diagnostics.failed.is_empty());
        parse_meta_data(b"a: [", &mut diagnostics);
        assert_eq!(diagnostics.failed.len(), 1);
    }

    /// Meta-data as KubeVirt (pkg/cloud-init, `NoCloudMetadata`), OpenStack (meta_data.json) and EC2 write it, and meta-data
    /// with lists of keys.
    #[test]
    fn parse_meta_data_reads_keys_in_every_shape() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 a";
        for text in [
            r#"{"instance-type":"a","instance-id":"i","local-hostname":"h","public-keys":{"0":"KEY"}}"#,
            r#"{"uuid":"i","hostname":"h.novalocal","public_keys":{"mykey":"KEY\n"},"launch_index":0}"#,
            r#"{"instance-id":"i","public-keys":["KEY"]}"#,
            r#"{"instance-id":"i","public-keys":"KEY"}"#,
            r#"{"instance-id":"i","public-keys":{"0":{"openssh-key":"KEY"}}}"#,
            "instance-id: i\nlocal-hostname: *x\npublic-keys:\n- KEY\n",
        ] {
            let text = text.replace("KEY", key);
            let mut diagnostics = Diagnostics::default();
            let meta_data = parse_meta_data(text.as_bytes(), &mut diagnostics);
            assert_eq!(meta_data.keys, [key], "{text}");
            assert_eq!(diagnostics.failed.is_empty(), !text.contains('*'), "{text}");
        }
    }
}
