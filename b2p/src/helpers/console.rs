// SPDX-License-Identifier: Apache-2.0
//! `b2p console status|shell|rescue`: shows on a console the state of the machine and how to
//! connect, then, on request, a root shell. PID 1 runs the helper on each console.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use control::{Name, Request};
use sys::files::read_bounded;
use sys::net;
use sys::paths::{HOST_KEY, PODMAN_SOCKET};
use sys::service_names::CONSOLE_PREFIX;
use sys::ssh_ports;

use crate::common::control_client::ControlClient;
use crate::common::sshkey;
use crate::common::terminal::{Colour, Terminal};

/// Shell of the userland.
const SHELL: &str = "/bin/bash";
/// Longest public key that is read, in bytes.
const MAX_KEY_BYTES: u64 = 16 * 1024;
/// Time in seconds for output to leave the machine, which a slow serial line needs.
const DRAIN_LIMIT: u32 = 10;

/// Runs on one console; returns the exit status.
pub fn main(control: &ControlClient, args: &[String]) -> i32 {
    show(&status());
    match args.first().map(String::as_str) {
        Some("rescue") => return rescue(control),
        Some("shell") => {}
        _ => return 0,
    }
    let error = login_shell().exec();
    println!("{SHELL}: {error}");
    1
}

fn login_shell() -> Command {
    let mut shell = Command::new(SHELL);
    shell.arg("-l").current_dir("/root");
    shell
}

/// Runs a shell in place of the console's service; starts that again when the shell ends.
fn rescue(control: &ControlClient) -> i32 {
    show("  rescue: the services continue; `exit` gives the console back\n\n");
    let shell = login_shell().status();
    shell.map_or_else(|e| println!("{SHELL}: {e}"), drop);
    let tty = fs::read_link("/proc/self/fd/0").unwrap_or_default();
    let tty = tty.file_name().unwrap_or_default().to_string_lossy();
    let service = Name::new(&format!("{CONSOLE_PREFIX}{}", tty.to_ascii_lowercase()));
    let started = service.map(|name| control.ask(&Request::Start(name)));
    i32::from(!matches!(started, Some(Ok(_))))
}

/// Writes text and waits until the text has left the machine: the terminal is hung up when this
/// process ends, and a slow line loses the rest.
fn show(text: &str) {
    nix::unistd::alarm::set(DRAIN_LIMIT);
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let _ = nix::sys::termios::tcdrain(&out);
    nix::unistd::alarm::cancel();
}

fn status() -> String {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let degraded = fs::read_to_string(sys::paths::DEGRADED).unwrap_or_default();
    let fingerprint = fingerprint(Path::new(HOST_KEY));
    status_text(
        hostname.trim(),
        &net::interface_addresses(),
        fingerprint.as_deref().map(|f| (f, ssh_ports::first())),
        &sys::config_sources::read().0.user,
        &degraded,
        &Terminal::stdout(),
    )
}

/// Returns the fingerprint of the host key in ssh's form, or `None` if there is no key.
fn fingerprint(private_key: &Path) -> Option<String> {
    let public = read_bounded(&private_key.with_extension("pub"), MAX_KEY_BYTES).ok()?;
    sshkey::fingerprint(&String::from_utf8_lossy(&public))
}

fn status_text(
    hostname: &str,
    addresses: &[(String, IpAddr)],
    server: Option<(&str, u16)>,
    user: &str,
    degraded: &str,
    terminal: &Terminal,
) -> String {
    let mut text = String::from("\n");
    // The degraded lines are first, so that a glance at the console finds them.
    for line in degraded.lines() {
        let line = terminal.paint(Colour::Alarm, &format!("boot2podman: degraded {line}"));
        text.push_str(&format!("  {line}\n"));
    }
    let version = env!("CARGO_PKG_VERSION");
    text.push_str(&format!("  boot2podman {version} on {hostname}\n\n"));
    for (interface, address) in addresses {
        text.push_str(&format!("  {interface:<9} {address}\n"));
    }
    text.extend(server.map(|(f, _)| format!("  host key  {f}\n")));
    if let (Some((_, address)), Some((_, port))) = (addresses.first(), server) {
        let login = format!("{user}@{address}");
        let (option, suffix) = match port {
            ssh_ports::DEFAULT => (String::new(), String::new()),
            port => (format!("-p {port} "), format!(":{port}")),
        };
        let url = match address {
            IpAddr::V6(address) => format!("ssh://{user}@[{address}]{suffix}"),
            IpAddr::V4(_) => format!("ssh://{login}{suffix}"),
        };
        text.push_str(&format!(
            "\n  ssh {option}{login}\n  podman --remote --url {url}{PODMAN_SOCKET} ps\n  \
             DOCKER_HOST={url} docker ps\n"
        ));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::terminal::Glyphs;

    const PLAIN: Terminal = Terminal {
        width: None,
        colour: false,
        glyphs: Glyphs::Ascii,
    };

    #[test]
    fn the_status_shows_how_to_connect_only_if_the_machine_is_reachable() {
        let addresses = [("eth0".to_owned(), IpAddr::from([10, 0, 2, 15]))];
        let text = |addresses: &[_], key| status_text("box", addresses, key, "core", "", &PLAIN);
        let both = text(&addresses, Some(("SHA256:x", 22)));
        assert!(both.contains("ssh core@10.0.2.15") && !both.contains("degraded"));
        let docker = "\n  DOCKER_HOST=ssh://core@10.0.2.15 docker ps\n\n";
        assert!(both.ends_with(docker), "{both}");
        assert!(!text(&addresses, None).contains("ssh core"));
        assert!(!text(&[], Some(("SHA256:x", 22))).contains("ssh core"));
        let other = text(&addresses, Some(("SHA256:x", 2222)));
        let line =
            "\n  ssh -p 2222 core@10.0.2.15\n  podman --remote --url ssh://core@10.0.2.15:2222/run";
        assert!(other.contains(line), "{other}");
        let six = [(
            "eth0".to_owned(),
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
        )];
        let other = text(&six, Some(("SHA256:x", 2222)));
        assert!(other.contains("ssh -p 2222 core@fd00::1\n"), "{other}");
        assert!(
            other.contains("DOCKER_HOST=ssh://core@[fd00::1]:2222 "),
            "{other}"
        );
    }

    #[test]
    fn degraded_lines_come_first() {
        let degraded = "net: gone\ndata: broken\n";
        let text = status_text("box", &[], None, "core", degraded, &PLAIN);
        let first: Vec<_> = text.lines().map(str::trim).take(3).collect();
        let [net, data] = ["net: gone", "data: broken"];
        let lines = [net, data].map(|why| format!("boot2podman: degraded {why}"));
        assert_eq!(first, ["", &lines[0], &lines[1]]);
        let coloured = Terminal {
            colour: true,
            ..PLAIN
        };
        let text = status_text("box", &[], None, "core", degraded, &coloured);
        assert!(text.contains("\x1b[1;31mboot2podman: degraded net: gone\x1b[0m\n"));
    }
}
