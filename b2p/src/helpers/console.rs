//! What a console shows: the machine's state and how to connect, then, if asked
//! for, a root shell. Run by PID 1 as `b2p console status|shell|rescue`.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use sys::net;
use sys::paths::{HOST_KEY, PODMAN_SOCKET};
use sys::service_names::CONSOLE_PREFIX;

use crate::common::control_client::ControlClient;
use crate::common::sshkey;
use crate::common::terminal::{Colour, Screen};

/// The shell of the userland.
const SHELL: &str = "/bin/bash";

/// The child on one console.
pub fn main(link: &ControlClient, words: &[String]) -> i32 {
    show(&status());
    match words.first().map(String::as_str) {
        Some("rescue") => return rescue(link),
        Some("shell") => {}
        _ => return 0,
    }
    let error = Command::new(SHELL).arg("-l").current_dir("/root").exec();
    println!("{SHELL}: {error}");
    1
}

/// A shell in the place of what PID 1 ran here; when it is left, that comes back.
fn rescue(link: &ControlClient) -> i32 {
    show("  rescue: the services go on; `exit` gives the console back\n\n");
    let shell = Command::new(SHELL).arg("-l").current_dir("/root").status();
    shell.map_or_else(|e| println!("{SHELL}: {e}"), drop);
    let tty = fs::read_link("/proc/self/fd/0").unwrap_or_default();
    let tty = tty.file_name().unwrap_or_default().to_string_lossy();
    let console = format!("{CONSOLE_PREFIX}{}", tty.to_ascii_lowercase());
    let back = control::Name::new(&console).map(|name| link.ask(&control::Request::Start(name)));
    i32::from(!matches!(back, Some(Ok(_))))
}

/// Writes it and waits, ten seconds at the most, until it has left the machine:
/// when we end, the terminal is hung up, and a slow line loses what is left.
fn show(text: &str) {
    nix::unistd::alarm::set(10);
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let _ = nix::sys::termios::tcdrain(&out);
    nix::unistd::alarm::cancel();
}

fn status() -> String {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let degraded = fs::read_to_string(sys::paths::DEGRADED).unwrap_or_default();
    text(
        hostname.trim(),
        &net::interface_addresses(),
        fingerprint(Path::new(HOST_KEY)).as_deref(),
        &sys::config_sources::read().0.user,
        &degraded,
        &Screen::stdout(),
    )
}

/// The host key's fingerprint, as ssh shows it; `None` where there is no key.
fn fingerprint(key: &Path) -> Option<String> {
    let text = fs::read_to_string(key.with_extension("pub")).ok()?;
    sshkey::fingerprint(&text)
}

fn text(
    hostname: &str,
    addresses: &[(String, IpAddr)],
    key: Option<&str>,
    user: &str,
    degraded: &str,
    screen: &Screen,
) -> String {
    let mut out = String::from("\n");
    // Before all else: who sees no more than this line must see it.
    for line in degraded.lines() {
        let line = screen.paint(Colour::Alarm, &format!("boot2podman: degraded {line}"));
        out.push_str(&format!("  {line}\n"));
    }
    out.push_str(&format!(
        "  boot2podman {} on {hostname}\n\n",
        env!("CARGO_PKG_VERSION")
    ));
    for (card, addr) in addresses {
        out.push_str(&format!("  {card:<9} {addr}\n"));
    }
    out.extend(key.map(|k| format!("  host key  {k}\n")));
    if let (Some((_, addr)), Some(_)) = (addresses.first(), key) {
        out.push_str(&format!(
            "\n  ssh {user}@{addr}\n  podman --remote --url ssh://{user}@{addr}{PODMAN_SOCKET} ps\n  DOCKER_HOST=ssh://{user}@{addr} docker ps\n"
        ));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::terminal::Glyphs;

    const PLAIN: Screen = Screen {
        width: None,
        colour: false,
        glyphs: Glyphs::Ascii,
    };

    #[test]
    fn the_status_says_how_to_connect_only_where_one_can() {
        let addr = [("eth0".to_owned(), IpAddr::from([10, 0, 2, 15]))];
        let all = text("box", &addr, Some("SHA256:x"), "core", "", &PLAIN);
        assert!(all.contains("ssh core@10.0.2.15") && !all.contains("degraded"));
        assert!(!text("box", &addr, None, "core", "", &PLAIN).contains("ssh core"));
        assert!(!text("box", &[], Some("SHA256:x"), "core", "", &PLAIN).contains("ssh core"));
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let two = "net: gone\ndata: broken\n";
        let all = text("box", &[], None, "core", two, &PLAIN);
        let lines: Vec<_> = all.lines().map(str::trim).take(3).collect();
        assert_eq!(
            lines,
            [
                "",
                "boot2podman: degraded net: gone",
                "boot2podman: degraded data: broken"
            ]
        );
        let red = Screen {
            colour: true,
            ..PLAIN
        };
        let all = text("box", &[], None, "core", two, &red);
        assert!(all.contains("\x1b[1;31mboot2podman: degraded net: gone\x1b[0m\n"));
    }
}
