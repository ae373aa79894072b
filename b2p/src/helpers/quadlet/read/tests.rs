// SPDX-License-Identifier: Apache-2.0
//! Tests of the units of one owner.
#![allow(clippy::unwrap_used)]

use super::*;

fn taken(output: &str, names: &[&str]) -> Loaded {
    let mut texts = Texts::default();
    texts.add(output);
    let mut loaded = Loaded::default();
    let names = names.iter().map(|n| (*n).to_owned()).collect();
    take_all(&mut loaded, &Owner::default(), &texts, names);
    loaded
}

#[test]
fn instances_are_made_by_name_and_where_they_are_named() {
    let loaded = taken(
        "---web@.service---\n[Unit]\nWants=db@%i.service\n[Service]\nExecStart=/bin/x %i\n\
         ---db@.service---\n[Service]\nExecStart=/bin/y\n---db@b.service---\n[Service]\nExecStart=/bin/z\n\
         ---web@.service.d---\n[Service]\nTasksMax=3\n---web@a.service.d---\n[Service]\nTasksMax=4\n",
        &[
            "web@a.service",
            "web@b.service",
            "none@a.service",
            "none.service",
        ],
    );
    let names: Vec<&str> = loaded.definitions.iter().map(|d| d.unit.as_str()).collect();
    assert_eq!(
        names,
        [
            "web@a.service",
            "db@a.service",
            "web@b.service",
            "db@b.service"
        ]
    );
    let files: Vec<String> = loaded
        .definitions
        .iter()
        .map(Definition::service_file)
        .collect();
    assert!(files[0].contains("limit pids.max \"4\"") && files[0].contains("# wants db-a\n"));
    assert!(files[2].contains("limit pids.max \"3\""));
    assert!(loaded.texts[3].contains("/bin/z") && loaded.faults.is_empty());
}

#[test]
fn the_instances_of_a_user_repeat_no_text_without_bound() {
    let mut texts = Texts::default();
    let text = format!("#{}\n[Service]\nExecStart=/x\n", "x".repeat(1 << 20));
    texts.units.insert("web@.service".to_owned(), text);
    let names = |count| (0..count).map(|n| format!("web@{n}.service")).collect();
    for (uid, count) in [(0, 8), (1_000, 3)] {
        let owner = Owner {
            uid,
            name: "core".to_owned(),
            ..Owner::default()
        };
        let mut loaded = Loaded::default();
        take_all(&mut loaded, &owner, &texts, names(8));
        assert_eq!(loaded.definitions.len(), count, "{:?}", loaded.faults);
    }
}

#[test]
fn a_file_is_wanted_by_a_link_and_a_quadlet_by_its_section() {
    let install = "[Service]\nExecStart=/x\n[Install]\nWantedBy=default.target\n";
    let output = format!(
        "---q.service---\n{install}---a.service---\n{install}[X-Unit]\nPath=/a\n\
         ---b.service---\n{install}[X-Unit]\nPath=/b\n---off.service---\n[X-Unit]\nPath=\n\
         ---wanted---\na.service\n"
    );
    let loaded = taken(
        &output,
        &["q.service", "a.service", "b.service", "off.service"],
    );
    let at_boot = loaded
        .definitions
        .iter()
        .map(|d| (d.service.as_str(), d.at_boot));
    let right = [("a", true), ("b", false), ("q", true)];
    assert_eq!(at_boot.collect::<Vec<_>>(), right);
}

#[test]
fn the_boot_starts_no_instance_of_a_file_without_a_link() {
    let install =
        "[Service]\nExecStart=/x\n[Install]\nWantedBy=default.target\nDefaultInstance=a\n";
    let output = format!(
        "---q@.service---\n{install}---p@.service---\n{install}[X-Unit]\nPath=/p\n\
         ---wanted---\np@b.service\n"
    );
    let names = ["q@a.service", "p@a.service", "p@b.service"];
    let definitions = taken(&output, &names).definitions;
    let at_boot = definitions.iter().map(|d| (d.service.as_str(), d.at_boot));
    let right = [("p-a", false), ("p-b", true), ("q-a", true)];
    assert_eq!(at_boot.collect::<Vec<_>>(), right);
}

#[test]
fn a_link_to_a_template_is_one_to_its_default_instance() {
    let mut texts = Texts::default();
    texts.add(
        "---a@.service---\n[Service]\nExecStart=/a\n[Install]\nDefaultInstance=x\n[X-Unit]\nPath=/a\n\
         ---b@.service---\n[Service]\nExecStart=/b\n[X-Unit]\nPath=/b\n---wanted---\na@.service\nb@.service\n",
    );
    let owner = Owner::default();
    let names = names(&owner, &texts, &texts.templates());
    assert_eq!(names, ["a@x.service"]);
    let mut loaded = Loaded::default();
    let more = [names, vec!["a@y.service".to_owned()]].concat();
    take_all(&mut loaded, &owner, &texts, more);
    let at_boot = loaded.definitions.iter();
    let at_boot = at_boot.map(|d| (d.unit.as_str(), d.at_boot));
    let right = [("a@x.service", true), ("a@y.service", false)];
    assert_eq!(at_boot.collect::<Vec<_>>(), right);
}

#[test]
fn a_faulty_unit_is_a_line_and_the_other_units_are_loaded() {
    let loaded = taken(
        "---a.service---\n[Service]\nExecStart=/x\n---A.service---\n[Service]\nExecStart=/x\nSlice=y\n\
         ---b.service---\n[Service]\nExecStart=/x\nUser=nobody\n\
         ---c.service---\n[Service]\nExecStart=/x ^\\s+\\d\n",
        &["a.service", "A.service", "b.service", "c.service"],
    );
    assert_eq!(loaded.definitions.len(), 2);
    let faults = loaded.faults.iter().map(|fault| fault.why.as_str());
    let faults = faults.collect::<Vec<_>>().join("; ");
    for right in [
        "another unit is the service a",
        "User=nobody",
        "without effect here: Slice",
        "c.service: ExecStart: an escape",
    ] {
        assert!(faults.contains(right), "{faults}");
    }
}

#[test]
fn a_drop_in_extends_all_services_or_those_with_a_prefix() {
    let loaded = taken(
        "---web-a-b.service---\n[Service]\nExecStart=/x\n---db.service---\n[Service]\nExecStart=/x\n\
         ---service.d---\n[Service]\nTasksMax=1\n---web-.service.d---\n[Service]\nTasksMax=2\n\
         ---web-a-.service.d---\n[Service]\nTasksMax=3\n",
        &["web-a-b.service", "db.service"],
    );
    let files = loaded.definitions.iter().map(Definition::service_file);
    let limits: Vec<bool> = ["1", "3"]
        .iter()
        .zip(files)
        .map(|(limit, file)| file.contains(&format!("limit pids.max \"{limit}\"")))
        .collect();
    assert_eq!(limits, [true, true]);
    assert_eq!(
        extended_by_prefix("a-b@c-d.service"),
        ["service", "a-.service"]
    );
}
