// SPDX-License-Identifier: Apache-2.0
//! `cargo run -p initramfs -- <command>`: the commands of the Makefile.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use initramfs::{
    deny, disk, ext, image, install, iso, kernel, nextest, oci, reproducible, run, size, unit_tests,
};

/// Command of this program.
struct Command {
    name: &'static str,
    /// Arguments in the usage text.
    arguments: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    Command { name: "image", arguments: "[<kernel>…]", run: image,
        help: "make out/vmlinuz, out/initrd.img and out/manifest.json; with names of kernels, make\n\
               these files for each of them in out/<kernel>/ only" },
    Command { name: "iso", arguments: "", run: |_| iso::build(),
        help: "make the image, and out/boot2podman.iso with its checksum" },
    Command { name: "disk", arguments: "", run: |_| disk::build(),
        help: "make the image, and the bootable disk out/boot2podman.qcow2 and .raw" },
    Command { name: "kernel", arguments: "", run: |_| kernel::build(),
        help: "make the slim kernel, which KERNEL=slim selects, in out/kernel/" },
    Command { name: "oci", arguments: "", run: |_| oci::build(),
        help: "make out/boot2podman-kernel.oci.tar of the image, and out/boot2podman-disk.oci.tar and\n\
               -machine.oci.tar of the disk" },
    Command { name: "ext", arguments: "[<name>…|--all]", run: ext::build,
        help: "make the extension NAME= of the packages PKGS= in out/ext/, the named extensions of\n\
               docs/guide/extensions.md, or all of them" },
    Command { name: "size", arguments: "", run: |_| size::report(),
        help: "print the size of each part of the image, and draw out/size.svg" },
    Command { name: "install", arguments: "", run: |_| install::install(),
        help: "make the image and podman-machine, and install both with manual pages and completions" },
    Command { name: "machine", arguments: "", run: |_| install::archive(),
        help: "make out/podman-machine.tar: podman-machine with manual pages and completions" },
    Command { name: "run", arguments: "[<NAME=value>…]", run: run::run,
        help: "make the image, and boot it in QEMU" },
    Command { name: "deny", arguments: "[advisories]", run: deny::check,
        help: "check the crates of other authors against deny.toml" },
    Command { name: "nextest", arguments: "[<argument>…]", run: nextest::run,
        help: "run the tests of the workspace side by side, with cargo nextest run" },
    Command { name: "unit-tests", arguments: "[<argument>…]", run: unit_tests::run,
        help: "run the unit tests of the machine's programs for the architecture that ARCH= selects,\n\
               with QEMU's user emulation if it is not the host's" },
    Command { name: "reproducible", arguments: "", run: |_| reproducible::check(),
        help: "build this commit here and on another Debian release, and compare" },
    Command { name: "clean", arguments: "", run: |_| image::clean(),
        help: "remove everything under out/ except data disks (out/data*)" },
];

const VARIABLES: &str = "\
Environment:
  SUITE= MIRROR= ARCH= KERNEL= PACK=  of image, and of all commands that make it
  APPEND= SSH_KEY=                    of iso, disk and run
  EXT=                                of iso
  NAME= PKGS=                         of ext
  PREFIX= DESTDIR=                    of install
  MEM= CPUS= ACCEL= SSH_PORT= DATA=   of run";

fn image(kernels: &[String]) -> Result<()> {
    match kernels {
        [] => image::build(),
        names => image::build_kernels(names),
    }
}

fn usage() -> String {
    let mut text = String::from("usage: cargo run -p initramfs -- <command>\n");
    for command in COMMANDS {
        let help = command.help.replace('\n', "\n          ");
        let line = format!("  {} {}", command.name, command.arguments);
        text += &format!("{}\n          {help}\n", line.trim_end());
    }
    text + VARIABLES
}

fn dispatch(args: &[String]) -> Result<()> {
    let (name, rest) = args
        .split_first()
        .ok_or_else(|| anyhow!("a command is missing\n{}", usage()))?;
    let command = COMMANDS.iter().find(|command| command.name == name);
    let command = command.ok_or_else(|| anyhow!("no command `{name}`\n{}", usage()))?;
    (command.run)(rest)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("initramfs: {error:#}");
            ExitCode::FAILURE
        }
    }
}
