// SPDX-License-Identifier: Apache-2.0
//! Kernel modules, loaded by name or modalias together with their dependencies.
//!
//! The index (`modules.dep`, `modules.alias`, `modules.softdep`, `modules.builtin`, as
//! depmod(8) writes them) is read at the request for the first module. PID 1 loads modules in a
//! child, and so never holds the index itself, which would be a third of its memory. The same code
//! is `/sbin/modprobe`, for the kernel's requests and for people. Extensions add modules, with
//! lists of their own.
//!
//! **Signatures.** Debian signs its modules with ECDSA P-384, and checking one signature takes
//! 30 ms of instructions on this kernel, however small the module: most of a boot. The image
//! therefore has each module without its signature and without calls of the function tracer,
//! and with a record of both. If the kernel insists on signatures (lockdown,
//! `module.sig_enforce`), or `b2p.modules=verified` asks for them, [`mod@restore`] makes Debian's
//! own file from the stripped one, bit for bit. The price is the taint flag E. The initrd that
//! holds the modules is as trusted as PID 1 itself.

use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use log::{debug, info};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module, init_module};

use crate::error::{self, Doing};

mod forbidden;
mod glob;
pub mod restore;

use forbidden::is_forbidden;
pub use glob::glob_match;
use restore::restore;

/// Release of the running kernel (proc_sys_kernel(5)).
const OSRELEASE: &str = "/proc/sys/kernel/osrelease";

/// Error of a module whose record is damaged ([`mod@restore`]), and the kernel's for a malformed
/// signature (kernel/module_signature.c, `mod_check_sig`).
const DAMAGED: Errno = Errno::EBADMSG;

/// Lists that an extension adds to the index: files `ext/<name>.<list>`.
pub const LISTS: &[&str] = &["dep", "alias", "softdep"];
/// Longest such list, in bytes: those of all modules that Debian has for one kernel are shorter.
pub const MAX_LIST: u64 = 4 << 20;
/// Most modules that wait for one that they need. depmod(8) names all modules that a module needs, direct
/// and indirect: two modules wait, and a few more for the modules of modules.softdep.
const MAX_WAITING: usize = 32;

/// Index of the modules of one kernel.
#[derive(Debug, Default)]
pub struct Modules {
    dir: PathBuf,
    /// True once the index has been read.
    read: bool,
    /// Lines of modules.dep.
    dep: Vec<DepEntry>,
    /// Pattern and module of each alias.
    alias: Vec<(String, String)>,
    softdep: Vec<(String, String)>,
    builtin: Vec<String>,
    blacklist: Vec<String>,
    loaded: Vec<String>,
    /// Number of modules that wait for one that they need.
    waiting: usize,
    verify: bool,
    /// Kernel command line, which has parameters of modules.
    line: Vec<u8>,
}

/// A line of modules.dep.
#[derive(Clone, Debug)]
pub struct DepEntry {
    /// Name in the kernel's form.
    pub name: String,
    /// Path of the file, relative to the index.
    pub path: String,
    /// Names of modules that this one depends on; the first one is loaded last.
    pub needs: Vec<String>,
}

/// Reason why a module was not loaded.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The index has neither a module nor an alias of that name.
    Unknown,
    /// The blacklist contains the module.
    Blacklisted,
    /// The file cannot be read, or the kernel refuses the module.
    Refused(String, Errno),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Unknown => write!(f, "no such module in this image"),
            LoadError::Blacklisted => write!(f, "blacklisted by a flag"),
            LoadError::Refused(path, Errno::ENOEXEC) => {
                write!(f, "{path}: not a module of this kernel")
            }
            LoadError::Refused(path, DAMAGED) => {
                write!(
                    f,
                    "{path}: damaged: Debian's module cannot be restored from it"
                )
            }
            LoadError::Refused(path, e) => write!(f, "{path}: {e}"),
        }
    }
}

impl Modules {
    /// Opens the index of the running kernel below `root`.
    ///
    /// # Errors
    /// `modules.dep` cannot be opened.
    pub fn open(root: &Path) -> error::Result<Modules> {
        let release = fs::read_to_string(OSRELEASE).on(OSRELEASE)?;
        let dir = root.join("usr/lib/modules").join(release.trim());
        let dep = dir.join("modules.dep");
        fs::File::open(&dep).on(&dep)?;
        Ok(Modules {
            dir,
            ..Modules::default()
        })
    }

    /// Reads the index once; a missing file counts as empty.
    fn read_index(&mut self) {
        if std::mem::replace(&mut self.read, true) {
            return;
        }
        let text = |name| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let (dep, alias) = (text("modules.dep"), text("modules.alias"));
        let (softdep, builtin) = (text("modules.softdep"), text("modules.builtin"));
        self.dep = parse_dep(&(dep + &of_extensions(&self.dir, "dep")));
        self.alias = parse_alias(&(alias + &of_extensions(&self.dir, "alias")));
        self.softdep = parse_softdep(&(softdep + &of_extensions(&self.dir, "softdep")));
        self.builtin = builtin.lines().map(module_name).collect();
        self.line = fs::read("/proc/cmdline").unwrap_or_default();
    }

    /// Sets the blacklist, and the verification of signatures.
    pub fn configure(&mut self, blacklist: &[String], verify: bool) {
        self.blacklist = blacklist.iter().map(|n| normal(n)).collect();
        self.verify = verify;
    }

    /// Loads a module by its name or by an alias such as a modalias. Modules that are loaded or
    /// built in count as loaded.
    ///
    /// # Errors
    /// The reason why nothing could be loaded; the first one if there are several.
    pub fn load(&mut self, name: &str) -> Result<(), LoadError> {
        self.load_with_params(name, "")
    }

    /// Loads a module as [`Modules::load`] does, with parameters `parameter=value …` after those of
    /// the command line.
    ///
    /// # Errors
    /// The errors of [`Modules::load`].
    pub fn load_with_params(&mut self, name: &str, parameters: &str) -> Result<(), LoadError> {
        self.read_index();
        if !parameters.is_empty() {
            // The parameters take the form of the command line.
            let more = parameters.split(' ').map(|p| format!(" {name}.{p}"));
            self.line.extend(more.flat_map(String::into_bytes));
        }
        let wanted = normal(name);
        if self.is_builtin(&wanted) {
            return Ok(());
        }
        if self.dep(&wanted).is_some() {
            return self.load_module(&wanted);
        }
        let targets = self.resolve(name);
        if targets.is_empty() {
            return Err(LoadError::Unknown);
        }
        let mut result = Ok(());
        for target in targets {
            let one = self.load_module(&target);
            result = result.and(one);
        }
        result
    }

    fn load_module(&mut self, name: &str) -> Result<(), LoadError> {
        if self.is_builtin(name) || self.has_loaded(name) || live(name) {
            return Ok(());
        }
        if self.blacklist.iter().any(|b| b == name) {
            return Err(LoadError::Blacklisted);
        }
        if self.waiting == MAX_WAITING {
            return Err(LoadError::Refused(name.to_owned(), Errno::ELOOP));
        }
        // The name is added first, so that a cycle in the index ends here.
        self.loaded.push(name.to_owned());
        self.waiting += 1;
        let result = self.load_with_needs(name);
        self.waiting -= 1;
        if result.is_err() {
            self.loaded.retain(|l| l != name);
        }
        result
    }

    fn load_with_needs(&mut self, name: &str) -> Result<(), LoadError> {
        let soft = self.softdep.iter().filter(|(m, _)| m == name);
        for before in soft.map(|(_, pre)| pre.clone()).collect::<Vec<_>>() {
            let _ = self.load(&before); // soft: its absence is no failure
        }
        let Some(dep) = self.dep(name).cloned() else {
            return Err(LoadError::Unknown);
        };
        // depmod lists dependencies in reverse order of loading.
        for need in dep.needs.iter().rev() {
            self.load_module(need)?;
        }
        let path = self.dir.join(&dep.path);
        let options = config::module_options(&self.line, name);
        insmod(&path, &options, &mut self.verify)
            .map_err(|e| LoadError::Refused(path.display().to_string(), e))
    }

    fn dep(&self, name: &str) -> Option<&DepEntry> {
        self.dep.iter().find(|d| d.name == name)
    }

    fn is_builtin(&self, name: &str) -> bool {
        self.builtin.iter().any(|b| b == name)
    }

    /// Returns true if this process, and no earlier one, has loaded the module.
    pub fn has_loaded(&self, name: &str) -> bool {
        self.loaded.iter().any(|l| l == name)
    }

    /// Returns the modules that an alias stands for, each once.
    fn resolve(&self, alias: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (pattern, module) in &self.alias {
            if glob_match(pattern.as_bytes(), alias.as_bytes()) && !found.contains(module) {
                found.push(module.clone());
            }
        }
        found
    }
}

/// Returns the lines that extensions add to a list of the index at `dir`: files `ext/<name>.<list>`
/// (docs/guide/extensions.md). These lines follow the lines of the machine, whose modules therefore
/// stay.
fn of_extensions(dir: &Path, list: &str) -> String {
    let entries = fs::read_dir(dir.join("ext"))
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == list));
    crate::sort::sort_by(&mut paths, |a, b| a.cmp(b));
    paths.iter().map(|path| list_text(path)).collect()
}

/// Returns the text of a list; that of one that cannot be read, is no text, or is longer than [`MAX_LIST`] is empty.
fn list_text(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).map(|file| file.take(MAX_LIST + 1));
    match file.and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(size) if size as u64 <= MAX_LIST => text,
        _ => String::new(),
    }
}

/// Returns true if the kernel has initialized the module: the kernel reads and checks a module
/// completely before sysfs shows the module as live.
fn live(name: &str) -> bool {
    let state = fs::read_to_string(format!("/sys/module/{name}/initstate"));
    state.is_ok_and(|s| s.trim() == "live")
}

/// Passes a module file to the kernel with its parameters. A module that is loaded already is no
/// error. Sets `verify` if the kernel turns out to require signatures.
///
/// # Errors
/// The file cannot be read, its record is damaged, or the kernel refuses the module.
pub fn insmod(path: &Path, options: &str, verify: &mut bool) -> Result<(), Errno> {
    let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
    debug!("module {} {options}", path.display());
    let options = CString::new(options).unwrap_or_default();
    if !*verify {
        let file = fs::File::open(path).map_err(errno)?;
        match finit_module(file, &options, ModuleInitFlags::empty()) {
            Err(Errno::EPERM) if is_forbidden(path) => return Err(Errno::EPERM),
            // ENOKEY, EKEYREJECTED: module.sig_enforce; EPERM: lockdown.
            Err(e @ (Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EPERM)) => {
                info!("the kernel wants module signatures ({e}): from here on each is verified");
                *verify = true;
            }
            other => return or_loaded(other),
        }
    }
    let mut file = fs::read(path).map_err(errno)?;
    restore(&mut file).map_err(|_| DAMAGED)?;
    or_loaded(init_module(&file, &options))
}

fn or_loaded(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Returns the module's name: `kernel/net/nf-nat.ko.xz` -> `nf_nat`.
#[must_use]
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

/// Replaces `-` by `_`: the kernel treats them alike in module names.
fn normal(name: &str) -> String {
    name.trim().replace('-', "_")
}

/// Parses modules.dep: `path: path path…`.
#[must_use]
pub fn parse_dep(text: &str) -> Vec<DepEntry> {
    let one = |line: &str| {
        let (path, needs) = line.split_once(':')?;
        let needs = needs.split_whitespace().map(module_name).collect();
        Some(DepEntry {
            name: module_name(path),
            path: path.to_owned(),
            needs,
        })
    };
    text.lines().filter_map(one).collect()
}

/// Parses lines `alias PATTERN MODULE`.
#[must_use]
pub fn parse_alias(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let mut words = line.strip_prefix("alias ")?.rsplitn(2, ' ');
        let (module, pattern) = (words.next()?, words.next()?);
        Some((pattern.to_owned(), normal(module)))
    };
    text.lines().filter_map(pair).collect()
}

/// Parses the `pre:` part of lines `softdep NAME pre: A B post: C`.
#[must_use]
pub fn parse_softdep(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("softdep ") else {
            continue;
        };
        let Some((name, deps)) = rest.split_once(' ') else {
            continue;
        };
        let pre = deps
            .split("pre:")
            .nth(1)
            .unwrap_or("")
            .split("post:")
            .next()
            .unwrap_or("");
        all.extend(pre.split_whitespace().map(|p| (normal(name), p.to_owned())));
    }
    all
}

#[cfg(test)]
mod tests;
