//! What the command line says to kernel modules: `module.parameter=value`, which
//! the kernel keeps for what is built in and leaves to us for the rest
//! (Documentation/admin-guide/kernel-parameters.rst).

use crate::cmdline::tokens;

/// The parameters of a module in the order of the line, as init_module(2) takes
/// them: `parameter=value parameter …`, a value with spaces in double quotes. The
/// names of modules are the same with `-` and `_`.
#[must_use]
pub fn module_options(line: &[u8], module: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for token in tokens(line) {
        let name = String::from_utf8_lossy(token.name);
        let Some((owner, parameter)) = name.split_once('.') else {
            continue;
        };
        if parameter.is_empty() || normal(owner) != normal(module) {
            continue;
        }
        let value = token.value.map(String::from_utf8_lossy);
        out.push(match value {
            None => parameter.to_owned(),
            Some(v) if v.contains(char::is_whitespace) => format!("{parameter}=\"{v}\""),
            Some(v) => format!("{parameter}={v}"),
        });
    }
    out.join(" ")
}

fn normal(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_gets_its_own() {
        let line = b"quiet usb-storage.delay_use=0 nvme.x=1 usb_storage.quirks=\"a b\" usb_storage.swi b2p.net=off usb_storage.=3 nvme.";
        let options = |module| module_options(line, module);
        assert_eq!(options("usb_storage"), "delay_use=0 quirks=\"a b\" swi");
        assert_eq!(options("usb-storage"), options("usb_storage"));
        assert_eq!(options("nvme"), "x=1");
        assert_eq!(options("ahci"), "");
        assert_eq!(options(""), "");
    }

    #[test]
    fn what_is_behind_two_dashes_is_inits() {
        assert_eq!(module_options(b"a.x=1 -- a.y=2", "a"), "x=1");
    }
}
