// SPDX-License-Identifier: Apache-2.0
//! Bill of materials as an SPDX 2.3 document in JSON (spdx.github.io/spdx-spec/v2.3).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Component, ComponentKind, time};
use crate::artifact::Artifact;
use crate::paths::{SPDX, VMLINUZ};
use crate::stamp::Inputs;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const OWN_ID: &str = "SPDXRef-boot2podman";
const UNKNOWN: &str = "NOASSERTION";

/// Content of the document.
pub struct Document<'a> {
    /// Debian release.
    pub suite: &'a str,
    /// Files of the build. All contain the kernel, and all but `vmlinuz` the other components.
    pub artifacts: &'a [Artifact],
    /// Components of the artifacts.
    pub components: &'a [Component],
    /// Time of the source's commit, in seconds since 1970.
    pub created: u64,
}

impl Document<'_> {
    /// Returns the text. The same content gives the same bytes.
    ///
    /// # Errors
    /// serde_json failed, which cannot happen for strings and numbers.
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
        // Documents with the same content have the same name.
        let mut inputs = Inputs::new();
        inputs.add("document", document.to_string());
        let digest = inputs.finish();
        let name = format!("boot2podman-{VERSION}-{}", &digest[..32]);
        document["documentNamespace"] = format!("https://spdx.org/spdxdocs/{name}").into();
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    fn packages(&self) -> Vec<Value> {
        let mut packages = vec![own_package()];
        packages.extend(self.artifacts.iter().map(artifact_package));
        packages.extend(self.components.iter().map(|c| self.component(c)));
        let sources: BTreeSet<_> = self.components.iter().flat_map(|c| &c.contains).collect();
        packages.extend(sources.into_iter().map(|s| self.source(s)));
        packages
    }

    fn component(&self, c: &Component) -> Value {
        let purl = match c.kind {
            ComponentKind::Crate => Some(format!("pkg:cargo/{}@{}", c.name, encoded(&c.version))),
            ComponentKind::Debian | ComponentKind::Kernel => {
                Some(self.debian(&c.name, &c.version, ""))
            }
            ComponentKind::Rust | ComponentKind::Artifact => None,
        };
        let mut package = package(&id(c), &c.name, &c.version, purl);
        package["licenseDeclared"] = c.licence.as_str().into();
        if !c.sha256.is_empty() {
            package["checksums"] = checksum(&c.sha256);
        }
        if c.homepage.starts_with("http") {
            package["homepage"] = c.homepage.as_str().into();
        }
        if c.kind == ComponentKind::Artifact {
            package["sourceInfo"] =
                format!("built from this source: {SPDX} lists its content").into();
        }
        if let Some((name, version)) = &c.source {
            package["supplier"] = "Organization: Debian".into();
            package["sourceInfo"] = format!("built from: {name} {version}").into();
        }
        package
    }

    /// Returns the entry of a source package that code was linked from. Debian's metadata has its
    /// name and version only.
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
        let mut relations = Vec::new();
        for artifact in self.artifacts {
            let artifact_id = artifact_id(artifact);
            relations.push(relation("SPDXRef-DOCUMENT", "DESCRIBES", &artifact_id));
            let kernel_only = artifact.name == VMLINUZ;
            let included = |c: &&Component| !kernel_only || c.kind == ComponentKind::Kernel;
            let inside = self.components.iter().filter(included);
            relations.extend(inside.map(|c| relation(&artifact_id, "CONTAINS", &id(c))));
            if !kernel_only {
                relations.push(relation(&artifact_id, "CONTAINS", OWN_ID));
            }
        }
        for c in self.components {
            let linked = c.contains.iter().map(|(n, v)| source_id(n, v));
            relations.extend(linked.map(|to| relation(&id(c), "STATIC_LINK", &to)));
        }
        relations
    }

    fn texts(&self) -> Vec<Value> {
        let texts = self.components.iter().flat_map(|c| &c.texts);
        let texts: BTreeMap<_, _> = texts.collect();
        let entry = |(id, text)| json!({"licenseId": id, "extractedText": text});
        texts.into_iter().map(entry).collect()
    }
}

fn own_package() -> Value {
    let mut package = package(OWN_ID, "boot2podman", VERSION, None);
    package["licenseDeclared"] = "Apache-2.0".into();
    package
}

fn artifact_package(artifact: &Artifact) -> Value {
    let mut package = package(&artifact_id(artifact), &artifact.name, VERSION, None);
    package["packageFileName"] = artifact.name.as_str().into();
    package["checksums"] = checksum(&artifact.sha256);
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
        ComponentKind::Kernel | ComponentKind::Debian => "deb",
        ComponentKind::Crate => "crate",
        ComponentKind::Rust => "rust",
        ComponentKind::Artifact => return identifier(&format!("SPDXRef-artifact-{}", c.name)),
    };
    // The components may contain two versions of one crate.
    identifier(&format!("SPDXRef-{kind}-{}-{}", c.name, c.version))
}

fn source_id(name: &str, version: &str) -> String {
    identifier(&format!("SPDXRef-source-{name}-{version}"))
}

fn artifact_id(artifact: &Artifact) -> String {
    identifier(&format!("SPDXRef-artifact-{}", artifact.name))
}

/// Replaces characters that an SPDX identifier must not contain: all but letters, digits, dots and
/// dashes.
fn identifier(text: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    text.chars().map(keep).collect()
}

/// Percent-encodes a text for a package URL, all characters but the unreserved ones (RFC 3986).
fn encoded(text: &str) -> String {
    let encode = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
            char::from(b).to_string()
        }
        b => format!("%{b:02X}"),
    };
    text.bytes().map(encode).collect()
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
            kind: ComponentKind::Kernel,
            name: "linux-image-6".into(),
            ..deb.clone()
        };
        vec![kernel, deb]
    }

    #[test]
    fn document_lists_artifacts_and_packages() -> anyhow::Result<()> {
        let artifact = |name: &str| Artifact {
            name: name.into(),
            size: 1,
            sha256: "bb".into(),
        };
        let document = Document {
            suite: "trixie",
            artifacts: &[artifact("vmlinuz"), artifact("initrd.img")],
            components: &sample(),
            created: 0,
        };
        let text = document.text()?;
        assert_eq!(text, document.text()?);
        let read: Value = serde_json::from_str(&text)?;
        let packages = read["packages"].as_array().expect("a list");
        // boot2podman, two artifacts, two packages, and a source package that is linked in.
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
