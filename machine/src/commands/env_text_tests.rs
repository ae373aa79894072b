// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn target() -> Target {
    Target {
        name: "box".into(),
        socket: "/run/user/1000/pm/box.sock".into(),
        ssh_host: "podman-machine-box".into(),
        user: "core".into(),
        port: 40022,
        key: "/home/a b/box/id_ed25519".into(),
        dir: "/store/machines/box".into(),
    }
}

fn request(mode: Mode, shell: &str) -> Request {
    Request {
        mode,
        shell: Shell::named(shell),
        json: false,
        windows: false,
        no_proxy: None,
        args: ["podman-machine", "env", "box"].map(str::to_owned).to_vec(),
    }
}

const HINT: &str =
    "# Run this command to configure your shell: \n# eval $(podman-machine env box)\n";

#[test]
fn each_mode_has_its_variables_in_order() {
    let socket = "unix:///run/user/1000/pm/box.sock";
    let rows = [
        (
            Mode::Socket,
            "unset CONTAINER_CONNECTION;\nunset DOCKER_CONTEXT;\nunset DOCKER_TLS_VERIFY;\n"
                .to_owned()
                + "unset DOCKER_CERT_PATH;\nunset CONTAINER_SSHKEY;\n"
                + &format!("export CONTAINER_HOST=\"{socket}\"\nexport DOCKER_HOST=\"{socket}\"\n")
                + "export PODMAN_MACHINE_NAME=\"box\"\n",
        ),
        (
            Mode::Ssh,
            "unset CONTAINER_CONNECTION;\nunset DOCKER_CONTEXT;\nunset DOCKER_TLS_VERIFY;\n"
                .to_owned()
                + "unset DOCKER_CERT_PATH;\n"
                + "export CONTAINER_HOST=\"ssh://core@127.0.0.1:40022/run/podman/podman.sock\"\n"
                + "export CONTAINER_SSHKEY=\"/home/a b/box/id_ed25519\"\n"
                + "export DOCKER_HOST=\"ssh://podman-machine-box\"\n"
                + "export PODMAN_MACHINE_NAME=\"box\"\n",
        ),
        (
            Mode::Docker,
            "unset DOCKER_TLS_VERIFY;\nunset DOCKER_CERT_PATH;\nunset DOCKER_CONTEXT;\n".to_owned()
                + &format!("export DOCKER_HOST=\"{socket}\"\nexport DOCKER_MACHINE_NAME=\"box\"\n"),
        ),
        (
            Mode::Verbatim,
            format!("export DOCKER_TLS_VERIFY=\"1\"\nexport DOCKER_HOST=\"{socket}\"\n")
                + "export DOCKER_CERT_PATH=\"/store/machines/box\"\n"
                + "export DOCKER_MACHINE_NAME=\"box\"\n",
        ),
        (
            Mode::Legacy,
            "export PODMAN_USER=\"root\"\nexport PODMAN_HOST=\"localhost\"\n".to_owned()
                + "export PODMAN_PORT=\"40022\"\n"
                + "export PODMAN_IDENTITY_FILE=\"/home/a b/box/id_ed25519\"\n"
                + "export PODMAN_IGNORE_HOSTS=\"true\"\nexport PODMAN_MACHINE_NAME=\"box\"\n",
        ),
    ];
    for (mode, expected) in rows {
        let text = set(&request(mode, "bash"), &target()).unwrap();
        assert_eq!(text, expected + HINT, "{mode:?}");
    }
}

/// The value is the one that podman-machine 0.17 set, also where the shell splits the text into words
/// first; the machine's shell gets the whole command as one argument of `-A`.
#[test]
fn the_bridge_of_varlink_survives_every_shell_on_its_way() {
    let text = set(&request(Mode::Varlink, "sh"), &target()).unwrap();
    let bridge = "ssh -F /dev/null -o ConnectionAttempts=3 -o ConnectTimeout=10 -o ControlMaster=no \
        -o ControlPath=none -o LogLevel=quiet -o PasswordAuthentication=no -o ServerAliveInterval=60 \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null core@127.0.0.1 -o IdentitiesOnly=yes \
        -i /home/a\\ b/box/id_ed25519 -p 40022 -- sudo varlink -A \\'podman varlink \\$VARLINK_ADDRESS\\' bridge";
    let printed = text.lines().next().unwrap();
    let end = r#" -- sudo varlink -A \'podman varlink \\\$VARLINK_ADDRESS\' bridge""#;
    assert!(printed.ends_with(end), "{printed}");
    let run = |script: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, "sh", &text, "machine"]);
        let output = command.env_remove("VARLINK_ADDRESS").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for eval in ["eval \"$1\"", "eval $1"] {
        let value = run(&format!("{eval}; printf %s \"$PODMAN_VARLINK_BRIDGE\""));
        assert_eq!(value, bridge, "{eval}");
    }
    // ssh joins its last arguments with blanks, and the machine's shell splits them.
    let machine = "ssh() { while [ \"$1\" != -- ]; do [ \"$1\" != -i ] || printf '<%s>' \"$2\"; shift; done; shift; \
        eval \"set -- $*\"; printf '<%s>' \"$@\"; }";
    let words = run(&format!(
        "{machine}; eval \"$1\"; eval \"$PODMAN_VARLINK_BRIDGE\""
    ));
    let expected =
        "</home/a b/box/id_ed25519><sudo><varlink><-A><podman varlink $VARLINK_ADDRESS><bridge>";
    assert_eq!(words, expected);
    let unset = unset(&request(Mode::Varlink, "sh")).unwrap();
    assert!(
        unset.starts_with("unset PODMAN_VARLINK_BRIDGE\nunset PODMAN_MACHINE_NAME\n"),
        "{unset}"
    );
    let posix = set(&request(Mode::Varlink, "none"), &target()).unwrap();
    assert!(
        posix.starts_with(&format!(
            "PODMAN_VARLINK_BRIDGE={bridge}\nPODMAN_MACHINE_NAME=box\n"
        )),
        "{posix}"
    );
}

/// docker-machine's tests of `env`: shell, the first line, and the line of `--no-proxy`.
#[test]
fn the_lines_of_docker_machine_are_first_in_each_shell() {
    #[rustfmt::skip]
    let rows = [
        ("bash", "export DOCKER_TLS_VERIFY=\"1\"", "export NO_PROXY=\"127.0.0.1\""),
        ("powershell", "$Env:DOCKER_TLS_VERIFY = \"1\"", "$Env:NO_PROXY = \"127.0.0.1\""),
        ("cmd", "SET DOCKER_TLS_VERIFY=1", "SET NO_PROXY=127.0.0.1"),
        ("fish", "set -gx DOCKER_TLS_VERIFY \"1\";", "set -gx NO_PROXY \"127.0.0.1\";"),
        ("emacs", "(setenv \"DOCKER_TLS_VERIFY\" \"1\")", "(setenv \"NO_PROXY\" \"127.0.0.1\")"),
    ];
    for (shell, first, fifth) in rows {
        let mut request = request(Mode::Verbatim, shell);
        request.no_proxy = Some(("NO_PROXY", String::new()));
        let text = set(&request, &target()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[4]), (first, fifth), "{shell}");
    }
}

#[test]
fn unset_names_the_variables_of_its_mode() {
    #[rustfmt::skip]
    let rows: &[(&str, &[&str])] = &[
        ("bash", &["unset DOCKER_TLS_VERIFY", "unset DOCKER_HOST", "unset DOCKER_CERT_PATH", "unset DOCKER_MACHINE_NAME", "unset NO_PROXY"]),
        ("powershell", &["Remove-Item Env:\\\\DOCKER_TLS_VERIFY", "Remove-Item Env:\\\\DOCKER_HOST", "Remove-Item Env:\\\\DOCKER_CERT_PATH", "Remove-Item Env:\\\\DOCKER_MACHINE_NAME"]),
        ("fish", &["set -e DOCKER_TLS_VERIFY;", "set -e DOCKER_HOST;", "set -e DOCKER_CERT_PATH;", "set -e DOCKER_MACHINE_NAME;"]),
        ("cmd", &["SET DOCKER_TLS_VERIFY=", "SET DOCKER_HOST=", "SET DOCKER_CERT_PATH=", "SET DOCKER_MACHINE_NAME="]),
        ("emacs", &["(setenv \"DOCKER_TLS_VERIFY\" nil)", "(setenv \"DOCKER_HOST\" nil)", "(setenv \"DOCKER_CERT_PATH\" nil)", "(setenv \"DOCKER_MACHINE_NAME\" nil)"]),
    ];
    for (shell, expected) in rows {
        let mut request = request(Mode::Docker, shell);
        request.no_proxy = Some(("NO_PROXY", "localhost".into()));
        let text = unset(&request).unwrap();
        let lines: Vec<&str> = text.lines().take(expected.len()).collect();
        assert_eq!(lines, *expected, "{shell}");
    }
    let text = unset(&request(Mode::Socket, "bash")).unwrap();
    let expected = "unset CONTAINER_HOST\nunset DOCKER_HOST\nunset PODMAN_MACHINE_NAME\n";
    assert_eq!(text, expected.to_owned() + HINT);
}

#[test]
fn the_address_is_added_once_to_the_variable_in_use() {
    let some = |v: &str| Some(v.to_owned());
    #[rustfmt::skip]
    let rows = [
        (None, None, "export NO_PROXY=\"127.0.0.1\"\n"),
        (None, some("localhost"), "export NO_PROXY=\"localhost,127.0.0.1\"\n"),
        (some("a,b"), some("c"), "export no_proxy=\"a,b,127.0.0.1\"\n"),
        (some(""), some("c"), "export NO_PROXY=\"c,127.0.0.1\"\n"),
        (some("127.0.0.1"), None, "export no_proxy=\"127.0.0.1\"\n"),
        (some("a, 127.0.0.1,b"), None, "export no_proxy=\"a, 127.0.0.1,b\"\n"),
        (some("127.0.0.11"), None, "export no_proxy=\"127.0.0.11,127.0.0.1\"\n"),
    ];
    for (lower, upper, expected) in rows {
        let mut request = request(Mode::Docker, "bash");
        request.no_proxy = Some(no_proxy_variable(lower.clone(), upper));
        let text = set(&request, &target()).unwrap();
        assert!(text.contains(expected), "{lower:?}: {text}");
    }
}

#[test]
fn windows_has_a_variable_for_compose() {
    let mut request = request(Mode::Docker, "cmd");
    request.windows = true;
    let text = set(&request, &target()).unwrap();
    assert!(text.contains("SET COMPOSE_CONVERT_WINDOWS_PATHS=true\n"));
}

#[test]
fn json_has_null_for_what_is_unset() {
    let mut request = request(Mode::Docker, "bash");
    request.json = true;
    let text = set(&request, &target()).unwrap();
    let expected = "{\"DOCKER_CERT_PATH\":null,\"DOCKER_CONTEXT\":null,\"DOCKER_HOST\":\"unix:///run/user/1000/pm/box.sock\",\
                    \"DOCKER_MACHINE_NAME\":\"box\",\"DOCKER_TLS_VERIFY\":null}\n";
    assert_eq!(text, expected);
    assert!(unset(&request).unwrap().contains("\"DOCKER_HOST\":null"));
}

#[test]
fn an_environment_file_has_no_comment_and_unsets_nothing() {
    let text = set(&request(Mode::Docker, "none"), &target()).unwrap();
    let expected = "DOCKER_HOST=unix:///run/user/1000/pm/box.sock\nDOCKER_MACHINE_NAME=box\n";
    assert_eq!(text, expected);
}
