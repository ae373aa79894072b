// SPDX-License-Identifier: Apache-2.0
//! `rm` of machines that do not run: its words, its question and its statuses.

use std::io::Write;
use std::process::Stdio;

use machine::store::config::MachineConfig;

use crate::Host;

const WARNING: &str = "WARNING: This action will delete both local reference and remote instance.";

#[test]
fn a_removal_asks_first() {
    for (answer, is_yes) in [
        ("y\n", true),
        ("Y\n", true),
        ("yes\n", true),
        ("n\n", false),
        ("\n", false),
        ("", false),
    ] {
        let host = Host::new();
        let mut rm = host.command("docker-machine rm box2 box10");
        let rm = rm.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut rm = rm.spawn().unwrap();
        rm.stdin
            .take()
            .unwrap()
            .write_all(answer.as_bytes())
            .unwrap();
        let out = rm.wait_with_output().unwrap();
        let asked = format!("About to remove box2, box10\n{WARNING}\nAre you sure? (y/n): ");
        let (done, left) = match is_yes {
            true => (
                "Successfully removed box2\nSuccessfully removed box10\n",
                "torn\n",
            ),
            false => ("", "box2\nbox10\ntorn\n"),
        };
        let said = String::from_utf8(out.stdout).unwrap();
        assert_eq!(
            (out.status.code(), said),
            (Some(0), asked + done),
            "{answer:?}"
        );
        assert_eq!(host.run("podman-machine ls -q").1, left, "{answer:?}");
    }
}

#[test]
fn a_removal_without_a_question_has_the_same_words() {
    let host = Host::new();
    for flag in ["-y", "-f"] {
        host.write("box2", &MachineConfig::new("box2").text());
        let (status, out, errors) = host.run(&format!("podman-machine rm {flag} box2"));
        let expected = format!("About to remove box2\n{WARNING}\nSuccessfully removed box2\n");
        assert_eq!((status, out, errors.as_str()), (0, expected, ""), "{flag}");
    }
    let unknown = "Error removing host \"nobox\": Docker machine \"nobox\" does not exist. \
                   Use \"docker-machine ls\" to list machines. Use \"docker-machine create\" to add a new one.\n";
    // Without a machine that is left, -f has the status of a success.
    for (flag, expected) in [("-y", 1), ("-f", 0)] {
        let (status, _, errors) = host.run(&format!("docker-machine rm {flag} nobox"));
        assert_eq!((status, errors.as_str()), (expected, unknown), "{flag}");
    }
    let (status, out, errors) = host.run("docker-machine rm -y nobox box10");
    assert_eq!((status, errors.as_str()), (1, unknown));
    assert!(out.ends_with("Successfully removed box10\n"), "{out}");
}
