//! Kernel modules: found by name or modalias, loaded with what they depend on.
//!
//! One index (`modules.dep`, `modules.alias`, `modules.softdep`,
//! `modules.builtin`, as depmod(8) writes them), read at the first module that is
//! wanted. PID 1 loads in a child only, so it never holds the index itself: that
//! is a third of its memory otherwise. The same code is `/sbin/modprobe`, for the
//! kernel's own requests and for people.
//!
//! **Signatures.** Debian signs its modules with ECDSA P-384, and checking one
//! costs 30 ms of instructions on this kernel, however small the module: most of
//! a boot. So the signature is left off when a module is handed over, unless
//! the kernel insists (lockdown, `module.sig_enforce`) or `b2p.modules=verified`
//! asks for it; the files stay Debian's own, bit for bit. The price is the taint
//! flag E. What the function tracer wants is left out with it (`untraced.rs`). The initrd they come from is as trusted as PID 1 itself either way.

use std::ffi::{CStr, CString};
use std::fs;
use std::path::{Path, PathBuf};

use log::{debug, info};
use nix::errno::Errno;
use nix::kmod::init_module;

use crate::error::{self, Doing};
use crate::strip_ftrace::untrace;

/// Release of the running kernel (proc_sys_kernel(5)).
const OSRELEASE: &str = "/proc/sys/kernel/osrelease";

/// What marks a signed module (Documentation/admin-guide/module-signing.rst).
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// What is known about the modules of one kernel.
#[derive(Debug, Default)]
pub struct Modules {
    dir: PathBuf,
    /// Whether the index below has been read.
    read: bool,
    /// As in modules.dep.
    dep: Vec<DepEntry>,
    /// pattern, module
    alias: Vec<(String, String)>,
    softdep: Vec<(String, String)>,
    builtin: Vec<String>,
    blacklist: Vec<String>,
    loaded: Vec<String>,
    verify: bool,
    /// The kernel's command line, which has parameters of modules.
    line: Vec<u8>,
}

/// One line of modules.dep.
#[derive(Clone, Debug)]
pub struct DepEntry {
    /// Its name, as the kernel has it.
    pub name: String,
    /// Its file, below the directory of the index.
    pub path: String,
    /// The names of what it needs, the first to be loaded last.
    pub needs: Vec<String>,
}

/// Why a module was not loaded.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Neither a module nor an alias of that name is in the index.
    Unknown,
    /// The administrator forbade it.
    Blacklisted,
    /// Its file could not be read, or the kernel refused it.
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
            LoadError::Refused(path, e) => write!(f, "{path}: {e}"),
        }
    }
}

impl Modules {
    /// Finds the index of the running kernel below `root`.
    ///
    /// # Errors
    /// When `modules.dep` cannot be opened.
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

    /// Reads the index, once; what is not there is empty.
    fn read_index(&mut self) {
        if std::mem::replace(&mut self.read, true) {
            return;
        }
        let text = |name| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        let (dep, alias) = (text("modules.dep"), text("modules.alias"));
        let (softdep, builtin) = (text("modules.softdep"), text("modules.builtin"));
        self.dep = parse_dep(&dep);
        self.alias = parse_alias(&alias);
        self.softdep = parse_softdep(&softdep);
        self.builtin = builtin.lines().map(module_name).collect();
        self.line = fs::read("/proc/cmdline").unwrap_or_default();
    }

    /// Takes what the flags say: names never to load, and whether to verify.
    pub fn configure(&mut self, blacklist: &[String], verify: bool) {
        self.blacklist = blacklist.iter().map(|n| normal(n)).collect();
        self.verify = verify;
    }

    /// Loads whatever `name` is: a module, or an alias such as a modalias.
    /// Already loaded and built in count as loaded.
    ///
    /// # Errors
    /// Why nothing could be loaded; the first problem when there are several.
    pub fn load(&mut self, name: &str) -> Result<(), LoadError> {
        self.load_with_params(name, "")
    }

    /// The same with parameters for a module of that name, `parameter=value …`,
    /// behind those of the command line.
    ///
    /// # Errors
    /// As [`Modules::load`].
    pub fn load_with_params(&mut self, name: &str, parameters: &str) -> Result<(), LoadError> {
        self.read_index();
        if !parameters.is_empty() {
            // Just as the command line would say it.
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
        // Noted first, so that a cycle in the index ends here.
        self.loaded.push(name.to_owned());
        let result = self.load_with_needs(name);
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
        // depmod writes what is needed last first.
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

    /// Whether this has loaded it, and nobody before.
    pub fn has_loaded(&self, name: &str) -> bool {
        self.loaded.iter().any(|l| l == name)
    }

    /// Modules that an alias stands for, each once.
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

/// Whether the kernel has it already and is done with it: the kernel reads and
/// checks a module whole before it says that it has it.
fn live(name: &str) -> bool {
    let state = fs::read_to_string(format!("/sys/module/{name}/initstate"));
    state.is_ok_and(|s| s.trim() == "live")
}

/// Hands one module file to the kernel with its parameters; loaded already is as
/// good.
///
/// # Errors
/// What the system said.
pub fn insmod(path: &Path, options: &str, verify: &mut bool) -> Result<(), Errno> {
    let read =
        || fs::read(path).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)));
    debug!("module {} {options}", path.display());
    let options = CString::new(options).unwrap_or_default();
    if !*verify {
        let mut file = read()?;
        file.truncate(without_signature(&file).len());
        untrace(&mut file);
        match give(&file, &options) {
            // ENOKEY, EKEYREJECTED: module.sig_enforce; EPERM: lockdown.
            Err(e @ (Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EPERM)) => {
                info!("the kernel wants module signatures ({e}): from here on each is verified");
                *verify = true;
            }
            other => return other,
        }
    }
    give(&read()?, &options)
}

fn give(image: &[u8], options: &CStr) -> Result<(), Errno> {
    match init_module(image, options) {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// A module without the signature that may be appended: signature, then twelve
/// bytes that end in its length, then the marker (module_signature.h).
#[must_use]
pub fn without_signature(file: &[u8]) -> &[u8] {
    let without = || {
        let body = file.strip_suffix(SIGNED)?;
        let (rest, info) = body.split_at_checked(body.len().checked_sub(12)?)?;
        let length = u32::from_be_bytes(info.get(8..12)?.try_into().ok()?);
        rest.get(..rest.len().checked_sub(usize::try_from(length).ok()?)?)
    };
    without().unwrap_or(file)
}

/// `kernel/net/nf-nat.ko.xz` -> `nf_nat`.
#[must_use]
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

/// The kernel takes `-` and `_` alike in module names.
fn normal(name: &str) -> String {
    name.trim().replace('-', "_")
}

/// The lines of modules.dep: `path: path path…`.
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

/// Pattern and module of the lines `alias PATTERN MODULE`.
#[must_use]
pub fn parse_alias(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let mut words = line.strip_prefix("alias ")?.rsplitn(2, ' ');
        let (module, pattern) = (words.next()?, words.next()?);
        Some((pattern.to_owned(), normal(module)))
    };
    text.lines().filter_map(pair).collect()
}

/// The `pre:` half of `softdep NAME pre: A B post: C`.
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

/// fnmatch(3) as modules.alias needs it: `*`, `?`, `[a-z]`. Linear but for the
/// last star, so that no modalias can make it slow.
pub fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match step(pattern.get(p..).unwrap_or(&[]), text[t]) {
            Step::Star => {
                star = Some((p + 1, t));
                p += 1;
            }
            Step::Match(used) => {
                p += used;
                t += 1;
            }
            Step::No => {
                let Some((after, from)) = star else {
                    return false;
                };
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
        }
    }
    pattern.get(p..).unwrap_or(&[]).iter().all(|&c| c == b'*')
}

enum Step {
    Star,
    Match(usize),
    No,
}

fn step(pattern: &[u8], c: u8) -> Step {
    match pattern {
        [b'*', ..] => Step::Star,
        [b'?', ..] => Step::Match(1),
        [b'[', set @ ..] => match set.iter().position(|&b| b == b']') {
            Some(end) if in_set(&set[..end], c) => Step::Match(end + 2),
            _ => Step::No,
        },
        [first, ..] if *first == c => Step::Match(1),
        _ => Step::No,
    }
}

fn in_set(set: &[u8], c: u8) -> bool {
    match set {
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&c) || in_set(rest, c),
        [one, rest @ ..] => *one == c || in_set(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests;
