//! Debian's packages, fetched and verified by mmdebstrap (apt, with Debian's own
//! signatures) and unpacked without running one maintainer script.
//!
//! A tree is kept under a name that is the hash of what was asked for, so a second
//! build touches no network, and another suite or package list gets a tree of its own.
//! So does each kernel: one more of them is one more package.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::package_metadata::{self, VERSIONS};
use crate::packages::{self, Kernel};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::{host, kernel, paths};

/// Counts up when the way of unpacking changes, so that old trees are left alone.
const FORMAT: &str = "2";

/// How often a fetch is tried before giving up; apt itself retries each file too.
const TRIES: u32 = 3;

/// Debian's archive keys on the host; named outright because mmdebstrap does not find
/// them by itself on Ubuntu.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// All that is unpacked of a kernel and of what it depends on: mostly the tools that
/// would make an initrd of Debian's.
const OF_A_KERNEL: &[&str] = &[
    "boot/",
    "usr/lib/modules/",
    "usr/share/doc/linux-",
    VERSIONS,
];

/// What is not even unpacked: nothing of it is used, and it is half of the files. Of
/// the documents, the copyright files are ([`package_metadata::is_copyright`]).
const SKIPPED: &[&str] = &[
    "dev/",
    "proc/",
    "sys/",
    "tmp/",
    "run/",
    "var/cache/",
    "var/lib/apt/",
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/locale/",
    "usr/share/i18n/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/lib/udev/",
    "usr/libexec/podman/podman-testing",
];

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The Debian release.
    pub suite: String,
    /// A mirror other than the ones mmdebstrap knows.
    pub mirror: Option<String>,
    /// Which kernel package.
    pub kernel: Kernel,
}

/// Packages that are fetched together, into a tree of their own.
struct Set<'a> {
    /// Where the tree lies, and how its name begins.
    dir: PathBuf,
    label: &'a str,
    packages: Vec<&'a str>,
    /// How the paths begin that are unpacked; none: all do.
    kept: &'static [&'static str],
    /// And those that are though they are [`SKIPPED`].
    also: &'static [&'static str],
}

/// A fetched tree.
#[derive(Clone, Debug)]
pub struct Debian {
    /// The unpacked packages.
    pub root: PathBuf,
    /// The hash of what was asked for.
    pub key: String,
}

impl Wanted {
    /// Reads `SUITE=`, `MIRROR=` and `KERNEL=`.
    pub fn from_env() -> Result<Self> {
        let var = |name| std::env::var(name).unwrap_or_default();
        let suite = Some(var("SUITE"))
            .filter(|s| !s.is_empty())
            .unwrap_or("trixie".into());
        let kernel = Kernel::parse(&var("KERNEL")).map_err(anyhow::Error::msg)?;
        Ok(Wanted {
            suite,
            mirror: Some(var("MIRROR")).filter(|s| !s.is_empty()),
            kernel,
        })
    }

    /// What the userland and the tools are made of.
    fn userland(&self) -> Set<'static> {
        Set {
            dir: paths::cache(),
            label: "debian",
            packages: packages::names(),
            kept: &[],
            also: &[],
        }
    }

    /// The kernel with its modules; or what it is built with.
    fn linux(&self) -> Set<'static> {
        let (label, kept) = match self.kernel {
            Kernel::Slim => ("builder", &[][..]),
            _ => ("linux", OF_A_KERNEL),
        };
        Set {
            dir: paths::cache_of(self.kernel),
            label,
            packages: self.kernel.packages(),
            kept,
            also: &[],
        }
    }

    /// What makes a medium that a machine boots from.
    fn loaders(&self) -> Set<'static> {
        Set {
            dir: paths::cache(),
            label: "loaders",
            packages: packages::LOADERS.iter().map(|p| p.name).collect(),
            kept: &[],
            also: &[],
        }
    }

    /// Other systems' PID 1s, for `make bench`.
    fn peers(&self) -> Set<'static> {
        Set {
            dir: paths::cache(),
            label: "peers",
            packages: packages::PEERS.iter().map(|p| p.name).collect(),
            kept: &[],
            also: &["usr/lib/udev/"],
        }
    }

    /// What an extension is made of; base-files has the links of the merged /usr.
    fn extension<'a>(&self, label: &'a str, packages: &'a [String]) -> Set<'a> {
        let packages = packages.iter().map(String::as_str);
        Set {
            dir: paths::cache(),
            label,
            packages: packages.chain(["base-files"]).collect(),
            kept: &[],
            also: &[],
        }
    }

    fn key(&self, set: &Set<'_>) -> String {
        let mut inputs = Inputs::new();
        inputs.add("format", FORMAT).add("suite", &self.suite);
        inputs.add("mirror", self.mirror.as_deref().unwrap_or_default());
        inputs.add("packages", set.packages.join(" "));
        inputs.finish()
    }

    /// Where the userland's tree is, or will be.
    pub fn debian(&self) -> Debian {
        self.place(&self.userland())
    }

    fn place(&self, set: &Set<'_>) -> Debian {
        let key = self.key(set);
        let name = format!("{}-{}-{}", set.label, self.suite, &key[..12]);
        let root = set.dir.join(name);
        Debian { root, key }
    }

    /// Fetches the userland's tree unless it is there.
    pub fn fetch(&self, step: &Step) -> Result<Debian> {
        self.fetch_set(&self.userland(), step)
    }

    /// Fetches the kernel's tree unless it is there; builds it, where that is asked for.
    pub fn fetch_kernel(&self, step: &Step) -> Result<Debian> {
        match self.kernel {
            Kernel::Slim => kernel::make(self, step),
            _ => self.fetch_set(&self.linux(), step),
        }
    }

    /// Where the tree is, or will be, that a kernel is built in.
    pub(crate) fn builder(&self) -> Debian {
        self.place(&self.linux())
    }

    /// Fetches that tree unless it is there.
    pub(crate) fn fetch_builder(&self, step: &Step) -> Result<Debian> {
        self.fetch_set(&self.linux(), step)
    }

    /// Fetches the tree of boot loaders unless it is there.
    pub fn fetch_loaders(&self, step: &Step) -> Result<Debian> {
        self.fetch_set(&self.loaders(), step)
    }

    /// Fetches the tree of the extension `name` unless it is there.
    pub fn fetch_extension(&self, name: &str, packages: &[String], step: &Step) -> Result<Debian> {
        let label = format!("ext-{name}");
        self.fetch_set(&self.extension(&label, packages), step)
    }

    /// Fetches the tree of other PID 1s unless it is there.
    pub fn fetch_peers(&self, step: &Step) -> Result<Debian> {
        self.fetch_set(&self.peers(), step)
    }

    fn fetch_set(&self, set: &Set<'_>, step: &Step) -> Result<Debian> {
        let debian = self.place(set);
        stamp::make(&debian.root, &debian.key, |to| {
            host::need()?;
            let what = match set.packages.as_slice() {
                [one] => (*one).to_string(),
                many => format!("{} packages and what they need", many.len()),
            };
            step.note(&format!("fetching {what} from Debian {}", self.suite));
            self.fetch_with_retries(set, to, step)
        })?;
        self.forget_others(set, &debian)?;
        Ok(debian)
    }

    /// Removes this suite's trees of older package lists: they are large, and fetching
    /// one again is a matter of seconds.
    fn forget_others(&self, set: &Set<'_>, current: &Debian) -> Result<()> {
        let ours = format!("{}-{}-", set.label, self.suite);
        for entry in fs::read_dir(&set.dir)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&ours) && entry.path() != current.root {
                stamp::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn fetch_with_retries(&self, set: &Set<'_>, to: &Path, step: &Step) -> Result<()> {
        for attempt in 1..=TRIES {
            match self.fetch_once(set, to) {
                Ok(bytes) => {
                    step.note(&format!("unpacked {}", megabytes(bytes)));
                    return Ok(());
                }
                Err(error) if attempt < TRIES => {
                    step.note(&format!("try {attempt} of {TRIES} failed: {error:#}"));
                    stamp::remove(to)?;
                    std::thread::sleep(Duration::from_secs(2 << attempt));
                }
                Err(error) => return Err(error),
            }
        }
        bail!("no try was made")
    }

    /// One run of mmdebstrap, its tar read as it comes.
    fn fetch_once(&self, set: &Set<'_>, to: &Path) -> Result<u64> {
        let log = to.with_file_name("fetch.log");
        let mut child = self
            .mmdebstrap(set)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).with_context(|| format!("write {}", log.display()))?)
            .spawn()
            .context("start mmdebstrap")?;
        let mut output = child
            .stdout
            .take()
            .context("mmdebstrap's output is piped")?;
        let unpacked = unpack(&mut output, to, set);
        // Read to the end in any case, so that mmdebstrap does not die of a broken pipe
        // before it has said what is wrong.
        let _ = std::io::copy(&mut output, &mut std::io::sink());
        let status = child.wait().context("wait for mmdebstrap")?;
        if !status.success() {
            bail!("mmdebstrap ended with {status}; {}", explain(&log));
        }
        let bytes = unpacked.context("unpack what mmdebstrap made")?;
        let versions = to.join(VERSIONS);
        if fs::metadata(&versions).map_or(0, |m| m.len()) == 0 {
            bail!(
                "mmdebstrap left no list of versions at {}",
                versions.display()
            );
        }
        fs::remove_file(&log).with_context(|| format!("remove {}", log.display()))?;
        Ok(bytes)
    }

    fn mmdebstrap(&self, set: &Set<'_>) -> Command {
        // Of a kernel's packages only the kernel is kept: no question whose a file is.
        let hook = package_metadata::hook(set.kept.is_empty());
        let mut command = Command::new("mmdebstrap");
        // /tmp is often a small tmpfs, and a home is closed to the subordinate users of
        // mmdebstrap's unshare mode: /var/tmp is neither.
        if std::env::var_os("TMPDIR").is_none() {
            command.env("TMPDIR", "/var/tmp");
        }
        command.args(["--variant=extract", "--architectures=amd64", "--format=tar"]);
        command
            .arg("--aptopt=Acquire::Retries \"3\"")
            .arg(format!("--extract-hook={hook}"));
        if Path::new(KEYRING).exists() {
            command.arg(format!("--keyring={KEYRING}"));
        }
        command.arg(format!("--include={}", set.packages.join(",")));
        command.args([&self.suite, "-"]).args(&self.mirror);
        command
    }
}

/// What apt said first, and what most often is behind it.
fn explain(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let error = text
        .lines()
        .find(|l| l.starts_with("E:"))
        .unwrap_or("it said nothing");
    let hint = HINTS
        .iter()
        .find(|(sign, _)| text.contains(sign))
        .map_or("", |(_, hint)| hint);
    format!("{error}{hint} (the whole log: {})", log.display())
}

/// Signs in the log, and what to do.
const HINTS: &[(&str, &str)] = &[
    (
        "NO_PUBKEY",
        "; the host's debian-archive-keyring is too old for this suite: install a newer one",
    ),
    (
        "is not signed",
        "; is the mirror really Debian's? See also the host's debian-archive-keyring",
    ),
    ("does not have a Release file", "; is there such a suite?"),
    (
        "/etc/subuid",
        "; without root, mmdebstrap needs a line for you in /etc/subuid and /etc/subgid",
    ),
    (
        "unshare",
        "; without root, mmdebstrap needs user namespaces, which this host refuses",
    ),
];

/// Unpacks the tar without owners, devices and setuid bits, which the image gets from
/// [`crate::userland`]'s own table. Returns the bytes of the files.
fn unpack(from: &mut impl Read, to: &Path, set: &Set) -> Result<u64> {
    fs::create_dir_all(to)?;
    let mut archive = tar::Archive::new(from);
    let mut bytes = 0;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry
            .path()?
            .to_string_lossy()
            .trim_start_matches("./")
            .to_string();
        let kind = entry.header().entry_type();
        let device = kind.is_character_special() || kind.is_block_special() || kind.is_fifo();
        let begins = |list: &[&str]| list.iter().any(|s| path.starts_with(s));
        let skipped =
            begins(SKIPPED) && !begins(set.also) && !package_metadata::is_copyright(&path);
        if device || skipped || !(set.kept.is_empty() || begins(set.kept)) {
            continue;
        }
        entry.set_preserve_mtime(false);
        entry.set_preserve_permissions(false);
        bytes += entry.size();
        entry
            .unpack_in(to)
            .with_context(|| format!("unpack {path}"))?;
    }
    Ok(bytes)
}

impl Debian {
    /// The kernel's release: the one directory under /usr/lib/modules.
    pub fn kernel_release(&self) -> Result<String> {
        let dir = self.root.join("usr/lib/modules");
        let mut names: Vec<_> = fs::read_dir(&dir)
            .with_context(|| format!("read {}", dir.display()))?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        match names.as_slice() {
            [one] => Ok(one.clone()),
            _ => bail!("{}: one kernel is expected, found {names:?}", dir.display()),
        }
    }
}
