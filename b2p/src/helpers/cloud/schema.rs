//! Files, commands, mounts and certificates of user-data.

use super::base64;
use super::diagnostics::Notes;
use super::yaml::Node;

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// An absolute path.
    pub path: String,
    /// What it holds, once `gzip` is undone.
    pub content: Vec<u8>,
    /// It is compressed.
    pub gzip: bool,
    /// Permission bits.
    pub mode: u32,
    /// `user` or `user:group`.
    pub owner: Option<String>,
    /// What is there stays, before it.
    pub append: bool,
    /// Written before the commands of the end, not at the beginning.
    pub defer: bool,
}

/// `write_files:`.
pub fn files(node: &Node, notes: &mut Notes) -> Vec<File> {
    node.list().iter().filter_map(|n| file(n, notes)).collect()
}

fn file(node: &Node, notes: &mut Notes) -> Option<File> {
    let path = node.word("path").unwrap_or_default();
    let mut wrong = |why: &str| {
        notes.wrong(format!("write_files: {path}: {why}"));
        None
    };
    if !path.starts_with('/') || path.contains('\0') {
        return wrong("path: an absolute path");
    }
    if node.get("source").is_some() {
        return wrong("source is not supported: content has the file");
    }
    let mode = node.word("permissions").map_or(Some(0o644), mode);
    let Some(mode) = mode else {
        return wrong("permissions: octal digits, such as '0644'");
    };
    let content = node.word("content").unwrap_or_default();
    let encoding = node.word("encoding").unwrap_or("text/plain");
    let decoded = match encoding {
        "text/plain" => Some((content.as_bytes().to_vec(), false)),
        "b64" | "base64" => base64::decode(content).map(|c| (c, false)),
        "gz" | "gzip" => Some((content.as_bytes().to_vec(), true)),
        "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => {
            base64::decode(content).map(|c| (c, true))
        }
        _ => return wrong("encoding: text/plain, b64, gzip or gz+b64"),
    };
    let Some((content, gzip)) = decoded else {
        return wrong("content: it is not base64");
    };
    Some(File {
        path: path.to_owned(),
        content,
        gzip,
        mode,
        owner: node.word("owner").map(str::to_owned),
        append: node.is_on("append"),
        defer: node.is_on("defer"),
    })
}

fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).ok().filter(|m| *m <= 0o7777)
}

/// `runcmd:` and `bootcmd:`, as lines of a shell: a text is one as it is, a list is a
/// program and its arguments.
pub fn commands(name: &str, node: &Node, notes: &mut Notes) -> Vec<String> {
    let mut all = Vec::new();
    for command in node.list() {
        match command {
            Node::Text(line) => all.push(line.clone()),
            Node::List(words) if words.iter().all(|w| w.text().is_some()) && !words.is_empty() => {
                let words: Vec<_> = words.iter().filter_map(Node::text).map(quoted).collect();
                all.push(words.join(" "));
            }
            Node::Null => {}
            _ => notes.wrong(format!("{name}: a command is a text or a list of texts")),
        }
    }
    all
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `ca_certs:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certs {
    /// Nobody else is trusted.
    pub remove_defaults: bool,
    /// In PEM.
    pub trusted: Vec<String>,
}

/// Both ways to write its names.
pub fn certs(node: &Node) -> Certs {
    Certs {
        remove_defaults: node.is_on("remove_defaults") || node.is_on("remove-defaults"),
        trusted: node.texts("trusted"),
    }
}

/// A line of fstab(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// A device, `LABEL=…`, or the tag of a share.
    pub source: String,
    /// An absolute path.
    pub target: String,
    /// A file system, or `auto`.
    pub kind: String,
    /// As mount(8) takes them: those are left out that only systemd knows.
    pub options: String,
    /// That it cannot be mounted is no fault.
    pub nofail: bool,
}

/// `mounts:`.
pub fn mounts(node: &Node, notes: &mut Notes) -> Vec<Mount> {
    node.list().iter().filter_map(|n| mount(n, notes)).collect()
}

fn mount(row: &Node, notes: &mut Notes) -> Option<Mount> {
    let field = |n: usize| {
        row.list()
            .get(n)
            .and_then(Node::text)
            .filter(|t| !t.is_empty())
    };
    let source = field(0)?;
    let target = field(1)?; // without one cloud-init takes a line away
    let kind = field(2).unwrap_or("auto");
    if kind == "swap" || target == "none" {
        notes.left(format!("mounts: {source}: swap is b2p.swap="));
        return None;
    }
    // cloud-init's own defaults (mount_default_fields).
    let options = field(3).unwrap_or("defaults,nofail");
    let line = |t: &str| !t.contains(char::is_control);
    let bare = |t: &str| line(t) && !t.contains(char::is_whitespace);
    let good = line(source) && line(target) && bare(kind) && bare(options);
    if !good || !target.starts_with('/') {
        notes.wrong(format!(
            "mounts: {source} on {target}: a source, an absolute path, a file system, options"
        ));
        return None;
    }
    let own =
        |o: &&str| !o.starts_with("x-systemd.") && !matches!(*o, "_netdev" | "nofail" | "auto");
    Some(Mount {
        source: device(source, kind),
        target: target.to_owned(),
        kind: kind.to_owned(),
        nofail: options.split(',').any(|o| o == "nofail"),
        options: options.split(',').filter(own).collect::<Vec<_>>().join(","),
    })
}

/// `vdb1` is short for the device; a share's tag looks much like it.
fn device(source: &str, kind: &str) -> String {
    let share = matches!(kind, "virtiofs" | "9p");
    let disk = !share
        && ["sd", "vd", "xvd", "hd", "nvme", "mmcblk"]
            .iter()
            .any(|p| source.starts_with(p));
    match disk && source.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => format!("/dev/{source}"),
        false => source.to_owned(),
    }
}
