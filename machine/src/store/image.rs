// SPDX-License-Identifier: Apache-2.0
//! Images: kernel and initrd, kept in the cache under the hash of their content.

use super::dirs::{Dirs, make_private, remove_all};
use super::draft;
use super::fetch::{fetch, fetch_checked};
use super::files::{replace, sync_dir};
use super::hash::sha256;
use super::image_source::{FILES, Source};
use super::kernel;
use super::media;
use super::space;
use crate::fault::{Fault, PRE_CREATE};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// File with their sums, in the format of sha256sum(1).
const SUMS: &str = "SHA256SUMS";

/// Image in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Name in the cache: `sha256-<hex>`.
    pub id: String,
    /// Directory of the files.
    pub dir: PathBuf,
}

impl Image {
    /// Returns an image that is in the cache.
    pub fn open(cache: &Path, id: &str) -> Result<Self> {
        let dir = cache.join(id);
        if !dir.join(FILES[1]).is_file() {
            bail!(
                "image {id} is not in {}: `upgrade` takes another one",
                cache.display()
            );
        }
        Ok(Self {
            id: id.to_owned(),
            dir,
        })
    }

    /// Verifies an image and brings it into the cache.
    pub fn import(cache: &Path, source: &Source) -> Result<Self> {
        Self::import_by(cache, source, draft::make)
    }

    /// Imports an image into a draft whose directory `make` makes.
    pub fn import_by(
        cache: &Path,
        source: &Source,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        make_private(cache)?;
        if let Some(known) = known(cache, source) {
            return Ok(known);
        }
        let draft = Self::draft(cache, std::process::id());
        remove_all(&draft)?;
        make(&draft)?;
        let imported = fill(&draft, source).and_then(|sums| commit(cache, &draft, &sums));
        remove_all(&draft)?;
        if let (Ok(image), Source::Url { sha256, .. }) = (&imported, source) {
            replace(&cache.join(url_name(sha256)), image.id.as_bytes())?;
        }
        imported
    }

    /// Returns the directory in which a process puts an image together.
    #[must_use]
    pub fn draft(cache: &Path, pid: u32) -> PathBuf {
        cache.join(format!(".image.{pid}.tmp"))
    }

    /// Returns the path of the kernel.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.dir.join(FILES[0])
    }

    /// Returns the path of the initrd.
    #[must_use]
    pub fn initrd(&self) -> PathBuf {
        self.dir.join(FILES[1])
    }
}

/// Returns the name of the file that says which image a sum has led to.
fn url_name(sha256: &str) -> String {
    format!("url-{sha256}")
}

/// Returns the image of a URL that was fetched before: the content of a sum does not change.
fn known(cache: &Path, source: &Source) -> Option<Image> {
    let Source::Url { sha256, .. } = source else {
        return None;
    };
    let id = fs::read_to_string(cache.join(url_name(sha256))).ok()?;
    Image::open(cache, id.trim()).ok()
}

/// Refuses a directory that lacks a file of an image.
fn check_files(dir: &Path) -> Result<(), Fault> {
    match FILES.iter().find(|name| !dir.join(name).is_file()) {
        None => Ok(()),
        Some(name) => Err(Fault::with_status(
            format!(
                "Error with pre-create check: {} has no {name}: an image is a directory with {}, as of `make image`",
                dir.display(),
                FILES.join(" and ")
            ),
            PRE_CREATE,
        )),
    }
}

/// Copies the files of an image into `draft`; returns their sums.
fn fill(draft: &Path, source: &Source) -> Result<String> {
    let mut announced = None;
    match source {
        Source::Dir(dir) => {
            check_files(dir)?;
            announced = fs::read_to_string(dir.join(SUMS)).ok();
            let sizes = FILES.map(|name| fs::metadata(dir.join(name)).map_or(0, |meta| meta.len()));
            space::check("the image", draft, sizes.iter().sum())?;
            for name in FILES {
                copy(&dir.join(name), &draft.join(name))?;
            }
        }
        Source::File(file) => extract(file, draft)?,
        Source::Url { url, sha256 } if media::is_name(url) => {
            let file = draft.join(".medium");
            fetch_checked(url, &file, sha256)?;
            extract(&file, draft)?;
            remove_all(&file)?;
        }
        Source::Url { url, sha256 } => {
            let sums = draft.join(SUMS);
            fetch_checked(&format!("{url}/{SUMS}"), &sums, sha256)?;
            announced = Some(fs::read_to_string(&sums)?);
            for name in FILES {
                fetch(&format!("{url}/{name}"), &draft.join(name))?;
            }
        }
    }
    kernel::check(&draft.join(FILES[0]))?;
    let mut sums = String::new();
    for name in FILES {
        let sum = sha256(&draft.join(name))?;
        check(name, &sum, announced.as_deref())?;
        sums += &format!("{sum}  {name}\n");
    }
    Ok(sums)
}

fn extract(medium: &Path, draft: &Path) -> Result<()> {
    let extracted = media::extract(medium, draft);
    extracted.map_err(|error| {
        if error.is::<Fault>() {
            return error;
        }
        Fault::with_status(format!("Error: --image: {error:#}"), PRE_CREATE).into()
    })
}

/// Compares a file's sum with the announced one. A directory without sums announces none.
fn check(name: &str, sum: &str, announced: Option<&str>) -> Result<()> {
    let Some(announced) = announced else {
        return Ok(());
    };
    let of_file = |line: &&str| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|n| n.trim_start_matches('*') == name)
    };
    let line = announced.lines().find(of_file);
    let expected = line
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or("none");
    if expected.eq_ignore_ascii_case(sum) {
        return Ok(());
    }
    let text = format!(
        "Error: {name} has the SHA-256 {sum}, and {SUMS} says {expected}: the image is refused"
    );
    Err(Fault::with_status(text, PRE_CREATE).into())
}

/// Moves a verified draft to its name in the cache, unless the cache has it.
fn commit(cache: &Path, draft: &Path, sums: &str) -> Result<Image> {
    let hex = disk::uuid::hex(&Sha256::digest(sums));
    let id = format!("sha256-{hex}");
    let dir = cache.join(&id);
    replace(&draft.join(SUMS), sums.as_bytes())?;
    for name in FILES {
        File::open(draft.join(name))?.sync_all()?;
    }
    match fs::rename(draft, &dir) {
        Err(_) if dir.join(FILES[1]).is_file() => {}
        other => other.with_context(|| format!("create {}", dir.display()))?,
    }
    sync_dir(cache)?;
    Ok(Image { id, dir })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied
        .map(|_| ())
        .with_context(|| format!("copy {}", from.display()))
}

/// Keeps `prune` from removing images that no machine has yet.
pub fn hold_cache(dirs: &Dirs) -> Result<fs::File> {
    let path = dirs.cache().join("lock");
    let file = super::lock::open(&path)?;
    file.lock_shared()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(dir: &Path, kernel: &str) {
        fs::create_dir_all(dir).expect("made");
        fs::write(dir.join("vmlinuz"), kernel).expect("written");
        fs::write(dir.join("initrd.img"), "i").expect("written");
    }

    #[test]
    fn an_image_is_kept_once_by_content() {
        let tmp = tempfile::tempdir().expect("a directory");
        let (a, b, cache) = (
            tmp.path().join("a"),
            tmp.path().join("b"),
            tmp.path().join("cache"),
        );
        image(&a, "k");
        image(&b, "other");
        let first = Image::import(&cache, &Source::Dir(a.clone())).expect("imported");
        assert_eq!(
            Image::import(&cache, &Source::Dir(a)).expect("again"),
            first
        );
        let second = Image::import(&cache, &Source::Dir(b)).expect("imported");
        assert_ne!(first.id, second.id);
        assert_eq!(
            fs::read_dir(&cache).expect("list").count(),
            2,
            "no draft is left"
        );
        assert_eq!(Image::open(&cache, &first.id).expect("there"), first);
        assert!(Image::open(&cache, "sha256-0").is_err());
    }

    #[test]
    fn a_wrong_sum_is_refused_and_named() {
        let tmp = tempfile::tempdir().expect("a directory");
        let (dir, cache) = (tmp.path().join("a"), tmp.path().join("cache"));
        image(&dir, "k");
        for sums in ["0000  vmlinuz\n", "", "x"] {
            fs::write(dir.join(SUMS), sums).expect("written");
            let error = Image::import(&cache, &Source::Dir(dir.clone())).expect_err("wrong");
            assert!(
                error.to_string().contains("vmlinuz has the SHA-256"),
                "{error}"
            );
            assert_eq!(
                fs::read_dir(&cache).expect("list").count(),
                0,
                "nothing is kept"
            );
        }
    }

    #[test]
    fn files_by_url() {
        let tmp = tempfile::tempdir().expect("a directory");
        let (dir, cache) = (tmp.path().join("a b"), tmp.path().join("cache"));
        image(&dir, "k");
        let sums: String = FILES
            .iter()
            .map(|f| format!("{}  {f}\n", sha256(&dir.join(f)).expect("sum")))
            .collect();
        fs::write(dir.join(SUMS), &sums).expect("written");
        let url = format!("file://{}", dir.display()).replace(' ', "%20");
        let sum = sha256(&dir.join(SUMS)).expect("sum");
        let source = Source::parse(&format!("{url}#{sum}")).expect("right");
        let local = Image::import(&cache, &Source::Dir(dir.clone())).expect("imported");
        assert_eq!(Image::import(&cache, &source).expect("fetched"), local);
        let source = Source::parse(&format!("{url}#{}", "0".repeat(64))).expect("right");
        assert!(
            Image::import(&cache, &source)
                .expect_err("wrong")
                .to_string()
                .contains("is refused")
        );
    }
}
