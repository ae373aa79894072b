//! The client of PID 1, and its helpers: what parses rich formats, draws
//! pictures or talks to the network runs here, never in PID 1.

mod console;
mod log;
mod net;
mod power;

fn main() {
    let words: Vec<String> = std::env::args_os()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    std::process::exit(run(&words));
}

/// By the name it is called by, else by its first word.
fn run(words: &[String]) -> i32 {
    let name = |w: &String| w.rsplit('/').next().unwrap_or("").to_owned();
    let own = words.first().map(name).unwrap_or_default();
    let (called, rest) = match (own.as_str(), words.get(1)) {
        ("b2p", Some(word)) => (word.clone(), words.get(2..)),
        _ => (own, words.get(1..)),
    };
    let rest = rest.unwrap_or_default();
    match called.as_str() {
        "net" => {
            init::kmsg::start(::log::LevelFilter::Info);
            net::main(rest)
        }
        "console" => console::main(rest),
        "log" => log::main(rest),
        "syslog" => log::syslog(rest),
        name => power::main(name, rest),
    }
}
