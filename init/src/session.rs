//! What who logs in finds: the name of the user, and the environment.

use std::fs;
use std::path::Path;

use config::Config;

use sys::files::replace;
use sys::paths::{SESSION_PROFILE, SESSION_SSHD_CONFIG};

/// Commands over ssh see no profile: people's tools call sbin by name.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// The user with number 1000 as the image has it.
const DEFAULT_USER: &str = "core";
/// The group that may read /etc/shadow.
const SHADOW_GID: u32 = 42;
/// The files that name it.
const ACCOUNT_FILES: &[&str] = &["passwd", "group", "shadow", "subuid", "subgid"];

/// Writes what sessions get.
///
/// # Errors
/// What could not be written.
pub fn write_environment(config: &Config) -> Result<(), String> {
    let all = config.variables();
    replace(
        Path::new(SESSION_SSHD_CONFIG),
        sshd_config(&config.user, &all).as_bytes(),
        0o644,
    )?;
    Ok(replace(
        Path::new(SESSION_PROFILE),
        profile_script(&all).as_bytes(),
        0o644,
    )?)
}

/// The first SetEnv that applies is the one (sshd_config(5)): each has everything.
/// Rootless podman looks for its runtime directory.
fn sshd_config(user: &str, all: &[(String, String)]) -> String {
    let path = all.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    let mut more = String::new();
    for (name, value) in all.iter().filter(|(name, _)| name != "PATH") {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        more += &format!(" \"{name}={value}\"");
    }
    let path = path.replace('"', "");
    format!(
        "Match User {user}\n    SetEnv \"PATH={path}\" XDG_RUNTIME_DIR=/run/user/1000{more}\n\
         Match all\n    SetEnv \"PATH={path}\"{more}\n"
    )
}

/// The same for login shells of every kind.
fn profile_script(all: &[(String, String)]) -> String {
    let line = |(name, value): &(String, String)| {
        format!("export {name}='{}'\n", value.replace('\'', "'\\''"))
    };
    all.iter().map(line).collect()
}

/// Gives the user with number 1000 this name, and a home of that name.
///
/// # Errors
/// What could not be read or written.
pub fn rename_user(name: &str) -> Result<(), String> {
    let said = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    if name == DEFAULT_USER {
        return Ok(()); // so it is in the image, and a root that is given is its owner's
    }
    let now = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let before = user_name(&now, "1000").unwrap_or(DEFAULT_USER).to_owned();
    if before == name {
        return Ok(());
    }
    for file in ACCOUNT_FILES {
        let path = Path::new("/etc").join(file);
        let text = fs::read_to_string(&path).map_err(|e| said(&path, e))?;
        let mode = if *file == "shadow" { 0o640 } else { 0o644 };
        replace(&path, rename_in(&text, &before, name).as_bytes(), mode)?;
        if *file == "shadow" {
            let chown = std::os::unix::fs::chown(&path, None, Some(SHADOW_GID));
            chown.map_err(|e| said(&path, e))?;
        }
    }
    let home = Path::new("/home").join(name);
    let made = || {
        fs::create_dir_all(&home)?;
        std::os::unix::fs::chown(&home, Some(1000), Some(1000))?;
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))
    };
    let _ = fs::remove_dir(Path::new("/home").join(&before)); // empty, or somebody's
    made().map_err(|e| said(&home, e))
}

/// The name of the user with this number in the text of passwd(5).
fn user_name<'a>(passwd: &'a str, uid: &str) -> Option<&'a str> {
    let mut lines = passwd.lines();
    let line = lines.find(|l| l.split(':').nth(2) == Some(uid))?;
    line.split(':').next()
}

/// The text with one name in place of another, where it stands alone between the marks
/// of these files, and at the end of the path of a home.
fn rename_in(text: &str, before: &str, name: &str) -> String {
    let home = format!("/home/{before}");
    let word = |word: &str| match word {
        w if w == before => name.to_owned(),
        w if w == home => format!("/home/{name}"),
        w => w.to_owned(),
    };
    let field = |f: &str| f.split(',').map(word).collect::<Vec<_>>().join(",");
    let line = |l: &str| l.split(':').map(field).collect::<Vec<_>>().join(":") + "\n";
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        all.iter().map(owned).collect()
    }

    #[test]
    fn each_session_has_all_of_it() {
        let all = pairs(&[("A", "one two"), ("B", r#"q"b\s"#)]);
        let text = sshd_config("me", &all);
        let more = r#" "A=one two" "B=q\"b\\s""#;
        let path = format!("SetEnv \"PATH={DEFAULT_PATH}\"");
        assert_eq!(
            text,
            format!(
                "Match User me\n    {path} XDG_RUNTIME_DIR=/run/user/1000{more}\n\
                 Match all\n    {path}{more}\n"
            )
        );
        let own = sshd_config("core", &pairs(&[("PATH", "/opt/bin:/usr/bin")]));
        assert!(own.contains("SetEnv \"PATH=/opt/bin:/usr/bin\" XDG") && !own.contains("sbin"));
    }

    #[test]
    fn a_shell_reads_the_same() {
        let text = profile_script(&pairs(&[("A", "it's"), ("B", "")]));
        assert_eq!(text, "export A='it'\\''s'\nexport B=''\n");
    }

    #[test]
    fn only_whole_names_are_another() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000:core:/home/core:/bin/bash\n";
        let group = "adm:x:4:core\nscore:x:5:hardcore,core,x\ncore:x:1000:\n";
        assert_eq!(user_name(passwd, "1000"), Some("core"));
        assert_eq!(
            rename_in(passwd, "core", "me"),
            "root:x:0:0:root:/root:/bin/bash\nme:x:1000:1000:me:/home/me:/bin/bash\n"
        );
        assert_eq!(
            rename_in(group, "core", "me"),
            "adm:x:4:me\nscore:x:5:hardcore,me,x\nme:x:1000:\n"
        );
        assert_eq!(
            rename_in("core:100000:1000000\n", "core", "me"),
            "me:100000:1000000\n"
        );
    }
}
