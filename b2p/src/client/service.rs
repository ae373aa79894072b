//! `b2p start`, `stop`, `restart`, `load`, `reload`: asks, then looks on until
//! it is known what came of it.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use control::{Name, Report, Request, RequestError, Service, State};

use crate::client::service_files;
use crate::client::status;
use crate::common::control_client::{self, ControlClient, resting};
use crate::common::terminal::{print, print_error};
use crate::common::units;

/// Where users keep their own services.
const OWN: &str = "/var/lib/boot2podman/services";
/// Milliseconds for a start, or an end, that PID 1 gives no time for.
const LATE: u64 = 30_000;
const GRACE: u64 = 10_000;
/// Milliseconds that PID 1 itself may take beyond them.
const MORE: u64 = 5_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Be up.
    Start,
    /// Be down.
    Stop,
    /// Be up anew.
    Restart,
}

/// The edges, to be put elsewhere by a test.
#[derive(Clone, Debug)]
pub struct Place {
    /// The way to PID 1.
    pub link: ControlClient,
    /// Users' own files.
    pub own: PathBuf,
    /// Where PID 1 reads them.
    pub staged: PathBuf,
    /// Between two looks.
    pub pause: Duration,
}

impl Place {
    /// The machine's own.
    #[must_use]
    pub fn real(link: &ControlClient) -> Place {
        Place {
            link: link.clone(),
            own: OWN.into(),
            staged: control::SERVICES.into(),
            pause: Duration::from_millis(100),
        }
    }
}

/// `b2p start|stop|restart NAME…`.
pub fn main(place: &Place, verb: Verb, words: &[String]) -> i32 {
    let Some(names) = names(words) else {
        return 2;
    };
    // All are asked first: they start beside each other.
    let begun: Vec<_> = names.iter().map(|n| (n, begin(place, verb, n))).collect();
    let mut code = 0;
    for (name, begun) in begun {
        match begun.and_then(|begun| wait(place, verb, name, &begun)) {
            Ok(line) => print(&format!("{}: {line}\n", name.as_str())),
            Err(why) => {
                print_error(&why);
                code = 1;
            }
        }
    }
    code
}

/// The names in `words`; `None`, and a word about it, where one is none.
fn names(words: &[String]) -> Option<Vec<Name>> {
    if words.is_empty() {
        print_error("b2p: which service? `b2p status` lists them");
    }
    let name = |word: &String| {
        let name = Name::new(config::canonical_service_name(word));
        if name.is_none() {
            print_error(&format!(
                "b2p: {word}: not a name: letters, digits and -, at most 32"
            ));
        }
        name
    };
    let names: Option<Vec<Name>> = words.iter().map(name).collect();
    names.filter(|names| !names.is_empty())
}

/// What was so when it was asked for.
#[derive(Clone, Copy, Debug)]
struct Begun {
    life: Option<(Option<u64>, Option<u64>)>,
    resting: bool,
    at: Instant,
}

/// The line for what PID 1 does not do.
fn refused(failure: &RequestError, verb: &str, name: &Name) -> String {
    match failure {
        RequestError::Refused(why) => format!("b2p: {}: {why}", name.as_str()),
        other => control_client::line(other, &format!("b2p {verb} {}", name.as_str())),
    }
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
        }
    }

    fn request(self, name: Name) -> Request {
        match self {
            Verb::Start => Request::Start(name),
            Verb::Stop => Request::Stop(name),
            Verb::Restart => Request::Restart(name),
        }
    }
}

/// Asks; a service of the user's own is handed to PID 1 first.
fn begin(place: &Place, verb: Verb, name: &Name) -> Result<Begun, String> {
    let say = |failure: &RequestError| refused(failure, verb.word(), name);
    let text = place.link.ask(&Request::Status).map_err(|f| say(&f))?;
    let report = Report::parse(&text);
    let before = find(&report, name);
    // A file by the name of a service of the machine says nothing about that one.
    let may = before.is_none_or(|s| s.is_user_service);
    let own = verb != Verb::Stop && may && service_files::is_own(&place.own, name);
    if before.is_none() && !own {
        return Err(status::unknown(&report, name.as_str()));
    }
    let mut begun = Begun {
        life: before.map(life),
        resting: before.is_none_or(|s| resting(s.state)),
        at: Instant::now(),
    };
    if own {
        if verb == Verb::Restart
            && !begun.resting
            && service_files::differs(&place.own, &place.staged, name)
        {
            // PID 1 takes another file only for a service that rests. What it would
            // not take stops nothing.
            service_files::check(&place.own, name)?;
            let stopped = begin(place, Verb::Stop, name)?;
            wait(place, Verb::Stop, name, &stopped)?;
            begun.resting = true;
        }
        if begun.resting {
            load(place, name)?;
        }
    }
    let request = verb.request(name.clone());
    place.link.ask(&request).map_err(|f| say(&f))?;
    Ok(begun)
}

fn find<'a>(report: &Report<'a>, name: &Name) -> Option<Service<'a>> {
    let mut services = report.services.iter();
    services.find(|s| s.name == name.as_str()).copied()
}

/// What is another in another life of a service.
fn life(s: Service<'_>) -> (Option<u64>, Option<u64>) {
    (s.pid, s.since)
}

/// Looks again and again until it is known what came of it, or for too long.
fn wait(place: &Place, verb: Verb, name: &Name, begun: &Begun) -> Result<String, String> {
    loop {
        let text = place.link.ask(&Request::Status);
        let text = text.map_err(|f| refused(&f, verb.word(), name))?;
        let report = Report::parse(&text);
        let took = u64::try_from(begun.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(service) = find(&report, name) else {
            return match verb {
                Verb::Stop => Ok("is gone".to_owned()),
                _ => Err(format!("b2p: {}: is gone", name.as_str())),
            };
        };
        let bad = |why: String| format!("b2p: {}: {why}", name.as_str());
        if let Some(came) = outcome(verb, &service, begun, took) {
            return came.map_err(bad);
        }
        let late = service.late.unwrap_or(LATE);
        let grace = service.grace.unwrap_or(GRACE);
        let limit = match verb {
            Verb::Start => late,
            Verb::Stop => grace,
            Verb::Restart => late.saturating_add(grace),
        };
        if took > limit.saturating_add(MORE) {
            let (state, took) = (service.state.word(), units::span(took));
            return Err(bad(format!(
                "still {state} after {took}; `b2p log {}` may say why",
                service.name
            )));
        }
        sleep(place.pause);
    }
}

/// What came of it, for better or worse; `None` as long as that is open.
fn outcome(
    verb: Verb,
    s: &Service<'_>,
    begun: &Begun,
    took: u64,
) -> Option<Result<String, String>> {
    let ended = s
        .last
        .map_or("it could not be started".to_owned(), status::long);
    if verb == Verb::Stop {
        let line = match begun.resting {
            true => "did not run".to_owned(),
            false => format!("stopped after {}", units::span(took)),
        };
        return resting(s.state).then_some(Ok(line));
    }
    let same = begun.life == Some(life(*s));
    if s.state == State::Armed {
        return Some(Ok(
            "its socket listens; the first connection starts it".to_owned()
        ));
    }
    if same && verb == Verb::Restart {
        return None;
    }
    let pid = s.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
    match s.state {
        State::Up if same => Some(Ok(format!("was up already{pid}"))),
        State::Up => Some(Ok(format!("up after {}{pid}", units::span(took)))),
        State::Done => Some(Ok("has done its work".to_owned())),
        State::Failed => Some(Err(format!("{ended}; `b2p log {}` may say why", s.name))),
        State::Delayed => Some(Err(format!("{ended}; it is started again"))),
        State::Off if verb == Verb::Start => Some(Err("has been stopped".to_owned())),
        _ => None,
    }
}

/// `b2p load NAME…`.
pub fn load_main(place: &Place, words: &[String]) -> i32 {
    let Some(names) = names(words) else {
        return 2;
    };
    let mut code = 0;
    for name in &names {
        match load(place, name) {
            Ok(()) => print(&format!("{}: loaded\n", name.as_str())),
            Err(why) => {
                print_error(&why);
                code = 1;
            }
        }
    }
    code
}

/// Puts the user's file where PID 1 reads it, and has it read.
fn load(place: &Place, name: &Name) -> Result<(), String> {
    service_files::put(&place.own, &place.staged, name)?;
    let answer = place.link.ask(&Request::Load(name.clone()));
    answer.map(drop).map_err(|f| refused(&f, "load", name))
}

/// `b2p reload`: every file of the user's whose service does not run.
pub fn reload_main(place: &Place) -> i32 {
    let report = match place.link.ask(&Request::Status) {
        Ok(text) => text,
        Err(failure) => {
            print_error(&control_client::line(&failure, "b2p reload"));
            return 1;
        }
    };
    let report = Report::parse(&report);
    let (good, bad) = service_files::own(&place.own);
    for word in &bad {
        print_error(&format!("b2p: {word}: not a name of a service; left out"));
    }
    let mut code = i32::from(!bad.is_empty());
    for name in &good {
        let there = find(&report, name);
        // One by the name of a service of the machine is for PID 1 to refuse.
        let runs = there.is_some_and(|s| s.is_user_service && !resting(s.state));
        if runs && service_files::differs(&place.own, &place.staged, name) {
            let name = name.as_str();
            print(&format!(
                "{name}: runs; `b2p restart {name}` takes the new file\n"
            ));
        } else if !runs {
            match load(place, name) {
                Ok(()) => print(&format!("{}: loaded\n", name.as_str())),
                Err(why) => {
                    print_error(&why);
                    code = 1;
                }
            }
        }
    }
    code
}

/// `b2p user-services`, at boot: the same, and then those are started that no flag turns off.
pub fn own_main(place: &Place) -> i32 {
    let code = reload_main(place);
    let config = sys::config_sources::read().0;
    let (names, _) = service_files::own(&place.own);
    for name in names {
        if sys::service_names::starts_at_boot(&config, name.as_str()) {
            // Why one cannot be started has been said when it was loaded.
            let _ = place.link.ask(&Request::Start(name));
        }
    }
    code
}

#[cfg(test)]
mod tests;
