// SPDX-License-Identifier: Apache-2.0
//! Homes, URLs, labels and full disks.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use crate::{Host, after_mounts, end, refuses};

#[test]
fn unusable_home_directories_are_refused() {
    let host = Host::new();
    let with = |home: Option<&Path>, args: &[&str]| {
        let mut command = host.command(args);
        match home {
            Some(home) => command.env("HOME", home),
            None => command.env_remove("HOME"),
        };
        command
    };
    let list = |home: &Path| end(&mut with(Some(home), &["ls", "-q"]));
    refuses(
        &mut with(None, &["ls"]),
        1,
        "neither XDG_DATA_HOME nor HOME is set",
    );
    refuses(
        &mut with(Some(Path::new("relative")), &["ls"]),
        1,
        "neither XDG_DATA_HOME nor HOME is set",
    );
    // Nothing has been created there yet: there are no machines.
    let nothing = list(Path::new("/nonexistent"));
    assert_eq!((nothing.status, nothing.out.as_str()), (Some(0), ""));
    let file = host.0.path().join("file");
    fs::write(&file, "").unwrap();
    let images = host.0.path().join("image");
    fs::create_dir(&images).unwrap();
    for name in ["vmlinuz", "initrd.img"] {
        fs::write(images.join(name), name).unwrap();
    }
    for home in [file.as_path(), Path::new("/proc/self")] {
        let args = ["create", "--no-start", "--image", "image", "new"];
        let end = end(&mut with(Some(home), &args));
        assert_eq!(end.status, Some(1), "{}", home.display());
        assert!(
            end.errors.contains(".local/share/podman-machine"),
            "{}",
            end.errors
        );
        assert_eq!(end.errors.lines().count(), 1, "{}", end.errors);
    }
    let link = host.0.path().join("link");
    symlink(host.0.path(), &link).unwrap();
    let linked = list(&link);
    assert_eq!((linked.status, linked.out.as_str()), (Some(0), "good\n"));
    for name in [
        "a b",
        "it's",
        "\"q\"",
        "ü日",
        "$HOME",
        "a,b=c",
        "back\\slash",
        &"x".repeat(150),
    ] {
        let home = host.0.path().join(name);
        fs::create_dir(&home).unwrap();
        let end = end(&mut with(
            Some(&home),
            &["create", "--no-start", "--image", "image", "box"],
        ));
        assert_eq!(end.status, Some(0), "{name}: {}", end.errors);
        assert_eq!(list(&home).out, "box\n", "{name}");
        let mut remove = with(Some(&home), &["rm", "-f", "box"]);
        assert!(remove.status().unwrap().success(), "{name}");
    }
}

/// Answers each request with what `answer` returns for its path, as long as the test runs.
fn server(answer: fn(&str) -> String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            // A client of TLS sends no text.
            let Some(Ok(first)) = lines.next() else {
                continue;
            };
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let path = first.split(' ').nth(1).unwrap_or_default();
            let _ = stream.write_all(answer(path).as_bytes());
        }
    });
    port
}

fn answer(path: &str) -> String {
    let ok = |body: &str, length: usize| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    let moved = |to: &str| {
        format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    match path {
        "/whole/SHA256SUMS" => ok("sums", 4),
        "/cut/SHA256SUMS" => ok("su", 4),
        "/moved/SHA256SUMS" => moved("/whole/SHA256SUMS"),
        "/away/SHA256SUMS" => moved("file:///etc/passwd"),
        "/loop/SHA256SUMS" => moved("/loop/SHA256SUMS"),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    }
}

#[test]
fn faulty_image_urls_are_refused() {
    let host = Host::new();
    let port = server(answer);
    let (wrong, local) = ("0".repeat(64), format!("http://127.0.0.1:{port}"));
    #[rustfmt::skip]
    let rows = [
        (format!("{local}/whole#{wrong}"), "is refused"),
        (format!("{local}/moved#{wrong}"), "is refused"),
        (format!("{local}/cut#{wrong}"), "SHA256SUMS: curl: "),
        (format!("{local}/away#{wrong}"), "SHA256SUMS"),
        (format!("{local}/loop#{wrong}"), "SHA256SUMS"),
        (format!("{local}/none#{wrong}"), "404"),
        (format!("{local}/none.iso#{wrong}"), "404"),
        (format!("{local}/whole#abc"), "64 hexadecimal digits"),
        (format!("{local}/whole"), "ends in #"),
        (format!("http://user:secret@127.0.0.1:{port}/none#{wrong}"), "404"),
        (format!("https://127.0.0.1:{port}/whole#{wrong}"), "127.0.0.1"),
        (format!("file:///nonexistent#{wrong}"), "nonexistent"),
        (format!("ftp://127.0.0.1/x#{wrong}"), "no such file"),
        ("http://#".to_owned() + &wrong, "a URL has a host"),
    ];
    for (url, words) in rows {
        let end = host.run(&["create", "--no-start", "--image", &url, "new"]);
        let line = end.errors.trim_end();
        assert!(matches!(end.status, Some(1 | 3)), "{url}: {line}");
        assert!(
            line.contains(words) && !line.contains('\n'),
            "{url}: {line}"
        );
        assert!(!line.contains("secret"), "{url}: {line}");
        assert!(!host.machine("new").exists(), "{url}");
        let cache = host.machine("").parent().unwrap().with_file_name("cache");
        let left = fs::read_dir(cache).into_iter().flatten().flatten();
        let left: Vec<_> = left
            .map(|entry| entry.file_name())
            .filter(|name| name != "lock")
            .collect();
        assert!(left.is_empty(), "{url}: {left:?}");
    }
}

#[test]
fn labels_of_images_are_checked() {
    let host = Host::new();
    fs::create_dir(host.0.path().join("image")).unwrap();
    for name in ["vmlinuz", "initrd.img"] {
        fs::write(host.0.path().join("image").join(name), name).unwrap();
    }
    let create = ["create", "--no-start", "--image", "image"];
    let labels = [
        "--label", "alone", "--label", "a=b=c", "--label", "=x", "new",
    ];
    let end = host.run(&[&create[..], &labels].concat());
    assert_eq!(end.status, Some(0), "{}", end.errors);
    for (filter, found) in [
        ("label=alone", "new\n"),
        ("label=a=b=c", "new\n"),
        ("label=a=b", ""),
    ] {
        let list = host.run(&["ls", "-q", "--filter", filter]);
        assert_eq!(
            (list.status, list.out.as_str()),
            (Some(0), found),
            "{filter}: {}",
            list.errors
        );
    }
}

#[test]
fn a_full_disk_leaves_nothing() {
    let host = Host::new();
    let dir = host.0.path();
    let small = dir.join("small");
    let image = dir.join("image");
    for dir in [&small, &image] {
        fs::create_dir(dir).unwrap();
    }
    fs::write(image.join("vmlinuz"), vec![1; 300_000]).unwrap();
    fs::write(image.join("initrd.img"), vec![2; 900_000]).unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$1\" && shift && \"$@\"; status=$?; \
                  find \"$HOME\" -type f ! -name lock; exit $status";
    let port = server(|_| {
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned();
        head + &"x".repeat(4 << 20)
    });
    let (sum, local) = ("0".repeat(64), format!("http://127.0.0.1:{port}"));
    let file = format!("file://{}/big.iso#{sum}", dir.display());
    fs::write(dir.join("big.iso"), vec![3; 2 << 20]).unwrap();
    for (from, status, words) in [
        ("image", 3, "the image needs 2 MiB, and "),
        (&file, 3, "the image needs 2 MiB, and "),
        // Without a length beforehand.
        (
            &format!("{local}/x.iso#{sum}"),
            1,
            "No space left on device",
        ),
    ] {
        let args = ["create", "--no-start", "--image", from, "new"];
        let end = after_mounts(script, &small, &args, dir, &small);
        assert_eq!(end.status, Some(status), "{from}: {}", end.errors);
        assert!(end.errors.contains(words), "{from}: {}", end.errors);
        assert!(!end.out.contains(".local"), "{from}: {}", end.out);
    }
}

#[test]
fn a_qemu_that_is_too_old_is_refused() {
    let host = Host::new();
    let bin = host.0.path().join("old");
    fs::create_dir(&bin).unwrap();
    let qemu = bin.join("qemu-system-x86_64");
    fs::write(&qemu, "#!/bin/sh\necho QEMU emulator version 4.2.1\n").unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut create = host.command(&["create", "box"]);
    refuses(
        create.env("PATH", path),
        3,
        "qemu-system-x86_64 version 4.2 is too old: 6.0 is needed",
    );
}

#[test]
fn a_home_that_is_not_utf_8_is_refused_by_its_name() {
    let host = Host::new();
    let home = host.0.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&home).unwrap();
    let words = "must have a name of UTF-8: use --storage-path DIR";
    refuses(host.command(&["ls"]).env("HOME", &home), 1, words);
}
