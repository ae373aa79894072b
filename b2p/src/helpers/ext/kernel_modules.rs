// SPDX-License-Identifier: Apache-2.0
//! Kernel modules of an extension: whether all that they depend on is there, their loading, and whether
//! something uses them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use log::info;
use nix::kmod::{DeleteModuleFlags, delete_module};
use sys::error::{Doing, Error, Result};
use sys::modules::{DepEntry, LISTS, MAX_LIST, Modules, module_name, parse_dep};

use super::manifest::Manifest;
use super::{added, image};

/// Directory of the modules of each kernel.
const MODULES: &str = "usr/lib/modules";
/// Directory of the kernel's own view of its modules.
const SYS_MODULE: &str = "/sys/module";

/// A loaded module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Name.
    pub name: String,
    /// Number of its users, modules among them.
    pub references: usize,
    /// Modules that use it.
    pub holders: Vec<String>,
}

/// Checks that the lists of modules can be read and name files of the image, and that each module which is to
/// be loaded is in the machine or in the image at `root`, with all that it depends on.
///
/// # Errors
/// The list that cannot be read, or the first module that is missing.
pub fn check(manifest: &Manifest<'_>, root: &Path) -> Result<()> {
    let kernel = manifest.value("kernel");
    if kernel.is_empty() {
        return Ok(());
    }
    for list in LISTS {
        let text = image::read(root, &list_path(manifest, list), MAX_LIST);
        text.doing("its list of modules")?;
    }
    let of = |root: &Path| root.join(MODULES).join(kernel);
    let (dir, own_dir) = (of(Path::new("/")), of(root));
    let own = of_image(manifest, root);
    ensure_own_files(&own, &own_dir)?;
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let builtin = read("modules.builtin");
    let builtin = sys::sort::inserted(builtin.lines().map(module_name));
    let machine = parse_dep(&read("modules.dep"));
    if let Some(name) = shadowed(&own, &machine, &builtin) {
        return Err(Error::invalid(format!(
            "its module {name} has the name of one of the machine"
        )));
    }
    let has_file = |path: &str| dir.join(path).exists() || own_dir.join(path).exists();
    let index = index(machine, own);
    for name in manifest.modules() {
        if let Some(missing) = missing(name, &index, &builtin, &has_file) {
            return Err(Error::invalid(format!(
                "its module {name} needs {missing}, which neither it nor this machine has"
            )));
        }
    }
    Ok(())
}

/// Refuses a list that names something else than files of the image.
fn ensure_own_files(own: &[DepEntry], dir: &Path) -> Result<()> {
    let is_own = |path: &str| {
        let mut parts = Path::new(path).components();
        parts.all(|part| matches!(part, Component::Normal(_)))
            && fs::symlink_metadata(dir.join(path)).is_ok_and(|m| m.is_file())
    };
    match own.iter().find(|entry| !is_own(&entry.path)) {
        None => Ok(()),
        Some(entry) => Err(Error::invalid(format!(
            "its list of modules has {:?}, which is no file of it",
            entry.path
        ))),
    }
}

/// Returns the name of a module that the machine has as another file, or in its kernel. One that is Debian's
/// own in both has the same path, and the machine's counts.
fn shadowed(own: &[DepEntry], machine: &[DepEntry], builtin: &BTreeSet<String>) -> Option<String> {
    let is_other = |entry: &&DepEntry| {
        let mut machine = machine.iter();
        builtin.contains(&entry.name)
            || machine.any(|known| known.name == entry.name && known.path != entry.path)
    };
    own.iter().find(is_other).map(|entry| entry.name.clone())
}

/// Returns the path of a list of modules in an image.
fn list_path(manifest: &Manifest<'_>, list: &str) -> PathBuf {
    let dir = Path::new(MODULES).join(manifest.value("kernel"));
    let path = dir.join("ext").join(manifest.value("name"));
    path.with_extension(list)
}

/// Returns the part of the index that the image has.
fn of_image(manifest: &Manifest<'_>, root: &Path) -> Vec<DepEntry> {
    let text = image::read(root, &list_path(manifest, "dep"), MAX_LIST);
    let text = text.ok().flatten().unwrap_or_default();
    parse_dep(&String::from_utf8(text).unwrap_or_default())
}

/// Returns the entries by name; those of the machine count before those of the image, as for `sys::modules`.
fn index(machine: Vec<DepEntry>, own: Vec<DepEntry>) -> BTreeMap<String, DepEntry> {
    let entries = own.into_iter().rev().chain(machine.into_iter().rev());
    sys::sort::inserted(entries.map(|entry| (entry.name.clone(), entry)))
}

/// Returns the name of a module, of `name` and of those that it depends on, that does not exist.
fn missing(
    name: &str,
    index: &BTreeMap<String, DepEntry>,
    builtin: &BTreeSet<String>,
    has_file: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let mut left = vec![module_name(name)];
    let mut seen = BTreeSet::new();
    while let Some(name) = left.pop() {
        if builtin.contains(&name) || !seen.insert(name.clone()) {
            continue;
        }
        match index.get(&name).filter(|entry| has_file(&entry.path)) {
            Some(entry) => left.extend(entry.needs.iter().cloned()),
            None => return Some(name),
        }
    }
    None
}

/// Loads the modules of the manifest, as modprobe(8) does.
///
/// # Errors
/// The modules that cannot be loaded, and why.
pub fn load(manifest: &Manifest<'_>) -> Result<()> {
    if manifest.modules().next().is_none() {
        return Ok(());
    }
    let config = sys::config_sources::read().0;
    let mut modules = Modules::open(Path::new("/"))?;
    modules.configure(
        &config.blacklist,
        config.modules == config::Modules::Verified,
    );
    let mut errors = Vec::new();
    for name in manifest.modules() {
        if let Err(why) = modules.load(name) {
            errors.push(Error::invalid(format!("module {name}: {why}")));
        }
    }
    Error::join(errors)
}

/// Returns the modules of an added extension that are loaded, without those that stay: those that the machine or
/// another extension has as well, drivers of the machine's devices, such as its screen, and what these depend on.
pub fn loaded(name: &str, manifest: &Manifest<'_>) -> Vec<Loaded> {
    let own = of_image(manifest, &added::target(name));
    if own.is_empty() {
        return Vec::new();
    }
    let dir = Path::new("/").join(MODULES).join(manifest.value("kernel"));
    let dep = fs::read_to_string(dir.join("modules.dep")).unwrap_or_default();
    let mut others = parse_dep(&dep);
    for other in added::added().iter().filter(|other| *other != name) {
        let text = fs::read(added::manifest_copy(other)).unwrap_or_default();
        if let Ok(manifest) = Manifest::parse(&text) {
            others.extend(of_image(&manifest, &added::target(other)));
        }
    }
    let alone = own.iter().filter(|entry| is_alone(entry, &others));
    let loaded = alone.filter_map(|entry| of_kernel(&entry.name));
    without_drivers(loaded.collect(), &has_device)
}

fn is_alone(entry: &DepEntry, others: &[DepEntry]) -> bool {
    others.iter().all(|other| other.name != entry.name)
}

fn without_drivers(mut modules: Vec<Loaded>, has_device: &dyn Fn(&str) -> bool) -> Vec<Loaded> {
    let mut staying: Vec<String> = Vec::new();
    loop {
        let before = modules.len();
        modules.retain(|module| {
            let mut holders = module.holders.iter();
            let stays = has_device(&module.name) || holders.any(|h| staying.contains(h));
            if stays {
                staying.push(module.name.clone());
            }
            !stays
        });
        if modules.len() == before {
            return modules;
        }
    }
}

/// Returns true if a device is bound to a driver of the module: sysfs has a link for each of them.
fn has_device(name: &str) -> bool {
    let links = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|t| t.is_symlink()))
    };
    let drivers = Path::new(SYS_MODULE).join(name).join("drivers");
    links(&drivers).any(|driver| links(&driver.path()).any(|link| link.file_name() != "module"))
}

fn of_kernel(name: &str) -> Option<Loaded> {
    let dir = Path::new(SYS_MODULE).join(name);
    let references = fs::read_to_string(dir.join("refcnt")).ok()?;
    let holders = fs::read_dir(dir.join("holders"))
        .into_iter()
        .flatten()
        .flatten();
    Some(Loaded {
        name: name.to_owned(),
        references: references.trim().parse().unwrap_or(0),
        holders: holders
            .map(|h| h.file_name().to_string_lossy().into_owned())
            .collect(),
    })
}

/// Returns what keeps one of the modules in use, besides these modules themselves, in words.
pub fn blocker(modules: &[Loaded]) -> Option<String> {
    let is_own = |name: &String| modules.iter().any(|module| module.name == *name);
    modules.iter().find_map(|module| {
        let name = &module.name;
        match module.holders.iter().find(|holder| !is_own(holder)) {
            Some(holder) => Some(format!("the module {holder}, which uses its module {name}")),
            None if module.references > module.holders.len() => {
                Some(format!("the kernel, which uses its module {name}"))
            }
            None => None,
        }
    })
}

/// Unloads modules that nothing uses, each after those that use it.
///
/// # Errors
/// A module that stays.
pub fn unload(modules: &[Loaded]) -> Result<()> {
    let mut left: Vec<&Loaded> = modules.iter().collect();
    loop {
        let before = left.len();
        let mut last = None;
        left.retain(|module| {
            let name = CString::new(module.name.as_str()).unwrap_or_default();
            let removed = delete_module(&name, DeleteModuleFlags::O_NONBLOCK);
            last = removed.err().or(last);
            removed.is_err()
        });
        match (left.first(), last) {
            (Some(module), Some(errno)) if left.len() == before => {
                return Err(errno).doing(format!("unload the module {}", module.name));
            }
            (Some(_), _) => {}
            (None, _) => break,
        }
    }
    if !modules.is_empty() {
        info!("ext: {} modules are unloaded", modules.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn dependencies_of_modules_are_found_in_machine_or_image() {
        let dep = "kernel/nfsv4.ko: kernel/nfs.ko kernel/sunrpc.ko\nkernel/nfs.ko: kernel/sunrpc.ko\n\
            kernel/sunrpc.ko:\nkernel/lost.ko: kernel/gone.ko\nkernel/gone.ko:\nkernel/a.ko: kernel/b.ko\n\
            kernel/b.ko: kernel/a.ko\nkernel/bad.ko: kernel/unknown.ko\n";
        let index = index(parse_dep("kernel/sunrpc.ko:\n"), parse_dep(dep));
        let builtin = ["ext4".to_owned()].into();
        let has_file = |path: &str| path != "kernel/gone.ko";
        for (name, expected) in [
            ("nfsv4", None),
            ("ext4", None),
            ("a", None),
            ("lost", Some("gone")),
            ("bad", Some("unknown")),
            ("no-such", Some("no_such")),
        ] {
            let found = missing(name, &index, &builtin, &has_file);
            assert_eq!(found.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn modules_of_the_machine_and_of_others_stay_theirs() {
        let own = parse_dep("x/veth.ko:\nkernel/nfs.ko: kernel/sunrpc.ko\nkernel/sunrpc.ko:\n");
        let builtin = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let machine = |text: &str| shadowed(&own, &parse_dep(text), &builtin(&[]));
        assert_eq!(machine("kernel/net/veth.ko:\n"), Some("veth".to_owned()));
        // The machine's image has become larger.
        assert_eq!(machine("kernel/sunrpc.ko:\n"), None);
        let in_kernel = shadowed(&own, &[], &builtin(&["nfs"]));
        assert_eq!(in_kernel, Some("nfs".to_owned()));
        let others = parse_dep("kernel/net/veth.ko:\nkernel/sunrpc.ko:\nkernel/cifs.ko:\n");
        let alone = own.iter().filter(|entry| is_alone(entry, &others));
        assert_eq!(alone.map(|e| e.name.as_str()).collect::<Vec<_>>(), ["nfs"]);
    }

    #[test]
    fn needs_that_branch_without_end_are_looked_at_once() {
        let line = |n: usize| format!("m{n}.ko: m{0}.ko m{0}.ko\n", n + 1);
        let text: String = (0..10_000).map(line).collect();
        let index = index(Vec::new(), parse_dep(&text));
        let found = missing("m0", &index, &BTreeSet::new(), &|_| true);
        assert_eq!(found.as_deref(), Some("m10000"));
    }

    #[test]
    fn lists_name_files_of_the_image() {
        let temp = Temp::new();
        let dir = temp.path("usr/lib/modules/9.9.9-none");
        fs::create_dir_all(dir.join("ext")).unwrap();
        fs::write(dir.join("a.ko"), "").unwrap();
        fs::write(temp.path("b.ko"), "").unwrap();
        std::os::unix::fs::symlink("a.ko", dir.join("link.ko")).unwrap();
        let text = "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize 1\nsha256 0\n\
            kernel 9.9.9-none\nmodule a\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let check = |list: &str| {
            fs::write(dir.join("ext/a.dep"), list).unwrap();
            check(&manifest, temp.dir())
        };
        assert_eq!(check("a.ko:\n"), Ok(()));
        let elsewhere = temp.path("b.ko").display().to_string();
        for path in ["none.ko", "../../../../b.ko", &elsewhere, "link.ko", "ext"] {
            let refused = why(check(&format!("a.ko:\n{path}:\n")));
            assert!(
                refused.contains(path) && refused.contains("no file of it"),
                "{refused}"
            );
        }
        assert!(why(check("")).contains("its module a needs a, which neither"));
        let alias = fs::File::create(dir.join("ext/a.alias")).unwrap();
        alias.set_len(MAX_LIST + 1).unwrap();
        let refused = why(check("a.ko:\n"));
        let expected =
            "its list of modules: /usr/lib/modules/9.9.9-none/ext/a.alias: longer than 4096 KiB";
        assert!(refused.starts_with(expected), "{refused}");
    }

    #[test]
    fn references_between_own_modules_do_not_block_the_unload() {
        let module = |name: &str, references, holders: &[&str]| Loaded {
            name: name.to_owned(),
            references,
            holders: holders.iter().map(|h| (*h).to_owned()).collect(),
        };
        let modules = [module("nfs", 1, &["nfsv4"]), module("nfsv4", 0, &[])];
        assert_eq!(blocker(&modules), None);
        let modules = [module("nfs", 2, &["nfsv4"]), module("nfsv4", 0, &[])];
        assert_eq!(
            blocker(&modules).as_deref(),
            Some("the kernel, which uses its module nfs")
        );
        let modules = [module("nfs", 1, &["other"])];
        let said = blocker(&modules).unwrap_or_default();
        assert_eq!(said, "the module other, which uses its module nfs");
    }

    #[test]
    fn drivers_of_devices_stay_with_what_they_need() {
        let module = |name: &str, holders: &[&str]| Loaded {
            name: name.to_owned(),
            references: holders.len(),
            holders: holders.iter().map(|h| (*h).to_owned()).collect(),
        };
        let modules = vec![
            module("drm", &["helper", "qxl"]),
            module("helper", &["bochs", "qxl"]),
            module("bochs", &[]),
            module("qxl", &[]),
        ];
        let left = without_drivers(modules.clone(), &|name| name == "bochs");
        assert_eq!(left, [module("qxl", &[])]);
        assert_eq!(without_drivers(modules.clone(), &|_| false), modules);
        // Every kernel has drivers with devices, if not of a module.
        assert!(!has_device("no-such-module"));
    }
}
