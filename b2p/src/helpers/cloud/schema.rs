// SPDX-License-Identifier: Apache-2.0
//! Files, commands, mounts and certificates of user-data.

use super::base64;
use super::diagnostics::Diagnostics;
use super::yaml::Node;

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

/// Parses `write_files:`.
pub fn files(node: &Node, diagnostics: &mut Diagnostics) -> Vec<File> {
    let items = node.items().iter();
    items.filter_map(|item| file(item, diagnostics)).collect()
}

fn file(node: &Node, diagnostics: &mut Diagnostics) -> Option<File> {
    let path = node.get_text("path").unwrap_or_default();
    let mut wrong = |why: &str| {
        diagnostics.failed(format_args!("write_files: {path}: {why}"));
        None
    };
    if !path.starts_with('/') || path.contains('\0') {
        return wrong("path: an absolute path");
    }
    if node.get("source").is_some() {
        return wrong("source is not supported: content has the file");
    }
    let Some(mode) = node.get_text("permissions").map_or(Some(0o644), mode) else {
        return wrong("permissions: octal digits, such as '0644'");
    };
    let text = node.get_text("content").unwrap_or_default();
    let (is_base64, is_gzip) = match node.get_text("encoding").unwrap_or("text/plain") {
        "text/plain" => (false, false),
        "b64" | "base64" => (true, false),
        "gz" | "gzip" => (false, true),
        "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => (true, true),
        _ => return wrong("encoding: text/plain, b64, gzip or gz+b64"),
    };
    let content = match is_base64 {
        true => base64::decode(text),
        false => Some(text.as_bytes().to_vec()),
    };
    let Some(content) = content else {
        return wrong("content: it is not base64");
    };
    Some(File {
        path: path.to_owned(),
        content,
        is_gzip,
        mode,
        owner: node.get_text("owner").map(str::to_owned),
        append: node.is_true("append"),
        defer: node.is_true("defer"),
    })
}

fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).ok().filter(|m| *m <= 0o7777)
}

/// Parses `runcmd:` or `bootcmd:` into lines of a shell script: a text is a line, a list is a
/// program and its arguments.
pub fn commands(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut lines = Vec::new();
    for command in node.items() {
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
pub fn certs(node: &Node) -> Certs {
    Certs {
        remove_defaults: node.is_true("remove_defaults") || node.is_true("remove-defaults"),
        trusted: node.texts("trusted"),
    }
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
    let items = node.items().iter();
    items.filter_map(|item| mount(item, diagnostics)).collect()
}

fn mount(fields: &Node, diagnostics: &mut Diagnostics) -> Option<Mount> {
    let field = |index: usize| {
        let text = fields.items().get(index).and_then(Node::text);
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
    let is_for_mount = |option: &&str| {
        let is_for_fstab = matches!(*option, "_netdev" | "nofail" | "auto");
        !option.starts_with("x-systemd.") && !is_for_fstab
    };
    let for_mount: Vec<&str> = options.split(',').filter(is_for_mount).collect();
    Some(Mount {
        source: device(source, fs_type),
        target: target.to_owned(),
        fs_type: fs_type.to_owned(),
        options: for_mount.join(","),
        nofail: options.split(',').any(|option| option == "nofail"),
    })
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
