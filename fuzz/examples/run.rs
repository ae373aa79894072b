//! Coverage-guided fuzzing with the stable compiler: builds the targets with the
//! flags that cargo-fuzz gives them, less the sanitizers (what is fuzzed is safe
//! Rust), and runs libFuzzer on them, as many at once as there are processors.
//!
//! `cargo run -p fuzz --example run -- [SECONDS] [TARGET…] [-libfuzzer=option…]`
//! What it finds is below `target/fuzz`.

use std::collections::VecDeque;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Instant;
use std::{env, fs, thread};

use fuzz::{TARGETS, Target};

/// How the compiler counts what is reached (LLVM's SanitizerCoverage).
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// libFuzzer's own: one input that takes so long, or so much memory, is a bug.
const LIMITS: &[&str] = &["-timeout=20", "-rss_limit_mb=1024", "-max_len=4096"];

struct Wanted {
    seconds: String,
    targets: Vec<Target>,
    options: Vec<String>,
}

fn main() -> ExitCode {
    match wanted().and_then(|wanted| fuzz(&wanted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("fuzz: {why}");
            ExitCode::FAILURE
        }
    }
}

fn wanted() -> Result<Wanted, Box<dyn Error>> {
    let (mut seconds, mut targets, mut options) = ("60".to_owned(), Vec::new(), Vec::new());
    for word in env::args().skip(1) {
        if word.starts_with('-') {
            options.push(word);
        } else if word.parse::<u32>().is_ok() {
            seconds = word;
        } else {
            let target = TARGETS.iter().find(|t| t.name == word);
            targets.push(*target.ok_or_else(|| format!("{word}: no such target"))?);
        }
    }
    if targets.is_empty() {
        targets = TARGETS.to_vec();
    }
    Ok(Wanted {
        seconds,
        targets,
        options,
    })
}

/// Builds and runs all; whether all held.
fn fuzz(wanted: &Wanted) -> Result<bool, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.ok_or("no project around this crate")?;
    let programs = build(root, &wanted.targets)?;
    let queue = Mutex::new(VecDeque::from(wanted.targets.clone()));
    let next = || queue.lock().ok()?.pop_front();
    let worker = || {
        let mut held = true;
        while let Some(target) = next() {
            let one = one(root, &programs, &target, wanted);
            held &= one.unwrap_or_else(|why| {
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

/// The directory of the programs.
fn build(root: &Path, targets: &[Target]) -> Result<PathBuf, Box<dyn Error>> {
    let started = Instant::now();
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    // With --target, the flags are not for build scripts and procedural macros.
    command.args(["build", "--quiet", "--package=fuzz", "--profile=fuzz"]);
    command.args(["--target=host-tuple", "--message-format=json"]);
    command.args(targets.iter().map(|t| format!("--bin={}", t.name)));
    command.current_dir(root).env("RUSTFLAGS", FLAGS.join(" "));
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the targets cannot be built (libFuzzer itself needs g++)".into());
    }
    println!("fuzz: built in {:.0?}", started.elapsed());
    let text = String::from_utf8(output.stdout)?;
    let program = text.split("\"executable\":\"").skip(1).last();
    let program = program.and_then(|t| t.split('"').next());
    let dir = program.and_then(|p| Path::new(p).parent());
    Ok(dir.ok_or("cargo names no program")?.to_owned())
}

/// Runs one target; whether it held.
fn one(
    root: &Path,
    programs: &Path,
    target: &Target,
    wanted: &Wanted,
) -> Result<bool, Box<dyn Error>> {
    let work = root.join("target/fuzz").join(target.name);
    let corpus = work.join("corpus");
    fs::create_dir_all(&corpus)?;
    let words = work.join("words");
    fs::write(&words, dictionary(target))?;
    let log = work.join("log");
    let mut command = Command::new(programs.join(target.name));
    command.args(LIMITS);
    command.arg(format!("-dict={}", words.display()));
    command.arg(format!("-max_total_time={}", wanted.seconds));
    command.arg(format!("-artifact_prefix={}/", work.display()));
    command.arg("-print_final_stats=1").args(&wanted.options);
    command
        .arg(&corpus)
        .arg(root.join("fuzz/corpus").join(target.name));
    command.current_dir(&work).stdout(Stdio::null());
    let status = command.stderr(fs::File::create(&log)?).status()?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    report(target, status.success(), &text);
    Ok(status.success())
}

/// One line where it held; else what libFuzzer said last, the input with it.
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

/// libFuzzer's form of the words: quoted, `\xNN` for what is not plain.
fn dictionary(target: &Target) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b'/' | b'-' | b'=');
    let byte = |b: u8| match plain(&b) {
        true => char::from(b).to_string(),
        false => format!("\\x{b:02x}"),
    };
    let line = |w: &&str| format!("\"{}\"\n", w.bytes().map(byte).collect::<String>());
    target.words.iter().map(line).collect()
}
