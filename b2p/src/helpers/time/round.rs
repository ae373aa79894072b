// SPDX-License-Identifier: Apache-2.0
//! Requests to the servers, one after the other, until one answers and is believed.

use std::vec::IntoIter;

use log::warn;
use sys::error::{Error, Result};

use super::drift::Ms;
use super::request::{Answer, Request};
use super::trust::{self, Evidence, Server};
use super::{CLOCK_START, Keeper, START_DAY, clocks, correct, retry_delay, sntp};

/// Requests of one round, and their outcomes so far.
pub struct Round {
    rest: IntoIter<Server>,
    /// Server that is asked; `None` before the first and after the last.
    asked: Option<(Server, Request)>,
    errors: Vec<String>,
    refusals: Vec<String>,
    /// Servers that were not believed, with their times.
    others: Vec<(Server, Answer)>,
}

impl Round {
    pub fn of(servers: Vec<Server>) -> Round {
        Round {
            rest: servers.into_iter(),
            asked: None,
            errors: Vec::new(),
            refusals: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Request that is under way.
    pub fn request(&self) -> Option<&Request> {
        self.asked.as_ref().map(|(_, request)| request)
    }

    /// Asks the next server; returns false if there is none.
    fn ask_next(&mut self, has_rtc: bool) -> bool {
        for server in self.rest.by_ref() {
            let asks_again = trust::vouches(&server, has_rtc);
            match Request::start(&server.name, sntp::PORT, asks_again) {
                Ok(request) => {
                    self.asked = Some((server, request));
                    return true;
                }
                Err(e) => self.errors.push(Error::from(e).to_string()),
            }
        }
        self.asked = None;
        false
    }
}

impl Keeper {
    /// Handles the answer of the server that is asked, and asks the next one if it is not believed.
    pub(super) fn hear_servers(&mut self) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        if let Some(answer) = round.request().map(Request::answer) {
            let Some(answer) = answer else {
                self.round = Some(round); // It is still awaited.
                return;
            };
            let Some((server, _)) = round.asked.take() else {
                return;
            };
            match answer {
                // The host's clock takes precedence over a server.
                Ok(_) if self.host_clock.is_some() => return self.answered(Vec::new()),
                Ok(answer) => match self.judge(&server, &answer, &round.others) {
                    Ok(()) => return self.answered(Vec::new()),
                    Err(why) => {
                        let name = &server.name;
                        round.refusals.push(format!("the time server {name} {why}"));
                        round.others.push((server, answer));
                    }
                },
                Err(e) => round.errors.push(e.to_string()),
            }
        }
        match round.ask_next(self.rtc().is_some()) {
            true => self.round = Some(round),
            false => self.end(round),
        }
    }

    /// Plans the next round after one in which no server was believed.
    fn end(&mut self, round: Round) {
        if !round.refusals.is_empty() {
            return self.answered(round.refusals);
        }
        self.failures += 1;
        if self.failures == 1 {
            let errors = round.errors.join("; ");
            warn!("time: no server answers: {errors}; they are asked again");
        }
        self.query_at = Some(clocks::boottime() + retry_delay(self.failures));
    }

    /// Corrects the clock if the server is believed, or returns why not.
    fn judge(
        &mut self,
        server: &Server,
        answer: &Answer,
        others: &[(Server, Answer)],
    ) -> Result<()> {
        let (offset, again) = answer.offsets();
        let alone = trust::judge(offset, &self.evidence(server, again, others))?;
        self.alone = (alone, clocks::boottime());
        correct(offset, &server.name);
        self.baseline = None;
        Ok(())
    }

    /// Returns the evidence for or against an answer of `server`.
    fn evidence(
        &self,
        server: &Server,
        again: Option<Ms>,
        others: &[(Server, Answer)],
    ) -> Evidence {
        let realtime = clocks::realtime();
        let rtc = self.rtc();
        let since_start = realtime.saturating_sub(CLOCK_START + clocks::boottime());
        let offsets = others
            .iter()
            .map(|(server, answer)| (server.clone(), answer.offsets().0));
        let offsets: Vec<_> = offsets.collect();
        Evidence {
            never_set: rtc.is_none() && since_start < START_DAY,
            again,
            rtc: rtc.map(|rtc| rtc.saturating_sub(realtime)),
            others: trust::independent(server, &offsets),
            alone: trust::remaining(self.alone.0, clocks::boottime() - self.alone.1),
        }
    }

    /// Returns the time of a hardware clock that was set.
    fn rtc(&self) -> Option<Ms> {
        clocks::rtc(self.utc).filter(|rtc| *rtc >= CLOCK_START)
    }
}
