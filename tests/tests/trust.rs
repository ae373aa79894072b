// SPDX-License-Identifier: Apache-2.0
//! Files beside the artifacts: the bill of materials, the sums, a signature. No machine is booted;
//! `make test` has made the files.

use anyhow::{Context, Result, bail, ensure};
use initramfs::bom::medium;
use initramfs::fetch::BuildConfig;
use initramfs::modules::read_module;
use initramfs::programs::{self, Target};
use initramfs::{paths, stamp, sums};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use sys::modules::restore::restore;
use tests::disks;

/// Signature namespace in the recipe of docs/design/trust.md.
const NAMESPACE: &str = "boot2podman-release";
const SIGNER: &str = "releases@boot2podman";

fn json(name: &str) -> Result<Value> {
    let path = paths::out().join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value[name].as_array().with_context(|| format!("no {name}"))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("no {name}: {value}"))
}

/// SPDX 2.3, clauses 6 to 11: the required parts of every document and package, and the presence of
/// every named part.
#[test]
fn the_documents_hold_together() -> Result<()> {
    [paths::SPDX, &medium::spdx_name(paths::ISO)]
        .into_iter()
        .try_for_each(holds_together)
}

fn holds_together(name: &str) -> Result<()> {
    let document = json(name)?;
    ensure!(document["spdxVersion"] == "SPDX-2.3" && document["dataLicense"] == "CC0-1.0");
    let space = text(&document, "documentNamespace")?;
    ensure!(
        space.starts_with("https://") && !space.contains('#'),
        "{space}"
    );
    let created = text(&document["creationInfo"], "created")?;
    ensure!(created.len() == 20 && created.ends_with('Z'), "{created}");

    let mut ids = BTreeSet::from(["SPDXRef-DOCUMENT".to_owned()]);
    let mut licences = BTreeSet::new();
    for package in list(&document, "packages")? {
        let id = text(package, "SPDXID")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        ensure!(id.starts_with("SPDXRef-") && id.chars().all(plain), "{id}");
        ensure!(ids.insert(id.to_owned()), "{id} is there twice");
        for name in [
            "name",
            "versionInfo",
            "downloadLocation",
            "licenseConcluded",
        ] {
            ensure!(!text(package, name)?.is_empty(), "{package}");
        }
        let declared = text(package, "licenseDeclared")?;
        let words = declared.split([' ', '(', ')']);
        licences.extend(
            words
                .filter(|w| w.starts_with("LicenseRef-"))
                .map(str::to_owned),
        );
    }
    for relation in list(&document, "relationships")? {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            ensure!(ids.contains(text(relation, end)?), "{relation}");
        }
    }
    let mut given = BTreeSet::new();
    for info in list(&document, "hasExtractedLicensingInfos")? {
        ensure!(!text(info, "extractedText")?.trim().is_empty(), "{info}");
        given.insert(text(info, "licenseId")?.to_owned());
    }
    ensure!(licences == given, "used {licences:?}, given {given:?}");
    Ok(())
}

/// Every package in the machine has a version, a licence and a hash, in both files.
#[test]
fn every_package_is_named_in_full() -> Result<()> {
    let (manifest, document) = (json("manifest.json")?, json(paths::SPDX)?);
    let packages = list(&manifest, "packages")?;
    let described = list(&document, "packages")?;
    for name in [
        "podman",
        "crun",
        "netavark",
        "openssh-server",
        "libc6",
        "busybox-static",
        "nix",
    ] {
        ensure!(packages.iter().any(|p| p["name"] == name), "no {name}");
    }
    ensure!(packages.iter().filter(|p| p["kind"] == "kernel").count() == 1);
    // These packages are fetched for the host only.
    for name in ["erofs-utils", "docker-cli", "perl-base", "serde_derive"] {
        ensure!(
            !packages.iter().any(|p| p["name"] == name),
            "{name} is not in the machine"
        );
    }
    for package in packages {
        ensure!(text(package, "licence")? != "NOASSERTION", "{package}");
        let same =
            |d: &&Value| d["name"] == package["name"] && d["versionInfo"] == package["version"];
        let other = described.iter().find(same);
        let other = other.with_context(|| format!("not in the document: {package}"))?;
        ensure!(
            other["licenseDeclared"] == package["licence"],
            "{package}\n{other}"
        );
        if package["kind"] != "rust" {
            let sum = text(package, "sha256")?;
            ensure!(
                sum.len() == 64 && other["checksums"][0]["checksumValue"] == sum,
                "{other}"
            );
        }
    }
    for name in ["vmlinuz", "initrd.img"] {
        let sum = stamp::file_digest(&paths::out().join(name))?;
        let artifact = described.iter().find(|d| d["packageFileName"] == name);
        let artifact = artifact.with_context(|| format!("no {name}"))?;
        ensure!(
            artifact["checksums"][0]["checksumValue"] == sum,
            "{artifact}"
        );
    }
    Ok(())
}

fn sha256sum(dir: &Path) -> Result<bool> {
    let mut command = Command::new("sha256sum");
    command.args(["--check", "--quiet", "--strict", paths::SHA256SUMS]);
    Ok(command.current_dir(dir).output()?.status.success())
}

#[test]
fn the_sums_match_the_files() -> Result<()> {
    let out = paths::out();
    let sums = fs::read_to_string(out.join(paths::SHA256SUMS))?;
    for name in sums::FILES {
        let named = sums
            .lines()
            .any(|line| line.ends_with(&format!("  {name}")));
        ensure!(named == out.join(name).exists(), "{name}:\n{sums}");
    }
    ensure!(sha256sum(&out)?, "{sums}");
    Ok(())
}

fn keygen(dir: &Path, args: &[&str], input: &str) -> Result<bool> {
    let mut command = Command::new("ssh-keygen");
    command.args(args).current_dir(dir);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let input = match input {
        "" => Stdio::null(),
        name => fs::File::open(dir.join(name))?.into(),
    };
    Ok(command
        .stdin(input)
        .status()
        .context("start ssh-keygen")?
        .success())
}

/// The recipe of docs/design/trust.md, from the key to a tampered download.
#[test]
fn signed_and_verified_as_the_page_says() -> Result<()> {
    let page = include_str!("../../docs/design/trust.md");
    let dir = disks::dir("trust")?;
    let sign = ["-Y", "sign", "-f", "release_key", "-n", NAMESPACE];
    let verify = [
        "-Y",
        "verify",
        "-f",
        "allowed_signers",
        "-I",
        SIGNER,
        "-n",
        NAMESPACE,
        "-s",
        "SHA256SUMS.sig",
    ];
    let page = page.replace(" \\\n    ", " ");
    for words in [sign.as_slice(), &verify] {
        let line = format!("ssh-keygen {}", words.join(" "));
        ensure!(page.contains(&line), "not on the page: {line}");
    }
    let make = [
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        SIGNER,
        "-f",
        "release_key",
    ];
    ensure!(keygen(&dir, &make, "")?, "no key");
    let public = fs::read_to_string(dir.join("release_key.pub"))?;
    let line = format!("{SIGNER} namespaces=\"{NAMESPACE}\" {public}");
    fs::write(dir.join("allowed_signers"), line)?;
    fs::copy(
        paths::out().join(paths::SHA256SUMS),
        dir.join(paths::SHA256SUMS),
    )?;

    ensure!(
        keygen(&dir, &[&sign[..], &[paths::SHA256SUMS]].concat(), "")?,
        "not signed"
    );
    ensure!(
        keygen(&dir, &verify, paths::SHA256SUMS)?,
        "what was signed is not verified"
    );
    let changed = fs::read_to_string(dir.join(paths::SHA256SUMS))?.replacen('a', "b", 1);
    fs::write(dir.join("changed"), changed)?;
    if keygen(&dir, &verify, "changed")? {
        bail!("what was changed is verified");
    }
    fs::remove_file(dir.join("SHA256SUMS.sig"))?;
    let other = [
        "-Y",
        "sign",
        "-f",
        "release_key",
        "-n",
        "file",
        paths::SHA256SUMS,
    ];
    ensure!(keygen(&dir, &other, "")?, "not signed");
    if keygen(&dir, &verify, paths::SHA256SUMS)? {
        bail!("a signature for something else is taken");
    }
    Ok(fs::remove_dir_all(dir)?)
}

/// Programs contain the file names that panics print, and not the directory of their build.
#[test]
fn the_programs_do_not_say_where_they_were_built() -> Result<()> {
    let programs = programs::build(Target::choose())?;
    let home = programs::cargo_home().context("no CARGO_HOME")?;
    let mut rustc = Command::new("rustc");
    let sysroot = rustc.args(["--print", "sysroot"]).output()?.stdout;
    let sysroot = String::from_utf8(sysroot)?.trim().to_owned();
    let places = [
        paths::root().display().to_string(),
        home.display().to_string(),
        sysroot,
    ];
    for program in [&programs.init, &programs.b2p] {
        let bytes = fs::read(program)?;
        let has = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        // A positive control for the search.
        ensure!(
            has("/src/main.rs") || has(".rs"),
            "{}: no names at all",
            program.display()
        );
        for place in &places {
            ensure!(!has(place), "{} names {place}", program.display());
        }
    }
    Ok(())
}

/// The kernel modules of the image, which have neither signatures nor calls of the function tracer,
/// and their records.
#[test]
fn every_module_restores_to_that_of_its_package() -> Result<()> {
    let config = BuildConfig::from_env()?;
    let cache = paths::cache_of(config.kernel).join("modules/usr/lib/modules");
    let tree = config.linux_tree();
    let release = tree.kernel_release()?;
    let (made, packages) = (
        cache.join(&release),
        tree.root.join("usr/lib/modules").join(release),
    );
    let initrd = fs::read(paths::out_of(config.kernel).join(paths::INITRD))?;
    let early = tests::initrd::entries(&initrd);
    let (mut count, mut patched, mut in_head) = (0, 0, 0);
    let index = fs::read_to_string(made.join("modules.dep"))?;
    for (path, _) in index.lines().filter_map(|line| line.split_once(':')) {
        let packed = packages.join(format!("{path}.xz"));
        let plain = packages.join(path);
        let original = read_module(if packed.exists() { &packed } else { &plain })?;
        let mut file = fs::read(made.join(path))?;
        let name = path.rsplit('/').next().unwrap_or(path);
        for entry in early.iter().filter(|e| e.name == format!("modules/{name}")) {
            ensure!(
                initrd[entry.data_at.clone()] == file,
                "{name} in the initrd"
            );
            in_head += 1;
        }
        patched += usize::from(!file.starts_with(&original[..original.len() / 2]));
        ensure!(
            restore(&mut file).is_ok() && file == original,
            "{path} differs"
        );
        count += 1;
    }
    println!("{count} modules, {patched} patched, {in_head} in the head of the initrd");
    ensure!(
        count > 100 && patched > 100 && in_head >= 3,
        "{count} {patched} {in_head}"
    );
    Ok(())
}
