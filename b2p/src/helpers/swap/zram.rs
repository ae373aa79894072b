//! Memory, compressed, as swap (Documentation/admin-guide/blockdev/zram.rst). It
//! takes memory only for what is in it.

use std::fs;
use std::io::Write;
use std::path::Path;

use config::{Config, ZramSize};
use disk::swap::{PAGE, header};
use sys::modules::Modules;

const DEVICE: &str = "/dev/zram0";
const SYS: &str = "/sys/block/zram0";
/// Before every disk: theirs are negative.
const PRIORITY: u8 = 100;
/// The first of these that the kernel has: who swaps waits for one page, and lz4
/// is there soonest.
const ALGORITHMS: &[&str] = &["lz4", "zstd"];
/// As with a share: more could never be filled.
const MOST_PERCENT: u64 = 300;

/// Makes it and swaps to it.
pub fn make(share: ZramSize, config: &Config) -> Result<String, String> {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    if super::on(&swaps, Path::new(DEVICE)) {
        return Ok("is there already".into());
    }
    let bytes = bytes(share, memory()?)?;
    load(config)?;
    if read("initstate")?.trim() != "0" {
        return Err(format!("{DEVICE} is in use already"));
    }
    let algorithm = best(&read("comp_algorithm")?);
    if let Some(name) = algorithm {
        write("comp_algorithm", name)?;
    }
    write("disksize", &bytes.to_string())?;
    let made = format(bytes).and_then(|()| super::take(Path::new(DEVICE), Some(PRIORITY)));
    if made.is_err() {
        write("reset", "1")?;
    }
    made.map(|how| format!("{how}, {}", algorithm.unwrap_or("compressed")))
}

fn load(config: &Config) -> Result<(), String> {
    let mut modules = Modules::open(Path::new("/"))?;
    let verify = config.modules == config::Modules::Verified;
    modules.configure(&config.blacklist, verify);
    modules
        .load("zram")
        .map_err(|e| format!("module zram: {e}"))
}

/// Of the machine, in bytes (proc_meminfo(5)).
fn memory() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|e| e.to_string())?;
    total(&text).ok_or_else(|| "/proc/meminfo does not say how much memory there is".into())
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// How large it becomes: whole pages.
fn bytes(share: ZramSize, memory: u64) -> Result<u64, String> {
    let percent = |percent: u64| memory / 100 * percent;
    let bytes = match share {
        ZramSize::Percent(share) => percent(share.into()),
        ZramSize::Mib(mib) => u64::from(mib) << 20,
    };
    if bytes > percent(MOST_PERCENT) {
        let most = percent(MOST_PERCENT) >> 20;
        return Err(format!(
            "{} MiB is more than three times the memory ({most} MiB)",
            bytes >> 20
        ));
    }
    Ok(bytes - bytes % PAGE as u64)
}

/// Of a list such as `lzo-rle [lzo] lz4 zstd`; `None`: it stays as the kernel has it.
fn best(list: &str) -> Option<&'static str> {
    let has = |name: &str| {
        let mut names = list.split_whitespace();
        names.any(|n| n.trim_matches(['[', ']']) == name)
    };
    ALGORITHMS.iter().copied().find(|name| has(name))
}

fn format(bytes: u64) -> Result<(), String> {
    // It is gone with the power: nobody looks for it by a UUID.
    let page = header(bytes, &[0; 16]).ok_or("too small for swap")?;
    let written = fs::OpenOptions::new()
        .write(true)
        .open(DEVICE)
        .and_then(|mut device| {
            device.write_all(&page)?;
            device.sync_all() // swapon(2) reads past what is only in this cache
        });
    written.map_err(|e| format!("{DEVICE}: {e}"))
}

fn read(name: &str) -> Result<String, String> {
    let path = Path::new(SYS).join(name);
    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(name: &str, text: &str) -> Result<(), String> {
    let path = Path::new(SYS).join(name);
    fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let memory = total("MemTotal:        1000000 kB\nMemFree: 5 kB\n");
        assert_eq!(memory, Some(1_024_000_000));
        let memory = memory.unwrap_or(0);
        let quarter = bytes(ZramSize::Percent(25), memory);
        assert_eq!(quarter, Ok(256_000_000));
        assert_eq!(bytes(ZramSize::Percent(1), 4096 * 100 + 99), Ok(4096));
        assert_eq!(bytes(ZramSize::Percent(1), 4095 * 100), Ok(0));
        assert_eq!(bytes(ZramSize::Mib(64), memory), Ok(64 << 20));
        assert!(bytes(ZramSize::Percent(300), memory).is_ok());
        assert!(bytes(ZramSize::Mib(2929), memory).is_ok());
        assert!(bytes(ZramSize::Mib(2930), memory).is_err());
        assert!(bytes(ZramSize::Mib(u32::MAX), memory).is_err());
        assert!(format(0).is_err());
        assert_eq!(total("MemTotal: much\n"), None);
        assert_eq!(total(""), None);
    }

    #[test]
    fn the_fastest_that_is_there() {
        assert_eq!(best("lzo-rle lzo lz4 lz4hc [zstd] deflate\n"), Some("lz4"));
        assert_eq!(best("[lzo-rle] lz4hc zstd\n"), Some("zstd"));
        assert_eq!(best("[lz4]\n"), Some("lz4"));
        assert_eq!(best("[lzo-rle] lzo\n"), None);
    }
}
