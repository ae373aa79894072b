// SPDX-License-Identifier: Apache-2.0
//! Coverage-guided fuzzing with the stable compiler. The program builds the targets with the flags
//! of cargo-fuzz, without the sanitizers (the code is safe Rust), and runs libFuzzer on these
//! targets, one per processor at a time.
//!
//! `cargo run -p fuzz --example run -- [SECONDS] [TARGET…] [-libfuzzer=option…]`
//! writes its findings below `target/fuzz`.

use std::collections::VecDeque;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;
use std::{env, fs, thread};

use fuzz::{TARGET_VARIABLE, TARGETS, Target};

/// Compiler flags for counters of coverage (LLVM's SanitizerCoverage).
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// Limits of libFuzzer: an input that takes more time or memory is a bug.
const LIMITS: &[&str] = &["-timeout=20", "-rss_limit_mb=1024", "-max_len=4096"];

struct Options {
    seconds: String,
    targets: Vec<Target>,
    libfuzzer_options: Vec<String>,
}

fn main() -> ExitCode {
    match parse_args().and_then(|options| fuzz(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("fuzz: {why}");
            ExitCode::FAILURE
        }
    }
}

fn parse_args() -> Result<Options, Box<dyn Error>> {
    let (mut seconds, mut targets, mut libfuzzer_options) =
        ("60".to_owned(), Vec::new(), Vec::new());
    for arg in env::args().skip(1) {
        if arg.starts_with('-') {
            libfuzzer_options.push(arg);
        } else if arg.parse::<u32>().is_ok() {
            seconds = arg;
        } else {
            let target = TARGETS.iter().find(|t| t.name == arg);
            targets.push(*target.ok_or_else(|| format!("{arg}: no such target"))?);
        }
    }
    if targets.is_empty() {
        targets = TARGETS.to_vec();
    }
    Ok(Options {
        seconds,
        targets,
        libfuzzer_options,
    })
}

/// Builds and runs the targets. Returns true if every property held.
fn fuzz(options: &Options) -> Result<bool, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.ok_or("no project around this crate")?;
    let program = build(root)?;
    let queue = Mutex::new(VecDeque::from(options.targets.clone()));
    let next = || queue.lock().ok()?.pop_front();
    let worker = || {
        let mut held = true;
        while let Some(target) = next() {
            let result = run(root, &program, &target, options);
            held &= result.unwrap_or_else(|why| {
                eprintln!("{}: {why}", target.name);
                false
            });
        }
        held
    };
    let workers = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let held = threads.into_iter().map(|t| t.join().unwrap_or(false));
        Ok(held.fold(true, |all, one| all & one))
    })
}

/// Builds the program of all targets, and returns its path.
fn build(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let started = Instant::now();
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    // With --target, the flags do not apply to build scripts and procedural macros.
    command.args(["build", "--quiet", "--package=fuzz", "--profile=fuzz"]);
    command.args(["--target=host-tuple", "--message-format=json"]);
    command
        .arg("--bin=targets")
        .current_dir(root)
        .env("RUSTFLAGS", FLAGS.join(" "));
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the program cannot be built (libFuzzer itself needs g++)".into());
    }
    println!("fuzz: built in {:.0?}", started.elapsed());
    let text = String::from_utf8(output.stdout)?;
    let program = text.split("\"executable\":\"").skip(1).last();
    let program = program.and_then(|t| t.split('"').next());
    Ok(program.ok_or("cargo names no program")?.into())
}

/// Runs one target. Returns true if its properties held.
fn run(
    root: &Path,
    program: &Path,
    target: &Target,
    options: &Options,
) -> Result<bool, Box<dyn Error>> {
    let work = root.join("target/fuzz").join(target.name);
    let corpus = work.join("corpus");
    fs::create_dir_all(&corpus)?;
    let dictionary_file = work.join("dictionary");
    fs::write(&dictionary_file, dictionary(target))?;
    let log = work.join("log");
    let mut command = Command::new(program);
    command.env(TARGET_VARIABLE, target.name).args(LIMITS);
    command.arg(format!("-dict={}", dictionary_file.display()));
    command.arg(format!("-max_total_time={}", options.seconds));
    command.arg(format!("-artifact_prefix={}/", work.display()));
    command
        .arg("-print_final_stats=1")
        .args(&options.libfuzzer_options);
    command
        .arg(&corpus)
        .arg(root.join("fuzz/corpus").join(target.name));
    command.current_dir(&work).stdout(Stdio::null());
    let status = command.stderr(fs::File::create(&log)?).status()?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    report(target, status.success(), &text);
    Ok(status.success())
}

/// Prints one line if the properties held, or else the end of libFuzzer's log with the input.
fn report(target: &Target, held: bool, log: &str) {
    let stat = |name| {
        let line = log.lines().find_map(|l| l.strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    let runs = stat("stat::number_of_executed_units:");
    let reached = log.lines().rev().find_map(|l| l.split(" cov: ").nth(1));
    let reached = reached.and_then(|l| l.split(' ').next()).unwrap_or("?");
    if held {
        println!("{:20} {runs:>9} runs, {reached:>5} edges", target.name);
        return;
    }
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or(&[]);
    println!("{} does not hold:\n{}", target.name, last.join("\n"));
}

/// Returns the dictionary in libFuzzer's form: tokens in quotes, `\xNN` for special bytes.
fn dictionary(target: &Target) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b'/' | b'-' | b'=');
    let byte = |b: u8| match plain(&b) {
        true => char::from(b).to_string(),
        false => format!("\\x{b:02x}"),
    };
    let line = |token: &&str| format!("\"{}\"\n", token.bytes().map(byte).collect::<String>());
    target.dictionary.iter().map(line).collect()
}
