// SPDX-License-Identifier: Apache-2.0
//! Services whose stop and restart follow from those of another unit (systemd.unit(5), "Requires=", "PartOf=").

use control::{Report, State};

use super::NAME;
use super::convert::{Links, links};
use super::paths::{self, DEFINITIONS};
use super::unit::{Unit, is_true};
use crate::common::control_client::is_at_rest;

/// Returns true for a service that a unit has become.
#[must_use]
pub fn is_one(service: &str) -> bool {
    !service.contains('/') && paths::unit(service).exists()
}

/// Returns true for the service that the unit of this name has become. Other names may be the same service:
/// `db_old.service` and `db-old.service`.
#[must_use]
pub fn is_of(service: &str, unit: &str) -> bool {
    let text = || sys::files::read_text(paths::unit(service)).ok();
    !service.contains('/') && text().is_some_and(|text| is_called(&text, unit))
}

fn is_called(text: &str, unit: &str) -> bool {
    Unit::parse(text).last(NAME.0, NAME.1) == Some(unit)
}

/// Returns the services that a service names.
#[must_use]
pub fn links_of(service: &str) -> Links {
    let path = format!("{DEFINITIONS}/{service}");
    links(&sys::files::read_text(path).unwrap_or_default())
}

/// Returns true if the service is not at rest.
#[must_use]
pub fn runs(report: &Report<'_>, service: &str) -> bool {
    let mut services = report.services.iter();
    services.any(|s| s.name == service && !is_at_rest(s.state))
}

/// Returns the services of units that are parts of one of these and stop with it.
#[must_use]
pub fn parts_of(report: &Report<'_>, names: &[String]) -> Vec<String> {
    following(&all(report), names, false)
}

/// Returns the services of units that run and need one of these, or are a part of it, directly or not. Dependents
/// precede the services that they depend on.
#[must_use]
pub fn running_dependents(report: &Report<'_>, names: &[String]) -> Vec<String> {
    let mut list = following(&all(report), names, true);
    list.retain(|name| runs(report, name));
    list
}

/// Services that start with others because these need or want them, and that are not active.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Services that do not depend on the others, to be started before them.
    pub before: Vec<String>,
    /// Services that need the others or are parts of them, such as the containers of a pod.
    pub after: Vec<String>,
}

/// Returns the services that start with services (systemd.unit(5), "Wants=", "Requires=").
#[must_use]
pub fn pulled(report: &Report<'_>, names: &[String]) -> Pulled {
    let mut all = all(report);
    // A service of the machine has no links.
    let known: Vec<&String> = all.iter().map(|(name, _)| name).collect();
    let own = names
        .iter()
        .filter(|name| !known.contains(name) && is_one(name));
    let own: Vec<_> = own.map(|name| (name.clone(), links_of(name))).collect();
    all.extend(own);
    pulled_by(&all, names, |name| is_active(report, name))
}

fn pulled_by(
    all: &[(String, Links)],
    names: &[String],
    is_active: impl Fn(&str) -> bool,
) -> Pulled {
    let mut found = names.to_vec();
    let mut at = 0;
    while let Some(name) = found.get(at) {
        let links = all.iter().find(|(other, _)| other == name);
        let links = links
            .into_iter()
            .flat_map(|(_, l)| l.wants.iter().chain(&l.needs));
        let new: Vec<_> = links
            .filter(|name| !found.contains(name))
            .cloned()
            .collect();
        found.extend(new);
        at += 1;
    }
    let inactive = found.split_off(names.len()).into_iter();
    let inactive = inactive.filter(|name| !is_active(name));
    let dependents = following(all, names, true);
    let (after, before) = inactive.partition(|name| dependents.contains(name));
    Pulled { before, after }
}

/// Returns true if a request to start a service would do its work once more: a unit that is active stays so, and
/// of the services of the machine, those that are done.
#[must_use]
pub fn is_active(report: &Report<'_>, service: &str) -> bool {
    let mut services = report.services.iter();
    let state = services.find(|s| s.name == service).map(|s| s.state);
    match state {
        Some(State::Up | State::Armed) => true,
        Some(State::Done) => stays(service),
        _ => false,
    }
}

/// Returns true if the successful end of a service leaves it active.
pub(super) fn stays(service: &str) -> bool {
    let Ok(text) = sys::files::read_text(paths::unit(service)) else {
        return true;
    };
    let unit = Unit::parse(&text);
    let value = unit.last("Service", "RemainAfterExit");
    value.is_some_and(is_true)
}

fn all(report: &Report<'_>) -> Vec<(String, Links)> {
    let services = report.services.iter().map(|s| s.name);
    let own = services.filter(|name| is_one(name));
    own.map(|name| (name.to_owned(), links_of(name))).collect()
}

/// Returns the services that are parts of one of `names`, directly or not, and with `by_need` those that need one;
/// without `names` themselves.
fn following(all: &[(String, Links)], names: &[String], by_need: bool) -> Vec<String> {
    let mut found = names.to_vec();
    loop {
        let is_next = |(name, links): &&(String, Links)| {
            let needs = links.needs.iter().filter(|_| by_need);
            let mut on = needs.chain(&links.part_of);
            !found.contains(name) && on.any(|on| found.contains(on))
        };
        let Some((name, _)) = all.iter().find(is_next) else {
            break;
        };
        found.push(name.clone());
    }
    // Services that were found later depend on earlier ones.
    let mut list = found.split_off(names.len());
    list.reverse();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn link(name: &str, needs: &[&str], part_of: &[&str]) -> (String, Links) {
        let links = Links {
            needs: names(needs),
            part_of: names(part_of),
            ..Links::default()
        };
        (name.to_owned(), links)
    }

    #[test]
    fn a_start_brings_what_a_unit_needs_before_it_and_the_containers_of_a_pod_after_it() {
        let mut all = [
            link("pod", &["app-network"], &[]),
            link("a", &["pod"], &["pod"]),
            link("b", &["pod", "data-volume"], &["pod"]),
            link("app-network", &[], &[]),
            link("data-volume", &[], &[]),
        ];
        all[0].1.wants = names(&["a", "b", "cache"]);
        let pulled = |of: &[&str], active: &[&str]| {
            let Pulled { before, after } = pulled_by(&all, &names(of), |n| active.contains(&n));
            [before.join(" "), after.join(" ")]
        };
        let none = ["", ""];
        assert_eq!(
            pulled(&["pod"], &[]),
            ["cache app-network data-volume", "a b"]
        );
        assert_eq!(
            pulled(&["pod"], &["app-network", "cache", "data-volume", "b"]),
            ["", "a"]
        );
        // The pod has ended, and its container is restarted.
        assert_eq!(
            pulled(&["a"], &["app-network", "cache", "data-volume"]),
            ["pod b", ""]
        );
        assert_eq!(pulled(&["data-volume"], &[]), none);
        assert_eq!(pulled(&["net"], &[]), none);
    }

    #[test]
    fn a_unit_has_its_own_name_alone() {
        let text = "[X-Unit]\nName=db-old.service\n\n[Service]\nExecStart=/a\n";
        assert!(is_called(text, "db-old.service"));
        assert!(!is_called(text, "db_old.service") && !is_called("", ""));
    }

    #[test]
    fn following_lists_the_dependents_of_a_unit() {
        let all = [
            link("front", &["web"], &[]),
            link("web", &["db", "net"], &[]),
            link("backup", &[], &["db"]),
            link("db", &[], &[]),
            link("log", &["net"], &[]),
        ];
        let db = ["db".to_owned()];
        assert_eq!(following(&all, &db, true), ["backup", "front", "web"]);
        let parts = following(&all, &db, false);
        assert_eq!(parts, ["backup"]);
        assert!(following(&all, &["log".to_owned()], true).is_empty());
    }
}
