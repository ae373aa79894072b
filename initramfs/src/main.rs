//! `cargo run -p initramfs -- image|run|clean`: what the Makefile calls.

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo run -p initramfs -- <command>
  image   make out/vmlinuz, out/initrd.img and out/manifest.json
  image <kernel>...
          the same of these kernels, in out/<kernel>/ and nowhere else
  iso     the same, and out/boot2podman.iso with its checksum
  disk    the same, and out/boot2podman.qcow2 and .raw: a disk that boots
  kernel  make the slim kernel, which KERNEL=slim selects, in out/kernel/
  oci     out/boot2podman-kernel.oci.tar, and -disk.oci.tar of out/boot2podman.qcow2
  deny [advisories]
          what deny.toml says of other people's crates
  nextest [arguments]
          `cargo nextest run` over the workspace: the tests, side by side
  reproducible
          build this commit twice in different places, and compare
  ext     make the extension NAME= of PKGS= in out/ext/
  ext <name>...
          the same of those that the table has: buildah, skopeo, debug
  size    where each byte of the image goes: a table, and out/size.svg
  run     boot them in QEMU (builds them first when they are missing or old)
  clean   remove everything under out/ (keeps out/data*, your disks)

  The environment decides: SUITE= MIRROR= KERNEL= for image; APPEND= SSH_KEY= for
  iso and disk, too, and EXT= for iso; MEM= CPUS= ACCEL= SSH_PORT= DATA= APPEND=
  SSH_KEY= for run.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((command, rest)) => match command.as_str() {
            "image" if rest.is_empty() => initramfs::image::build(),
            "image" => initramfs::image::build_kernels(rest),
            "iso" => initramfs::iso::build(),
            "disk" => initramfs::disk::build(),
            "kernel" => initramfs::kernel::build(),
            "oci" => initramfs::oci::build(),
            "deny" => initramfs::deny::check(rest),
            "reproducible" => initramfs::reproducible::check(),
            "ext" => initramfs::ext::build(rest),
            "size" => initramfs::size::report(),
            "nextest" => initramfs::nextest::run(rest),
            "run" => initramfs::run::run(rest),
            "clean" => initramfs::image::clean(),
            other => Err(anyhow::anyhow!("no command `{other}`\n{USAGE}")),
        },
        None => Err(anyhow::anyhow!("a command is missing\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("initramfs: {error:#}");
            ExitCode::FAILURE
        }
    }
}
