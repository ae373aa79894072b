// SPDX-License-Identifier: Apache-2.0
//! Extensions of programs: each does in the machine what it is for.

use crate::life::refuses;
use crate::target::Target;
use crate::{END, says};
use anyhow::{Result, ensure};
use initramfs::packages::Kernel;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::{Checks, Guest, disks, eventually, image};

/// A machine with these extensions, on a data disk of its own.
pub fn machine(test: &str, names: &[&str], flags: &str, dir: &Path) -> Result<vmm::Machine> {
    Target::usual().machine(test, names, flags, dir)
}

pub fn nothing_is_missing(guest: &Guest) -> Result<()> {
    let degraded = &guest.ready.degraded;
    ensure!(degraded.is_empty(), "{degraded:?}");
    Ok(())
}

/// Loads the test's image for root.
pub fn load(guest: &Guest, dir: &Path) -> Result<()> {
    let archive = fs::read(image::archive(dir)?)?;
    tests::text(&guest.ssh_with("root", "podman load -q", &archive)?).map(drop)
}

/// Runs containers by runc, which is the default, and by crun.
pub fn runc(guest: &Guest, dir: &Path) -> Result<()> {
    load(guest, dir)?;
    says(
        guest,
        "podman info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'",
        "runc /usr/bin/runc",
    )?;
    let run = |options: &str| {
        format!(
            "podman run --name of {options} {} echo it runs && \
             podman inspect --format '{{{{.OCIRuntime}}}}' of && podman rm of >/dev/null",
            image::NAME
        )
    };
    says(guest, &run("-p 8080:80 --memory 64m"), "it runs\nrunc")?;
    says(
        guest,
        &run("--runtime crun").replace(
            "podman run --name of --runtime crun",
            "podman --runtime crun run --name of",
        ),
        "it runs\ncrun",
    )
}

/// Runs a container by runc where crun is the default, as root and as the machine's user.
fn runc_for_one(guest: &Guest) -> Result<()> {
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    for user in ["root", "core"] {
        tests::text(&guest.ssh_with(user, "podman load -q", &archive)?)?;
        let script = format!(
            "podman info --format '{{{{.Host.OCIRuntime.Name}}}}' && \
             podman --runtime runc run --name of --network none {} echo it runs && \
             podman inspect --format '{{{{.OCIRuntime}}}}' of",
            image::NAME
        );
        let said = guest.sh_as(user, &script)?;
        ensure!(said == "crun\nit runs\nrunc", "{user}: {said}");
        let words = ["in use by the container of, whose OCI runtime is runc"];
        refuses(guest, "b2p ext remove runc", &words)?;
        guest.sh_as(user, "podman rm of")?;
    }
    Ok(())
}

/// Repository with a Containerfile, served over HTTP by git's own server.
const REPOSITORY: &str = "set -e
cd /tmp && mkdir -p app repos www/cgi-bin && cd app && git init -q
printf 'FROM %s\nCOPY word /word\n' \"$IMAGE\" >Containerfile
echo built from git >word
git add . && git -c user.name=a -c user.email=a@b commit -q -m first
git clone -q --bare . ../repos/app.git
printf '#!/bin/sh\nexport GIT_PROJECT_ROOT=/tmp/repos GIT_HTTP_EXPORT_ALL=1\nexec git http-backend\n' >../www/cgi-bin/git
chmod +x ../www/cgi-bin/git
busybox httpd -p 127.0.0.1:8090 -h /tmp/www";

fn git(guest: &Guest) -> Result<()> {
    load(guest, guest.vm.dir())?;
    guest.sh(&format!("IMAGE={}\n{REPOSITORY}", image::NAME))?;
    let url = "http://127.0.0.1:8090/cgi-bin/git/app.git";
    let build = format!(
        "podman build -q -t app {url} >/dev/null && podman run --rm --network none app cat /word"
    );
    says(guest, &build, "built from git")?;
    // Authorities of the machine are git's; this server's is not among them.
    let script = "git ls-remote https://10.0.2.2:1/ 2>&1 | grep -c 'remote-https'; \
        git config --system --list 2>/dev/null | wc -l; git -C /tmp/app log --format=%s";
    says(guest, script, "0\n0\nfirst")
}

fn tools(guest: &Guest) -> Result<()> {
    for (script, word) in [
        ("ip -V", "iproute2"),
        ("ss -tln", "LISTEN"),
        ("strace -o /dev/stdout true", "execve(\"/usr/bin/true\""),
        ("vim --version", "Huge version"),
    ] {
        let said = guest.sh_as("core", script)?;
        ensure!(said.contains(word), "{script}: {said}");
    }
    let edit = "echo 'fn one() {}' >/tmp/a.rs; vim -Nu /usr/share/vim/vim91/defaults.vim -es \
        '+syntax on' '+%s/one/two/' \"+put =synIDattr(synID(1,1,1),'name')\" +wq /tmp/a.rs; cat /tmp/a.rs";
    says(guest, edit, "fn two() {}\nrustKeyword")?;
    let capture = "timeout 60 tcpdump -n -c 2 -i lo icmp >/tmp/seen 2>/tmp/said & \
        until grep -q listening /tmp/said; do sleep 0.1; done; ping -c 1 127.0.0.1 >/dev/null; wait; \
        grep -o 'ICMP echo re[a-z]*' /tmp/seen";
    says(guest, capture, "ICMP echo request\nICMP echo reply")?;
    // The table of processes is drawn until a key ends the program.
    let mut ssh = guest.client("ssh");
    ssh.env("TERM", "xterm")
        .args(["-tt", "-l", "core", "guest", "htop"]);
    let screen = tests::text(&vmm::process::output(ssh, b"q", END)?)?;
    let has_table = ["PID", "USER", "Command", "sshd", "Load average"];
    let missing = has_table.iter().find(|word| !screen.contains(**word));
    ensure!(missing.is_none(), "no {missing:?} in {screen:?}");
    Ok(())
}

#[test]
#[ignore = "large packages to fetch: make test-all"]
fn programs_of_tools_and_git_run() -> Result<()> {
    let dir = disks::dir("ext-tools")?;
    let names = ["tools", "git", "runc"];
    let machine = machine("ext-tools", &names, "b2p.ext=tools,git,runc", &dir)?;
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("ext-tools");
    checks.check("nothing is missing", || nothing_is_missing(&guest));
    checks.check("programs of the extension tools run", || tools(&guest));
    checks.check("an image is built from a repository", || git(&guest));
    checks.check("runc for one container", || runc_for_one(&guest));
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}

/// A program in C with a library, by a makefile.
const C: &str = r#"set -e
mkdir -p /tmp/c && cd /tmp/c
printf '#include <math.h>\n#include <stdio.h>\nint main(void) { printf("%%.0f\\n", sqrt(1764)); return 0; }\n' >root.c
printf 'CFLAGS = -O2 -Wall -Werror\nLDLIBS = -lm\nroot: root.c\n' >Makefile
make -s && ./root && make -s -B CFLAGS='-O2 -static' && ./root"#;

/// A package in Rust without dependencies.
const RUST: &str = r#"set -e
export HOME=/tmp/rust-home; mkdir -p $HOME && cd /tmp && cargo -q init --vcs none --name sum s >/dev/null 2>&1 && cd s
printf 'fn main() {\n    let sum: u32 = (1..=8).map(|n| n * n).sum();\n    println!("{sum}");\n}\n' >src/main.rs
cargo -q build --offline && ./target/debug/sum"#;

/// A module in Go with a package of its own. It prints without the package fmt: what is compiled is
/// mostly Go's runtime, which takes an emulated processor minutes.
const GO: &str = r#"set -e
export HOME=/tmp/go-home; mkdir -p $HOME /tmp/g/part && cd /tmp/g
printf 'module example.com/g\n\ngo 1.24\n' >go.mod
printf 'package part\n\nfunc Twice(text string) string { return text + " " + text }\n' >part/part.go
printf 'package main\n\nimport "example.com/g/part"\n\nfunc main() { println(part.Twice("go")) }\n' >main.go
(GOPROXY=off go build -o g . >said 2>&1 && ./g >>said 2>&1; echo "status $?" >>said) >/dev/null 2>&1 </dev/null &"#;

/// Time limit of the build in Go.
const GO_LIMIT: Duration = Duration::from_secs(900);

fn go(guest: &Guest) -> Result<()> {
    guest.sh(GO)?;
    let said = eventually(GO_LIMIT, || {
        guest.sh("grep -q ^status /tmp/g/said && cat /tmp/g/said")
    })?;
    ensure!(said == "go go\nstatus 0", "{said}");
    Ok(())
}

#[test]
#[ignore = "large packages to fetch: make test-all"]
fn compilers_compile() -> Result<()> {
    let dir = disks::dir("ext-compile")?;
    let names = ["compile", "rust", "go"];
    let guest = Guest::start(&machine("ext-compile", &names, "", &dir)?)?;
    let mut checks = Checks::new("ext-compile");
    checks.check("extensions are added while the machine runs", || {
        // The linker is in `compile`, which `rust` needs.
        guest.sh("! test -e /usr/bin/cc && b2p ext add rust go")?;
        says(&guest, "b2p ext | grep -c '^compile.* added'", "1")?;
        refuses(
            &guest,
            "b2p ext remove compile",
            &["in use by the extension rust, which needs it"],
        )
    });
    checks.check("a program in C", || says(&guest, C, "42\n42"));
    checks.check("a program in Rust", || says(&guest, RUST, "204"));
    checks.check("a module in Go", || go(&guest));
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}

/// Steps of a container that counts, is checkpointed and continues where it was, and what each prints.
/// The count is renamed into place: a reader of a file that is written again finds it empty at times.
const CHECKPOINT: &[(&str, &str)] = &[
    (
        "podman run -d --name counts $IMAGE sh -c 'n=0; while :; do n=$((n+1)); echo $n >/new; mv /new /count; sleep 0.2; done' >/dev/null
        until [ \"$(podman exec counts cat /count 2>/dev/null || echo 0)\" -gt 5 ]; do sleep 0.2; done",
        "",
    ),
    (
        "podman container checkpoint counts >/dev/null || logs
        podman ps -a --format '{{.State}}' --filter name=counts",
        "exited",
    ),
    (
        "podman container restore counts >/dev/null || logs
        sleep 1; before=$(podman exec counts cat /count); sleep 2; podman exec counts cat /count >/tmp/after
        [ \"$before\" -gt 5 ] && [ \"$(cat /tmp/after)\" -gt \"$before\" ] && podman ps --format '{{.Status}}' | cut -c 1-2",
        "Up",
    ),
    (
        "varlink call io.podman.ContainerCheckpoint '{\"name\": \"counts\"}' >/dev/null || logs
        podman ps -a --format '{{.State}}' --filter name=counts
        varlink call io.podman.ContainerRestore '{\"name\": \"counts\"}' >/dev/null || logs
        podman ps --format '{{.Status}}' | cut -c 1-2",
        "exited\nUp",
    ),
    (
        "podman container checkpoint --export /tmp/counts.tar counts >/dev/null || logs
        podman rm counts >/dev/null",
        "",
    ),
    (
        "podman container restore --import /tmp/counts.tar --name again >/dev/null || logs
        [ \"$(podman exec again cat /count)\" -ge \"$(cat /tmp/after)\" ] && echo moved && podman rm -f -t 0 again >/dev/null",
        "moved",
    ),
];

fn checkpoint(guest: &Guest) -> Result<()> {
    load(guest, guest.vm.dir())?;
    let logs = "tail -n 12 /var/lib/containers/storage/overlay-containers/*/userdata/*.log >&2";
    CHECKPOINT.iter().try_for_each(|(script, want)| {
        let name = image::NAME;
        let script = format!("set -e; IMAGE={name}; logs() {{ {logs}; exit 1; }}\n{script}");
        says(guest, &script, want)
    })
}

#[test]
#[ignore = "a large package to fetch: make test-all"]
fn criu_checkpoints_and_restores() -> Result<()> {
    criu_on(Target::usual())
}

#[test]
#[ignore = "a large package to fetch: make test-all"]
fn criu_checkpoints_and_restores_on_the_generic_kernel() -> Result<()> {
    criu_on(Target::of_kernel(Kernel::Generic))
}

fn criu_on(target: Target) -> Result<()> {
    let test = target.test("ext-criu");
    let dir = disks::dir(&test)?;
    let machine = target.machine("ext-criu", &["criu"], "b2p.ext=criu", &dir)?;
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new(&test);
    checks.check("nothing is missing", || nothing_is_missing(&guest));
    checks.check("a container is checkpointed and restored", || {
        checkpoint(&guest)
    });
    checks.finish(&guest)?;
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}
