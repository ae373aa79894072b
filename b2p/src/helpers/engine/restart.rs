//! `b2p containers-start`: at boot, the containers whose restart policy says so.
//!
//! podman's own service for this is `podman start --all --filter
//! restart-policy=always` (podman-restart.service(8)); this does the same for every
//! user. `unless-stopped` is for those that ran when the machine ended. Whether a
//! person has stopped one, podman forgets at the first start after a boot; but who
//! was stopped has ended after it was begun, and who ran until the machine ended has
//! not: `b2p containers-stop` keeps the end of the machine from being written down,
//! and so does a power cut.

use std::path::Path;
use std::time::Duration;

use log::{info, warn};

use super::{Owner, is_id, with_containers};
use crate::common::tool;

/// Where PID 1 looks for what is wrong.
const DEGRADED: &str = "/run/boot2podman/containers.degraded";
/// For questions. podman waits for locks, and begins with the database.
const ASKING: Duration = Duration::from_secs(120);
/// For starting all of them.
const STARTING: Duration = Duration::from_secs(900);

/// What is asked of each container.
const FORMAT: &str = "{{.ID}} {{.State.StartedAt.UnixMilli}} {{.State.FinishedAt.UnixMilli}} {{.HostConfig.RestartPolicy.Name}} {{.Name}}";

/// A container that is to run.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    id: String,
    name: String,
}

/// Does it for every user; what fails is said and is no failure of the program.
pub fn main() -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    let mut degraded = String::new();
    for owner in with_containers() {
        if let Err(why) = start(&owner) {
            let why = format!("of {}: {why}", owner.name).replace(char::is_control, " ");
            warn!("containers {why}");
            degraded.push_str(&format!("degraded containers: {why}\n"));
        }
    }
    let said = sys::files::replace(Path::new(DEGRADED), degraded.as_bytes(), 0o644);
    said.map_or_else(
        |why| {
            warn!("containers: {why}");
            1
        },
        |()| 0,
    )
}

fn start(owner: &Owner) -> Result<(), String> {
    let ids = asked(owner)?;
    if ids.is_empty() {
        return Ok(());
    }
    let words = ["container", "inspect", "--format", FORMAT];
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let chosen = chosen(&done(owner, &[&words[..], &ids].concat(), ASKING)?);
    if chosen.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = chosen.iter().map(|c| c.id.as_str()).collect();
    done(owner, &[&["start"], &ids[..]].concat(), STARTING)?;
    let names: Vec<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
    info!("containers of {}: {}", owner.name, names.join(", "));
    Ok(())
}

/// The ids of those with a policy that may hold over a boot.
fn asked(owner: &Owner) -> Result<Vec<String>, String> {
    let words = [
        "ps",
        "--all",
        "--quiet",
        "--no-trunc",
        "--filter",
        "restart-policy=always",
        "--filter",
        "restart-policy=unless-stopped",
    ];
    let output = done(owner, &words, ASKING)?;
    let ids = output.lines().filter(|l| is_id(l)).map(str::to_owned);
    Ok(ids.collect())
}

/// What podman said, warnings included, if it could do all it was asked for.
fn done(owner: &Owner, words: &[&str], most: Duration) -> Result<String, String> {
    let ended = tool::run_command(&mut owner.podman(words), most)?;
    match ended.code {
        Some(0) => Ok(ended.output),
        _ => Err(errors(&ended.output).unwrap_or(ended.last_lines)),
    }
}

/// The lines of errors alone: `podman start` tells the ids that it has started, too.
fn errors(output: &str) -> Option<String> {
    let lines = output.lines().filter_map(|l| l.strip_prefix("Error: "));
    let lines: Vec<&str> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Those that are to run, of lines of [`FORMAT`].
fn chosen(lines: &str) -> Vec<Container> {
    lines.lines().filter_map(choose).collect()
}

fn choose(line: &str) -> Option<Container> {
    let mut words = line.splitn(5, ' ');
    let id = words.next().filter(|id| is_id(id))?;
    let started: i64 = words.next()?.parse().ok()?;
    let finished: i64 = words.next()?.parse().ok()?;
    let wanted = match words.next()? {
        "always" => true,
        "unless-stopped" => started > finished,
        _ => false,
    };
    wanted.then(|| Container {
        id: id.to_owned(),
        name: words.next().unwrap_or(id).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go says of a time that never was.
    const NEVER: &str = "-62135596800000";

    #[test]
    fn who_ran_and_who_was_stopped() {
        let id = "0f".repeat(32);
        let names = |line: &str| {
            let all = chosen(&line.replace("ID", &id));
            all.into_iter().map(|c| c.name).collect::<Vec<_>>()
        };
        assert_eq!(
            names("ID 10 20 always web"),
            ["web"],
            "stopped, and started all the same"
        );
        assert_eq!(names(&format!("ID 10 {NEVER} unless-stopped web")), ["web"]);
        assert_eq!(
            names("ID 30 20 unless-stopped web"),
            ["web"],
            "stopped before, started again"
        );
        for not in [
            "ID 10 20 unless-stopped web".to_owned(),
            format!("ID {NEVER} {NEVER} unless-stopped never-started"),
            "ID 30 20 on-failure web".to_owned(),
            "ID 30 20 no web".to_owned(),
            "ID 30 x always web".to_owned(),
            "WARN[0000] something".to_owned(),
            String::new(),
        ] {
            assert!(names(&not).is_empty(), "{not}");
        }
    }

    #[test]
    fn only_errors_are_told() {
        let output = "0f0f\nError: unable to start container \"x\": no such file\n";
        assert_eq!(
            errors(output).as_deref(),
            Some("unable to start container \"x\": no such file")
        );
        assert_eq!(errors("0f0f\n"), None);
    }
}
