// SPDX-License-Identifier: Apache-2.0
//! Command lines without a running machine: output, messages and exit statuses.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use machine::store::config::MachineConfig;

/// Storage with two machines that do not run, and one whose configuration is torn.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Host {
        let host = Host(tempfile::tempdir().unwrap());
        for name in ["box10", "box2"] {
            let mut config = MachineConfig::new(name);
            config.labels = vec![format!("of={name}")];
            host.write(name, &config.text());
        }
        host.write("torn", "{\n");
        let program = env!("CARGO_BIN_EXE_podman-machine");
        for name in ["podman-machine", "docker-machine"] {
            symlink(program, host.path().join(name)).unwrap();
        }
        host
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let dir = self.path().join("store/machines").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.json"), text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(self.path().join(words.next().unwrap()));
        command.args(words).current_dir(self.path());
        for name in ["no_proxy", "NO_PROXY", "DOCKER_HOST", "CONTAINER_HOST"] {
            command.env_remove(name);
        }
        for name in [
            "PODMAN_MACHINE_NAME",
            "DOCKER_MACHINE_NAME",
            "PODMAN_MACHINE_COMPAT",
        ] {
            command.env_remove(name);
        }
        command.env("MACHINE_STORAGE_PATH", self.path().join("store"));
        command.env("XDG_RUNTIME_DIR", self.path());
        command
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        let output: Output = self.command(line).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let status = output.status.code().unwrap();
        (status, text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn errors_have_the_text_and_the_status_that_scripts_know() {
    let host = Host::new();
    #[rustfmt::skip]
    let rows = [
        ("docker-machine inspect UNKNOWN", "Docker machine \"UNKNOWN\" does not exist. Use \"docker-machine ls\" to list machines. Use \"docker-machine create\" to add a new one.\n"),
        ("podman-machine inspect UNKNOWN", "Podman machine \"UNKNOWN\" does not exist. Use \"podman-machine ls\" to list machines. Use \"podman-machine create\" to add a new one.\n"),
        ("docker-machine create -d qemu box2", "Docker machine \"box2\" already exists\n"),
        ("podman-machine create box2", "Podman machine \"box2\" already exists\n"),
        ("podman-machine url box2", "Host is not running\n"),
        ("podman-machine env box2", "Host is not running\n"),
        ("podman-machine ip box2", "Host is not running\n"),
        ("podman-machine version box2", "Host is not running\n"),
        ("podman-machine ssh-config box2", "Host is not running\n"),
        ("podman-machine config box2", "Host is not running\n"),
        ("podman-machine ssh box2 -- ls -lah /", "Error: Cannot run SSH command: Host \"box2\" is not running\n"),
        ("podman-machine env -u box2", "Error: Expected no machine name when the -u flag is present\n"),
        ("podman-machine env box2 box10", "Error: Expected one machine name as an argument\n"),
        ("podman-machine version box2 box10", "Error: Expected one machine name as an argument\n"),
        ("podman-machine env --varlink box2", "the podman of this machine has no varlink (gone since podman 3.0); use env\n"),
        ("podman-machine env", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine inspect", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine active", "No active host found\n"),
        ("podman-machine active box2", "Error: Too many arguments given\n"),
        ("podman-machine ls --filter foo=bar", "Unsupported filter key 'foo'\n"),
        ("podman-machine ls --filter foo", "Unsupported filter syntax\n"),
        ("podman-machine ls -f {{.Nmae}}", "template: 1:3: no field .Nmae\n"),
        ("podman-machine inspect -f {{ box2", "template parsing error: template: 1:1: unclosed action\n"),
        ("podman-machine scp a", "Improper number of arguments\n"),
        ("podman-machine scp a box2:b", "Error: Cannot copy: Host \"box2\" is not running\n"),
        ("podman-machine scp a nobox:b", "Podman machine \"nobox\" does not exist. Use \"podman-machine ls\" to list machines. Use \"podman-machine create\" to add a new one.\n"),
        ("podman-machine mount", "Improper number of arguments\n"),
    ];
    for (line, expected) in rows {
        let (status, out, errors) = host.run(line);
        assert_eq!(
            (status, out.as_str(), errors.as_str()),
            (1, "", expected),
            "{line}"
        );
    }
}

#[test]
fn output_is_that_of_docker_machine() {
    let host = Host::new();
    #[rustfmt::skip]
    let rows = [
        ("podman-machine ls -q", "box2\nbox10\ntorn\n"),
        ("docker-machine ls -quiet", "box2\nbox10\ntorn\n"),
        ("podman-machine ls -q --filter state=Stopped", "box2\nbox10\n"),
        ("podman-machine ls -q --filter state=Running", ""),
        ("podman-machine ls -q --filter name=1 --filter driver=QEMU", "box10\n"),
        ("podman-machine ls -q --filter label=of=box2", "box2\n"),
        ("podman-machine ls --format {{.Name}}:{{.State}} --timeout 20", "box2:Stopped\nbox10:Stopped\ntorn:Error\n"),
        ("podman-machine ls -n --filter name=box2", "box2   -        qemu     Stopped         \n"),
        ("docker-machine inspect -f {{.DriverName}} box2", "qemu\n"),
        ("podman-machine inspect --format={{.DriverName|json}} box2", "\"qemu\"\n"),
        ("podman-machine inspect -f {{.State}} box2 box10", "stopped\nstopped\n"),
        ("podman-machine status box2", "Stopped\n"),
        ("docker-machine env -u --shell fish", "set -e DOCKER_TLS_VERIFY;\nset -e DOCKER_HOST;\nset -e DOCKER_CERT_PATH;\nset -e DOCKER_MACHINE_NAME;\n# Run this command to configure your shell: \n# eval (PROGRAM env -u --shell fish)\n"),
        ("podman-machine env -u --shell none", "CONTAINER_HOST=\nDOCKER_HOST=\nPODMAN_MACHINE_NAME=\n"),
    ];
    for (line, expected) in rows {
        let (status, out, errors) = host.run(line);
        let program = host.path().join(line.split(' ').next().unwrap());
        let expected = expected.replace("PROGRAM", program.to_str().unwrap());
        assert_eq!((status, out, errors.as_str()), (0, expected, ""), "{line}");
    }
}

#[test]
fn a_torn_configuration_leaves_the_other_machines_listed() {
    let host = Host::new();
    let (status, out, _) = host.run("docker-machine ls");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((status, lines.len()), (0, 4), "{out}");
    let columns: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        columns,
        [
            "NAME", "ACTIVE", "DRIVER", "STATE", "URL", "SWARM", "DOCKER", "ERRORS"
        ]
    );
    assert!(
        lines[1].starts_with("box2    -        qemu        Stopped"),
        "{out}"
    );
    assert!(
        lines[3].contains("not found   Error") && lines[3].contains("config.json"),
        "{out}"
    );
    let (_, json, _) = host.run("podman-machine ls --format json");
    let list: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(list.len(), 3);
}

#[test]
fn the_configuration_of_ssh_is_the_file_of_the_last_start() {
    let host = Host::new();
    let text = "Host podman-machine-box2\n  Port 40022\n";
    fs::write(host.path().join("store/machines/box2/ssh_config"), text).unwrap();
    let expected = (0, text.to_owned(), String::new());
    assert_eq!(host.run("podman-machine ssh-config box2"), expected);
}

#[test]
fn flags_without_a_meaning_are_named_on_stderr() {
    let host = Host::new();
    let (status, out, errors) = host.run("docker-machine --native-ssh --tls-ca-cert /a ls -q");
    assert_eq!((status, out.as_str()), (0, "box2\nbox10\ntorn\n"));
    assert_eq!(
        errors,
        "--native-ssh has no meaning for these machines, and is ignored\n\
         --tls-ca-cert has no meaning for these machines, and is ignored\n"
    );
    for line in [
        "docker-machine regenerate-certs -f box2",
        "docker-machine provision box2",
    ] {
        let (status, out, errors) = host.run(line);
        assert_eq!(
            (status, out.as_str(), errors.lines().count()),
            (0, "", 1),
            "{line}"
        );
    }
}

#[test]
fn shell_is_that_of_the_parent() {
    let host = Host::new();
    let mut sh = Command::new("bash");
    // Two commands: bash would become the only one.
    sh.args(["-c", "./podman-machine env -u; true"])
        .env("SHELL", "/usr/bin/fish");
    let output = sh.current_dir(host.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("unset CONTAINER_HOST\nunset DOCKER_HOST\n"),
        "{text}"
    );
}
