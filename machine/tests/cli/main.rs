// SPDX-License-Identifier: Apache-2.0
//! Command lines without a running machine: output, messages and exit statuses.
#![allow(clippy::unwrap_used)]

mod held;
mod options;
mod removal;
mod settings;

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
            config.image = format!("sha256-{}", "0".repeat(64));
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
        command.env("XDG_CONFIG_HOME", self.path().join("config"));
        command.env("DOCKER_CONFIG", self.path().join("docker"));
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
        ("podman-machine env", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine inspect", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine ssh", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine shell", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine set cpus=1", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine resize 200G", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine ports add 8080:80", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine share add /", "Error: No machine name(s) specified and no \"default\" machine exists\n"),
        ("podman-machine create a b c", "Invalid command line. Found extra arguments [b c]\n"),
        ("podman-machine create con", "Error creating machine: Invalid hostname specified. \"con\" is the name of a device on Windows\n"),
        ("podman-machine clone box2 Nul", "Error creating machine: Invalid hostname specified. \"Nul\" is the name of a device on Windows\n"),
        ("docker-machine create", "Usage: docker-machine create [OPTIONS] [NAME]...\nError: No machine name specified\n"),
        ("podman-machine rename box2 box2", "Error: machine \"box2\" has this name already\n"),
        ("podman-machine set box2 flag.nosuchflag=1", "Error: flag: opt/org.boot2podman/nosuchflag (fw_cfg): ignored: no such flag\n"),
        ("podman-machine set box2 flag.machine=x", "Error: flag machine: podman-machine itself sets it\n"),
        ("podman-machine ls --nope", "Error: unexpected argument '--nope' found: see `podman-machine ls --help`\n"),
        ("podman-machine nope", "Error: unrecognized subcommand 'nope': see `podman-machine --help`\n"),
        ("docker-machine create --cpus 0 x", "Error: invalid value '0' for '--cpus <NUMBER>': 0 is not in 1..=512: see `docker-machine create --help`\n"),
        ("docker-machine rm", "Usage: docker-machine rm [OPTIONS] [NAME]...\nError: Expected to get one or more machine names as arguments\n"),
        ("podman-machine url box2 box10", "Error: Expected one machine name as an argument\n"),
        ("podman-machine status box2 box10", "Error: Expected one machine name as an argument\n"),
        ("podman-machine config box2 box10", "Error: Expected one machine name as an argument\n"),
        ("podman-machine ports rm box2 8080", "Error: tcp port 8080 is not published: `ports box2` lists those that are\n"),
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
        ("podman-machine set box2 cpus=0", "Error: cpus 0: must be a number from 1 to 512\n"),
        ("podman-machine set box2 cpu=1", "Error: cpu: no such setting; there are cpus, memory, disk, accel, ssh-port, publish-on, proxy-env, flag, as in flag.tz=UTC\n"),
        ("podman-machine set box2 box10 cpus=1", "Error: Expected one machine name as an argument\n"),
        ("podman-machine resize box2 1G", "Error: the disk has 100 GiB and cannot shrink: clone what it holds to another machine\n"),
        ("podman-machine resize", "Improper number of arguments\n"),
        ("podman-machine ports add box2 1:2:3:4", "Error: 1:2:3:4: must be [ADDRESS:]HOST[:GUEST][/udp], as in 8080:80\n"),
        ("podman-machine share add box2 /nonexistent", "Error: --volume /nonexistent: no such directory on this host: nothing would be shared\n"),
        ("podman-machine share rm box2 /x", "Error: nothing is shared at /x: `share list box2` shows what is\n"),
        ("podman-machine clone box2", "Improper number of arguments\n"),
        ("podman-machine clone box2 BOX10", "Podman machine \"box10\" already exists\n"),
        ("podman-machine rename box2 box10", "Podman machine \"box10\" already exists\n"),
        ("podman-machine rename box2 a_b", "Error creating machine: Invalid hostname specified. Allowed hostname chars are: 0-9a-zA-Z . -\n"),
        ("podman-machine import none.tar", "Error: open none.tar: No such file or directory (os error 2)\n"),
        ("podman-machine prune", "Error: the configuration of machine \"torn\" cannot be read, and may name any image: `rm -f torn` removes the machine\n"),
        ("podman-machine info -f {{", "template parsing error: template: 1:1: unclosed action\n"),
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
        ("docker-machine ls box2 --format {{.Name}} --filter name=2", "box2\n"),
        ("podman-machine ls -q --filter name=1 --filter driver=QEMU", "box10\n"),
        ("podman-machine ls -q --filter label=of=box2", "box2\n"),
        ("podman-machine ls --format {{.Name}}:{{.State}} --timeout 20", "box2:Stopped\nbox10:Stopped\ntorn:Error\n"),
        ("podman-machine ls --filter name=box2 --format {{.Memory}}:{{.DiskSize}}", "2GiB:100GiB\n"),
        ("podman-machine ls -n --filter name=box2", "box2   -        qemu     Stopped         \n"),
        ("docker-machine inspect -f {{.DriverName}} box2", "qemu\n"),
        ("podman-machine inspect --format={{.DriverName|json}} box2", "\"qemu\"\n"),
        ("podman-machine inspect -f {{.State}} box2 box10", "stopped\nstopped\n"),
        ("podman-machine status box2", "Stopped\n"),
        ("podman-machine status torn", "Error\n"),
        ("podman-machine -v", "podman-machine version 0.1.0, build HEAD\n"),
        ("podman-machine -V", "podman-machine version 0.1.0, build HEAD\n"),
        ("docker-machine -version", "docker-machine version 0.1.0, build HEAD\n"),
        ("docker-machine version", "docker-machine version 0.1.0, build HEAD\n"),
        ("docker-machine ls -q -t 0", "box2\nbox10\ntorn\n"),
        ("podman-machine ports box2", "PROTOCOL   ADDRESS   PORT   GUEST   LISTENS   KEPT\n"),
        ("podman-machine ports --json box2", "[]\n"),
        ("podman-machine share list box2", "SOURCE   TARGET   ACCESS\n"),
        ("podman-machine share list --json box2", "[]\n"),
        ("podman-machine autostart status box2", "disabled\n"),
        ("podman-machine disconnect box2", "Machine \"box2\" is not connected.\n"),
        ("podman-machine events", ""),
        ("podman-machine info -f {{.Host.NumberOfMachines}}", "3\n"),
        ("podman-machine down box2", "Machine \"box2\" is already stopped.\n"),
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
        "docker-machine provision box2 box10",
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

#[test]
fn a_machine_that_starts_by_itself_and_is_connected_leaves_no_trace() {
    let host = Host::new();
    for line in [
        "podman-machine autostart enable box2",
        "podman-machine connect --default box2",
    ] {
        let (status, ..) = host.run(line);
        assert_eq!(status, 0, "{line}");
    }
    let (_, out, _) = host.run("podman-machine autostart status --json box2");
    assert_eq!(out, "{\"Autostart\":\"enabled\",\"Name\":\"box2\"}\n");
    let unit = host
        .path()
        .join("config/systemd/user/podman-machine@box2.service");
    assert!(
        fs::read_to_string(&unit)
            .unwrap()
            .contains(" keeper box2\n")
    );
    let (status, _, errors) = host.run("podman-machine rename box2 web");
    assert!(
        status == 1 && errors.contains("`autostart disable box2` first"),
        "{errors}"
    );
    let connections = host
        .path()
        .join("config/containers/podman-connections.json");
    assert!(
        fs::read_to_string(&connections)
            .unwrap()
            .contains("\"Default\": \"box2\"")
    );
    let (status, out, errors) = host.run("podman-machine rm -f box2");
    assert_eq!((status, errors.as_str()), (0, ""), "{out}");
    assert!(!unit.exists());
    let text = fs::read_to_string(&connections).unwrap();
    assert!(!text.contains("box2"), "{text}");
}

#[test]
fn an_empty_path_is_refused() {
    let host = Host::new();
    let (status, _, errors) = host.run("podman-machine --storage-path= ls");
    assert_eq!(status, 1);
    assert_eq!(
        errors,
        "Error: --storage-path: must be the path of a directory\n"
    );
}

#[test]
fn a_time_limit_has_a_bound() {
    let host = Host::new();
    for command in ["start", "stop", "restart", "resume", "wait"] {
        let line = format!("podman-machine {command} --timeout 18446744073709551615 box2");
        let (status, _, stderr) = host.run(&line);
        assert_ne!(status, 0, "{line}");
        assert!(stderr.contains("4294967295"), "{line}: {stderr}");
    }
}
