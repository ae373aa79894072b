//! The bill of materials as an SPDX 2.3 document in JSON
//! (spdx.github.io/spdx-spec/v2.3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Component, Kind, time};
use crate::artifact::Artifact;
use crate::stamp::Inputs;

/// Its name under out/.
pub const NAME: &str = "boot2podman.spdx.json";

const VERSION: &str = env!("CARGO_PKG_VERSION");
const OURS: &str = "SPDXRef-boot2podman";
const UNKNOWN: &str = "NOASSERTION";

/// What the document says.
pub struct Document<'a> {
    /// The Debian release.
    pub suite: &'a str,
    /// What was made. The kernel is in all of them, the rest in all but `vmlinuz`.
    pub artifacts: &'a [Artifact],
    /// What it was made of.
    pub components: &'a [Component],
    /// When the source was committed, in seconds since 1970.
    pub created: u64,
}

impl Document<'_> {
    /// The text. The same inputs give the same bytes.
    ///
    /// # Errors
    /// None that a document of ours can have.
    pub fn text(&self) -> serde_json::Result<String> {
        let mut document = json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": format!("boot2podman-{VERSION}"),
            "creationInfo": {
                "created": time::iso8601(self.created),
                "creators": [format!("Tool: boot2podman-initramfs-{VERSION}")],
            },
            "packages": self.packages(),
            "relationships": self.relationships(),
            "hasExtractedLicensingInfos": self.texts(),
        });
        // Two documents have the same name where they say the same.
        let mut inputs = Inputs::new();
        inputs.add("document", document.to_string());
        let digest = inputs.finish();
        let name = format!("boot2podman-{VERSION}-{}", &digest[..32]);
        document["documentNamespace"] = format!("https://spdx.org/spdxdocs/{name}").into();
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    fn packages(&self) -> Vec<Value> {
        let mut all = vec![ours()];
        all.extend(self.artifacts.iter().map(artifact));
        all.extend(self.components.iter().map(|c| self.component(c)));
        let sources: BTreeSet<_> = self.components.iter().flat_map(|c| &c.contains).collect();
        all.extend(sources.into_iter().map(|s| self.source(s)));
        all
    }

    fn component(&self, c: &Component) -> Value {
        let purl = match c.kind {
            Kind::Crate => Some(format!("pkg:cargo/{}@{}", c.name, encoded(&c.version))),
            Kind::Debian | Kind::Kernel => Some(self.debian(&c.name, &c.version, "")),
            Kind::Rust | Kind::Made => None,
        };
        let mut package = package(&id(c), &c.name, &c.version, purl);
        package["licenseDeclared"] = c.licence.as_str().into();
        if !c.sha256.is_empty() {
            package["checksums"] = checksum(&c.sha256);
        }
        if c.homepage.starts_with("http") {
            package["homepage"] = c.homepage.as_str().into();
        }
        if c.kind == Kind::Made {
            package["sourceInfo"] = format!("made here: {NAME} has what is in it").into();
        }
        if let Some((name, version)) = &c.source {
            package["supplier"] = "Organization: Debian".into();
            package["sourceInfo"] = format!("built from: {name} {version}").into();
        }
        package
    }

    /// Of a source package that code was linked from, Debian says the version, and no
    /// more in what is at hand.
    fn source(&self, (name, version): &(String, String)) -> Value {
        let purl = self.debian(name, version, "arch=source&");
        let mut package = package(&source_id(name, version), name, version, Some(purl));
        package["supplier"] = "Organization: Debian".into();
        package
    }

    fn debian(&self, name: &str, version: &str, more: &str) -> String {
        let (name, version) = (encoded(name), encoded(version));
        format!(
            "pkg:deb/debian/{name}@{version}?{more}distro={}",
            self.suite
        )
    }

    fn relationships(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for made in self.artifacts {
            let made_id = artifact_id(made);
            all.push(relation("SPDXRef-DOCUMENT", "DESCRIBES", &made_id));
            let kernel_only = made.name == "vmlinuz";
            let of_kernel = |c: &&Component| !kernel_only || c.kind == Kind::Kernel;
            let inside = self.components.iter().filter(of_kernel);
            all.extend(inside.map(|c| relation(&made_id, "CONTAINS", &id(c))));
            if !kernel_only {
                all.push(relation(&made_id, "CONTAINS", OURS));
            }
        }
        for c in self.components {
            let linked = c.contains.iter().map(|(n, v)| source_id(n, v));
            all.extend(linked.map(|to| relation(&id(c), "STATIC_LINK", &to)));
        }
        all
    }

    fn texts(&self) -> Vec<Value> {
        let texts = self.components.iter().flat_map(|c| &c.texts);
        let texts: BTreeMap<_, _> = texts.collect();
        let one = |(id, text)| json!({"licenseId": id, "extractedText": text});
        texts.into_iter().map(one).collect()
    }
}

fn ours() -> Value {
    let mut package = package(OURS, "boot2podman", VERSION, None);
    package["licenseDeclared"] = "Apache-2.0".into();
    package
}

fn artifact(made: &Artifact) -> Value {
    let mut package = package(&artifact_id(made), &made.name, VERSION, None);
    package["packageFileName"] = made.name.as_str().into();
    package["checksums"] = checksum(&made.sha256);
    package
}

fn package(id: &str, name: &str, version: &str, purl: Option<String>) -> Value {
    let mut package = json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
    });
    if let Some(purl) = purl {
        package["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }]);
    }
    package
}

fn checksum(sha256: &str) -> Value {
    json!([{"algorithm": "SHA256", "checksumValue": sha256}])
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

fn id(c: &Component) -> String {
    let kind = match c.kind {
        Kind::Kernel | Kind::Debian => "deb",
        Kind::Crate => "crate",
        Kind::Rust => "rust",
        Kind::Made => return plain(&format!("SPDXRef-artifact-{}", c.name)),
    };
    // Two versions of a crate may be there.
    plain(&format!("SPDXRef-{kind}-{}-{}", c.name, c.version))
}

fn source_id(name: &str, version: &str) -> String {
    plain(&format!("SPDXRef-source-{name}-{version}"))
}

fn artifact_id(made: &Artifact) -> String {
    plain(&format!("SPDXRef-artifact-{}", made.name))
}

/// Letters, digits, dots and dashes: all that an identifier may have.
fn plain(text: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    text.chars().map(keep).collect()
}

/// As package URLs have it: percent signs for what is no unreserved character.
fn encoded(text: &str) -> String {
    let one = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
            char::from(b).to_string()
        }
        b => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Component> {
        let deb = Component {
            name: "libc6".into(),
            version: "1:2+b1".into(),
            licence: "MIT AND LicenseRef-glibc-odd".into(),
            sha256: "aa".into(),
            homepage: "https://a".into(),
            source: Some(("glibc".into(), "1:2".into())),
            contains: vec![("gcc".into(), "14".into())],
            texts: [("LicenseRef-glibc-odd".into(), "Odd.".into())].into(),
            ..Component::default()
        };
        let kernel = Component {
            kind: Kind::Kernel,
            name: "linux-image-6".into(),
            ..deb.clone()
        };
        vec![kernel, deb]
    }

    #[test]
    fn a_document() -> anyhow::Result<()> {
        let made = |name: &str| Artifact {
            name: name.into(),
            size: 1,
            sha256: "bb".into(),
        };
        let document = Document {
            suite: "trixie",
            artifacts: &[made("vmlinuz"), made("initrd.img")],
            components: &sample(),
            created: 0,
        };
        let text = document.text()?;
        assert_eq!(text, document.text()?);
        let read: Value = serde_json::from_str(&text)?;
        let packages = read["packages"].as_array().expect("a list");
        // Ours, two artifacts, two packages, one that is linked in.
        assert_eq!(packages.len(), 6);
        let libc = &packages[4];
        assert_eq!(libc["SPDXID"], "SPDXRef-deb-libc6-1-2-b1");
        assert_eq!(
            libc["externalRefs"][0]["referenceLocator"],
            "pkg:deb/debian/libc6@1%3A2%2Bb1?distro=trixie"
        );
        let relations = read["relationships"].as_array().expect("a list");
        let of = |from: &str| {
            relations
                .iter()
                .filter(|r| r["spdxElementId"] == from)
                .count()
        };
        assert_eq!(of("SPDXRef-artifact-vmlinuz"), 1);
        assert_eq!(of("SPDXRef-artifact-initrd.img"), 3);
        Ok(())
    }
}
