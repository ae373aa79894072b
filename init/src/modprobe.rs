//! `modprobe`: for people, and for the kernel's own requests (kernel/module/kmod.c
//! calls `/sbin/modprobe -q -- <alias>`).

use std::ffi::CString;
use std::path::Path;

use nix::kmod::{DeleteModuleFlags, delete_module};

use crate::module_prefetch;
use sys::modules::Modules;

/// Loads every name on the command line, or with `-r` takes those modules out.
/// `parameter=value` is for them.
/// Options that only choose how much is said are taken.
pub fn main(words: &[String]) -> i32 {
    let has = |short: &str, long: &str| words.iter().any(|w| w == short || w == long);
    let (remove_them, quiet) = (has("-r", "--remove"), has("-q", "--quiet"));
    let words = words.iter().filter(|w| !w.starts_with('-'));
    let (parameters, names): (Vec<_>, Vec<_>) = words.partition(|w| w.contains('='));
    let parameters: Vec<&str> = parameters.into_iter().map(String::as_str).collect();
    let result = if remove_them {
        remove(&names)
    } else {
        load(&names, &parameters.join(" "))
    };
    match result {
        Ok(()) => 0,
        Err(why) => {
            if !quiet {
                eprintln!("modprobe: {why}");
            }
            1
        }
    }
}

fn remove(names: &[&String]) -> Result<(), String> {
    for name in names {
        let kernel = CString::new(name.replace('-', "_")).map_err(|e| e.to_string())?;
        delete_module(&kernel, DeleteModuleFlags::O_NONBLOCK)
            .map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

fn load(names: &[&String], parameters: &str) -> Result<(), String> {
    let config = sys::config_sources::read().0;
    let mut modules = Modules::open(Path::new("/"))?;
    modules.configure(
        &config.blacklist,
        config.modules == config::Modules::Verified,
    );
    let failed: Vec<String> = names
        .iter()
        .filter_map(|n| {
            modules
                .load_with_params(n, parameters)
                .err()
                .map(|e| format!("{n}: {e}"))
        })
        .collect();
    module_prefetch::load_followers(&mut modules);
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\nmodprobe: "))
    }
}
