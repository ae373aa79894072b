// SPDX-License-Identifier: Apache-2.0
//! The applet `modprobe`, for people and for the kernel's own requests: kernel/module/kmod.c
//! calls `/sbin/modprobe -q -- <alias>`.

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, delete_module};
use sys::config_sources;
use sys::error::{Doing, Error, Result};
use sys::modules::Modules;

use crate::module_prefetch;

/// Loads every module that is named in `args`, with the `parameter=value` arguments as its
/// parameters; with `-r` unloads the modules. Returns the exit status. `-q` suppresses errors;
/// other options are ignored.
pub fn main(args: &[String]) -> i32 {
    let has = |short: &str, long: &str| args.iter().any(|arg| arg == short || arg == long);
    let (unload, quiet) = (has("-r", "--remove"), has("-q", "--quiet"));
    let operands = args.iter().filter(|arg| !arg.starts_with('-'));
    let (parameters, names): (Vec<_>, Vec<_>) = operands.partition(|arg| arg.contains('='));
    let parameters: Vec<&str> = parameters.into_iter().map(String::as_str).collect();
    let errors = match unload {
        true => remove(&names).err().into_iter().collect(),
        false => load(&names, &parameters.join(" ")),
    };
    if !quiet {
        errors
            .iter()
            .for_each(|error| eprintln!("modprobe: {error}"));
    }
    i32::from(!errors.is_empty())
}

/// Unloads the modules in order, up to the first that cannot be.
fn remove(names: &[&String]) -> Result<()> {
    for name in names {
        let kernel_name = CString::new(name.replace('-', "_")).map_err(|_| Errno::EINVAL);
        let removed = kernel_name.and_then(|n| delete_module(&n, DeleteModuleFlags::O_NONBLOCK));
        removed.doing((*name).clone())?;
    }
    Ok(())
}

/// Loads as many of the modules as can be, and returns the errors of the others.
fn load(names: &[&String], parameters: &str) -> Vec<Error> {
    let config = config_sources::read().0;
    let mut modules = match Modules::open(Path::new("/")) {
        Ok(modules) => modules,
        Err(error) => return vec![error],
    };
    let verify = config.modules == config::Modules::Verified;
    modules.configure(&config.blacklist, verify);
    let load = |name: &&String| {
        let error = modules.load_with_params(name, parameters).err()?;
        Some(Error::invalid(format!("{name}: {error}")))
    };
    let errors = names.iter().filter_map(load).collect();
    module_prefetch::load_followers(&mut modules);
    errors
}
