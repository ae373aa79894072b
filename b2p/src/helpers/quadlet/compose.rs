// SPDX-License-Identifier: Apache-2.0
//! Compose projects: each directory on the data disk with a compose file is a unit, which podman's compose
//! provider brings up. The providers that podman knows are programs of an extension.

use std::path::{Path, PathBuf};

use super::file_names::{is_plain, names};
use super::generator::Generated;
use super::unit_error::Fault;

/// Part of the machine in degraded lines.
pub const PART: &str = "compose";
/// Directory of the projects.
pub const DIR: &str = "/var/lib/boot2podman/compose";
/// Names of compose files, the first that exists counts (compose-spec, "Compose file").
const FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];
/// Programs that bring projects up (containers.conf(5), `compose_providers`).
const PROVIDERS: [&str; 6] = [
    "/usr/local/lib/docker/cli-plugins/docker-compose",
    "/usr/libexec/docker/cli-plugins/docker-compose",
    "/usr/lib/docker/cli-plugins/docker-compose",
    "/usr/local/bin/docker-compose",
    "/usr/bin/docker-compose",
    "/usr/bin/podman-compose",
];
/// Longest name of a project: its service has the prefix `compose-`.
const MAX_NAME_BYTES: usize = 24;

/// Returns true if there is a project.
#[must_use]
pub fn has_files() -> bool {
    !projects(Path::new(DIR)).is_empty()
}

/// Returns the projects in `dir`: name, and compose file.
fn projects(dir: &Path) -> Vec<(String, PathBuf)> {
    let project = |name: String| {
        let mut files = FILES.iter().map(|file| dir.join(&name).join(file));
        let file = files.find(|file| file.is_file())?;
        Some((name, file))
    };
    names(dir).into_iter().filter_map(project).collect()
}

/// Returns the units of the projects in `dir`, in the form of podman's generator.
#[must_use]
pub fn units(dir: &Path) -> Generated {
    units_with(dir, provider().is_some())
}

/// Returns the program that brings projects up.
#[must_use]
pub fn provider() -> Option<&'static Path> {
    let mut programs = PROVIDERS.iter().map(Path::new);
    programs.find(|path| path.exists())
}

fn units_with(dir: &Path, has_provider: bool) -> Generated {
    let mut made = Generated::default();
    let projects = projects(dir);
    if !projects.is_empty() && !has_provider {
        let names: Vec<&str> = projects.iter().map(|(name, _)| name.as_str()).collect();
        made.faults.push(fault(format!(
            "{}: no compose provider: the extension `compose` has one (`make ext NAME=compose`, b2p.ext=compose)",
            names.join(", ")
        )));
        return made;
    }
    for (name, file) in projects {
        match is_plain(&name) && name.len() <= MAX_NAME_BYTES {
            true => made.units += &unit(&name, &file),
            false => made.faults.push(fault(format!(
                "{name}: a name of at most {MAX_NAME_BYTES} letters, digits, dots, _ and -"
            ))),
        }
    }
    made
}

fn fault(why: String) -> Fault {
    Fault { part: PART, why }
}

/// Writes the unit of a project. The provider makes those containers anew whose part of the file has changed.
fn unit(name: &str, file: &Path) -> String {
    let (compose, file) = ("/usr/bin/podman compose", file.display());
    format!(
        "---compose-{name}.service---\n[Unit]\nDescription=Compose project {name}\nSourcePath={file}\n\
         Wants=network-online.target\nAfter=network-online.target\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nKillMode=mixed\n\
         Environment=PODMAN_COMPOSE_WARNING_LOGS=false HOME=/root\nWorkingDirectory={DIR}/{name}\n\
         ExecStart={compose} --file {file} up --detach --remove-orphans\n\
         ExecStop={compose} --file {file} stop\nRestart=on-failure\n\
         [Install]\nWantedBy=default.target\n\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::quadlet::unit::{Unit, split_output};

    fn project(temp: &Temp, name: &str, files: &[&str]) {
        fs::create_dir_all(temp.path(name)).unwrap();
        for file in files {
            fs::write(temp.path(name).join(file), "").unwrap();
        }
    }

    #[test]
    fn each_directory_with_a_compose_file_is_a_unit() {
        let temp = Temp::new();
        project(&temp, "shop", &["docker-compose.yml", "compose.yml"]);
        project(&temp, "old_one", &["docker-compose.yml"]);
        project(&temp, "empty", &["notes.txt"]);
        project(&temp, "a b", &["compose.yaml"]);
        fs::write(temp.path("compose.yaml"), "").unwrap();
        let made = units_with(temp.dir(), true);
        let units = split_output(&made.units);
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["compose-old_one.service", "compose-shop.service"]);
        let unit = Unit::parse(units[1].1);
        let file = temp.path("shop/compose.yml").display().to_string();
        assert_eq!(
            unit.last("Service", "ExecStop"),
            Some(format!("/usr/bin/podman compose --file {file} stop").as_str())
        );
        assert!(made.faults.len() == 1 && made.faults[0].why.starts_with("a b: a name"));
        assert_eq!(made.faults[0].part, "compose");
    }

    #[test]
    fn without_a_provider_one_line_names_the_projects() {
        let temp = Temp::new();
        assert_eq!(units_with(temp.dir(), false), Generated::default());
        project(&temp, "shop", &["compose.yaml"]);
        project(&temp, "blog", &["compose.yaml"]);
        let made = units_with(temp.dir(), false);
        assert!(made.units.is_empty() && made.faults.len() == 1);
        assert!(
            made.faults[0]
                .why
                .starts_with("blog, shop: no compose provider")
        );
    }
}
