// SPDX-License-Identifier: Apache-2.0
//! Trees of Debian packages, fetched and verified by mmdebstrap (apt, with Debian's own
//! signatures) and unpacked without running a maintainer script.
//!
//! The name of a tree contains the hash of the request: a second build needs no network, and
//! another suite or package list gets its own tree. Each kernel has its own tree, so that building
//! for one more kernel fetches one more package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::mmdebstrap::{self, Request};
use crate::package_metadata::VERSIONS;
use crate::packages::{self, Kernel};
use crate::progress::Step;
use crate::stamp::{self, Inputs};
use crate::{fsutil, host, paths};

/// Version of the way of unpacking; a new one leaves the trees of older versions unused.
const FORMAT: &str = "2";

/// Prefixes of the paths that are unpacked of a kernel and its dependencies, which are mostly
/// the tools that build Debian's own initrd.
const KERNEL_PATHS: &[&str] = &[
    "boot/",
    "usr/lib/modules/",
    "usr/share/doc/linux-",
    VERSIONS,
];

/// Prefixes of the paths that are unpacked of the boot loaders for another architecture, whose dependencies are
/// programs.
const LOADER_PATHS: &[&str] = &["usr/lib/grub/", "usr/share/doc/grub", VERSIONS];

/// Variables `SUITE=`, `MIRROR=`, `ARCH=` and `KERNEL=`: the input of a build.
#[derive(Clone, Debug)]
pub struct BuildConfig {
    /// Debian release.
    pub suite: String,
    /// Mirror to use instead of mmdebstrap's default.
    pub mirror: Option<String>,
    /// Architecture to build for.
    pub arch: &'static Arch,
    /// Kernel to build for.
    pub kernel: Kernel,
}

/// Packages that are fetched together into one tree.
struct PackageSet<'a> {
    /// Directory of the tree.
    dir: PathBuf,
    /// First part of the tree's name.
    label: &'a str,
    packages: Vec<&'a str>,
    /// Prefixes of the paths to unpack; all paths if empty.
    only: &'static [&'static str],
    /// Prefixes of paths to unpack that are skipped by default.
    also: &'static [&'static str],
}

/// Directory of unpacked packages.
#[derive(Clone, Debug)]
pub struct PackageTree {
    /// Path of the directory.
    pub root: PathBuf,
    /// Hash of the request.
    pub key: String,
    /// Architecture of the packages.
    pub arch: &'static Arch,
    /// Directory with the tools that work on the tree, which are the host's ([`crate::tools`]).
    pub tools: PathBuf,
}

impl BuildConfig {
    /// Reads the variables from the environment.
    pub fn from_env() -> Result<Self> {
        let var = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        Ok(BuildConfig {
            suite: var("SUITE").unwrap_or("trixie".into()),
            mirror: var("MIRROR"),
            arch: Arch::from_env()?,
            kernel: Kernel::parse(&var("KERNEL").unwrap_or_default())
                .map_err(anyhow::Error::msg)?,
        })
    }

    /// Returns the variables that [`BuildConfig::from_env`] reads, as `NAME=value`.
    pub fn variables(&self) -> Vec<String> {
        let mut variables = vec![
            format!("SUITE={}", self.suite),
            format!("ARCH={}", self.arch.name),
            format!("KERNEL={}", self.kernel.name()),
        ];
        variables.extend(self.mirror.iter().map(|mirror| format!("MIRROR={mirror}")));
        variables
    }

    /// Packages of the userland and of the tools that make the image.
    fn userland(&self) -> PackageSet<'static> {
        self.set("debian", packages::names_for(packages::PACKAGES, self.arch))
    }

    /// Package of the kernel with its modules.
    fn linux(&self) -> PackageSet<'static> {
        PackageSet {
            dir: paths::cache_of(self.kernel),
            only: KERNEL_PATHS,
            ..self.set("linux", self.kernel.packages(self.arch))
        }
    }

    /// Packages of the host that the slim kernel is compiled with.
    fn builder(&self) -> PackageSet<'static> {
        PackageSet {
            dir: paths::cache_for(self.arch).join(Kernel::Slim.name()),
            ..self.set("builder", Kernel::Slim.packages(self.arch))
        }
    }

    /// Packages of the boot loaders and, for the host, of the tools that make media.
    fn loaders(&self) -> PackageSet<'static> {
        let loaders = self.arch.loaders.iter().map(|(name, _)| *name);
        let tools = packages::names_for(packages::MEDIA, self.arch);
        PackageSet {
            only: if self.arch.is_host() {
                &[]
            } else {
                LOADER_PATHS
            },
            ..self.set("loaders", loaders.chain(tools).collect())
        }
    }

    /// Packages of other init systems, for `make bench`.
    fn peers(&self) -> PackageSet<'static> {
        PackageSet {
            also: &["usr/lib/udev/"],
            ..self.set("peers", packages::names(packages::PEERS))
        }
    }

    /// Packages of varlink's clients, for tests.
    fn varlink_clients(&self) -> PackageSet<'static> {
        self.set("varlink", packages::names(packages::VARLINK_CLIENTS))
    }

    /// Packages of a system to build in, for `make reproducible`.
    fn other_host(&self) -> PackageSet<'static> {
        self.set("host", packages::names(packages::OTHER_HOST))
    }

    /// Packages of a host of podman machine, for the tests.
    fn machine_host(&self) -> PackageSet<'static> {
        self.set("machine-host", packages::names(packages::MACHINE_HOST))
    }

    fn key(&self, set: &PackageSet<'_>) -> String {
        let mut inputs = Inputs::new();
        inputs.add("format", FORMAT).add("suite", &self.suite);
        inputs.add("mirror", self.mirror.as_deref().unwrap_or_default());
        inputs.add("packages", set.packages.join(" "));
        if !self.arch.is_host() {
            inputs.add("arch", self.arch.name);
        }
        inputs.finish()
    }

    fn tree(&self, set: &PackageSet<'_>) -> PackageTree {
        let key = self.key(set);
        let name = format!("{}-{}-{}", set.label, self.suite, &key[..12]);
        let root = set.dir.join(name);
        PackageTree {
            arch: self.arch,
            ..PackageTree::of_host(root, key)
        }
    }

    /// Returns the packages as one tree.
    fn set<'a>(&self, label: &'a str, packages: Vec<&'a str>) -> PackageSet<'a> {
        PackageSet {
            dir: paths::cache_for(self.arch),
            label,
            packages,
            only: &[],
            also: &[],
        }
    }

    /// Returns the same configuration for the host's architecture.
    fn for_host(&self) -> Self {
        BuildConfig {
            arch: Arch::host(),
            ..self.clone()
        }
    }

    /// Returns the tree of the userland, which may not have been fetched yet.
    pub fn userland_tree(&self) -> PackageTree {
        PackageTree {
            tools: self.for_host().tree(&self.for_host().userland()).root,
            ..self.tree(&self.userland())
        }
    }

    /// Returns the tree of Debian's kernel, which may not have been fetched yet.
    pub fn linux_tree(&self) -> PackageTree {
        self.tree(&self.linux())
    }

    /// Returns the tree that the slim kernel is compiled in, which may not have been fetched yet.
    pub fn builder_tree(&self) -> PackageTree {
        self.for_host().tree(&self.builder())
    }

    /// Fetches the tree of the userland unless it exists, and for another architecture that of the
    /// host, for its tools.
    pub fn fetch_userland(&self, step: &Step) -> Result<PackageTree> {
        let tree = self.fetch(&self.userland(), step)?;
        let tools = match self.arch.is_host() {
            true => tree.tools.clone(),
            false => self.for_host().fetch_userland(step)?.root,
        };
        Ok(PackageTree { tools, ..tree })
    }

    /// Fetches the tree of Debian's kernel unless it exists.
    pub fn fetch_linux(&self, step: &Step) -> Result<PackageTree> {
        self.fetch(&self.linux(), step)
    }

    /// Fetches the tree that the slim kernel is compiled in unless it exists.
    pub fn fetch_builder(&self, step: &Step) -> Result<PackageTree> {
        self.for_host().fetch(&self.builder(), step)
    }

    /// Fetches the tree of boot loaders unless it exists, and for another architecture that of the host, for its
    /// tools.
    pub fn fetch_loaders(&self, step: &Step) -> Result<PackageTree> {
        let tree = self.fetch(&self.loaders(), step)?;
        let tools = match self.arch.is_host() {
            true => tree.tools.clone(),
            false => self.for_host().fetch_loaders(step)?.root,
        };
        Ok(PackageTree { tools, ..tree })
    }

    /// Fetches the tree of the extension `name` unless it exists. The package base-files has the
    /// links of the merged /usr.
    pub fn fetch_extension(
        &self,
        name: &str,
        packages: &[String],
        step: &Step,
    ) -> Result<PackageTree> {
        let label = format!("ext-{name}");
        let packages = packages.iter().map(String::as_str);
        let set = self.set(&label, packages.chain(["base-files"]).collect());
        self.fetch(&set, step)
    }

    /// Fetches the tree of other init systems unless it exists.
    pub fn fetch_peers(&self, step: &Step) -> Result<PackageTree> {
        let host = self.for_host();
        host.fetch(&host.peers(), step)
    }

    /// Fetches the tree of varlink's clients unless it exists.
    pub fn fetch_varlink_clients(&self, step: &Step) -> Result<PackageTree> {
        let host = self.for_host();
        host.fetch(&host.varlink_clients(), step)
    }

    /// Fetches the tree of a system of this suite to build in unless it exists.
    pub fn fetch_other_host(&self, step: &Step) -> Result<PackageTree> {
        let host = self.for_host();
        host.fetch(&host.other_host(), step)
    }

    /// Fetches the tree of servers of network file systems unless it exists.
    pub fn fetch_file_servers(&self, step: &Step) -> Result<PackageTree> {
        let packages = packages::names(packages::FILE_SERVERS);
        let host = self.for_host();
        host.fetch(&host.set("file-servers", packages), step)
    }

    /// Fetches the tree of a static busybox, for images that tests make for another architecture,
    /// unless it exists.
    pub fn fetch_busybox(&self, step: &Step) -> Result<PackageTree> {
        let packages = vec!["busybox-static", "base-files"];
        self.fetch(&self.set("busybox", packages), step)
    }

    /// Fetches the tree of a host of podman machine unless it exists.
    pub fn fetch_machine_host(&self, step: &Step) -> Result<PackageTree> {
        let host = self.for_host();
        host.fetch(&host.machine_host(), step)
    }

    /// Fetches the tree of a set unless it exists. The lock excludes other processes: tests that run
    /// side by side fetch the same set, and each would remove the temporary directory of another.
    fn fetch(&self, set: &PackageSet<'_>, step: &Step) -> Result<PackageTree> {
        let _lock = stamp::lock(&set.dir.join(format!("{}.lock", set.label)))?;
        let tree = self.tree(set);
        stamp::make(&tree.root, &tree.key, |to| {
            host::ensure_packages()?;
            let packages = match set.packages.as_slice() {
                [package] => (*package).to_string(),
                many => format!("{} packages and what they need", many.len()),
            };
            let (suite, arch) = (&self.suite, self.arch.debian);
            step.note(&format!(
                "fetching {packages} from Debian {suite} for {arch}"
            ));
            mmdebstrap::fetch(&self.request(set), to, step)
        })?;
        self.remove_outdated(set, &tree)?;
        Ok(tree)
    }

    fn request<'a>(&'a self, set: &'a PackageSet<'_>) -> Request<'a> {
        Request {
            suite: &self.suite,
            arch: self.arch.debian,
            mirror: self.mirror.as_deref(),
            packages: &set.packages,
            only: set.only,
            also: set.also,
        }
    }

    /// Removes this suite's trees of older package lists: a tree is large, and its repeated fetch
    /// takes seconds.
    fn remove_outdated(&self, set: &PackageSet<'_>, current: &PackageTree) -> Result<()> {
        let prefix = format!("{}-{}-", set.label, self.suite);
        for entry in fs::read_dir(&set.dir)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) && entry.path() != current.root {
                fsutil::remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

impl PackageTree {
    /// Returns a tree of the host's architecture, with tools of its own.
    pub fn of_host(root: PathBuf, key: String) -> Self {
        PackageTree {
            tools: root.clone(),
            arch: Arch::host(),
            root,
            key,
        }
    }

    /// Returns the kernel's release: the name of the only directory in /usr/lib/modules.
    pub fn kernel_release(&self) -> Result<String> {
        let dir = self.root.join("usr/lib/modules");
        match names_in(&dir)?.as_slice() {
            [release] => Ok(release.clone()),
            names => bail!("{}: one kernel is expected, found {names:?}", dir.display()),
        }
    }
}

fn names_in(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.flatten().map(name).collect();
    names.sort();
    Ok(names)
}
