// SPDX-License-Identifier: Apache-2.0
//! Parameters of kernel modules on the command line: `module.parameter=value`. The kernel applies
//! the parameters of built-in code; the parameters of loaded modules are passed to init_module(2)
//! (Documentation/admin-guide/kernel-parameters.rst).

use crate::cmdline::tokens;

/// Returns the parameters of a module in the order of the line, in the form of init_module(2):
/// `parameter=value parameter …`, a value with spaces in double quotes. `-` and `_` are equal in
/// the names of modules.
#[must_use]
pub fn module_options(line: &[u8], module: &str) -> String {
    let mut options: Vec<String> = Vec::new();
    for token in tokens(line) {
        let name = String::from_utf8_lossy(token.name);
        let Some((owner, parameter)) = name.split_once('.') else {
            continue;
        };
        if parameter.is_empty() || normalize(owner) != normalize(module) {
            continue;
        }
        let value = token.value.map(String::from_utf8_lossy);
        options.push(match value {
            None => parameter.to_owned(),
            Some(v) if v.contains(char::is_whitespace) => format!("{parameter}=\"{v}\""),
            Some(v) => format!("{parameter}={v}"),
        });
    }
    options.join(" ")
}

fn normalize(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_gets_its_own_options() {
        let line = b"quiet usb-storage.delay_use=0 nvme.x=1 usb_storage.quirks=\"a b\" usb_storage.swi b2p.net=off usb_storage.=3 nvme.";
        let options = |module| module_options(line, module);
        assert_eq!(options("usb_storage"), "delay_use=0 quirks=\"a b\" swi");
        assert_eq!(options("usb-storage"), options("usb_storage"));
        assert_eq!(options("nvme"), "x=1");
        assert_eq!(options("ahci"), "");
        assert_eq!(options(""), "");
    }

    #[test]
    fn parameters_after_two_dashes_are_for_init() {
        assert_eq!(module_options(b"a.x=1 -- a.y=2", "a"), "x=1");
    }
}
