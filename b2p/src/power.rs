//! `poweroff`, `reboot`, `halt`, `shutdown`: our binary under those names, for
//! people and for the kernel's own orderly_poweroff() (kernel/reboot.c).

use nix::sys::signal::kill;
use nix::unistd::Pid;

use init::signals::{How, asking};

/// What the name and its options ask for; the message for what is neither.
fn asked(name: &str, words: &[String]) -> Result<How, String> {
    let has = |options: &[&str]| words.iter().any(|w| options.contains(&w.as_str()));
    match name {
        "poweroff" => Ok(How::PowerOff),
        "reboot" => Ok(How::Reboot),
        "halt" if has(&["-p"]) => Ok(How::PowerOff),
        "halt" => Ok(How::Halt),
        "shutdown" if words.iter().any(|w| w.starts_with('+') && w != "+0") => {
            Err("shutdown: only `now` is understood, no delay".into())
        }
        "shutdown" if has(&["-r", "--reboot"]) => Ok(How::Reboot),
        "shutdown" if has(&["-H", "--halt"]) => Ok(How::Halt),
        "shutdown" => Ok(How::PowerOff),
        _ => Err(format!(
            "{name}: poweroff, reboot, halt and shutdown are understood"
        )),
    }
}

/// Asks PID 1; the shutdown goes on after this process has ended.
pub fn main(name: &str, words: &[String]) -> i32 {
    let done = asked(name, words).and_then(|how| {
        let signal = asking(how).ok_or("no signal asks for that")?;
        kill(Pid::from_raw(1), signal).map_err(|e| format!("{name}: {e}: only root may"))
    });
    match done {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("{why}");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_options() {
        let ask = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let name = words.next().unwrap_or_default();
            asked(&name, &words.collect::<Vec<_>>())
        };
        assert_eq!(ask("poweroff"), Ok(How::PowerOff));
        assert_eq!(ask("shutdown -h now"), Ok(How::PowerOff));
        assert_eq!(ask("shutdown -r now"), Ok(How::Reboot));
        assert_eq!(ask("halt -p"), Ok(How::PowerOff));
        assert!(ask("shutdown +5").is_err());
    }
}
