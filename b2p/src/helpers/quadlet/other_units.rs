// SPDX-License-Identifier: Apache-2.0
//! Unit files that are no services: timers, which `b2p timers` runs, and kinds that do not run here, of which each
//! file is a fault.

use std::collections::BTreeMap;

use super::plain::{self, is_off};
use super::specifiers::Owner;
use super::timer::{SUFFIX, UnitTimer, machine_id, unsupported};
use super::unit::Unit;
use super::unit_error::{Fault, Result};

/// Takes the units that are no services out of the units of an owner, and returns the timers with their texts, and faults.
pub(super) fn take(
    units: &mut BTreeMap<String, String>,
    drop_ins: &BTreeMap<String, String>,
    owner: &Owner,
) -> (Vec<(UnitTimer, String)>, Vec<Fault>) {
    let names: Vec<String> = units
        .keys()
        .filter(|n| plain::is_other(n))
        .cloned()
        .collect();
    let machine_id = machine_id();
    let (mut timers, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        let text = units.remove(&name).unwrap_or_default();
        let text = match drop_ins.get(&name) {
            Some(drop_ins) => format!("{text}\n{drop_ins}"),
            None => text,
        };
        let unit = Unit::parse(&text);
        if is_off(&unit) {
            continue;
        }
        match timer(&unit, &name, owner, &machine_id) {
            Ok(timer) => timers.push((timer, text)),
            Err(why) => faults.push(Fault::of_quadlet(format!("{name}: {why}"))),
        }
        let keys = unsupported(&unit).join(" ");
        if !keys.is_empty() {
            let why = format!("{name}: keys without effect here: {keys}");
            faults.push(Fault::of_quadlet(why));
        }
    }
    (timers, faults)
}

fn timer(unit: &Unit, name: &str, owner: &Owner, machine_id: &str) -> Result<UnitTimer> {
    match name.strip_suffix(SUFFIX) {
        None => Err("units of this kind do not run here".into()),
        Some(stem) if stem.ends_with('@') => Err("a template of timers does not run here".into()),
        Some(_) => UnitTimer::of(unit, name, owner, machine_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_a_timer_or_a_fault() {
        let text = |text: &str| text.to_owned();
        let mut units = BTreeMap::from([
            (
                text("a.timer"),
                text("[Timer]\nOnCalendar=daily\nWakeSystem=yes\n"),
            ),
            (text("b.timer"), text("[Timer]\nOnCalendar=noon\n")),
            (text("c@.timer"), text("[Timer]\nOnCalendar=daily\n")),
            (text("off.socket"), text("[X-Unit]\nPath=\n")),
            (text("web.service"), text("[Service]\nExecStart=/x\n")),
            (text("web.socket"), text("[Socket]\nListenStream=80\n")),
        ]);
        let drop_ins = BTreeMap::from([(text("a.timer"), text("[Timer]\nPersistent=yes\n"))]);
        let (timers, faults) = take(&mut units, &drop_ins, &Owner::default());
        assert_eq!(units.keys().collect::<Vec<_>>(), ["web.service"]);
        let timers: Vec<_> = timers
            .iter()
            .map(|(t, _)| (&*t.unit, t.is_persistent))
            .collect();
        assert_eq!(timers, [("a.timer", true)]);
        let faults: Vec<_> = faults.iter().map(|fault| fault.why.as_str()).collect();
        let right = [
            "a.timer: keys without effect here: WakeSystem",
            "b.timer: OnCalendar: noon",
            "c@.timer: a template",
            "web.socket: units of this kind",
        ];
        assert_eq!(faults.len(), right.len(), "{faults:?}");
        for (fault, right) in faults.iter().zip(right) {
            assert!(fault.starts_with(right), "{fault}");
        }
    }
}
