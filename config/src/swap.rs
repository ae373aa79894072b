// SPDX-License-Identifier: Apache-2.0
//! Parser of `b2p.swap=`, swap areas.

use crate::builder::Builder;
use crate::diagnostic::Problem;
use crate::storage::{Swap, ZramSize};
use crate::values;

/// Default size of zram, as in Tiny Core.
const DEFAULT_ZRAM: ZramSize = ZramSize::Percent(25);
/// Maximum size of zram in percent of the memory: its contents compress to a third at best.
const MAX_PERCENT: u32 = 300;
/// Maximum size in MiB: 16 TiB.
const MAX_MIB: u32 = 16 << 20;

/// Applies `b2p.swap=`: adds a swap area; `off` removes the earlier ones.
pub(crate) fn swap(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let swaps = &mut builder.config.swaps;
    if text == "off" {
        swaps.clear();
        return Ok(());
    }
    let swap = swap_area(text)?;
    swaps.retain(|other| !other.is_replaced_by(&swap));
    swaps.push(swap);
    Ok(())
}

fn swap_area(text: &str) -> Result<Swap, Problem> {
    if text == "zram" {
        return Ok(Swap::Zram(DEFAULT_ZRAM));
    }
    if let Some(size) = text.strip_prefix("zram:") {
        return zram_size(size).map(Swap::Zram);
    }
    let size = text.strip_prefix("file:").unwrap_or(text);
    if size != text || size.bytes().all(|byte| byte.is_ascii_digit()) {
        return size_mib(size).map(Swap::File);
    }
    match text.contains(['=', '/']) {
        true => values::disk(text).map(Swap::Disk),
        false => Err(values::no_such_value(
            text,
            &mut ["off", "zram", "zram:", "file:"].into_iter(),
        )),
    }
}

fn zram_size(text: &str) -> Result<ZramSize, Problem> {
    let Some(percent) = text.strip_suffix('%') else {
        return size_mib(text).map(ZramSize::Mib);
    };
    let percent = values::number(percent, MAX_PERCENT).filter(|percent| *percent > 0);
    let percent = percent.ok_or(Problem::invalid(
        "not a percentage of the memory, 1% to 300%",
    ))?;
    Ok(ZramSize::Percent(percent))
}

fn size_mib(text: &str) -> Result<u32, Problem> {
    let mib = values::number(text, MAX_MIB).filter(|mib| *mib > 0);
    mib.ok_or(Problem::invalid("not a size in MiB, digits only"))
}
