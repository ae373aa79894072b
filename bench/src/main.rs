// SPDX-License-Identifier: Apache-2.0
//! `cargo run -p bench`, which `make bench` calls.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bench::figures::{self, Figures};
use bench::guard::{self, Bench};
use bench::image::Parts;
use bench::peers::{self, OURS, PEERS};
use bench::{boot, disk, machine, memory, page, pid1, quadlet, report, svg};
use initramfs::arch::Arch;
use initramfs::fetch::BuildConfig;
use initramfs::programs::{self, Target};
use initramfs::progress::Step;
use initramfs::{image, paths};
use vmm::{Artifacts, Board};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Request in the environment.
struct Asked {
    cases: Vec<&'static str>,
    runs: usize,
}

/// Cases beside those of the table of peers, in their order.
const FURTHER: &[&str] = &[
    peers::TWO_CPUS,
    quadlet::NAME,
    memory::NAME,
    machine::NAME,
    pid1::NAME,
];

/// Returns the cases that can be measured. The programs of the peers and of the measurement of PID 1 alone are the
/// host's.
fn known(arch: &Arch) -> Vec<&'static str> {
    match arch.is_host() {
        true => [&peers::order(), FURTHER].concat(),
        false => OURS.iter().map(|(name, _)| *name).collect(),
    }
}

fn asked(arch: &Arch) -> Result<Asked> {
    let var = |name| std::env::var(name).unwrap_or_default();
    let (case, runs) = (var("CASE"), var("RUNS"));
    let mut cases = known(arch);
    let named = case.split([',', ' ']).filter(|c| !c.is_empty());
    for name in named.clone() {
        if !cases.contains(&name) {
            let arch = arch.name;
            bail!(
                "CASE={name}: for {arch} it is one or more of {}",
                cases.join(", ")
            );
        }
    }
    let named: Vec<&str> = named.collect();
    cases.retain(|c| named.is_empty() || named.contains(c));
    let runs = match runs.as_str() {
        "" => 5,
        text => text
            .parse()
            .ok()
            .filter(|n| (1..=100).contains(n))
            .with_context(|| format!("RUNS={text}: it is a number from 1 to 100"))?,
    };
    Ok(Asked { cases, runs })
}

fn run() -> Result<()> {
    let config = BuildConfig::from_env()?;
    let asked = asked(config.arch)?;
    let steps = asked.cases.len() + 2;
    let bed = Bed::prepare(&config, &asked.cases, steps)?;
    let mut all = guard::read(&paths::out().join("bench.json"))?
        .filter(|old| old.kernel == config.kernel.name() && old.release == bed.parts.release())
        .unwrap_or_default();
    let mut failed = Vec::new();
    for (number, name) in (3..).zip(&asked.cases) {
        let step = Step::new("bench", number, steps);
        if let Err(why) = bed.add(name, asked.runs, &step, &mut all) {
            step.note(&format!("{name} failed: {why:#}"));
            failed.push(*name);
        }
    }
    finish(
        config.arch,
        &Bench {
            kernel: config.kernel.name().to_owned(),
            release: bed.parts.release().to_owned(),
            runs: asked.runs,
            ..all
        },
    )?;
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("no figures of {}", failed.join(", ")),
    }
}

/// Conditions under which every case is measured.
struct Bed {
    parts: Parts,
    ours: Artifacts,
    board: Board,
    /// Path of the data disk; `None` if no case boots with the disk.
    disk: Option<PathBuf>,
    dir: PathBuf,
}

impl Bed {
    fn prepare(config: &BuildConfig, cases: &[&str], steps: usize) -> Result<Self> {
        image::build_kernels(&[config.kernel.name().to_owned()])?;
        let parts = Parts::fetch(config, &Step::new("bench", 1, steps))?;
        let ours = Artifacts::from_out_dir(paths::out_of(config.kernel))?;
        let dir = paths::out().join("bench").join(config.kernel.name());
        let (board, mut disk) = (Board::of_arch(config.arch.name), None);
        if cases
            .iter()
            .any(|name| ![pid1::NAME, machine::NAME].contains(name))
        {
            Step::new("bench", 2, steps).note("the data disk");
            let probe =
                programs::build_program(Target::choose_for(config.arch), "bench-probe", &[])?;
            disk = Some(disk::make(
                &ours,
                board,
                &probe,
                &config.userland_tree().key,
                &dir,
            )?);
        }
        Ok(Bed {
            parts,
            ours,
            board,
            disk,
            dir,
        })
    }

    /// Measures a case; its earlier result is removed first.
    fn add(&self, name: &str, runs: usize, step: &Step, all: &mut Bench) -> Result<()> {
        match name {
            pid1::NAME => {
                all.pid1.clear();
                let (kernel, initrd) = (self.ours.kernel.clone(), self.parts.alone(step)?);
                all.pid1 = pid1::measure(&Artifacts { kernel, initrd }, runs, &self.dir, step)?;
            }
            quadlet::NAME => {
                all.quadlet.clear();
                all.quadlet = self.quadlet(runs, step)?;
            }
            machine::NAME => {
                all.machine.clear();
                let image = self.ours.kernel.parent();
                let image = image.context("a kernel without a directory")?;
                all.machine = machine::measure(image, runs, &self.dir, step)?;
            }
            memory::NAME => {
                all.memory.clear();
                all.memory = memory::measure(&self.ours, self.disk()?, &self.dir, step)?;
            }
            peers::TWO_CPUS => {
                all.two_cpus.clear();
                for name in peers::ON_TWO_CPUS {
                    let figures = self.measure(name, true, runs, step)?;
                    all.two_cpus.insert((*name).to_owned(), figures);
                }
            }
            _ => {
                all.cases.remove(name);
                let figures = self.measure(name, false, runs, step)?;
                all.cases.insert(name.to_owned(), figures);
            }
        }
        Ok(())
    }

    fn quadlet(&self, runs: usize, step: &Step) -> Result<BTreeMap<String, Figures>> {
        let initrd = self.parts.initrd(&peers::QUADLET, step)?;
        let candidates = quadlet::candidates(&self.ours, initrd, &peers::QUADLET);
        let disk = quadlet::disk(self.disk()?, &self.dir)?;
        quadlet::measure(&candidates, &disk, runs, &self.dir, step)
    }

    fn disk(&self) -> Result<&Path> {
        self.disk.as_deref().context("no data disk was made")
    }

    fn measure(&self, name: &str, two_cpus: bool, runs: usize, step: &Step) -> Result<Figures> {
        let (files, append) = match PEERS.iter().find(|p| p.name == name) {
            None => {
                let append = OURS.iter().find(|(ours, _)| *ours == name);
                (self.ours.clone(), append.map_or("", |(_, append)| *append))
            }
            Some(peer) => {
                let initrd = self.parts.initrd(peer, step)?;
                let kernel = self.ours.kernel.clone();
                (Artifacts { kernel, initrd }, peer.append)
            }
        };
        let append = match two_cpus {
            true => &format!("{append} {}", peers::ON_TWO_CPUS_FLAG),
            false => append,
        };
        let disk = self.disk()?;
        let prefix = if two_cpus { "two-cpus-" } else { "" };
        let mut readings = Vec::new();
        for run in 1..=runs {
            let began = Instant::now();
            let dir = self.dir.join(format!("{prefix}{name}-{run}"));
            let reading = boot::once(&files, self.board, append, disk, two_cpus, &dir)?;
            let one = figures::of(std::slice::from_ref(&reading), 0)?;
            let ms = |name: &str| one.get(name).map_or(0, |s| s.median / 1000);
            step.note(&format!(
                "{prefix}{name} {run}/{runs}: ready {} ms, answer {} ms, container {} ms ({} s)",
                ms("ready"),
                ms("ping"),
                ms("first"),
                began.elapsed().as_secs()
            ));
            readings.push(reading);
        }
        let size = |file: &Path| fs::metadata(file).map(|m| m.len());
        figures::of(&readings, size(&files.kernel)? + size(&files.initrd)?)
    }
}

/// Writes the results, and prints the figures that moved.
fn finish(arch: &Arch, bench: &Bench) -> Result<()> {
    let (out, order) = (paths::out(), peers::order());
    guard::write(bench, &out.join("bench.json"))?;
    fs::write(out.join("bench.svg"), svg::draw(bench, &order))?;
    let page = page::markdown(bench);
    let text = format!("{page}\n{}", report::markdown(bench, &order));
    fs::write(out.join("bench.md"), text)?;
    println!("{page}\nall figures: {}", out.join("bench.md").display());
    let accepted = guard::accepted(arch);
    let Some(old) = guard::read(&paths::root().join(&accepted))? else {
        return Ok(());
    };
    let lines = guard::moved(&old, bench);
    let share = guard::MOVED * 100.0;
    println!(
        "{} figures moved by more than {share} % since {accepted}",
        lines.len()
    );
    lines.iter().for_each(|line| println!("  {line}"));
    Ok(())
}
