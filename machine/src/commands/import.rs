// SPDX-License-Identifier: Apache-2.0
//! `import`: a machine from an archive. The archive may be from another person: settings that give a machine access to
//! this host are left out, and named with the command that adds them.

use super::copy::{hosts, renamed, word, write_config};
use super::{create, dirs, interrupt};
use crate::compat;
use crate::fault::Fault;
use crate::store::config::MachineConfig;
use crate::store::image::{Image, hold_cache};
use crate::store::image_source::Source;
use crate::store::media::check_qcow2;
use crate::store::{Dirs, Machine, archive, draft, files};
use crate::text::shell::word as word_of_shell;
use anyhow::Result;
use clap::{Arg, ArgMatches, Command};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Returns the parser of `import`.
pub fn command() -> Command {
    Command::new("import")
        .about("Make a machine of a file that `export` wrote, without its access to a host")
        .arg(word("file", "FILE", "File"))
        .arg(word(
            "new",
            "NAME",
            "Name of the machine; that in the file if none is given",
        ))
        .arg(Arg::new("image").long("image").value_name("IMAGE").help(
            "Kernel and initrd, as for `create`; without it those of the export, if they are here",
        ))
}

/// Runs `import`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    let file = matches.get_one::<String>("file");
    let file = PathBuf::from(file.ok_or_else(|| Fault::new("Improper number of arguments"))?);
    let mut config = archive::config(&file)?;
    if let Some(new) = matches.get_one::<String>("new") {
        renamed(&mut config, new);
    }
    create::check_name(&dirs, &config.name)?;
    let left_out = leave_out(&mut config);
    dirs.create()?;
    let _cache = hold_cache(&dirs)?;
    let pid = std::process::id();
    interrupt::remove_on_signal(vec![
        Image::draft(&dirs.cache(), pid),
        draft::path(&dirs, &config.name, pid),
    ])?;
    let image = matches.get_one::<String>("image");
    config.image = choose_image(&dirs, image.map(String::as_str), &config.image)?;
    let machine = Machine::at(&dirs, &config.name);
    create::publish(&dirs, &machine, |draft| unpack(&file, draft, &config))?;
    println!(
        "Machine \"{}\" was made of {}.",
        config.name,
        file.display()
    );
    for line in left_out {
        eprintln!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the image that is asked for, else that of the export if the cache has it, else that of this build.
fn choose_image(dirs: &Dirs, asked: Option<&str>, own: &str) -> Result<String> {
    let cache = dirs.cache();
    let image = match asked {
        Some(text) => Image::import(&cache, &Source::parse(text)?)?,
        None => match Image::open(&cache, own) {
            Ok(image) => image,
            Err(_) => Image::import(&cache, &Source::default_place()?)?,
        },
    };
    Ok(image.id)
}

fn unpack(file: &Path, draft: &Path, config: &MachineConfig) -> Result<()> {
    let own = archive::read(file, draft)?;
    check_qcow2(&draft.join("disk.qcow2"))?;
    if !draft.join("id_ed25519").exists() {
        create::keygen(draft, &config.name)?;
    }
    if let Ok(text) = fs::read_to_string(draft.join("known_hosts")) {
        let text = hosts(&text, &own.name, &config.name);
        files::replace(&draft.join("known_hosts"), text.as_bytes())?;
    }
    write_config(draft, config)
}

/// Takes shared folders and published ports from a configuration; `say` is called with each of them and the command that
/// adds it.
fn shares_and_ports(config: &mut MachineConfig, say: &mut impl FnMut(String, String)) {
    let name = config.name.clone();
    for share in std::mem::take(&mut config.shares) {
        let mut word = format!("{}:{}", share.source.display(), share.target);
        word += if share.read_only { ":ro" } else { "" };
        let word = word_of_shell(&word);
        say(
            format!("the shared folder {word}"),
            format!("share add {name} {word}"),
        );
    }
    for port in std::mem::take(&mut config.ports) {
        let word = format!(
            "{}:{}:{}/{}",
            port.address, port.port, port.guest, port.protocol
        );
        say(
            format!("the published port {port}"),
            format!("ports add {name} {word}"),
        );
    }
}

/// Takes from a configuration of another host what gives the machine access to this one; returns a line for each
/// setting, with the command that adds it.
fn leave_out(config: &mut MachineConfig) -> Vec<String> {
    let plain = MachineConfig::new(&config.name);
    let program = compat::program();
    let name = config.name.clone();
    let mut lines = Vec::new();
    let mut say = |what: String, command: String| {
        lines.push(format!(
            "Left out: {what}; `{program} {command}` adds it here"
        ));
    };
    shares_and_ports(config, &mut say);
    if config.publish_on != plain.publish_on {
        let address = std::mem::replace(&mut config.publish_on, plain.publish_on);
        let command = format!("set {name} publish-on={address}");
        say(format!("the address {address} of published ports"), command);
    }
    if std::mem::replace(&mut config.proxy_env, false) {
        say(
            "the proxies of this host, which may have a password".to_owned(),
            format!("set {name} proxy-env=on"),
        );
    }
    if config.ssh_port_fixed {
        let port = config.ssh_port;
        let command = format!("set {name} ssh-port={port}");
        say(format!("the port {port} of ssh"), command);
    }
    (config.ssh_port, config.ssh_port_fixed) = (0, false);
    // The image that a failed upgrade on the other host would restore.
    config.previous = None;
    config.protected = false;
    for (key, _) in std::mem::take(&mut config.other) {
        lines.push(format!(
            "Left out: the setting {key:?}, which this version does not know"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::Forward;
    use crate::store::share::Share;
    use crate::tool;
    use std::process::Command as Process;

    fn share(source: &str, target: &str, read_only: bool) -> Share {
        Share {
            source: source.into(),
            target: target.to_owned(),
            read_only,
        }
    }

    #[test]
    fn access_to_the_host_is_left_out_and_named() {
        let mut config = MachineConfig::new("box");
        config.user = "me".to_owned();
        config.labels = vec!["a=b".to_owned()];
        config.flags = vec![("tz".to_owned(), "UTC".to_owned())];
        let kept = MachineConfig {
            proxy_env: false,
            ..config.clone()
        };
        config.shares = vec![
            share("/home/me", "/mnt", false),
            share("/it's", "/x y", true),
        ];
        config.ports = vec![Forward {
            protocol: "udp".to_owned(),
            address: "0.0.0.0".to_owned(),
            port: 53,
            guest: 54,
        }];
        config.publish_on = "0.0.0.0".to_owned();
        (config.ssh_port, config.ssh_port_fixed) = (2222, true);
        config.previous = Some("sha256-0".to_owned());
        config.other.insert("late\nr".to_owned(), 1.into());
        let lines = leave_out(&mut config);
        assert_eq!(config, kept);
        for (line, words) in lines.iter().zip([
            "share add box /home/me:/mnt`",
            "share add box '/it'\\''s:/x y:ro'`",
            "ports add box 0.0.0.0:53:54/udp`",
            "set box publish-on=0.0.0.0`",
            "set box proxy-env=on`",
            "set box ssh-port=2222`",
            "the setting \"late\\nr\",",
        ]) {
            assert!(
                line.starts_with("Left out: ") && line.contains(words),
                "{line}"
            );
            assert!(!line.contains(char::is_control), "{line}");
        }
        assert_eq!(lines.len(), 7);
        assert!(leave_out(&mut config).is_empty());
    }

    #[test]
    fn a_disk_with_a_backing_file_is_refused() {
        if tool::find("qemu-img").is_none() {
            return;
        }
        let tmp = tempfile::tempdir().expect("a directory");
        let (secret, disk) = (tmp.path().join("secret"), tmp.path().join("d"));
        fs::write(&secret, vec![0; 1024]).expect("written");
        let image = |args: &[&str]| {
            let mut make = Process::new("qemu-img");
            tool::run(
                make.args(["create", "-q", "-f", "qcow2"])
                    .args(args)
                    .arg(&disk),
            )
            .expect("made");
        };
        image(&["-F", "raw", "-b", &secret.to_string_lossy()]);
        assert!(check_qcow2(&disk).is_err());
        let mut make = Process::new("qemu-img");
        tool::run(
            make.args(["create", "-q", "-f", "qcow2"])
                .arg(&disk)
                .arg("1M"),
        )
        .expect("made");
        check_qcow2(&disk).expect("a plain disk");
    }
}
