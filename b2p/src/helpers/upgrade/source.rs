//! What a new version comes in: an ISO of `make iso`, the raw disk of `make disk`, or a
//! directory. All of it is somebody else's until its sums have been seen.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use disk::bytes::SizedFile;
use disk::gpt;

use super::env::Env;
use super::mounts::{self, Mounted};
use super::sums;

/// What makes a version.
pub const FILES: [&str; 2] = ["vmlinuz", "initrd.img"];
/// Their sums.
pub const SUMS: &str = "SHA256SUMS";
/// Why a file is not read.
const QCOW2: &str = "a qcow2; `qemu-img convert -O raw` makes it one that can be read here";
const OTHER: &str = "neither an ISO of boot2podman nor a raw disk of it, nor a directory \
                     with vmlinuz, initrd.img and SHA256SUMS";
/// So much of a file says what it is.
const HEAD: usize = 40 * 1024;
/// A kernel's header, or less.
const KERNEL: usize = 4 * 1024;

/// A version that could be read and is not yet believed.
#[derive(Debug)]
pub struct Source {
    dir: PathBuf,
    sums: [String; 2],
    /// Bytes of the files together.
    pub size: u64,
    _mounted: Option<Mounted>,
}

/// What a file is by its first bytes.
#[derive(Debug, PartialEq, Eq)]
enum SignatureKind {
    Iso,
    Disk,
    Qcow2,
    Other,
}

fn kind(head: &[u8]) -> SignatureKind {
    let at = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|t| t.starts_with(magic));
    // First: what is written to a stick has a table of partitions, too.
    match () {
        () if at(0x8001, b"CD001") => SignatureKind::Iso,
        () if at(512, b"EFI PART") => SignatureKind::Disk,
        () if at(0, b"QFI\xfb") => SignatureKind::Qcow2,
        () => SignatureKind::Other,
    }
}

impl Source {
    /// Opens what is at `path`. Nothing is verified yet.
    ///
    /// # Errors
    /// What it is not, or lacks.
    pub fn open(path: &Path) -> Result<Source, String> {
        let say = |why: &str| format!("{}: {why}", path.display());
        let path = fs::canonicalize(path).map_err(|e| say(&e.to_string()))?;
        if path.is_dir() {
            return Source::of(&path, None);
        }
        let mut head = Vec::new();
        let file = sums::open(&path)?;
        let read = file.take(HEAD as u64).read_to_end(&mut head);
        read.map_err(|e| say(&e.to_string()))?;
        let mounted = match kind(&head) {
            SignatureKind::Iso => mounts::image(&path, "iso9660", ""),
            SignatureKind::Disk => slot(&path),
            SignatureKind::Qcow2 => Err(QCOW2.into()),
            SignatureKind::Other => Err(OTHER.into()),
        };
        let mounted = mounted.map_err(|why| say(&why))?;
        let dir = mounted.dir().to_owned();
        Source::of(&dir, Some(mounted))
            .map_err(|why| why.replace(&*dir.to_string_lossy(), &path.to_string_lossy()))
    }

    fn of(dir: &Path, mounted: Option<Mounted>) -> Result<Source, String> {
        // On an ISO they are in /boot.
        let boot = dir.join("boot");
        let dir = if boot.join(FILES[0]).is_file() {
            &boot
        } else {
            dir
        };
        let mut size = 0;
        for name in FILES {
            let file = dir.join(name);
            let of =
                sums::open(&file).map_err(|why| format!("no version of boot2podman: {why}"))?;
            size += of.metadata().map_err(|e| e.to_string())?.len();
        }
        let list = dir.join(SUMS);
        let text = sums::list(&list).ok_or_else(|| {
            format!(
                "{}: there is none, so that nothing could be verified",
                list.display()
            )
        })?;
        let sum = |name: &str| {
            sums::find(&text, name)
                .ok_or_else(|| format!("{}: it does not have {name}", list.display()))
        };
        let sums = [sum(FILES[0])?, sum(FILES[1])?];
        Ok(Source {
            dir: dir.to_owned(),
            sums,
            size,
            _mounted: mounted,
        })
    }

    /// Its files, each with its sum.
    pub fn files(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        let both = FILES.iter().zip(&self.sums);
        both.map(|(name, sum)| (self.dir.join(name), sum.as_str()))
    }

    /// The list of their sums.
    pub fn list(&self) -> String {
        let line = |(name, sum): (&&str, &String)| format!("{sum}  {name}\n");
        FILES.iter().zip(&self.sums).map(line).collect()
    }

    /// Reads all of it: whether it is what its sums say, and a kernel for this machine.
    ///
    /// # Errors
    /// Which file is not, and how.
    pub fn verify(&self) -> Result<(), String> {
        for (file, sum) in self.files() {
            sums::check(&file, sum)?;
        }
        let file = self.dir.join(FILES[0]);
        let mut head = Vec::new();
        let read = sums::open(&file)?
            .take(KERNEL as u64)
            .read_to_end(&mut head);
        read.map_err(|e| format!("{}: {e}", file.display()))?;
        kernel(&head).map_err(|why| format!("{} is {why}", FILES[0]))
    }
}

/// Whether a kernel can be booted here (Documentation/arch/x86/boot.rst: a magic, and
/// the bit XLF_KERNEL_64; Documentation/arch/arm64/booting.rst).
fn kernel(head: &[u8]) -> Result<(), String> {
    let at = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|t| t.starts_with(magic));
    let other = |name| {
        Err(format!(
            "a kernel for another processor ({name}); this one is x86-64"
        ))
    };
    match () {
        () if at(0x202, b"HdrS") && head.get(0x236).is_some_and(|b| b & 1 == 1) => Ok(()),
        () if at(0x202, b"HdrS") => other("x86 of 32 bits"),
        () if at(0x38, b"ARM\x64") => other("arm64"),
        () => Err("no Linux kernel for x86-64".into()),
    }
}

/// Mounts the slot that a raw disk boots.
fn slot(path: &Path) -> Result<Mounted, String> {
    let say = |e: std::io::Error| e.to_string();
    let mut file = sums::open(path)?;
    let size = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(say)?;
    let table = gpt::read(&SizedFile { file, size }, 512).map_err(say)?;
    let parts = table.map(|t| t.partitions()).unwrap_or_default();
    let options = |label: &str| {
        let part = parts.iter().find(|p| p.name == label);
        let part =
            part.ok_or_else(|| format!("a disk without a partition {label}: none of `make disk`"))?;
        Ok::<_, String>(format!(
            ",loop,offset={},sizelimit={}",
            part.first, part.len
        ))
    };
    let esp = mounts::image(path, "vfat", &options("boot2podman-esp")?)?;
    let env = sys::files::read_bounded(&esp.dir().join("grub/grubenv"), 4096).unwrap_or_default();
    let good = Env::parse(&env).unwrap_or_default().get("good") == "b";
    esp.end()?;
    let label = if good {
        "boot2podman-b"
    } else {
        "boot2podman-a"
    };
    mounts::image(path, "ext4", &format!("{},noload", options(label)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kinds_by_their_first_bytes() {
        let with = |at: usize, magic: &[u8]| {
            let mut head = vec![0; HEAD];
            disk::bytes::put(&mut head, at, magic);
            head
        };
        let mut stick = with(0x8001, b"CD001");
        disk::bytes::put(&mut stick, 512, b"EFI PART");
        assert_eq!(kind(&stick), SignatureKind::Iso);
        assert_eq!(kind(&with(512, b"EFI PART")), SignatureKind::Disk);
        assert_eq!(kind(b"QFI\xfb"), SignatureKind::Qcow2);
        assert_eq!(kind(b""), SignatureKind::Other);
    }

    #[test]
    fn kernels_of_others_are_named() {
        let mut x86 = vec![0; KERNEL];
        disk::bytes::put(&mut x86, 0x202, b"HdrS");
        assert!(kernel(&x86).unwrap_err().contains("32 bits"));
        x86[0x236] = 0x3f;
        kernel(&x86).unwrap();
        let mut arm = vec![0; KERNEL];
        disk::bytes::put(&mut arm, 0x38, b"ARM\x64");
        assert!(kernel(&arm).unwrap_err().contains("arm64"));
        assert!(kernel(b"MZ").unwrap_err().contains("no Linux kernel"));
    }

    #[test]
    fn a_directory_must_have_all_three_and_be_whole() {
        let dir = std::env::temp_dir().join(format!("b2p-source-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let why = || Source::open(&dir).and_then(|s| s.verify()).unwrap_err();
        assert!(why().contains("vmlinuz"));
        fs::write(dir.join("vmlinuz"), "k").unwrap();
        assert!(why().contains("initrd.img"));
        fs::write(dir.join("initrd.img"), "i").unwrap();
        assert!(why().contains("SHA256SUMS: there is none"));
        let sum = |name: &str| sums::run(&dir.join(name), |_| Ok(())).unwrap();
        let one = format!("{}  vmlinuz\n", sum("vmlinuz"));
        fs::write(dir.join(SUMS), &one).unwrap();
        assert!(why().contains("does not have initrd.img"));
        fs::write(
            dir.join(SUMS),
            format!("{one}{}  initrd.img\n", sum("initrd.img")),
        )
        .unwrap();
        assert!(why().contains("no Linux kernel"));
        assert_eq!(Source::open(&dir).unwrap().size, 2);
        fs::write(dir.join("initrd.img"), "j").unwrap();
        assert!(why().contains("initrd.img is damaged"));
        let file = dir.join("file");
        fs::write(&file, "text").unwrap();
        assert!(Source::open(&file).unwrap_err().contains("neither an ISO"));
        assert!(Source::open(&dir.join("none")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
