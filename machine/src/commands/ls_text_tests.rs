// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn item(name: &str, driver: &str, state: State) -> Item {
    let url = match state {
        State::Running => format!("unix:///run/pm/{name}.sock"),
        _ => String::new(),
    };
    Item {
        driver: driver.to_owned(),
        state,
        url,
        engine: "v5.4.2".to_owned(),
        memory: 2 << 30,
        disk: 100 << 30,
        ..Item::broken(name, "")
    }
}

fn names(filters: &[&str], items: &[Item]) -> Vec<String> {
    let filters = Filters::parse(filters.iter().copied()).unwrap();
    let matching = items.iter().filter(|item| filters.match_item(item));
    matching.map(|item| item.name.clone()).collect()
}

#[test]
fn filters_of_one_key_are_alternatives_and_keys_are_conditions() {
    let mut items = vec![
        item("fire", "fakedriver", State::Paused),
        item("ice", "virtualbox", State::Stopped),
        item("air", "fakedriver", State::Running),
        item("water", "softlayer", State::Saved),
    ];
    items[0].labels = vec!["com.class.foo=bar".into(), "alone".into()];
    #[rustfmt::skip]
    let rows: &[(&[&str], &[&str])] = &[
        (&[], &["fire", "ice", "air", "water"]),
        (&["driver=fakedriver"], &["fire", "air"]),
        (&["driver=FakeDriver", "driver=virtualbox"], &["fire", "ice", "air"]),
        (&["state=Paused", "state=Saved", "state=stopped"], &["fire", "ice", "water"]),
        (&["name=fire", "name=ice", "name=earth", "name=a.?r"], &["fire", "ice", "air"]),
        (&["name=^a"], &["air"]),
        (&["name=AIR"], &[]),
        (&["driver=virtualbox", "state=Running"], &[]),
        (&["label=com.class.foo=bar"], &["fire"]),
        (&["label=com.class.foo=BAR"], &["fire"]),
        (&["label=com.class.foo"], &["fire"]),
        (&["label=alone"], &["fire"]),
        (&["label=com.class.foo=x"], &[]),
        (&["LABEL=x=y=z"], &[]),
        (&["swarm=master"], &[]),
        (&["sWarM=x", "DrIver=fakedriver"], &[]),
        (&["STATE=Running"], &["air"]),
    ];
    for (filters, expected) in rows {
        assert_eq!(names(filters, &items), *expected, "{filters:?}");
    }
}

#[test]
fn wrong_filters_are_refused() {
    #[rustfmt::skip]
    let rows = [
        ("foo=bar", "Unsupported filter key 'foo'"),
        ("FOO=bar", "Unsupported filter key 'foo'"),
        ("state", "Unsupported filter syntax"),
        ("", "Unsupported filter syntax"),
        ("name=[", "Invalid regular expression '['"),
        ("name=(a", "Invalid regular expression '(a'"),
    ];
    for (filter, expected) in rows {
        let fault = Filters::parse([filter]).unwrap_err();
        assert!(fault.text.starts_with(expected), "{filter}: {fault}");
        assert_eq!(
            (fault.status, fault.text.lines().count()),
            (1, 1),
            "{filter}"
        );
    }
}

#[test]
fn names_are_in_natural_order() {
    #[rustfmt::skip]
    let rows: &[&[&str]] = &[
        &["bar10", "bar100", "foo"],
        &["box1", "box2", "box10", "box20"],
        &["A", "b", "C"],
        &["1", "2", "10", "a"],
        &["a", "a1", "a1b", "a01", "aa"],
        &["x2y3", "x2y20", "x10y1"],
        &["99999999999999999999999", "100000000000000000000000"],
    ];
    for sorted in rows {
        let mut names = sorted.to_vec();
        names.reverse();
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, *sorted);
    }
}

#[test]
fn the_active_machine_is_the_one_of_the_clients() {
    let clients = |machine: &str, docker: &str, container: &str| Clients {
        machine: machine.to_owned(),
        docker: docker.to_owned(),
        container: container.to_owned(),
    };
    let url = "unix:///run/pm/box.sock";
    #[rustfmt::skip]
    let rows = [
        (clients("", "", ""), State::Running, false),
        (clients("box", "", ""), State::Running, true),
        (clients("box", "", ""), State::Stopped, false),
        (clients("", url, ""), State::Running, true),
        (clients("", "", url), State::Running, true),
        (clients("", "tcp://1.2.3.4:2376", ""), State::Running, false),
        (clients("other", "", ""), State::Running, false),
        (clients("", "", ""), State::Stopped, false),
    ];
    for (clients, state, expected) in rows {
        let items = [
            item("a", "qemu", State::Stopped),
            item("box", "qemu", state),
        ];
        assert_eq!(clients.use_machine(&items[1]), expected, "{clients:?}");
        match active(&items, &clients) {
            Ok(name) => assert!(expected && name == "box"),
            Err(fault) => assert!(!expected && fault.text == "No active host found"),
        }
    }
    let late = [item("a", "qemu", State::Timeout)];
    let fault = active(&late, &Clients::default()).unwrap_err();
    assert_eq!(fault.text, "Error getting active host: timeout");
}

fn rendered(format: &str, as_docker: bool) -> String {
    let clients = Clients {
        machine: "box".into(),
        ..Clients::default()
    };
    let items = [
        item("box", "qemu", State::Running),
        item("old", "qemu", State::Stopped),
        item("slow", "qemu", State::Timeout),
        Item::broken("torn", "config.json: expected\nvalue"),
    ];
    render(&items, &clients, format, as_docker).unwrap()
}

#[test]
fn the_table_has_the_columns_of_the_program() {
    let podman = "\
NAME   ACTIVE   DRIVER      STATE     URL                       ERRORS
box    *        qemu        Running   unix:///run/pm/box.sock   
old    -        qemu        Stopped                             
slow            qemu        Timeout                             
torn            not found   Error                               config.json: expectedvalue
";
    assert_eq!(rendered("", false), podman);
    let docker = "\
NAME   ACTIVE   DRIVER      STATE     URL                       SWARM   DOCKER   ERRORS
box    *        qemu        Running   unix:///run/pm/box.sock           v5.4.2   
old    -        qemu        Stopped                                     v5.4.2   
slow            qemu        Timeout                                     v5.4.2   
torn            not found   Error                                                config.json: expectedvalue
";
    assert_eq!(rendered("", true), docker);
}

#[test]
fn formats_are_templates() {
    #[rustfmt::skip]
    let rows = [
        ("{{.Name}}", "box\nold\nslow\ntorn\n"),
        (" {{.Name}} ", "box\nold\nslow\ntorn\n"),
        ("{{.Name}}\\t{{.State}}", "box\tRunning\nold\tStopped\nslow\tTimeout\ntorn\tError\n"),
        ("{{.Name}}\\n", "box\n\nold\n\nslow\n\ntorn\n\n"),
        ("table {{.Name}}", "NAME\nbox\nold\nslow\ntorn\n"),
        ("table {{.Name}}\\t{{.DriverName}}\\t{{.DockerVersion}}", "NAME   DRIVER      DOCKER\nbox    qemu        v5.4.2\nold    qemu        v5.4.2\nslow   qemu        v5.4.2\ntorn   not found   \n"),
        ("table {{.ActiveHost}}\\t{{.ResponseTime}}", "ACTIVE_HOST   RESPONSE\ntrue          0s\nfalse         0s\nfalse         0s\nfalse         0s\n"),
        ("{{.ActiveHost}}{{.ActiveSwarm}}", "truefalse\nfalsefalse\nfalsefalse\nfalsefalse\n"),
        ("{{.Memory}} {{.Running}}", "2GiB true\n2GiB false\n2GiB false\n0B false\n"),
        ("{{if .Error}}{{.Error | printf \"%.6s\"}}{{end}}", "\n\n\nconfig\n"),
    ];
    for (format, expected) in rows {
        assert_eq!(rendered(format, false), expected, "{format}");
    }
    assert_eq!(
        render(&[], &Clients::default(), "", false)
            .unwrap()
            .lines()
            .count(),
        1
    );
}

#[test]
fn a_wrong_format_is_one_line() {
    for format in ["{{", "{{.Nmae}}", "table {{.Name", "{{nope}}"] {
        let items = [item("box", "qemu", State::Running)];
        let fault = render(&items, &Clients::default(), format, false).unwrap_err();
        assert_eq!(fault.text.lines().count(), 1, "{format}");
    }
}

#[test]
fn json_is_an_array() {
    let list: Value = serde_json::from_str(&json_list(
        &[item("box", "qemu", State::Running)],
        &Clients::default(),
    ))
    .unwrap();
    assert_eq!(
        (&list[0]["Name"], &list[0]["Running"]),
        (&json!("box"), &json!(true))
    );
    assert_eq!(json_list(&[], &Clients::default()), "[]\n");
}

#[test]
fn sizes_have_four_digits() {
    for (bytes, text) in [
        (0, "0B"),
        (1023, "1023B"),
        (1536 << 20, "1.5GiB"),
        (2 << 30, "2GiB"),
        (100 << 30, "100GiB"),
        (1 << 50, "1PiB"),
        (12_345_678_901, "11.5GiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}
