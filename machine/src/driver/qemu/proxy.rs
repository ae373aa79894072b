// SPDX-License-Identifier: Apache-2.0
//! Proxies of the host, which are those of the machine as well: read at each start.

use crate::store::share::problem;
use std::ffi::OsString;

/// Flags of the machine, in the case in which curl(1) and Go read the variables of the host first.
const FLAGS: [&str; 3] = ["http_proxy", "https_proxy", "no_proxy"];
/// Address of the host's loopback in slirp's network.
const HOST: &str = "10.0.2.2";

/// Proxies for a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Flags and values.
    pub flags: Vec<(String, String)>,
    /// Variables that the machine could not take, `what: why`.
    pub notes: Vec<String>,
}

/// Reads the variables of the host, by their names in lower case and else in upper case.
pub fn of_host(variable: impl Fn(&str) -> Option<OsString>) -> Proxies {
    let mut proxies = Proxies::default();
    for name in FLAGS {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let Some(value) = set(name).or_else(|| set(&name.to_ascii_uppercase())) else {
            continue;
        };
        let flag = value.into_string().ok().map(|value| {
            let value = match name {
                "no_proxy" => value,
                _ => seen_by_guest(&value),
            };
            (name.to_owned(), value)
        });
        match flag.filter(|flag| problem(std::slice::from_ref(flag)).is_none()) {
            Some(flag) => proxies.flags.push(flag),
            // The machine's words may quote the value, which may have a password.
            None => proxies.notes.push(format!(
                "{name}: the host's variable is not one that the machine can take"
            )),
        }
    }
    proxies
}

/// Replaces the host's loopback by the address that it has for the guest.
fn seen_by_guest(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    let start = url[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    let authority = &url[start..end];
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').map_or(authority.len(), |at| at + 2),
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host);
    let is_loopback = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    match is_loopback {
        true => format!("{}{HOST}{port}{}", &url[..start], &url[end..]),
        false => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn the_loopback_of_the_host_has_another_address() {
        for (url, seen) in [
            ("http://localhost:3128", "http://10.0.2.2:3128"),
            ("127.0.0.1:3128", "10.0.2.2:3128"),
            ("http://[::1]:3128/", "http://10.0.2.2:3128/"),
            ("http://a:b@localhost/", "http://a:b@10.0.2.2/"),
            ("http://localhost.example:1", "http://localhost.example:1"),
            ("http://proxy:3128/localhost", "http://proxy:3128/localhost"),
            ("http://[fd00::1]:1", "http://[fd00::1]:1"),
            ("http://[", "http://["),
            ("", ""),
            ("://@", "://@"),
        ] {
            assert_eq!(seen_by_guest(url), seen, "{url}");
        }
    }

    #[test]
    fn lower_case_comes_first_and_what_is_wrong_is_told() {
        let table = [
            ("http_proxy", "http://localhost:1"),
            ("HTTP_PROXY", "http://other:2"),
            ("HTTPS_PROXY", "a secret\nword"),
            ("no_proxy", ""),
            ("NO_PROXY", "localhost,.example"),
        ];
        let variable = |name: &str| {
            let found = table.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let proxies = of_host(variable);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            proxies.flags,
            [
                pair("http_proxy", "http://10.0.2.2:1"),
                pair("no_proxy", "localhost,.example")
            ]
        );
        assert_eq!(proxies.notes.len(), 1);
        // Not UTF-8.
        let latin = OsString::from_vec(b"caf\xe9".to_vec());
        let variable = |name: &str| (name == "NO_PROXY").then(|| latin.clone());
        let notes = of_host(variable).notes;
        assert!(
            notes.len() == 1 && notes[0].starts_with("no_proxy: "),
            "{notes:?}"
        );
        assert!(
            proxies.notes[0].starts_with("https_proxy: ") && !proxies.notes[0].contains("secret")
        );
    }
}
