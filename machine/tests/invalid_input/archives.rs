// SPDX-License-Identifier: Apache-2.0
//! Archives that another person has made.

use super::{Host, whole};
use machine::store::config::MachineConfig;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Writes an archive of a configuration and an empty disk, beside an image; returns the archive and the image.
fn archive(host: &Host, config: &str) -> (String, String) {
    let home = host.0.path();
    let image = home.join("image");
    fs::create_dir_all(&image).unwrap();
    fs::write(image.join("vmlinuz"), "kernel").unwrap();
    fs::write(image.join("initrd.img"), "initrd").unwrap();
    fs::write(home.join("config.json"), config).unwrap();
    let mut disk = Command::new("qemu-img");
    disk.args(["create", "-q", "-f", "qcow2", "disk.qcow2", "256M"]);
    assert!(disk.current_dir(home).status().unwrap().success());
    let file = home.join("foreign.tar");
    let _ = fs::remove_file(&file);
    let content: Vec<(&str, PathBuf)> = ["config.json", "disk.qcow2"]
        .map(|name| (name, home.join(name)))
        .into();
    machine::store::archive::write(&file, &content).unwrap();
    let text = |path: PathBuf| path.into_os_string().into_string().unwrap();
    (text(file), text(image))
}

#[test]
fn a_configuration_with_a_wrong_field_is_refused() {
    let host = Host::new();
    let good: Value = serde_json::from_str(&whole("foreign").text()).unwrap();
    for (field, value, right) in [
        (
            "user",
            json!("core\n  ProxyCommand touch ran"),
            "a login name",
        ),
        ("image", json!("../../secret"), "sha256- with 64"),
        ("name", json!("../foreign"), "a host name"),
        ("publish_on", json!("0.0.0.0:1-:1\nquit"), "an IPv4 address"),
        ("accel", json!("tcg,x=y"), "auto, kvm or tcg"),
        ("flags", json!([["tz,file=secret", ""]]), "a name"),
    ] {
        let mut config = good.clone();
        config[field] = value;
        let (file, image) = archive(&host, &config.to_string());
        let end = host.run(&["import", &file, "new", "--image", &image]);
        assert_eq!(
            (end.status, end.out.as_str(), end.errors.lines().count()),
            (Some(1), "", 1),
            "{field}: {}",
            end.errors
        );
        assert!(
            end.errors.contains(&format!("config.json: {field} ")) && end.errors.contains(right),
            "{}",
            end.errors
        );
        assert!(!host.machine("new").exists());
    }
}

#[test]
fn access_to_this_host_is_left_out() {
    let host = Host::new();
    let mut config: Value = serde_json::from_str(&whole("foreign").text()).unwrap();
    config["shares"] = json!([{"source": host.0.path(), "target": "/mnt"}]);
    config["ports"] = json!([{"protocol": "tcp", "address": "0.0.0.0", "port": 80, "guest": 80}]);
    config["publish_on"] = json!("0.0.0.0");
    (config["ssh_port"], config["ssh_port_fixed"]) = (json!(2222), json!(true));
    config["previous"] = config["image"].clone();
    config["later"] = json!({"arguments": ["-fsdev"]});
    let (file, image) = archive(&host, &config.to_string());
    let end = host.run(&["import", &file, "--image", &image]);
    assert_eq!(end.status, Some(0), "{}", end.errors);
    for words in [
        "`podman-machine share add foreign ",
        "`podman-machine ports add foreign 0.0.0.0:80:80/tcp`",
        "`podman-machine set foreign publish-on=0.0.0.0`",
        "`podman-machine set foreign ssh-port=2222`",
        "`podman-machine set foreign proxy-env=on`",
        "the setting \"later\"",
    ] {
        assert!(end.errors.contains(words), "{words}: {}", end.errors);
    }
    assert_eq!(end.errors.lines().count(), 6, "{}", end.errors);
    let text = fs::read_to_string(host.machine("foreign").join("config.json")).unwrap();
    let made = MachineConfig::parse(&text).unwrap();
    let expected = MachineConfig {
        image: made.image.clone(),
        proxy_env: false,
        ..whole("foreign")
    };
    assert_eq!(made, expected);
}
