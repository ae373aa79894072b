// SPDX-License-Identifier: Apache-2.0
//! Second half of `varlink -A`: the started process gives its environment its own number, and
//! becomes the service.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::common::terminal::print_error;

/// Name under which `varlink -A` starts this program again.
pub const NAME: &str = "varlink-activated";

/// Becomes the command in `args`, with descriptor 3 announced as sd_listen_fds(3) describes.
/// `LISTEN_PID` can be set by the process itself only. Returns the exit status of a failure.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let args = own_service(args);
    let Some((program, rest)) = args.split_first() else {
        return 2;
    };
    let error = Command::new(program)
        .args(rest)
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "varlink")
        .env("LISTEN_PID", std::process::id().to_string())
        .exec();
    print_error(&format!("varlink: start {program}: {error}"));
    127
}

/// Replaces `podman varlink …`, which podman has not had since version 3, by the machine's own
/// service of that interface. Options of podman may stand before the word.
fn own_service(args: &[String]) -> Vec<String> {
    let is_podman = |program: &String| program.rsplit('/').next() == Some("podman");
    let mut words = args.iter().skip(1).skip_while(|word| word.starts_with('-'));
    let is_own =
        args.first().is_some_and(is_podman) && words.next().is_some_and(|w| w == "varlink");
    match is_own {
        true => [sys::paths::B2P, "varlink-podman"]
            .into_iter()
            .map(str::to_owned)
            .chain(words.cloned())
            .collect(),
        false => args.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_varlink_is_the_machines_service() {
        for (line, expected) in [
            (
                "podman varlink unix:/x",
                "/usr/bin/b2p varlink-podman unix:/x",
            ),
            (
                "/usr/bin/podman --log-level=error varlink",
                "/usr/bin/b2p varlink-podman",
            ),
            ("podman run varlink", "podman run varlink"),
            ("podman", "podman"),
            ("docker varlink", "docker varlink"),
            ("", ""),
        ] {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(own_service(&words).join(" "), expected);
        }
    }
}
