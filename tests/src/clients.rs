// SPDX-License-Identifier: Apache-2.0
//! Debian's clients, used as people use them.

use crate::Guest;
use crate::guest::{succeeded, text};
use anyhow::{Context, Result};
use initramfs::tools;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use vmm::process;

/// Time limit of one command: loading an image under TCG takes longest.
const LIMIT: Duration = Duration::from_secs(300);

/// Name of the engine's socket, forwarded by [`Guest::forward_socket`], in the machine's directory.
const ENGINE: &str = "podman.sock";

impl Guest {
    /// Runs `podman --remote` against this machine as `core`, over one ssh connection for all
    /// commands: a login takes an emulated machine longer than many a command. Returns its output,
    /// or an error with the whole output.
    pub fn podman(&self, args: &[&str]) -> Result<String> {
        succeeded(
            &format!("podman {}", args.join(" ")),
            &self.podman_out(args)?,
        )
    }

    /// Runs `podman --remote` as [`Guest::podman`] does, and returns any status and output.
    pub fn podman_out(&self, args: &[&str]) -> Result<Output> {
        let mut podman = self.client_of_tree("podman")?;
        podman
            .args(["--remote", "--url", &self.engine()?])
            .args(args);
        process::output(podman, b"", LIMIT)
    }

    /// Returns the address of the engine behind the forwarded socket, for clients that
    /// [`Guest::client_of_tree`] starts. The path through /proc is short, as
    /// [`Guest::forward_socket`] explains.
    pub fn engine(&self) -> Result<String> {
        self.forward_socket("core", "/run/podman/podman.sock", ENGINE)?;
        Ok(format!("unix:///proc/self/cwd/{ENGINE}"))
    }

    /// Runs `podman --remote` over ssh as `core`, with podman's own ssh client, against the socket at
    /// `path`. For an empty path, the client asks podman in the machine for the path.
    pub fn podman_over_ssh(&self, path: &str, args: &[&str]) -> Result<Output> {
        let url = self.ssh_url("core", path)?;
        let mut podman = self.client_of_tree("podman")?;
        podman
            .args(["--remote", "--url", &url, "--identity"])
            .arg(self.key_file())
            .args(args);
        process::output(podman, b"", LIMIT)
    }

    /// Runs docker against this machine as [`Guest::podman`] runs podman.
    pub fn docker(&self, args: &[&str]) -> Result<String> {
        succeeded(
            &format!("docker {}", args.join(" ")),
            &self.docker_out(args, b"")?,
        )
    }

    /// Runs docker with `stdin` as its standard input, and returns any status and output.
    pub fn docker_out(&self, args: &[&str], stdin: &[u8]) -> Result<Output> {
        self.docker_on(&self.engine()?, args, stdin)
    }

    /// Runs docker with `DOCKER_HOST=ssh://<user>@…` and the given path.
    pub fn docker_over_ssh(&self, user: &str, path: &str, args: &[&str]) -> Result<String> {
        let host = self.ssh_url(user, path)?;
        text(&self.docker_on(&host, args, b"")?)
    }

    /// Returns the URL of a path in the machine that is reached by ssh.
    pub fn ssh_url(&self, user: &str, path: &str) -> Result<String> {
        Ok(format!(
            "ssh://{user}@127.0.0.1:{}{path}",
            self.vm.port("ssh")?
        ))
    }

    /// Runs docker with `host` as its `DOCKER_HOST`.
    pub fn docker_on(&self, host: &str, args: &[&str], stdin: &[u8]) -> Result<Output> {
        let mut docker = self.client_of_tree("docker")?;
        docker.env("DOCKER_HOST", host).args(args);
        process::output(docker, stdin, LIMIT)
    }

    /// Returns a client of the host tree with a home of its own and an `ssh` that connects to this
    /// machine.
    pub fn client_of_tree(&self, name: &str) -> Result<Command> {
        self.with_ssh(tools::command(name)?)
    }

    /// Gives a client a home of its own and an `ssh` that connects to this machine.
    pub fn with_ssh(&self, mut command: Command) -> Result<Command> {
        let dir = self.vm.dir();
        let home = dir.join("home");
        fs::create_dir_all(home.join(".ssh"))?;
        wrap_ssh(&dir.join("bin"), self.config()).context("cannot write the ssh wrapper")?;
        let mut path = OsString::from(dir.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", &home)
            .env("PATH", path)
            .current_dir(dir);
        for name in [
            "CONTAINER_HOST",
            "CONTAINER_CONNECTION",
            "DOCKER_CONTEXT",
            "SSH_AUTH_SOCK",
        ] {
            command.env_remove(name);
        }
        Ok(command)
    }
}

/// Writes an `ssh` in front of the real one: docker runs the `ssh` of its PATH without `-F`, and
/// ssh looks for its configuration in the home of /etc/passwd, with any HOME.
fn wrap_ssh(bin: &Path, config: &Path) -> Result<()> {
    let wrapper = bin.join("ssh");
    if wrapper.exists() {
        return Ok(());
    }
    fs::create_dir_all(bin)?;
    let quoted = config.display().to_string().replace('\'', "'\\''");
    fs::write(
        &wrapper,
        format!("#!/bin/sh\nPATH=${{PATH#*:}} exec ssh -F '{quoted}' \"$@\"\n"),
    )?;
    Ok(fs::set_permissions(
        &wrapper,
        fs::Permissions::from_mode(0o755),
    )?)
}
