// SPDX-License-Identifier: Apache-2.0
//! Files of other programs that name a machine: podman's connections, docker's contexts.

pub mod docker;
pub mod podman;

use crate::store::Machine;
use crate::store::lock::Guard;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Places of the files.
#[derive(Clone, Debug)]
pub struct Places {
    /// podman's file of connections.
    pub connections: PathBuf,
    /// docker's directory.
    pub docker: PathBuf,
}

impl Places {
    /// Returns the places by the environment: podman-system-connection(1), and docker's
    /// "Environment variables".
    pub fn new(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
        let home = || set("HOME").context("HOME is not set");
        let connections = match set("PODMAN_CONNECTIONS_CONF") {
            Some(file) => file,
            None => match set("XDG_CONFIG_HOME") {
                Some(dir) => dir,
                None => home()?.join(".config"),
            }
            .join("containers/podman-connections.json"),
        };
        let docker = match set("DOCKER_CONFIG") {
            Some(dir) => dir,
            None => home()?.join(".docker"),
        };
        Ok(Self {
            connections,
            docker,
        })
    }

    /// Returns the places of this process.
    pub fn of_environment() -> Result<Self> {
        Self::new(|name| std::env::var_os(name).map(PathBuf::from))
    }
}

/// Returns the URL of a machine's API.
#[must_use]
pub fn url(machine: &Machine) -> String {
    format!("unix://{}", machine.api().display())
}

/// Tells whether a URL is that of a machine's API. The runtime directory may have been another one, as
/// in a login without `XDG_RUNTIME_DIR`; the name of the machine's own directory tells it from others.
fn owns(machine: &Machine, url: &str) -> bool {
    let own = machine.api();
    let tail = |path: &Path| -> Vec<String> {
        let parts = path.iter().rev().take(2);
        parts
            .map(|part| part.to_string_lossy().into_owned())
            .collect()
    };
    let path = url.strip_prefix("unix://").map(Path::new);
    path.is_some_and(|path| tail(path) == tail(&own))
}

/// Makes podman and docker know a machine; the default of either changes only if this is asked for.
pub fn connect(places: &Places, machine: &Machine, default: bool) -> Result<()> {
    docker::refuse_foreign(places, machine)?;
    podman::add(places, machine, default)?;
    docker::add(places, machine, default)
}

/// Makes podman and docker, where they know a machine, know it by its new name.
pub fn rename(places: &Places, from: &Machine, to: &Machine) -> Result<()> {
    docker::refuse_foreign(places, to)?;
    podman::rename(places, from, to)?;
    docker::rename(places, from, to)
}

/// Gives podman and docker, where they know a machine, its present URL: a start in another environment has other sockets.
pub fn refresh(places: &Places, machine: &Machine) -> Result<()> {
    podman::refresh(places, machine)?;
    docker::refresh(places, machine)
}

/// Removes a machine from podman's and docker's files; returns true if it was there.
pub fn disconnect(places: &Places, machine: &Machine) -> Result<bool> {
    match (
        podman::remove(places, machine),
        docker::remove(places, machine),
    ) {
        (Ok(podman), Ok(docker)) => Ok(podman || docker),
        (Err(podman), Err(docker)) => bail!("{podman:#}; {docker:#}"),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Changes a JSON file in one step; a file that does not parse is left alone. `act` returns true if
/// there is something to write.
fn edit(path: &Path, act: impl FnOnce(&mut Map<String, Value>) -> Result<bool>) -> Result<bool> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => "{}".to_owned(),
        other => other.with_context(|| path.display().to_string())?,
    };
    let text = if text.trim().is_empty() { "{}" } else { &text };
    let mut object: Map<String, Value> = serde_json::from_str(text)
        .with_context(|| format!("{}: not JSON, and left alone", path.display()))?;
    let changed = act(&mut object)?;
    if changed {
        let text = serde_json::to_string_pretty(&object)? + "\n";
        // A link, as to a directory of dotfiles, stays one.
        let file = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        crate::store::files::replace(&file, text.as_bytes())?;
    }
    Ok(changed)
}

/// Locks podman's file as podman does (`lockfile` of containers/storage: POSIX locks).
fn guard(path: &Path) -> Result<Guard> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    Guard::take(Path::new(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Dirs;
    use serde_json::json;

    struct Host {
        _tmp: tempfile::TempDir,
        places: Places,
        dirs: Dirs,
    }

    fn host() -> Host {
        let tmp = tempfile::tempdir().expect("a directory");
        let places = Places {
            connections: tmp.path().join("config/containers/podman-connections.json"),
            docker: tmp.path().join("docker"),
        };
        let dirs = Dirs {
            storage: tmp.path().join("s"),
            runtime: tmp.path().join("r"),
        };
        Host {
            _tmp: tmp,
            places,
            dirs,
        }
    }

    fn read(path: &Path) -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("there")).expect("JSON")
    }

    #[test]
    fn the_places_follow_the_environment() {
        let with = |list: &'static [(&str, &str)]| {
            Places::new(move |name| {
                let found = list.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| PathBuf::from(value))
            })
        };
        let places = with(&[("HOME", "/h")]).expect("right");
        assert_eq!(
            places.connections,
            Path::new("/h/.config/containers/podman-connections.json")
        );
        assert_eq!(places.docker, Path::new("/h/.docker"));
        let places = with(&[("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d")]).expect("right");
        assert_eq!(
            places.connections,
            Path::new("/c/containers/podman-connections.json")
        );
        assert_eq!(places.docker, Path::new("/d"));
        assert!(with(&[]).is_err());
    }

    #[test]
    fn connect_and_disconnect_change_only_the_machines_entries() {
        let host = host();
        let (one, two) = (
            Machine::at(&host.dirs, "one"),
            Machine::at(&host.dirs, "two"),
        );
        fs::create_dir_all(host.places.connections.parent().expect("a parent")).expect("made");
        let before = json!({"Connection": {"Default": "far", "Connections": {"far": {"URI": "ssh://far"}}}, "Farm": {"x": 1}});
        fs::write(&host.places.connections, before.to_string()).expect("written");
        connect(&host.places, &one, false).expect("connected");
        let file = read(&host.places.connections);
        assert_eq!(file["Connection"]["Default"], "far");
        assert_eq!(file["Connection"]["Connections"]["one"]["URI"], url(&one));
        assert_eq!(
            file["Connection"]["Connections"]["one-root"]["URI"],
            url(&one)
        );
        assert!(!host.places.docker.join("config.json").exists());
        connect(&host.places, &two, true).expect("connected");
        assert_eq!(
            read(&host.places.connections)["Connection"]["Default"],
            "two"
        );
        assert_eq!(
            read(&host.places.docker.join("config.json"))["currentContext"],
            "two"
        );
        assert!(disconnect(&host.places, &one).expect("removed"));
        assert!(disconnect(&host.places, &two).expect("removed"));
        assert!(!disconnect(&host.places, &two).expect("nothing to do"));
        let mut after = before;
        after["Connection"]["Default"] = json!("");
        assert_eq!(read(&host.places.connections), after);
        assert_eq!(read(&host.places.docker.join("config.json")), json!({}));
        let left = fs::read_dir(host.places.docker.join("contexts/meta"))
            .expect("there")
            .count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_machine_of_a_name_that_docker_reserves_has_a_context_of_another() {
        for name in ["default", "a"] {
            let host = host();
            let machine = Machine::at(&host.dirs, name);
            let context = docker::context_name(name);
            // An earlier version wrote the machine's name, by which docker reached the host's engine.
            let former = docker::meta(&host.places, name);
            fs::create_dir_all(former.parent().expect("a parent")).expect("made");
            let text = json!({"Name": name, "Endpoints": {"docker": {"Host": url(&machine)}}});
            fs::write(&former, text.to_string()).expect("written");
            refresh(&host.places, &machine).expect("refreshed");
            assert!(!former.exists());
            let meta = read(&docker::meta(&host.places, &context));
            assert_eq!(meta["Name"], context);
            connect(&host.places, &machine, true).expect("connected");
            let config = host.places.docker.join("config.json");
            assert_eq!(read(&config)["currentContext"], context);
            let other = Machine::at(&host.dirs, "other");
            rename(&host.places, &machine, &other).expect("renamed");
            assert_eq!(read(&config)["currentContext"], "other");
            assert!(!docker::meta(&host.places, &context).exists());
        }
    }

    #[test]
    fn a_machine_takes_its_connections_to_its_new_name() {
        for default in [false, true] {
            let host = host();
            let old = Machine::at(&host.dirs, "old");
            let new = Machine::at(&host.dirs, "new");
            rename(&host.places, &old, &new).expect("nothing to do");
            connect(&host.places, &old, default).expect("connected");
            rename(&host.places, &old, &new).expect("renamed");
            let file = read(&host.places.connections);
            let expected = json!({"new": {"URI": url(&new)}, "new-root": {"URI": url(&new)}});
            assert_eq!(file["Connection"]["Connections"], expected);
            let chosen = &file["Connection"]["Default"];
            assert_eq!(*chosen == "new", default, "{file}");
            assert!(!docker::meta(&host.places, "old").exists());
            let config = host.places.docker.join("config.json");
            assert!(docker::meta(&host.places, "new").exists());
            assert_eq!(
                config.exists() && read(&config)["currentContext"] == "new",
                default
            );
            // A machine that has the old name since then has nothing to do with them.
            assert!(!disconnect(&host.places, &old).expect("nothing to do"));
            assert!(disconnect(&host.places, &new).expect("removed"));
        }
    }

    #[test]
    fn a_rename_to_a_name_that_others_have_changes_nothing() {
        let host = host();
        let old = Machine::at(&host.dirs, "old");
        let new = Machine::at(&host.dirs, "new");
        connect(&host.places, &old, true).expect("connected");
        let mut file = read(&host.places.connections);
        file["Connection"]["Connections"]["new-root"] = json!({"URI": "ssh://far"});
        fs::write(&host.places.connections, file.to_string()).expect("written");
        let error = rename(&host.places, &old, &new)
            .expect_err("taken")
            .to_string();
        assert!(error.contains("\"new-root\" to ssh://far"), "{error}");
        assert_eq!(read(&host.places.connections), file);
        let part = &mut file["Connection"]["Connections"];
        part.as_object_mut().expect("an object").remove("new-root");
        fs::write(&host.places.connections, file.to_string()).expect("written");
        let meta = docker::meta(&host.places, "new");
        fs::create_dir_all(meta.parent().expect("a parent")).expect("made");
        let other = json!({"Name": "new", "Endpoints": {"docker": {"Host": "tcp://x"}}});
        fs::write(&meta, other.to_string()).expect("written");
        let error = rename(&host.places, &old, &new)
            .expect_err("taken")
            .to_string();
        assert!(error.contains("tcp://x"), "{error}");
        assert_eq!(read(&host.places.connections), file);
        assert!(docker::meta(&host.places, "old").exists());
    }

    #[test]
    fn another_runtime_directory_is_the_same_machine() {
        let host = host();
        let one = Machine::at(&host.dirs, "one");
        connect(&host.places, &one, false).expect("connected");
        let elsewhere = Dirs {
            runtime: "/elsewhere".into(),
            ..host.dirs.clone()
        };
        let same = Machine::at(&elsewhere, "one");
        refresh(&host.places, &same).expect("its own name");
        let all = read(&host.places.connections)["Connection"]["Connections"].clone();
        assert!(url(&same) != url(&one));
        assert_eq!(all["one"]["URI"], url(&same));
        assert_eq!(all["one-root"]["URI"], url(&same));
        let context = read(&docker::meta(&host.places, "one"));
        assert_eq!(context["Endpoints"]["docker"]["Host"], url(&same));
        let two = Machine::at(&host.dirs, "two");
        refresh(&host.places, &two).expect("not known");
        assert!(!docker::meta(&host.places, "two").exists());
        connect(&host.places, &same, false).expect("its own name");
        assert!(disconnect(&host.places, &one).expect("removed"));
        let left = read(&host.places.connections);
        assert_eq!(left["Connection"]["Connections"], json!({}));
        assert!(!owns(&one, "ssh://far") && !owns(&one, "unix:///run/podman/podman.sock"));
    }

    #[test]
    fn connections_of_others_are_refused_and_kept() {
        let host = host();
        let one = Machine::at(&host.dirs, "one");
        let other = json!({"Connection": {"Connections": {"one": {"URI": "ssh://far"}}}});
        fs::create_dir_all(host.places.connections.parent().expect("a parent")).expect("made");
        for text in [other.to_string(), "{".to_owned(), "[]".to_owned()] {
            fs::write(&host.places.connections, &text).expect("written");
            assert!(connect(&host.places, &one, true).is_err(), "{text}");
            assert_eq!(
                fs::read_to_string(&host.places.connections).expect("there"),
                text
            );
        }
        fs::write(&host.places.connections, "").expect("written");
        let meta = docker::meta(&host.places, "one");
        fs::create_dir_all(meta.parent().expect("a parent")).expect("made");
        let other = json!({"Name": "one", "Endpoints": {"docker": {"Host": "tcp://x"}}});
        fs::write(&meta, other.to_string()).expect("written");
        let error = connect(&host.places, &one, false)
            .expect_err("taken")
            .to_string();
        assert!(error.contains("tcp://x"), "{error}");
        assert_eq!(read(&meta), other);
        let text = fs::read_to_string(&host.places.connections).expect("there");
        assert_eq!(text, "", "podman was told before docker refused");
    }

    #[test]
    fn a_torn_file_of_podman_keeps_no_context_of_docker() {
        let host = host();
        let one = Machine::at(&host.dirs, "one");
        connect(&host.places, &one, true).expect("connected");
        fs::write(&host.places.connections, "{").expect("written");
        let error = disconnect(&host.places, &one)
            .expect_err("torn")
            .to_string();
        assert!(error.contains("left alone"), "{error}");
        assert!(!docker::meta(&host.places, "one").exists());
        let config = read(&host.places.docker.join("config.json"));
        assert_eq!(config, json!({}));
    }

    #[test]
    fn a_file_that_is_a_link_stays_one() {
        let host = host();
        let one = Machine::at(&host.dirs, "one");
        let dotfile = host.places.docker.join("dotfile");
        fs::create_dir_all(&host.places.docker).expect("made");
        fs::write(&dotfile, "{\"auths\": {}}").expect("written");
        let config = host.places.docker.join("config.json");
        std::os::unix::fs::symlink("dotfile", &config).expect("linked");
        connect(&host.places, &one, true).expect("connected");
        assert_eq!(read(&dotfile)["currentContext"], "one");
        assert!(fs::read_link(&config).is_ok());
    }
}
