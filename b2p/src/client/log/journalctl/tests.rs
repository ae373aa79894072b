// SPDX-License-Identifier: Apache-2.0
use super::*;

fn read(line: &str) -> Result<Options, Problem> {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse(&args, &Owner::default())
}

#[test]
fn common_command_lines_of_journalctl_are_parsed() {
    let options = read("-u web -u db.service --no-pager -n 20 -o cat -b").expect("it is known");
    assert_eq!(options.names, [["web", "db"]]);
    assert_eq!((options.last, options.format), (Some(20), Format::Cat));
    let options = read("-fu web").expect("it is known");
    assert!(options.follow && options.last == Some(10) && options.names == [["web"]]);
    let options = read("-xeu web").expect("it is known");
    assert_eq!((options.last, options.boots), (Some(1_000), Choice::This));
}

#[test]
fn numbers_of_lines_and_boots() {
    assert_eq!(read("-n").map(|o| o.last), Ok(Some(10)));
    assert_eq!(read("-n all").map(|o| o.last), Ok(None));
    assert_eq!(read("-b -1 -u x").map(|o| o.boots), Ok(Choice::Earlier(1)));
    assert_eq!(read("-b0").map(|o| o.boots), Ok(Choice::This));
    assert_eq!(
        read("-b -1000000").map(|o| o.boots),
        Ok(Choice::Earlier(1_000_000))
    );
    assert_eq!(read("-b 1").map(|o| o.boots), Ok(Choice::Nth(1)));
    let id = "3c2f9a5e00004000800000000000000a";
    let boots = read(&format!("-b {id} -u x")).map(|o| o.boots);
    assert_eq!(boots, Ok(Choice::Id(id.to_owned())));
    // A time may be one of an earlier boot.
    assert_eq!(read("--since today").map(|o| o.boots), Ok(Choice::All));
    assert_eq!(read("--since today -b").map(|o| o.boots), Ok(Choice::This));
    assert_eq!(
        read("-k -p 3").map(|o| (o.names, o.max_level)),
        Ok((vec![vec!["kernel".to_owned()]], 3))
    );
}

#[test]
fn units_programs_and_matches() {
    // As in journalctl(1), fields of different names must all match.
    let names = read("-k -u web -t a -t b -u db")
        .expect("it is known")
        .names;
    let lists: Vec<String> = names.iter().map(|list| list.join(" ")).collect();
    assert_eq!(lists, ["kernel", "web db", "a b [0-9]*/a [0-9]*/b"]);
    let names = read("_SYSTEMD_UNIT=web.service CONTAINER_NAME=x SYSLOG_IDENTIFIER=y _PID=7 -u db");
    let options = names.expect("they are known");
    let lists = [
        vec!["web", "db"],
        vec!["y", "[0-9]*/y"],
        vec!["x", "[0-9]*/x"],
    ];
    assert_eq!(options.names, lists);
    assert_eq!(options.pids, ["7"]);
    assert_eq!(
        read("-u sshd*").map(|o| o.names),
        Ok(vec![vec!["sshd*".to_owned()]])
    );
}

#[test]
fn further_options_are_parsed_and_unknown_ones_refused() {
    let grep = |line: &str| read(line).map(|o| o.grep).ok().flatten();
    assert_eq!(grep("-g a.b"), Some(("a.b".to_owned(), None)));
    assert_eq!(
        grep("--case-sensitive=no -g a"),
        Some(("a".to_owned(), Some(false)))
    );
    assert_eq!(
        grep("-g a --case-sensitive"),
        Some(("a".to_owned(), Some(true)))
    );
    assert!(read("-q --list-boots").is_ok_and(|o| o.quiet && o.list_boots));
    assert!(read("-o verbose").is_ok_and(|o| o.format == Format::Fields(Layout::Verbose)));
    assert!(read("--since today -u web").is_ok_and(|o| o.since.is_some()));
    for line in [
        "-u",
        "-o frob",
        "--since soon",
        "_EXE=1",
        "web",
        "--frob",
        "-p loud",
    ] {
        assert!(read(line).is_err(), "{line}");
    }
    assert_eq!(read("--help"), Err(Problem::Help));
}
