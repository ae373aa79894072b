//! `b2p.swap=`: what to swap to.

use crate::builder::Builder;
use crate::diagnostic::Problem;
use crate::settings::{Swap, ZramSize};
use crate::values;

/// Of the memory, where nothing else is said: Tiny Core's share.
const ZRAM: ZramSize = ZramSize::Percent(25);
/// What zram holds is at the best a third as large; more could never be filled.
const MOST_PERCENT: u32 = 300;
/// 16 TiB; more is a typing error.
const MOST_MIB: u32 = 16 << 20;

/// One more thing to swap to; `off` takes back what was said before.
pub(crate) fn swap(builder: &mut Builder, text: &str) -> Result<(), Problem> {
    let all = &mut builder.config.swaps;
    if text == "off" {
        all.clear();
        return Ok(());
    }
    let swap = value(text)?;
    all.retain(|other| !other.gives_way_to(&swap));
    all.push(swap);
    Ok(())
}

fn value(text: &str) -> Result<Swap, Problem> {
    if text == "zram" {
        return Ok(Swap::Zram(ZRAM));
    }
    if let Some(share) = text.strip_prefix("zram:") {
        return zram(share).map(Swap::Zram);
    }
    let size = text.strip_prefix("file:").unwrap_or(text);
    if size != text || size.bytes().all(|byte| byte.is_ascii_digit()) {
        return mib(size).map(Swap::File);
    }
    match text.contains(['=', '/']) {
        true => values::disk(text).map(Swap::Disk),
        false => Err(values::unlike(
            text,
            &mut ["off", "zram", "zram:", "file:"].into_iter(),
        )),
    }
}

fn zram(text: &str) -> Result<ZramSize, Problem> {
    let Some(percent) = text.strip_suffix('%') else {
        return mib(text).map(ZramSize::Mib);
    };
    let percent = values::number(percent, MOST_PERCENT).filter(|percent| *percent > 0);
    let percent = percent.ok_or(Problem::bad("not a share of the memory, 1% to 300%"))?;
    Ok(ZramSize::Percent(percent))
}

fn mib(text: &str) -> Result<u32, Problem> {
    let mib = values::number(text, MOST_MIB).filter(|mib| *mib > 0);
    mib.ok_or(Problem::bad("not a size in MiB, digits alone"))
}
