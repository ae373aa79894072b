// SPDX-License-Identifier: Apache-2.0
//! `make ext` and the extensions of `make release`: several are made at the same time.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use super::table::KNOWN;
use super::{Request, make};
use crate::fetch::BuildConfig;
use crate::progress::Step;
use crate::{kernel, modules, paths, stamp, sums};

/// Number of extensions that are made at the same time: packages of one are fetched while
/// another is compressed.
const WORKERS: usize = 2;

/// Extension to make, for one kernel or, if it has modules, for several. One worker makes the
/// images for all kernels, because these have one tree of packages.
struct Job {
    request: Request,
    configs: Vec<BuildConfig>,
}

/// Makes the extension of `NAME=` and `PKGS=`, the extensions of the table with these names, or
/// with `--all` the whole table for each kernel, and writes the checksums of all that exist.
///
/// # Errors
/// A name or a package is not valid, or a step of the build failed.
pub fn build(names: &[String]) -> Result<()> {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let config = BuildConfig::from_env()?;
    let requests = match names {
        [] => vec![Request::of_variables(var)?],
        [all] if all == "--all" => requests(KNOWN.iter().map(|known| known.name))?,
        names => requests(names.iter().map(String::as_str))?,
    };
    let every_kernel = names == ["--all"];
    let jobs: Vec<Job> = requests
        .into_iter()
        .map(|request| Job {
            configs: match every_kernel {
                true => request.configs(&config),
                false => vec![request.config(&config)],
            },
            request,
        })
        .collect();
    let _lock = stamp::lock(&paths::out())?;
    prepare(&config, &jobs)?;
    let images = make_all(jobs)?;
    let others = sums::write_extensions(&paths::out(), every_kernel.then_some(images.as_slice()))?;
    for other in others {
        println!(
            "{} is not of the release, and in no SHA256SUMS",
            other.display()
        );
    }
    Ok(())
}

fn requests<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Request>> {
    names.map(|name| Request::new(name, "")).collect()
}

/// Fetches the common input of extensions: the userland, and kernels with the modules of their machine.
fn prepare(config: &BuildConfig, jobs: &[Job]) -> Result<()> {
    let step = Step::new("ext", 1, 2);
    let debian = config.fetch_userland(&step)?;
    let with_modules = jobs.iter().filter(|job| job.request.has_modules());
    for config in with_modules.flat_map(|job| &job.configs) {
        let linux = kernel::fetch(config, &step)?;
        modules::prepare(&debian, &linux, config.kernel, &step)?;
    }
    Ok(())
}

/// Makes extensions, [`WORKERS`] at a time; returns the paths of their images.
fn make_all(jobs: Vec<Job>) -> Result<Vec<PathBuf>> {
    let jobs = Mutex::new(jobs.into_iter());
    let next = || jobs.lock().map_or(None, |mut rest| rest.next());
    let work = || {
        let mut images = Vec::new();
        while let Some(Job { request, configs }) = next() {
            for config in &configs {
                let image = make(config, &request);
                images.push(image.with_context(|| request.name.clone())?);
            }
        }
        Ok(images)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let ends: Vec<Result<Vec<PathBuf>>> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
            .collect();
        let images: Result<Vec<Vec<PathBuf>>> = ends.into_iter().collect();
        Ok(images?.concat())
    })
}
