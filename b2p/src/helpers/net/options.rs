// SPDX-License-Identifier: Apache-2.0
//! Options of a DHCP message (RFC 2131, 4.1; RFC 2132). An option that is longer than 255 bytes has
//! several instances, which are one value together (RFC 3396), and a server that lacks space uses
//! the fields `file` and `sname` as well (option 52). Pure.

use std::collections::BTreeMap;
use std::ops::Range;

/// Fields of a message in the order in which options continue (RFC 3396, section 5).
const OPTIONS: usize = 240;
const FILE: Range<usize> = 108..236;
const SNAME: Range<usize> = 44..108;
/// Codes without a length, and the code of the option that names the fields with options.
const PAD: u8 = 0;
const END: u8 = 255;
const OVERLOAD: u8 = 52;

/// The options, and the faults of unreadable ones.
#[derive(Debug, Default)]
pub struct Options {
    values: BTreeMap<u8, Vec<u8>>,
    /// Faults, each in words.
    pub faults: Vec<String>,
}

impl Options {
    /// Reads the options of a message.
    #[must_use]
    pub fn read(message: &[u8]) -> Options {
        let mut options = Options::default();
        options.walk(message.get(OPTIONS..).unwrap_or_default());
        let (file, sname) = match options.get(OVERLOAD) {
            None => (false, false),
            Some([1]) => (true, false),
            Some([2]) => (false, true),
            Some([3]) => (true, true),
            Some(_) => {
                options.fault(OVERLOAD, "is neither 1, 2 nor 3");
                (false, false)
            }
        };
        for (used, field) in [(file, FILE), (sname, SNAME)] {
            options.walk(message.get(field).filter(|_| used).unwrap_or_default());
        }
        options
    }

    /// Reads one field up to its end or its end mark.
    fn walk(&mut self, mut field: &[u8]) {
        while let [code, rest @ ..] = field {
            match (*code, rest) {
                (PAD, _) => field = rest,
                (END, _) => return,
                (code, [length, rest @ ..]) => {
                    let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else {
                        let there = rest.len();
                        self.fault(
                            code,
                            &format!("is cut: {there} of {length} bytes are there"),
                        );
                        return;
                    };
                    self.values
                        .entry(code)
                        .or_default()
                        .extend_from_slice(value);
                    field = rest;
                }
                (code, []) => return self.fault(code, "is cut: it has no length"),
            }
        }
    }

    /// Records that an option is not used unchanged.
    pub fn fault(&mut self, code: u8, what: &str) {
        self.faults.push(format!("option {code} {what}"));
    }

    /// Returns the value of an option, all its instances together.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.values.get(&code).map(Vec::as_slice)
    }

    /// Returns the value of an option of `N` bytes; a longer one counts up to there.
    pub fn fixed<const N: usize>(&mut self, code: u8) -> Option<[u8; N]> {
        let value = self.get(code)?;
        let (first, length) = (value.first_chunk().copied(), value.len());
        if length != N {
            self.fault(code, &format!("has {length} bytes, and must have {N}"));
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with these options, `file` and `sname`.
    fn message(options: &[u8], file: &[u8], sname: &[u8]) -> Vec<u8> {
        let mut m = vec![0; OPTIONS];
        m[FILE][..file.len()].copy_from_slice(file);
        m[SNAME][..sname.len()].copy_from_slice(sname);
        m.extend(options);
        m
    }

    #[test]
    fn instances_are_one_value_in_all_fields() {
        let file = [121, 2, 3, 4, 6, 1, 9, 255, 7];
        let sname = [121, 1, 5, 52, 1, 7];
        for (overload, wanted) in [
            (0, &[1, 2][..]),
            (1, &[1, 2, 3, 4]),
            (2, &[1, 2, 5]),
            (3, &[1, 2, 3, 4, 5]),
        ] {
            let m = message(
                &[121, 1, 1, 0, 52, 1, overload, 121, 1, 2, 255, 121, 1, 8],
                &file,
                &sname,
            );
            let options = Options::read(&m);
            assert_eq!(options.get(121), Some(wanted), "{overload}");
            assert_eq!(
                options.get(6),
                [1, 3].contains(&overload).then_some(&[9][..])
            );
            assert_eq!(
                options.faults.is_empty(),
                overload > 0,
                "{:?}",
                options.faults
            );
        }
    }

    #[test]
    fn truncated_options_are_faults_and_the_others_are_read() {
        for (options, fault) in [
            (
                &[1, 1, 7, 6, 4, 1, 2][..],
                "option 6 is cut: 2 of 4 bytes are there",
            ),
            (&[1, 1, 7, 6], "option 6 is cut: it has no length"),
        ] {
            let options = Options::read(&message(options, &[], &[]));
            assert_eq!(options.faults, [fault]);
            assert_eq!((options.get(1), options.get(6)), (Some(&[7][..]), None));
        }
        assert!(Options::read(&[]).faults.is_empty());
    }

    #[test]
    fn a_fixed_option_of_another_length_is_refused() {
        let mut options = Options::read(&message(
            &[51, 3, 1, 2, 3, 58, 5, 1, 2, 3, 4, 5, 255],
            &[],
            &[],
        ));
        assert_eq!(options.fixed::<4>(51), None);
        assert_eq!(options.fixed(58), Some([1, 2, 3, 4]));
        assert_eq!(options.fixed::<4>(59), None);
        let faults = [
            "option 51 has 3 bytes, and must have 4",
            "option 58 has 5 bytes, and must have 4",
        ];
        assert_eq!(options.faults, faults);
    }
}
