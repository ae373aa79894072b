// SPDX-License-Identifier: Apache-2.0
//! Documents within a document (`ignition.config`), as butane writes the files that it includes: each a
//! `data:` URL. Those of `merge` come before the document's own rows, which take precedence; that of
//! `replace` takes the place of the document.

use std::collections::BTreeSet;

use super::{Plan, parse_at};
use crate::helpers::cloud::diagnostics::Diagnostics;
use crate::helpers::cloud::user::User;
use crate::helpers::ignition::data_url::{Content, content};
use crate::helpers::ignition::document::Object;
use crate::helpers::ignition::units::Unit;
use crate::helpers::ignition::users::Accounts;
use crate::helpers::quadlet::specifiers::escaped_path;
use crate::helpers::timers::update_timer;

/// Deepest inclusion.
const MAX_DEPTH: usize = 4;

/// Documents that a document includes.
#[derive(Default)]
pub struct Included {
    /// Document in place of this one.
    pub replace: Option<Plan>,
    /// Documents that this one adds to, in their order.
    pub merge: Vec<Plan>,
}

impl Included {
    /// Parses `ignition.config` of a document that is included `depth` times itself.
    pub fn parse(mut config: Object<'_>, depth: usize, diagnostics: &mut Diagnostics) -> Included {
        let replace = config.object("replace", diagnostics);
        let replace = plan(replace, depth, diagnostics);
        let merge = config.objects("merge", diagnostics).into_iter();
        let merge = merge.filter_map(|object| plan(object, depth, diagnostics));
        let merge = merge.collect();
        config.finish(diagnostics);
        Included { replace, merge }
    }
}

/// Returns the plan of an included document; a document that is wrong is named.
fn plan(mut resource: Object<'_>, depth: usize, diagnostics: &mut Diagnostics) -> Option<Plan> {
    let path = resource.path.clone();
    if !resource.items("httpHeaders", diagnostics).is_empty() {
        diagnostics.failed(format_args!(
            "{path}.httpHeaders: nothing is fetched at boot"
        ));
    }
    let mut failed =
        |why: &dyn std::fmt::Display| diagnostics.failed(format_args!("{path}: {why}"));
    if depth >= MAX_DEPTH {
        failed(&format!("documents are included {MAX_DEPTH} deep at most"));
        return None;
    }
    let content = match content(resource, diagnostics) {
        Ok(content) => content.filter(|content| !content.bytes.is_empty())?,
        Err(why) => {
            diagnostics.failed(why);
            return None;
        }
    };
    if content.is_gzip {
        diagnostics.failed(format_args!(
            "{path}.compression: must be none for a document"
        ));
        return None;
    }
    parse_content(&content, &path, depth, diagnostics)
}

/// Parses the content of an included document, which `path` names.
fn parse_content(
    content: &Content,
    path: &str,
    depth: usize,
    diagnostics: &mut Diagnostics,
) -> Option<Plan> {
    let parsed = content
        .verify(&content.bytes)
        .and_then(|()| parse_at(&content.bytes, depth + 1));
    match parsed {
        Ok((plan, found)) => {
            for line in found.failed {
                diagnostics.failed(format_args!("{path}: {line}"));
            }
            Some(plan)
        }
        Err(why) => {
            diagnostics.failed(format_args!("{path}: {why}; none of it is taken"));
            None
        }
    }
}

/// Adds the rows of `above` to `below`. Of a path or user that both have, the settings that `above` names count; of
/// another row with the same name, that of `above`. A unit that `above` turns off does not start.
pub fn join(mut below: Plan, above: Plan) -> Plan {
    below.storage.merge(above.storage);
    below.accounts = accounts(below.accounts, above.accounts);
    let places: BTreeSet<&str> = sys::sort::inserted(above.units.iter().filter_map(place));
    let is_other = |unit: &Unit| place(unit).is_none_or(|place| !places.contains(place));
    let off: Vec<&str> = above.units.iter().filter_map(turned_off).collect();
    let is_on = |unit: &Unit| !starts_by(unit).is_some_and(|name| off.contains(&&*name));
    below.units.retain(|unit| is_other(unit) && is_on(unit));
    below.units.extend(above.units);
    below
}

/// Returns the path at which a unit has its effect.
fn place(unit: &Unit) -> Option<&str> {
    match unit {
        Unit::Share(folder) => Some(&folder.path),
        Unit::Mount(mount) => Some(&mount.target),
        Unit::File(path, _) | Unit::Off(path) | Unit::Enable(path) => Some(path),
        Unit::ReadyPort(_) | Unit::Updates | Unit::Disable(_) => None,
    }
}

/// Returns the name of the unit that the row turns off.
fn turned_off(unit: &Unit) -> Option<&str> {
    match unit {
        Unit::Disable(name) => Some(name),
        Unit::Off(path) => path.rsplit_once('/').map(|(_, name)| name),
        _ => None,
    }
}

/// Returns the name of the unit that starts by the row.
fn starts_by(unit: &Unit) -> Option<String> {
    // The name is the path (systemd.mount(5)), escaped.
    let mount = |path: &str| escaped_path(path) + ".mount";
    match unit {
        Unit::Enable(name) => Some(name.clone()),
        Unit::Share(folder) => Some(mount(&folder.path)),
        Unit::Mount(row) => Some(mount(&row.target)),
        Unit::Updates => Some(update_timer::UNIT.to_owned()),
        _ => None,
    }
}

fn accounts(mut below: Accounts, above: Accounts) -> Accounts {
    let is_new = |name: &String| !above.groups.iter().any(|(other, _)| other == name);
    below.groups.retain(|(name, _)| is_new(name));
    below.groups.extend(above.groups);
    let is_gone = |user: &User| above.removed.contains(&user.account.name);
    below.users.retain(|user| !is_gone(user));
    let is_back = |name: &String| above.users.iter().any(|user| user.account.name == *name);
    below.removed.retain(|name| !is_back(name));
    below.removed.extend(above.removed);
    for user in above.users {
        let mut others = below.users.iter_mut();
        match others.find(|other| other.account.name == user.account.name) {
            Some(other) => merge_user(other, user),
            None => below.users.push(user),
        }
    }
    below
}

/// Changes the settings that `above` names, and adds its groups and keys.
fn merge_user(user: &mut User, above: User) {
    let account = &mut user.account;
    account.uid = above.account.uid.or(account.uid);
    account.home = above.account.home.or(account.home.take());
    account.shell = above.account.shell.or(account.shell.take());
    if !above.account.gecos.is_empty() {
        account.gecos = above.account.gecos;
    }
    account.groups.extend(above.account.groups);
    user.keys.extend(above.keys);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::parse;
    use crate::helpers::ignition::units::Unit;

    /// Returns a document with these members, within `config`.
    fn document(config: &str, members: &str) -> String {
        format!(r#"{{"ignition":{{"version":"3.4.0","config":{{{config}}}}}{members}}}"#)
    }

    fn url(document: &str) -> String {
        let mut text = "data:,".to_owned();
        for byte in document.bytes() {
            text += &format!("%{byte:02X}");
        }
        text
    }

    fn file(path: &str, text: &str) -> String {
        format!(r#"{{"path":"{path}","contents":{{"source":"data:,{text}"}}}}"#)
    }

    fn files(rows: &[String]) -> String {
        format!(r#","storage":{{"files":[{}]}}"#, rows.join(","))
    }

    /// Returns paths and contents, and the diagnostics.
    fn parsed(document: &str) -> (Vec<(String, String)>, Vec<String>) {
        let (plan, diagnostics) = parse(document.as_bytes()).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let files = plan.storage.files.into_iter();
        let files = files.map(|f| (f.node.path, text(&f.content.unwrap().bytes)));
        (files.collect(), diagnostics.failed)
    }

    fn row(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn merged_documents_come_first_and_the_document_has_the_last_word() {
        let one = document("", &files(&[file("/srv/a", "one"), file("/srv/b", "one")]));
        let two = document("", &files(&[file("/srv/b", "two"), file("/srv/c", "two")]));
        let merge = format!(
            r#""merge":[{{"source":"{}"}},{{"source":"{}"}}]"#,
            url(&one),
            url(&two)
        );
        let (rows, faults) = parsed(&document(&merge, &files(&[file("/srv/c", "own")])));
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(
            rows,
            [
                row("/srv/a", "one"),
                row("/srv/b", "two"),
                row("/srv/c", "own")
            ]
        );
    }

    #[test]
    fn users_and_units_are_merged_by_their_names() {
        let key = |end: &str| {
            format!(
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 {end}"
            )
        };
        let unit = |what: &str| {
            format!(
                r#"{{"name":"srv-a.mount","contents":"[Mount]\nWhat={what}\nWhere=/srv/a\n"}},
                {{"name":"web.container","contents":"{what}"}}"#
            )
        };
        let below = format!(
            r#","passwd":{{"groups":[{{"name":"dev","gid":2000}},{{"name":"ops"}}],"users":[
            {{"name":"ann","uid":1100,"shell":"/bin/sh","groups":["dev"],"sshAuthorizedKeys":["{}"]}},
            {{"name":"bob"}},{{"name":"eve","shouldExist":false}},{{"name":"old","shouldExist":false}}]}},
            "systemd":{{"units":[{}]}}"#,
            key("below"),
            unit("below")
        );
        let above = format!(
            r#","passwd":{{"groups":[{{"name":"dev","gid":3000}}],"users":[
            {{"name":"ann","gecos":"Ann","groups":["ops"],"sshAuthorizedKeys":["{}"]}},
            {{"name":"bob","shouldExist":false}},{{"name":"eve"}}]}},"systemd":{{"units":[{}]}}"#,
            key("above"),
            unit("above")
        );
        let merge = format!(r#""merge":[{{"source":"{}"}}]"#, url(&document("", &below)));
        let (plan, diagnostics) = parse(document(&merge, &above).as_bytes()).unwrap();
        assert!(diagnostics.failed.is_empty(), "{diagnostics:?}");
        let accounts = plan.accounts;
        let groups = [("ops".to_owned(), None), ("dev".to_owned(), Some(3000))];
        assert_eq!(accounts.groups, groups);
        assert_eq!(accounts.removed, ["old", "bob"]);
        let [ann, eve] = &accounts.users[..] else {
            panic!("{:?}", accounts.users);
        };
        assert_eq!((ann.account.uid, &*ann.account.gecos), (Some(1100), "Ann"));
        assert_eq!(ann.account.shell.as_deref(), Some("/bin/sh"));
        assert_eq!(ann.account.groups, ["dev", "ops"]);
        assert_eq!(ann.keys, [key("below"), key("above")]);
        assert_eq!(eve.account.name, "eve");
        let [Unit::Mount(mount), Unit::File(_, text)] = &plan.units[..] else {
            panic!("{:?}", plan.units);
        };
        assert_eq!((&*mount.source, &**text), ("above", "above"));
    }

    #[test]
    fn a_unit_that_the_document_turns_off_stays_off() {
        let below = r#","systemd":{"units":[
            {"name":"a.service","enabled":true,"contents":"a"},{"name":"b.service","enabled":true,"contents":"b"},
            {"name":"c.service","enabled":true,"contents":"c"},{"name":"srv-a\\x2db.mount","enabled":true,
            "contents":"[Mount]\nWhat=x\nWhere=/srv/a-b\n"},{"name":"srv-.a\\x40b\\x20\\xc3\\xa9.mount","enabled":true,
            "contents":"[Mount]\nWhat=x\nWhere=/srv/.a@b é\n"},{"name":"podman-auto-update.timer","enabled":true}]}"#;
        let off = |more: &str| {
            format!(
                r#","systemd":{{"units":[{{"name":"a.service","enabled":false}},{{"name":"b.service","mask":true}},
                {{"name":"c.service","enabled":true,"dropins":[]}},{{"name":"srv-a\\x2db.mount","enabled":false}},
                {{"name":"srv-.a\\x40b\\x20\\xc3\\xa9.mount","enabled":false}},
                {{"name":"podman-auto-update.timer","enabled":false}}{more}]}}"#
            )
        };
        let merge = |document: &str| format!(r#""merge":[{{"source":"{}"}}]"#, url(document));
        let middle = document(&merge(&document("", below)), &off(""));
        let (plan, diagnostics) = parse(middle.as_bytes()).unwrap();
        assert!(diagnostics.failed.is_empty(), "{diagnostics:?}");
        let is = |unit: &Unit| matches!(unit, Unit::Enable(_) | Unit::Mount(_) | Unit::Updates);
        let on: Vec<_> = plan.units.iter().filter(|unit| is(unit)).collect();
        assert_eq!(on, [&Unit::Enable("c.service".into())]);
        let kept = |name: &str| {
            plan.units
                .iter()
                .any(|unit| matches!(unit, Unit::File(path, _) if path.ends_with(name)))
        };
        assert!(kept("/a.service") && !kept("/b.service") && kept("/c.service"));
        // A document above turns one on again.
        let top = r#","systemd":{"units":[{"name":"a.service","enabled":true}]}"#;
        let (plan, _) = parse(document(&merge(&middle), top).as_bytes()).unwrap();
        assert!(plan.units.contains(&Unit::Enable("a.service".into())));
    }

    #[test]
    fn a_document_is_replaced() {
        let other = document("", &files(&[file("/srv/a", "other")]));
        let replace = format!(r#""replace":{{"source":"{}"}}"#, url(&other));
        let (rows, faults) = parsed(&document(&replace, &files(&[file("/srv/b", "own")])));
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(rows, [row("/srv/a", "other")]);
        // podman machine writes one without a source.
        let none = document(
            r#""replace":{"verification":{}}"#,
            &files(&[file("/srv/b", "own")]),
        );
        assert_eq!(parsed(&none), (vec![row("/srv/b", "own")], vec![]));
    }

    #[test]
    fn faults_of_included_documents_name_their_source() {
        let own = files(&[file("/srv/b", "own")]);
        let mut deep = document("", &files(&[file("/srv/deep", "x")]));
        for _ in 0..5 {
            deep = document(&format!(r#""merge":[{{"source":"{}"}}]"#, url(&deep)), "");
        }
        let wrong = document("", r#","storage":{"files":[{"path":"etc/x"}]}"#);
        for (source, more, part) in [
            (
                "http://x/y",
                "",
                "ignition.config.merge[0].source: http: nothing is fetched",
            ),
            (&url("{"), "", "ignition.config.merge[0]: not JSON"),
            (&url("{}"), "", "ignition.config.merge[0]: ignition.version"),
            (
                &url(&wrong),
                "",
                "ignition.config.merge[0]: storage.files[0].path: \"etc/x\"",
            ),
            (
                &url(&deep),
                "",
                "ignition.config.merge[0]: documents are included 4 deep at most",
            ),
            (
                "data:;base64,H4s=",
                r#","compression":"gzip""#,
                "ignition.config.merge[0].compression",
            ),
            (
                &url(&wrong),
                r#","verification":{"hash":"sha256-00"}"#,
                "ignition.config.merge[0].verification.hash",
            ),
            (
                &url(&document("", "")),
                r#","httpHeaders":[{"name":"a","value":"b"}]"#,
                "ignition.config.merge[0].httpHeaders",
            ),
        ] {
            let merge = format!(r#""merge":[{{"source":"{source}"{more}}}]"#);
            let (rows, faults) = parsed(&document(&merge, &own));
            assert_eq!(rows, [row("/srv/b", "own")], "{part}");
            assert!(
                faults.iter().any(|fault| fault.contains(part)),
                "{part}: {faults:?}"
            );
        }
    }
}
