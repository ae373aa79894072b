// SPDX-License-Identifier: Apache-2.0
use super::names::{is_name, is_package};
use super::request::matches;
use super::table::KNOWN;
use super::*;

#[test]
fn a_request_is_read_or_refused_with_the_reason() -> Result<()> {
    let request = Request::new("mine", "strace  g++-12")?;
    assert_eq!(request.packages, ["strace", "g++-12"]);
    assert_eq!(Request::new("skopeo", "")?.packages, ["skopeo"]);
    for (name, packages, expected) in [
        ("", "strace", "a-z"),
        ("a/b", "strace", "a-z"),
        ("-a", "strace", "a-z"),
        ("mine", "", "buildah, skopeo, compose, debug, tools"),
        ("debug", "strace", "strace tcpdump"),
        ("mine", "strace --x", "--x"),
        ("mine", "strace a,b", "a,b"),
    ] {
        let error = Request::new(name, packages).map_err(|e| format!("{e:#}"));
        assert!(
            error.is_err_and(|e| e.contains(expected)),
            "{name} {packages}"
        );
    }
    Ok(())
}

#[test]
fn a_pattern_matches_whole_paths() {
    for (pattern, path, expected) in [
        ("usr/bin/a", "usr/bin/a", true),
        ("usr/bin/a", "usr/bin/ab", false),
        ("usr/*/doc/*", "usr/share/vim/doc/a/b", true),
        ("usr/*/doc/*", "usr/share/docs/a", false),
        ("*_test.go", "src/a_test.go", true),
        ("*_test.go", "src/a_test.go.x", false),
        ("*/testdata/*", "a/testdata/é", true),
    ] {
        assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn only_the_other_architecture_is_emulated() -> Result<()> {
    let request = Request::new("qemu-user", "")?;
    for arch in crate::arch::ARCHES {
        for (path, expected) in [
            (
                format!("usr/lib/binfmt.d/qemu-{}.conf", arch.foreign),
                false,
            ),
            (format!("usr/lib/binfmt.d/qemu-{}.conf", arch.name), true),
            ("usr/bin/qemu-aarch64".to_owned(), true),
        ] {
            assert_eq!(request.leaves_out(&path, arch), expected, "{path}");
        }
    }
    Ok(())
}

#[test]
fn the_table_is_in_order() {
    for row in KNOWN {
        assert!(is_name(row.name) && !row.why.is_empty(), "{}", row.name);
        assert!(row.packages.iter().all(|p| is_package(p)), "{}", row.name);
    }
}

#[test]
fn files_of_the_machine_are_left_out_except_links_to_busybox() {
    let (mut base, mut selected) = (Tree::new(), Tree::new());
    base.link("usr/bin/ip", "busybox");
    base.link("usr/bin/sh", "dash");
    base.bytes("usr/bin/bash", "the machine's", 0o755);
    for path in [
        "usr/bin/ip",
        "usr/bin/sh",
        "usr/bin/bash",
        "usr/bin/vim.tiny",
    ] {
        selected.bytes(path, "a package's", 0o755);
    }
    selected.dir("usr/share/empty");
    let mut tree = without_base(&selected, &base);
    add_alternatives(&mut tree);
    let paths: Vec<_> = tree.iter().map(|(path, _)| path).collect();
    #[rustfmt::skip]
    let expected = [
        "usr", "usr/bin", "usr/bin/ex", "usr/bin/ip", "usr/bin/rview", "usr/bin/vi",
        "usr/bin/view", "usr/bin/vim", "usr/bin/vim.tiny",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn the_manifest_says_whose_files_it_has() -> Result<()> {
    let package = |name: &str, version: &str| Fetched {
        name: name.into(),
        version: version.into(),
        ..Fetched::default()
    };
    let fetched = [
        package("libc6", "2.41-12+deb13u1"),
        package("strace", "6.13+ds-1"),
    ];
    assert_eq!(libc_version(&fetched)?, "2.41");
    assert!(libc_version(&fetched[1..]).is_err());
    let mut tree = Tree::new();
    tree.bytes("usr/bin/strace", "", 0o755);
    let owners = [("usr/bin/strace".to_owned(), "strace".to_owned())].into();
    let manifest = Manifest {
        name: "debug".into(),
        suite: "trixie".into(),
        architecture: "arm64",
        libc: "2.41".into(),
        needs: vec!["libc.so.6".into()],
        extensions: vec!["git".into()],
        kernel: Some("6.12.1-cloud".into()),
        modules: vec!["nfs".into()],
        services: vec!["statd".into()],
        users: vec!["statd 104".into()],
        packages: used_packages(&tree, &owners, &fetched),
    };
    let text = manifest.text(4096, "ab");
    for line in [
        "name debug",
        "architecture arm64",
        "libc 2.41",
        "size 4096",
        "needs libc.so.6",
        "needs git",
        "kernel 6.12.1-cloud",
        "module nfs",
        "service statd",
        "user statd 104",
        "package strace 6.13+ds-1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    assert!(!text.contains("libc6"));
    Ok(())
}

#[test]
fn the_kernel_of_modules_is_in_the_bill_of_materials() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let tree = |name: &str, package: &str| -> Result<PackageTree> {
        let root = dir.path().join(name);
        let docs = root.join("usr/share/doc").join(package);
        fs::create_dir_all(&docs)?;
        fs::write(
            docs.join("copyright"),
            "Format: 1.0\n\nFiles: *\nLicense: GPL-2\n",
        )?;
        let line = format!("{package}\t1.2\t{name}-src\t1.2\tsum\t\t, \n");
        fs::write(root.join("packages.tsv"), line)?;
        Ok(PackageTree::of_host(root, String::new()))
    };
    let userland = tree("nfs", "nfs-common")?;
    let linux = tree("linux", "linux-image-6.12.1-cloud-amd64")?;
    let image = dir.path().join("nfs.erofs");
    fs::write(&image, "x")?;
    let manifest = Manifest {
        packages: package_metadata::packages(&userland.root)?,
        ..Manifest::default()
    };
    let config = BuildConfig::from_env()?;
    let describe = |linux: Option<&PackageTree>| -> Result<String> {
        materials::describe((&userland, linux), &config, &image, &manifest)?;
        Ok(fs::read_to_string(materials::path(&image)?)?)
    };
    let kernel = "pkg:deb/debian/linux-image-6.12.1-cloud-amd64@1.2";
    let (with, without) = (describe(Some(&linux))?, describe(None)?);
    assert!(
        with.contains(kernel) && with.contains("pkg:deb/debian/nfs-common@1.2"),
        "{with}"
    );
    assert!(!without.contains(kernel));
    Ok(())
}

/// Rows of the guide's table: the name between backticks and the size in MB.
fn rows_of_the_guide() -> Result<Vec<(String, f64)>> {
    let path = paths::root().join("docs/guide/extensions.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, _, _, size] = cells.as_slice() else {
            return None;
        };
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        let size = size.strip_suffix(" MB")?.parse().ok()?;
        Some((name.to_owned(), size))
    });
    Ok(rows.collect())
}

/// Sizes change a little with each update of a package.
const TOLERANCE: f64 = 0.05;

#[test]
fn the_guide_has_each_extension_with_its_size() -> Result<()> {
    let rows = rows_of_the_guide()?;
    let mut named: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    let mut known: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
    let dirs = ["ext", "cloud/ext", "generic/ext"].map(|dir| paths::out().join(dir));
    for (name, stated) in rows {
        let mut images = dirs.iter().map(|dir| dir.join(format!("{name}.erofs")));
        // `make ext` may not have made the image.
        let Some(image) = images.find(|image| image.exists()) else {
            continue;
        };
        let bytes = u32::try_from(fsutil::size(&image)?)?;
        let size = f64::from(bytes) / 1e6;
        let allowed = TOLERANCE.mul_add(stated, 0.05);
        assert!(
            (size - stated).abs() <= allowed,
            "{name}: {stated} MB in the guide, {size:.2} made"
        );
    }
    Ok(())
}
