// SPDX-License-Identifier: Apache-2.0
//! Files of units, and the names of their services.

use std::path::PathBuf;

use super::specifiers::Owner;
pub use crate::common::paths::DEFINITIONS;

/// Longest name of a service, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Bytes of a longer name that are kept, before the hash of the whole.
const KEPT_BYTES: usize = 55;

/// Path of the unit that the service `name` is.
#[must_use]
pub fn unit(name: &str) -> PathBuf {
    PathBuf::from(format!("{DEFINITIONS}/{name}.service"))
}

/// Path of the socket for messages of the unit's processes.
#[must_use]
pub fn socket(name: &str, owner: &Owner) -> PathBuf {
    PathBuf::from(format!("{}/unit-{name}.notify", owner.runtime_dir()))
}

/// Path of the file in which a unit's first process records its state.
#[must_use]
pub fn state(name: &str, owner: &Owner) -> PathBuf {
    PathBuf::from(format!("{}/unit-{name}.state", owner.runtime_dir()))
}

/// Path of the file with the times of a unit's starts.
#[must_use]
pub fn starts(name: &str, owner: &Owner) -> PathBuf {
    PathBuf::from(format!("{}/unit-{name}.starts", owner.runtime_dir()))
}

/// Directory of the slots of a user's units that begin, which no other user may enter: a process that can open the file
/// of a slot can hold the slot (flock(2)).
#[must_use]
pub fn slots(owner: &Owner) -> PathBuf {
    let parent = match owner.uid {
        0 => DEFINITIONS.to_owned(),
        _ => owner.runtime_dir(),
    };
    PathBuf::from(format!("{parent}/.unit-slots"))
}

/// Directory of links to those quadlet files of an owner that can be loaded.
#[must_use]
pub fn quadlet_links(owner: &Owner) -> PathBuf {
    PathBuf::from(format!("{DEFINITIONS}/.links-{}", owner.uid))
}

/// Path of the unit of a template, whose instances are services.
#[must_use]
pub fn template(template: &str, owner: &Owner) -> PathBuf {
    let template = shortened(template.to_owned(), template);
    PathBuf::from(format!("{DEFINITIONS}/.template-{}-{template}", owner.uid))
}

/// Path of the list of an owner's units that cannot run here.
#[must_use]
pub fn refused(owner: &Owner) -> PathBuf {
    PathBuf::from(format!("{DEFINITIONS}/.refused-{}", owner.uid))
}

/// Returns the name of the service that a unit becomes: `my-app-1` of `My_App@1.service`, and
/// `core-my-app-1` of one of a user; `None` if there is none. A name that is too long is cut, and its end
/// is a hash of the whole, so that the name is stable and unique.
#[must_use]
pub fn service_name(unit: &str, owner: &Owner) -> Option<String> {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let allowed = |c: char| match c {
        'a'..='z' | '0'..='9' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ => '-',
    };
    let mapped = |text: &str| -> String {
        let text: String = text.chars().map(allowed).collect();
        text.trim_start_matches('-').to_owned()
    };
    let name = match owner.uid {
        0 => mapped(stem),
        _ if stem.is_empty() => return None,
        _ => mapped(&format!("{}-{}", owner.name, mapped(stem))),
    };
    let name = shortened(name, unit);
    services::service_file::is_name(&name).then_some(name)
}

/// Returns the template of an instance: `web@.service` of `web@2.service`; `None` for another name.
#[must_use]
pub fn template_of(name: &str) -> Option<String> {
    let (prefix, instance) = name.strip_suffix(".service")?.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.service"))
}

/// Replaces the end of a name that is too long by the hash of `whole`.
fn shortened(name: String, whole: &str) -> String {
    match name.len() {
        ..=MAX_NAME_BYTES => name,
        _ => {
            let kept = name.get(..KEPT_BYTES).unwrap_or_default();
            format!("{kept}-{:08x}", hash(whole))
        }
    }
}

/// Returns the FNV-1a hash of a text (draft-eastlake-fnv).
fn hash(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    text.bytes().fold(2_166_136_261, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services() {
        for (unit, name) in [
            ("web.service", Some("web")),
            ("My_App@1.service", Some("my-app-1")),
            ("p-pod", Some("p-pod")),
            ("_x.y.service", Some("x-y")),
            ("caf\u{e9}.service", Some("caf-")),
            ("@.service", None),
            (".service", None),
            ("kernel.service", None),
            (
                "a-name-of-more-than-thirty-two-characters.service",
                Some("a-name-of-more-than-thirty-two-characters"),
            ),
        ] {
            let machine = Owner::default();
            assert_eq!(service_name(unit, &machine).as_deref(), name, "{unit}");
        }
        let long = |end: &str| {
            let name = format!("{}{end}.service", "x".repeat(60));
            service_name(&name, &Owner::default()).unwrap_or_default()
        };
        assert_eq!(long("-abcde").len(), MAX_NAME_BYTES);
        assert_ne!(long("-abcde"), long("-abcdf"));
        // NAME_MAX of limits.h(0p) holds for the file of a template.
        let file = |end: &str| {
            template(
                &format!("{}{end}@.service", "x".repeat(245)),
                &Owner::default(),
            )
        };
        let length = |path: PathBuf| path.file_name().map_or(0, std::ffi::OsStr::len);
        assert!(file("a") != file("b") && length(file("a")) < 128);
        let core = Owner {
            uid: 1000,
            name: "core".to_owned(),
            ..Owner::default()
        };
        let name = service_name("Web@1.service", &core);
        assert_eq!(name.as_deref(), Some("core-web-1"));
        // Names that login.defs(5) allows.
        let ann = Owner {
            name: "Ann_M.x".to_owned(),
            ..core
        };
        let name = service_name("web.service", &ann);
        assert_eq!(name.as_deref(), Some("ann-m-x-web"));
        assert_eq!(service_name(".service", &ann), None);
    }
}
