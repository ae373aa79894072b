// SPDX-License-Identifier: Apache-2.0
//! Compressed memory as swap (Documentation/admin-guide/blockdev/zram.rst). The device takes memory
//! only for its stored pages.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use config::{Config, ZramSize};
use disk::swap::{PAGE, header};
use sys::error::{Doing, Error, Result};
use sys::modules::Modules;

use super::area;

const DEVICE: &str = "/dev/zram0";
/// Directory of the device's attributes.
const ATTRIBUTES: &str = "/sys/block/zram0";
/// Priority before every disk, whose priorities are negative.
const PRIORITY: u8 = 100;
/// Compression algorithms, best first: a page fault waits for one page, and lz4 unpacks a page
/// soonest.
const ALGORITHMS: &[&str] = &["lz4", "zstd"];
/// Largest size in percent of the memory, as for the flag's own percentage: more could never be
/// filled.
const MAX_PERCENT: u64 = 300;

/// Sets up the device, swaps to the device, and returns its size and algorithm.
///
/// # Errors
/// The kernel has no zram, the device is in use, or the size is too large.
pub fn swap_on(size: ZramSize, config: &Config) -> Result<String> {
    if area::is_on(Path::new(DEVICE)) {
        return Ok("is there already".into());
    }
    let memory = sys::memory::total().ok_or_else(|| Error::invalid("sysinfo: no memory"))?;
    let bytes = size_in_bytes(size, memory)?;
    load_driver(config)?;
    if read("initstate")?.trim() != "0" {
        return Err(Error::invalid(format!("{DEVICE} is in use already")));
    }
    let algorithm = best_algorithm(&read("comp_algorithm")?);
    if let Some(name) = algorithm {
        write("comp_algorithm", name)?;
    }
    write("disksize", &bytes.to_string())?;
    let on = format(bytes).and_then(|()| area::swap_on(Path::new(DEVICE), Some(PRIORITY)));
    if on.is_err() {
        write("reset", "1")?;
    }
    on.map(|how| format!("{how}, {}", algorithm.unwrap_or("compressed")))
}

fn load_driver(config: &Config) -> Result<()> {
    let mut modules = Modules::open(Path::new("/"))?;
    let verify = config.modules == config::Modules::Verified;
    modules.configure(&config.blacklist, verify);
    let loaded = modules.load("zram");
    loaded.map_err(|e| Error::invalid(format!("module zram: {e}")))
}

/// Returns the size of the device, in whole pages.
fn size_in_bytes(size: ZramSize, memory: u64) -> Result<u64> {
    let percent_of_memory = |percent: u64| memory / 100 * percent;
    let bytes = match size {
        ZramSize::Percent(percent) => percent_of_memory(percent.into()),
        ZramSize::Mib(mib) => u64::from(mib) << 20,
    };
    let max = percent_of_memory(MAX_PERCENT);
    if bytes > max {
        return Err(Error::invalid(format!(
            "{} MiB is more than three times the memory ({} MiB)",
            bytes >> 20,
            max >> 20
        )));
    }
    Ok(bytes - bytes % PAGE as u64)
}

/// Returns the best algorithm of a list such as `lzo-rle [lzo] lz4 zstd`, or `None` if the
/// kernel's default must do.
fn best_algorithm(list: &str) -> Option<&'static str> {
    let has = |name: &str| {
        let mut names = list.split_whitespace();
        names.any(|n| n.trim_matches(['[', ']']) == name)
    };
    ALGORITHMS.iter().copied().find(|name| has(name))
}

fn format(bytes: u64) -> Result<()> {
    // The area is lost with the power, and so needs no UUID.
    let page = header(bytes, &[0; 16]).ok_or_else(|| Error::invalid("too small for swap"))?;
    let write = || -> io::Result<()> {
        let mut device = fs::OpenOptions::new().write(true).open(DEVICE)?;
        device.write_all(&page)?;
        device.sync_all() // swapon(2) does not see what is only in the page cache
    };
    write().on(DEVICE)
}

fn read(attribute: &str) -> Result<String> {
    let path = Path::new(ATTRIBUTES).join(attribute);
    fs::read_to_string(&path).on(path)
}

fn write(attribute: &str, text: &str) -> Result<()> {
    let path = Path::new(ATTRIBUTES).join(attribute);
    fs::write(&path, text).on(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_in_bytes_of_percentages_and_mebibytes() {
        let memory = 1_024_000_000;
        let quarter = size_in_bytes(ZramSize::Percent(25), memory);
        assert_eq!(quarter, Ok(256_000_000));
        assert_eq!(
            size_in_bytes(ZramSize::Percent(1), 4096 * 100 + 99),
            Ok(4096)
        );
        assert_eq!(size_in_bytes(ZramSize::Percent(1), 4095 * 100), Ok(0));
        assert_eq!(size_in_bytes(ZramSize::Mib(64), memory), Ok(64 << 20));
        assert!(size_in_bytes(ZramSize::Percent(300), memory).is_ok());
        assert!(size_in_bytes(ZramSize::Mib(2929), memory).is_ok());
        assert!(size_in_bytes(ZramSize::Mib(2930), memory).is_err());
        assert!(size_in_bytes(ZramSize::Mib(u32::MAX), memory).is_err());
        assert!(format(0).is_err());
    }

    #[test]
    fn the_fastest_that_is_there() {
        assert_eq!(
            best_algorithm("lzo-rle lzo lz4 lz4hc [zstd] deflate\n"),
            Some("lz4")
        );
        assert_eq!(best_algorithm("[lzo-rle] lz4hc zstd\n"), Some("zstd"));
        assert_eq!(best_algorithm("[lz4]\n"), Some("lz4"));
        assert_eq!(best_algorithm("[lzo-rle] lzo\n"), None);
    }
}
