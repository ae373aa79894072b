// SPDX-License-Identifier: Apache-2.0
//! Files, commands, mounts and certificates of user-data.

use super::base64;
use super::diagnostics::Diagnostics;
use super::yaml::Node;

/// Settings of a file, which are texts.
const FILE_SETTINGS: &[&str] = &[
    "path",
    "content",
    "encoding",
    "owner",
    "permissions",
    "append",
    "defer",
];
/// Prefixes of the names of disks.
const DISK_PREFIXES: &[&str] = &["sd", "vd", "xvd", "hd", "nvme", "mmcblk"];

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// Content, compressed if [`File::is_gzip`].
    pub content: Vec<u8>,
    /// True if the content is compressed by gzip(1).
    pub is_gzip: bool,
    /// Permission bits.
    pub mode: u32,
    /// Owner, as `user` or `user:group`.
    pub owner: Option<String>,
    /// True if the content is appended to the existing file.
    pub append: bool,
    /// True if the file is written when the machine is ready, before the commands that run then.
    pub defer: bool,
}

/// Parses `write_files:`. A file of which a part is wrong is not written.
pub fn files(node: &Node, diagnostics: &mut Diagnostics) -> Vec<File> {
    let items = node.list("write_files", diagnostics).iter();
    items.filter_map(|item| file(item, diagnostics)).collect()
}

fn file(node: &Node, diagnostics: &mut Diagnostics) -> Option<File> {
    let path = node.get_text("path").unwrap_or_default();
    let place = format!("write_files: {path}");
    let has_source = node.get("source").is_some();
    if !has_source && !node.has_only(FILE_SETTINGS, &place, diagnostics) {
        return None;
    }
    let append = node.get_bool("append", &place, diagnostics);
    let defer = node.get_bool("defer", &place, diagnostics);
    let mut wrong = |why: &str| {
        diagnostics.failed(format_args!("{place}: {why}"));
        None
    };
    if !path.starts_with('/') || path.contains('\0') {
        return wrong("path: an absolute path");
    }
    if has_source {
        return wrong("source is not supported: content has the file");
    }
    let Some(mode) = node.get_text("permissions").map_or(Some(0o644), mode) else {
        return wrong("permissions: octal digits, such as '0644'");
    };
    let name = node.get_text("encoding").unwrap_or("text/plain");
    let Some((is_base64, is_gzip)) = encoding(name) else {
        return wrong("encoding: text/plain, b64, gzip or gz+b64");
    };
    let Some(content) = content(node, is_base64) else {
        return wrong("content: it is not base64");
    };
    Some(File {
        path: path.to_owned(),
        content,
        is_gzip,
        mode,
        owner: node.get_text("owner").map(str::to_owned),
        append: append == Some(true),
        defer: defer == Some(true),
    })
}

/// Returns two values: true for content in base64, and true for content compressed by gzip(1).
fn encoding(name: &str) -> Option<(bool, bool)> {
    Some(match name {
        "text/plain" => (false, false),
        "b64" | "base64" => (true, false),
        "gz" | "gzip" => (false, true),
        "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => (true, true),
        _ => return None,
    })
}

/// Returns the content of a file, not decompressed; `None` if `is_base64` is true and the content
/// is not base64.
fn content(node: &Node, is_base64: bool) -> Option<Vec<u8>> {
    let content = match node.get("content") {
        Some(Node::Binary(text)) => base64::decode(text)?,
        Some(Node::Text(text)) => text.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    match is_base64 {
        true => base64::decode(std::str::from_utf8(&content).ok()?),
        false => Some(content),
    }
}

fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).ok().filter(|m| *m <= 0o7777)
}

/// Parses `runcmd:` or `bootcmd:` into lines of a shell script: a text is a line, a list is a
/// program and its arguments.
pub fn commands(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut lines = Vec::new();
    for command in node.list(name, diagnostics) {
        match command {
            Node::Text(line) => lines.push(line.clone()),
            Node::List(argv) if argv.iter().all(|a| a.text().is_some()) && !argv.is_empty() => {
                let argv: Vec<_> = argv.iter().filter_map(Node::text).map(quoted).collect();
                lines.push(argv.join(" "));
            }
            Node::Null => {}
            _ => diagnostics.failed(format_args!(
                "{name}: a command is a text or a list of texts"
            )),
        }
    }
    lines
}

/// Quotes an argument for a shell.
fn quoted(argument: &str) -> String {
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// Settings of `ca_certs:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certs {
    /// True if no other certificate authority is trusted.
    pub remove_defaults: bool,
    /// Certificate authorities, in PEM.
    pub trusted: Vec<String>,
}

/// Parses `ca_certs:`, with either spelling of its names.
pub fn certs(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Certs {
    let mut certs = Certs::default();
    for (setting, value) in node.map(name, diagnostics) {
        let place = format!("{name}: {setting}");
        match setting.as_str() {
            "remove_defaults" | "remove-defaults" => {
                certs.remove_defaults |= value.expect_bool(&place, diagnostics) == Some(true);
            }
            "trusted" => {
                let texts = value.texts(&place, diagnostics).into_iter();
                certs.trusted.extend(texts.map(str::to_owned));
            }
            _ => diagnostics.failed(format_args!("{place}: trusted, remove_defaults")),
        }
    }
    certs
}

/// A line of fstab(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Device, `LABEL=…`, or the tag of a shared folder.
    pub source: String,
    /// Absolute path of the mount point.
    pub target: String,
    /// File system, or `auto`.
    pub fs_type: String,
    /// Options for mount(8), without those that only systemd knows.
    pub options: String,
    /// True if a failure of the mount is not reported.
    pub nofail: bool,
}

/// Parses `mounts:`.
pub fn mounts(node: &Node, diagnostics: &mut Diagnostics) -> Vec<Mount> {
    let items = node.list("mounts", diagnostics).iter();
    items.filter_map(|item| mount(item, diagnostics)).collect()
}

fn mount(fields: &Node, diagnostics: &mut Diagnostics) -> Option<Mount> {
    let Node::List(fields) = fields else {
        diagnostics.failed("mounts: each must be a list, such as [vdb1, /srv]");
        return None;
    };
    for field in fields.iter().filter(|field| **field != Node::Null) {
        field.expect_text("mounts", diagnostics)?;
    }
    let field = |index: usize| {
        let text = fields.get(index).and_then(Node::text);
        text.filter(|t| !t.is_empty())
    };
    let source = field(0)?;
    let target = field(1)?; // Without a target, cloud-init removes a line.
    let fs_type = field(2).unwrap_or("auto");
    if fs_type == "swap" || target == "none" {
        diagnostics.unsupported(format_args!("mounts: {source}: swap is b2p.swap="));
        return None;
    }
    // The default of cloud-init (mount_default_fields).
    let options = field(3).unwrap_or("defaults,nofail");
    let is_line = |t: &str| !t.contains(char::is_control);
    let is_word = |t: &str| is_line(t) && !t.contains(char::is_whitespace);
    let is_valid = is_line(source) && is_line(target) && is_word(fs_type) && is_word(options);
    if !is_valid || !target.starts_with('/') {
        diagnostics.failed(format_args!(
            "mounts: {source} on {target}: a source, an absolute path, a file system, options"
        ));
        return None;
    }
    let for_mount = options.split(',').filter(|option| is_for_mount(option));
    Some(Mount {
        source: device(source, fs_type),
        target: target.to_owned(),
        fs_type: fs_type.to_owned(),
        options: for_mount.collect::<Vec<_>>().join(","),
        nofail: options.split(',').any(|option| option == "nofail"),
    })
}

/// Returns true for an option that mount(2) or mount(8) knows; the others are for fstab(5) alone.
fn is_for_mount(option: &str) -> bool {
    !option.starts_with("x-systemd.") && !matches!(option, "_netdev" | "nofail" | "auto")
}

/// Expands the short name of a device, such as `vdb1`; the tag of a shared folder may look like
/// one.
fn device(source: &str, fs_type: &str) -> String {
    let is_share = matches!(fs_type, "virtiofs" | "9p");
    let is_disk = DISK_PREFIXES.iter().any(|p| source.starts_with(p));
    let is_name = source.bytes().all(|b| b.is_ascii_alphanumeric());
    match is_disk && is_name && !is_share {
        true => format!("/dev/{source}"),
        false => source.to_owned(),
    }
}
