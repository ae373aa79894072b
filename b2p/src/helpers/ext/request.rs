// SPDX-License-Identifier: Apache-2.0
//! Arguments of `b2p ext add`. Pure.

use super::fetch;

/// Arguments of `b2p ext add`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Names, files and addresses.
    pub names: Vec<&'a str>,
    /// True if they are put on the data disk.
    pub keep: bool,
    /// Sum of the only address.
    pub sha256: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Parses the arguments; `None` if they are wrong. A sum is that of one address.
    pub fn parse(words: &[&'a str]) -> Option<Request<'a>> {
        let mut request = Request::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--keep" => request.keep = true,
                "--sha256" => request.sha256 = Some(words.next()?),
                word if word.starts_with("--sha256=") => {
                    request.sha256 = word.split_once('=').map(|p| p.1)
                }
                word if word.starts_with('-') => return None,
                name => request.names.push(name),
            }
        }
        let addresses = request
            .names
            .iter()
            .filter(|n| fetch::is_address(n))
            .count();
        let is_sum_clear = request.sha256.is_none() || (request.names.len(), addresses) == (1, 1);
        (!request.names.is_empty() && is_sum_clear).then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_an_addition() {
        let request = Request::parse(&["--keep", "git", "./x.erofs"]);
        let expected = Request {
            names: vec!["git", "./x.erofs"],
            keep: true,
            sha256: None,
        };
        assert_eq!(request, Some(expected));
        let url = "https://host/x/git";
        for words in [
            &["--sha256", "ab", url],
            &[url, "--sha256", "ab"],
            &[url, "--keep", "--sha256=ab"],
        ] {
            assert_eq!(Request::parse(words).and_then(|r| r.sha256), Some("ab"));
        }
        for words in [
            &[][..],
            &["--keep"],
            &["--kept", "git"],
            &["--sha256"],
            &["--sha256", "ab", "git"],
            &["--sha256", "ab", url, url],
        ] {
            assert_eq!(Request::parse(words), None, "{words:?}");
        }
    }
}
