// SPDX-License-Identifier: Apache-2.0
//! Delays that differ between machines, and are always the same for one.

use sha2::{Digest, Sha256};

/// Returns a number of seconds below `most` that is always the same for one text.
#[must_use]
pub fn spread_over(text: &str, most: i64) -> i64 {
    let sum = Sha256::digest(text);
    let number = sum
        .iter()
        .take(4)
        .fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
    i64::from(number).checked_rem(most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_below_its_limit_and_stays() {
        assert!((0..900).contains(&spread_over("a", 900)));
        assert_eq!(spread_over("a", 900), spread_over("a", 900));
        assert_eq!(spread_over("a", 0), 0);
    }
}
