//! Extensions: read-only images with more programs, which become a part of the root
//! (docs/guide/extensions.md). `b2p ext boot` is run by PID 1 where a flag asks, `b2p ext add`
//! by people.
//!
//! An image is an erofs, mounted from where it lies, and its files are linked into the
//! root ([`links`]). It is taken only with its manifest: what was made for another
//! machine, or is not what was made, is refused and named. What was asked for at boot and
//! is not there is told to PID 1 in /run/boot2podman/ext.degraded.

mod find;
mod links;
mod list;
pub mod manifest;

use std::fs;
use std::path::Path;
use std::time::Duration;

use log::info;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::MsFlags;
use sys::modules::Modules;
use sys::paths::EXTENSIONS_DIR;

use crate::common::audit;
use crate::common::degraded::Degraded;
use crate::common::terminal::{print, print_error};
use crate::common::tool;
use crate::helpers::cloud::users;
use find::{Stem, Time};
use links::Done;
use manifest::{LONGEST, Machine, Manifest};

/// Where programs look for libraries.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// It says which C library it is of.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// A gigabyte on a slow disc.
const HASHED: Duration = Duration::from_secs(600);
/// So many paths are named, of those that stay as they are.
const NAMED: usize = 5;

/// `b2p ext [list|add NAME|FILE...|boot]`.
pub fn main(words: &[String]) -> i32 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["list"] => list::main(),
        ["add", names @ ..] if !names.is_empty() => add(names),
        ["boot"] => boot(),
        _ => {
            print_error("b2p ext: list, or add and the names of extensions");
            2
        }
    }
}

/// What the flags ask for; what fails is said and is no failure of the program.
fn boot() -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    // PID 1 has said what is wrong with the flags.
    let (config, _) = sys::config_sources::read();
    let time = Time::Boot(config.waitusb.as_ref().map_or(0, |w| w.seconds));
    let mut degraded = Degraded::of("ext");
    for name in &config.extensions {
        match find::find(name, time).and_then(|stem| take(&stem)) {
            Ok(how) => info!("ext: {name}: {how}"),
            Err(why) => degraded.warn(format_args!("{name}: {why}")),
        }
    }
    find::done();
    degraded.report()
}

/// 0 if all of them are there now.
fn add(names: &[&str]) -> i32 {
    let mut failed = 0;
    for name in names {
        let stem = match name.contains('/') {
            true => Stem::of_file(name),
            false => find::find(name, Time::Running),
        };
        match stem.and_then(|stem| take(&stem)) {
            Ok(how) => {
                audit::record(&format!("ext add {name}: {how}"));
                print(&format!("{name}: {how}\n"));
            }
            Err(why) => {
                print_error(&format!("b2p ext: {name}: {why}"));
                failed = 1;
            }
        }
    }
    find::done();
    failed
}

/// Makes it a part of the root; how much that is, or why not.
fn take(stem: &Stem) -> Result<String, String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("only root may add one: sudo b2p ext add".into());
    }
    let name = stem.name();
    let target = Path::new(EXTENSIONS_DIR).join(&name);
    fs::create_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    let _alone = lock()?;
    let text = text(stem)?;
    let manifest = fitting(stem, &text)?;
    let copy = target.with_extension("manifest");
    let before = find::is_mounted(&target).then(|| fs::read(&copy).unwrap_or_default());
    match before {
        Some(before) if before == text => {}
        Some(_) => {
            return Err("another of this name is there; a reboot takes it away".into());
        }
        None => {
            verify(stem, &manifest)?;
            mount(&stem.image(), &target)?;
            sys::files::replace(&copy, &text, 0o644)?;
        }
    }
    manifest.all("user").try_for_each(users::system)?;
    let done = links::make(&target, Path::new("/"))?;
    Ok(said(&done, &manifest))
}

/// Nobody else adds anything for as long as this is held.
fn lock() -> Result<Flock<fs::File>, String> {
    let path = Path::new(EXTENSIONS_DIR).join(".lock");
    let file = fs::File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| format!("{}: {e}", path.display()))
}

/// What its manifest says.
fn text(stem: &Stem) -> Result<Vec<u8>, String> {
    let path = stem.manifest();
    sys::files::read_bounded(&path, LONGEST).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!(
            "foreign: it has no manifest: {} is made with the image and stays beside it",
            path.display()
        ),
        _ => format!("{}: {e}", path.display()),
    })
}

/// The manifest, if it fits.
fn fitting<'a>(stem: &Stem, text: &'a [u8]) -> Result<Manifest<'a>, String> {
    let manifest = Manifest::read(text)?;
    let has = |name: &str| Path::new(LIBRARIES).join(name).exists();
    let machine = Machine {
        libc: &libc()?,
        has: &has,
    };
    manifest.fits(&stem.name(), &machine)?;
    Ok(manifest)
}

/// The version of this machine's C library, as its loader says it (ld.so(8)).
fn libc() -> Result<String, String> {
    let ended = tool::run(LOADER, &["--version"], Duration::from_secs(10))?;
    let line = ended.output.lines().next().unwrap_or_default();
    version(line).ok_or_else(|| format!("{LOADER}: no version in {line:?}"))
}

/// `ld.so (Debian GLIBC 2.41-12) stable release version 2.41.`
fn version(line: &str) -> Option<String> {
    let (_, version) = line.rsplit_once(" version ")?;
    Some(version.trim_end_matches('.').to_owned())
}

/// The image is the one that the manifest was made for.
fn verify(stem: &Stem, manifest: &Manifest<'_>) -> Result<(), String> {
    let (path, again) = (stem.image(), "damaged or changed; copy it again");
    let meta = fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (size, says) = (meta.len().to_string(), manifest.one("size"));
    if !meta.is_file() || size != says {
        return Err(format!(
            "it has {size} bytes, its manifest says {says}: {again}"
        ));
    }
    let (sum, says) = (sha256(&path)?, manifest.one("sha256"));
    match sum == says {
        true => Ok(()),
        false => Err(format!(
            "its SHA-256 is {sum}, its manifest says {says}: {again}"
        )),
    }
}

/// By busybox, which is there anyway.
fn sha256(path: &Path) -> Result<String, String> {
    let words = ["sha256sum", &path.to_string_lossy()];
    let ended = tool::run("/usr/bin/busybox", &words, HASHED)?;
    let sum = ended.output.split_ascii_whitespace().next();
    let hex = |s: &&str| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit());
    match sum.filter(hex).filter(|_| ended.code == Some(0)) {
        Some(sum) => Ok(sum.to_owned()),
        None => Err(format!("it cannot be read: {}", ended.last_lines)),
    }
}

/// Mounts an image. No set-user-ID program and no device node of it counts.
fn mount(image: &Path, target: &Path) -> Result<(), String> {
    if !Path::new("/dev/loop-control").exists() {
        // For an image in RAM; erofs reads one on a disk by itself (sys::image).
        let loaded = Modules::open(Path::new("/")).map(|mut modules| modules.load("loop"));
        if let Err(why) = loaded {
            info!("ext: loop: {why}");
        }
    }
    let (image, target) = (image.to_string_lossy(), target.to_string_lossy());
    sys::image::mount_erofs_file(&image, &target, MsFlags::MS_NOSUID, Path::new("/loop.ko"))
        .map_err(|why| match why.errno() == Some(nix::errno::Errno::EINVAL) {
            true => format!("foreign: {why}: no image that this kernel reads"),
            false => why.to_string(),
        })
}

fn said(done: &Done, manifest: &Manifest<'_>) -> String {
    let files = done.linked + done.shared;
    let text = format!("{files} files of {}", manifest.packages());
    if done.kept.is_empty() {
        return text;
    }
    let some = done.kept.iter().take(NAMED);
    let some: Vec<String> = some.map(|path| path.display().to_string()).collect();
    let count = done.kept.len();
    format!(
        "{text}; {count} that are there already stay: {}",
        some.join(", ")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_loader_says_its_version() {
        let line = "ld.so (Debian GLIBC 2.41-12+deb13u1) stable release version 2.41.";
        assert_eq!(version(line), Some("2.41".to_owned()));
        assert_eq!(version("ld.so"), None);
    }

    #[test]
    fn what_stays_is_named() {
        let text = "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize 1\n\
            sha256 0\npackage b 2\n";
        let manifest = Manifest::read(text.as_bytes()).unwrap();
        let mut done = Done {
            linked: 2,
            shared: 1,
            kept: Vec::new(),
        };
        assert_eq!(said(&done, &manifest), "3 files of b 2");
        done.kept = (0..7).map(|n| format!("/x{n}").into()).collect();
        let text = said(&done, &manifest);
        assert!(
            text.ends_with("; 7 that are there already stay: /x0, /x1, /x2, /x3, /x4"),
            "{text}"
        );
    }
}
