// SPDX-License-Identifier: Apache-2.0
//! Settings of `make run`, some of which `make iso` and `make disk` take as well.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use vmm::AcceleratorChoice;
use vmm::ssh::Key;

/// Names of the settings.
const NAMES: [&str; 7] = [
    "MEM", "CPUS", "ACCEL", "SSH_PORT", "DATA", "APPEND", "SSH_KEY",
];

/// Public keys in `~/.ssh`, in the order of preference.
const DEFAULT_KEYS: [&str; 3] = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];

/// Settings of one run.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// `MEM=`: memory in MiB.
    pub memory_mib: u32,
    /// `CPUS=`: number of processors.
    pub cpus: u32,
    /// `ACCEL=`: kvm or tcg.
    pub accel: AcceleratorChoice,
    /// `SSH_PORT=`: port of the host that is forwarded to the guest's sshd.
    pub ssh_port: Option<u16>,
    /// `DATA=`: disk image, made if necessary.
    pub data: Option<PathBuf>,
    /// `APPEND=`: kernel flags.
    pub append: String,
    /// `SSH_KEY=`: public key file.
    key_file: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl Options {
    /// Reads `NAME=value` arguments, and with `var` the other settings.
    pub fn read(args: &[String], var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        for arg in args {
            let known = arg
                .split_once('=')
                .is_some_and(|(name, _)| NAMES.contains(&name));
            ensure!(
                known,
                "`{arg}`: an argument has the form NAME=value, with one of {}",
                NAMES.join(" ")
            );
        }
        let argument = |name: &str| {
            args.iter()
                .rev()
                .find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
        };
        let get = |name: &str| {
            argument(name)
                .map(str::to_owned)
                .or_else(|| var(name))
                .filter(|v| !v.is_empty())
        };
        Ok(Self {
            memory_mib: number("MEM", get("MEM"))?.unwrap_or(2048),
            cpus: number("CPUS", get("CPUS"))?.unwrap_or_else(default_cpus),
            accel: AcceleratorChoice::parse(&get("ACCEL").unwrap_or_default())?,
            ssh_port: number("SSH_PORT", get("SSH_PORT"))?,
            data: get("DATA").map(PathBuf::from),
            append: get("APPEND").unwrap_or_default(),
            key_file: get("SSH_KEY").map(PathBuf::from),
            home: var("HOME").map(PathBuf::from),
        })
    }

    /// Returns the key of `SSH_KEY=`.
    pub fn requested_key(&self) -> Result<Option<Key>> {
        self.key_file.as_deref().map(read_key).transpose()
    }

    /// Returns the user's key: that of `SSH_KEY=`, or else the first of the default ones.
    pub fn user_key(&self) -> Result<Option<Key>> {
        if self.key_file.is_some() {
            return self.requested_key();
        }
        let Some(home) = &self.home else {
            return Ok(None);
        };
        let files = DEFAULT_KEYS.iter().map(|name| home.join(".ssh").join(name));
        files
            .filter(|file| file.is_file())
            .map(|file| read_key(&file))
            .next()
            .transpose()
    }
}

fn default_cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cpus.min(4)).unwrap_or(1)
}

fn number<T: std::str::FromStr>(name: &str, text: Option<String>) -> Result<Option<T>> {
    let parse = |text: String| {
        text.parse()
            .ok()
            .with_context(|| format!("{name}={text}: not a number in the valid range"))
    };
    text.map(parse).transpose()
}

/// Reads a public key. The private half is the file of the same name without `.pub`; if there is no
/// such file (an agent has the key), OpenSSH takes the public file as the name of the key.
fn read_key(file: &Path) -> Result<Key> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("SSH_KEY: cannot read {}", file.display()))?;
    ensure!(
        !text.contains("PRIVATE KEY"),
        "SSH_KEY: {} is a private key; the public half is needed",
        file.display()
    );
    let public = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'));
    let public = public.with_context(|| format!("SSH_KEY: no key in {}", file.display()))?;
    let private = file.with_extension("");
    let pair = file.extension().is_some_and(|e| e == "pub") && private.is_file();
    let file = if pair { private } else { file.to_owned() };
    Ok(Key {
        file: std::path::absolute(file)?,
        public: public.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Options> {
        let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
        let var = |name: &str| {
            env.iter()
                .find(|(n, _)| *n == name)
                .map(|&(_, v)| v.to_owned())
        };
        Options::read(&args, var)
    }

    #[test]
    fn options_have_defaults() {
        let options = read(&[], &[("MEM", ""), ("ACCEL", "")]).expect("ok");
        assert_eq!(
            (options.memory_mib, options.accel, options.ssh_port),
            (2048, AcceleratorChoice::Auto, None)
        );
        assert!(options.cpus >= 1 && options.data.is_none() && options.append.is_empty());
    }

    #[test]
    fn arguments_win_over_the_environment_and_later_arguments_over_earlier() {
        let env = [
            ("MEM", "512"),
            ("CPUS", "3"),
            ("APPEND", "quiet b2p.net=off"),
        ];
        let options = read(&["MEM=600", "MEM=700", "DATA=d.img"], &env).expect("ok");
        assert_eq!((options.memory_mib, options.cpus), (700, 3));
        assert_eq!(options.append, "quiet b2p.net=off");
        assert_eq!(options.data, Some("d.img".into()));
    }

    #[test]
    fn nonsense_is_named() {
        let error = |args: &[&str]| format!("{:#}", read(args, &[]).expect_err("refused"));
        assert!(error(&["MEM=lots"]).contains("MEM=lots"));
        assert!(error(&["SSH_PORT=70000"]).contains("SSH_PORT=70000"));
        assert!(error(&["ACCEL=xen"]).contains("kvm or tcg"));
        assert!(
            error(&["MEMORY=1"]).contains("MEMORY=1") && error(&["help"]).contains("NAME=value")
        );
    }

    #[test]
    fn the_users_own_key_is_found() {
        let home = tempfile::tempdir().expect("a directory");
        let ssh = home.path().join(".ssh");
        fs::create_dir(&ssh).expect("made");
        let env =
            |key: &str| read(&[key], &[("HOME", &home.path().display().to_string())]).expect("ok");
        assert!(env("MEM=").user_key().expect("fine").is_none());
        fs::write(ssh.join("id_rsa.pub"), "ssh-rsa AAAA me\n").expect("written");
        fs::write(ssh.join("id_ed25519.pub"), "# mine\nssh-ed25519 AAAA me\n").expect("written");
        fs::write(
            ssh.join("id_ed25519"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        )
        .expect("written");
        let key = env("MEM=").user_key().expect("fine").expect("found");
        assert_eq!(
            (key.public.as_str(), key.file),
            ("ssh-ed25519 AAAA me", ssh.join("id_ed25519"))
        );
        let private = format!("SSH_KEY={}", ssh.join("id_ed25519").display());
        assert!(env(&private).user_key().is_err());
        let agent = env(&format!("SSH_KEY={}", ssh.join("id_rsa.pub").display())).user_key();
        assert_eq!(
            agent.expect("fine").expect("found").file,
            ssh.join("id_rsa.pub")
        );
    }
}
