//! Users that come while the machine runs: pure, over the texts of the files that say
//! who there is. None of them gets a password.

/// passwd(5), group(5), shadow(5), subuid(5), subgid(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// /etc/passwd
    pub passwd: String,
    /// /etc/group
    pub group: String,
    /// /etc/shadow
    pub shadow: String,
    /// /etc/subuid
    pub subuid: String,
    /// /etc/subgid
    pub subgid: String,
}

/// A user as it shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its number; else the one it has, else the next that is free.
    pub uid: Option<u32>,
    /// What else it is called; else it stays.
    pub gecos: String,
    /// Else the one it has, else /home/NAME.
    pub home: Option<String>,
    /// Else the one it has, else bash.
    pub shell: Option<String>,
    /// Groups that it is in besides its own; those that are not there are made.
    pub groups: Vec<String>,
}

/// Who it has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub uid: u32,
    /// Its own group's.
    pub gid: u32,
    /// Its home.
    pub home: String,
}

/// Ids of users begin here, and so do those that are given.
const FIRST: u32 = 1000;
/// And of those that nobody logs in as (Debian policy 9.2.2).
const SYSTEM: u32 = 100;
/// Subordinate ids of each user.
const RANGE: u64 = 65_536;
/// Below this are `containers`' own (initramfs/files/etc/subuid).
const RANGES_END: u64 = 2_147_483_647;

/// Adds a user, or changes the one of that name. Done again it changes nothing. One with
/// the number of another comes before that one, whose name then stands for it, too: so
/// the first name of the number is the one that was asked for last.
///
/// # Errors
/// There is no number for it left.
pub fn set(files: &mut Files, wanted: &Wanted) -> Result<Known, String> {
    let row = line_of(&files.passwd, &wanted.name).map(str::to_owned);
    let field = |n: usize| {
        row.as_deref()
            .and_then(|r| r.split(':').nth(n))
            .map(str::to_owned)
    };
    let full = || format!("{}: no number is left for it", wanted.name);
    let uid = wanted.uid.or_else(|| field(2)?.parse().ok());
    let uid = uid
        .or_else(|| free(&files.passwd, FIRST))
        .ok_or_else(full)?;
    let gid = field(3)
        .and_then(|g| g.parse().ok())
        .or_else(|| gid(&files.group, &wanted.name));
    let gid = gid.or_else(|| free(&files.group, uid)).ok_or_else(full)?;
    let home = wanted.home.clone().or_else(|| field(5));
    let home = home.unwrap_or_else(|| format!("/home/{}", wanted.name));
    let shell = wanted
        .shell
        .clone()
        .or_else(|| field(6))
        .unwrap_or_else(|| "/bin/bash".into());
    let gecos = match wanted.gecos.as_str() {
        "" => field(4).unwrap_or_default(),
        gecos => gecos.to_owned(),
    };
    let name = &wanted.name;
    let line = format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}");
    files.passwd = put(&files.passwd, name, &line, |l| {
        l.split(':').nth(2) == Some(&*uid.to_string())
    });
    if self::gid(&files.group, name).is_none() && !has_number(&files.group, gid) {
        files.group = put(&files.group, name, &format!("{name}:x:{gid}:"), |_| false);
    }
    for group in &wanted.groups {
        files.group = join(&files.group, group, name);
    }
    if line_of(&files.shadow, name).is_none() {
        files.shadow = put(
            &files.shadow,
            name,
            &format!("{name}:*:20000:0:99999:7:::"),
            |_| false,
        );
    }
    files.subuid = range(&files.subuid, name);
    files.subgid = range(&files.subgid, name);
    Ok(Known { uid, gid, home })
}

/// Adds a user that programs become, with a group of its own and no home. One of this
/// name that is there stays.
///
/// # Errors
/// There is no number for it left.
pub fn system(files: &mut Files, name: &str) -> Result<(), String> {
    if line_of(&files.passwd, name).is_some() {
        return Ok(());
    }
    let (subuid, subgid) = (files.subuid.clone(), files.subgid.clone());
    let wanted = Wanted {
        name: name.to_owned(),
        uid: free(&files.passwd, SYSTEM),
        home: Some("/nonexistent".to_owned()),
        shell: Some("/usr/sbin/nologin".to_owned()),
        ..Wanted::default()
    };
    set(files, &wanted)?;
    (files.subuid, files.subgid) = (subuid, subgid);
    Ok(())
}

/// The line that begins with `name:`.
fn line_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find(|l| l.split(':').next() == Some(name))
}

fn gid(groups: &str, name: &str) -> Option<u32> {
    line_of(groups, name)?.split(':').nth(2)?.parse().ok()
}

fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.lines()
        .filter_map(|l| l.split(':').nth(2)?.parse().ok())
}

fn has_number(text: &str, number: u32) -> bool {
    numbers(text).any(|n| n == number)
}

/// The first number from `from` on that nobody has.
fn free(text: &str, from: u32) -> Option<u32> {
    (from..from.saturating_add(60_000)).find(|n| !has_number(text, *n))
}

/// The text with this line: in place of the one of this name, else before the first that
/// `before` picks, else last.
fn put(text: &str, name: &str, line: &str, before: impl Fn(&str) -> bool) -> String {
    let kept = text.lines().filter(|l| l.split(':').next() != Some(name));
    let mut all: Vec<&str> = kept.filter(|l| !l.is_empty()).collect();
    let own = text.lines().position(|l| l.split(':').next() == Some(name));
    let at = all
        .iter()
        .position(|l| before(l))
        .or(own)
        .unwrap_or(all.len());
    all.insert(at.min(all.len()), line);
    all.iter().map(|l| format!("{l}\n")).collect()
}

/// Makes `name` a member of a group, which is made where there is none.
fn join(groups: &str, group: &str, name: &str) -> String {
    let line = match line_of(groups, group) {
        Some(line)
            if line
                .rsplit(':')
                .next()
                .is_some_and(|m| m.split(',').any(|m| m == name)) =>
        {
            return groups.to_owned();
        }
        Some(line) if line.ends_with(':') => format!("{line}{name}"),
        Some(line) => format!("{line},{name}"),
        None => match free(groups, FIRST) {
            Some(gid) => format!("{group}:x:{gid}:{name}"),
            None => return groups.to_owned(),
        },
    };
    put(groups, group, &line, |_| false)
}

/// Gives `name` subordinate ids, behind those of all others.
fn range(text: &str, name: &str) -> String {
    if line_of(text, name).is_some() {
        return text.to_owned();
    }
    let end = |l: &str| -> Option<u64> {
        let mut numbers = l.split(':').skip(1).map(str::parse::<u64>);
        let (first, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(first.saturating_add(count)).filter(|_| first < RANGES_END)
    };
    let first = text.lines().filter_map(end).max().unwrap_or(100_000);
    match first + RANGE <= RANGES_END {
        true => put(text, name, &format!("{name}:{first}:{RANGE}"), |_| false),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn files() -> Files {
        let read = |name: &str| {
            let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../initramfs/files/etc/");
            std::fs::read_to_string(format!("{dir}{name}")).unwrap()
        };
        Files {
            passwd: read("passwd"),
            group: read("group"),
            shadow: read("shadow"),
            subuid: read("subuid"),
            subgid: read("subgid"),
        }
    }

    #[test]
    fn who_programs_become() {
        let mut files = Files {
            passwd: "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/:/\n".into(),
            group: "podman:x:101:\n".into(),
            ..Files::default()
        };
        system(&mut files, "tcpdump").expect("there is room");
        let line = "tcpdump:x:101:102::/nonexistent:/usr/sbin/nologin";
        assert!(files.passwd.lines().any(|l| l == line), "{}", files.passwd);
        assert!(files.group.contains("tcpdump:x:102:\n") && files.subuid.is_empty());
        let before = files.clone();
        system(&mut files, "tcpdump").expect("it is there");
        assert_eq!(files, before);
    }

    #[test]
    fn a_new_user_and_again() {
        let mut files = files();
        let ann = Wanted {
            name: "ann".into(),
            uid: Some(501),
            home: Some("/home/ann.guest".into()),
            groups: vec!["podman".into(), "video".into(), "new".into()],
            ..Wanted::default()
        };
        let known = set(&mut files, &ann).unwrap();
        assert_eq!(
            known,
            Known {
                uid: 501,
                gid: 501,
                home: "/home/ann.guest".into()
            }
        );
        assert!(
            files
                .passwd
                .ends_with("ann:x:501:501::/home/ann.guest:/bin/bash\n")
        );
        for line in [
            "ann:x:501:",
            "podman:x:982:core,ann",
            "video:x:44:ann",
            "new:x:1001:ann",
        ] {
            assert!(
                files.group.lines().any(|l| l == line),
                "{line}: {}",
                files.group
            );
        }
        assert!(files.shadow.contains("ann:*:"));
        assert!(
            files.subuid.contains("ann:1100000:65536\n"),
            "{}",
            files.subuid
        );
        let once = files.clone();
        assert_eq!(set(&mut files, &ann).unwrap(), known);
        assert_eq!(files, once);
    }

    #[test]
    fn one_with_the_number_of_core_comes_first() {
        let mut files = files();
        let ann = Wanted {
            name: "ann".into(),
            uid: Some(1000),
            ..Wanted::default()
        };
        let known = set(&mut files, &ann).unwrap();
        assert_eq!((known.uid, known.gid), (1000, 1001));
        let first = files
            .passwd
            .lines()
            .find(|l| l.split(':').nth(2) == Some("1000"));
        assert_eq!(first, Some("ann:x:1000:1001::/home/ann:/bin/bash"));
        assert!(files.passwd.contains("\ncore:x:1000:1000:core:"));
        let once = files.clone();
        set(&mut files, &ann).unwrap();
        assert_eq!(files, once);
    }

    #[test]
    fn core_can_be_changed_and_keeps_the_rest() {
        let mut files = files();
        let core = Wanted {
            name: "core".into(),
            shell: Some("/bin/sh".into()),
            ..Wanted::default()
        };
        let before = files.passwd.lines().count();
        let known = set(&mut files, &core).unwrap();
        assert_eq!(
            (known.uid, known.gid, known.home.as_str()),
            (1000, 1000, "/home/core")
        );
        assert!(
            files
                .passwd
                .contains("core:x:1000:1000:core:/home/core:/bin/sh\n")
        );
        assert_eq!(files.passwd.lines().count(), before);
        let next = set(
            &mut files,
            &Wanted {
                name: "bob".into(),
                ..Wanted::default()
            },
        )
        .unwrap();
        assert_eq!((next.uid, next.gid), (1001, 1001));
    }
}
