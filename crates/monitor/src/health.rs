//! Whether the sensor itself can be trusted just now. While it cannot, nothing negative is believed.

use model::HostSlice;
use std::collections::BTreeMap;

/// From so many hosts up, silence of all of them at once means us, not them.
const MANY: usize = 8;
/// A group with more local errors than this share is not trusted.
const MOST_LOCAL_ERRORS: f64 = 0.01;
/// Clean groups in a row that end a degraded state.
const CLEAN_TO_RECOVER: u32 = 2;

/// The sensor's troubles, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Health {
    troubles: BTreeMap<&'static str, String>,
    clean: u32,
}

/// What a group's result means for the sensor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// As before.
    Same,
    /// It was well and is not any more.
    Degraded(String),
    /// It is well again.
    Recovered,
}

impl Health {
    /// Looks at a group: the slices of hosts, how many endpoints could not be asked for local reasons, of how many. Where
    /// the silence in it cannot be believed, the silent slices are taken out.
    pub(crate) fn examine(&mut self, slices: &mut Vec<HostSlice>, local_errors: u64, probes: u64) -> Turn {
        let silent = slices.iter().filter(|slice| is_silent(slice)).count();
        let mut found: Option<(&'static str, String)> = None;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        if local_errors > 0 && local_errors as f64 > MOST_LOCAL_ERRORS * probes as f64 {
            let kind = slices
                .iter()
                .flat_map(|slice| &slice.ports)
                .find(|port| !port.outcome.is_evidence())
                .map_or("local errors", |port| port.outcome.as_str());
            found = Some((
                "local-errors",
                format!(
                    "{local_errors} of {probes} probes could not be sent or answered for local reasons ({kind}); nothing is called closed or lost meanwhile"
                ),
            ));
        } else if silent >= MANY && silent == slices.len() {
            found = Some((
                "silence",
                format!(
                    "all {silent} known hosts of a group fell silent at once; that is taken for a fault of the sensor or its uplink, and none of them is called lost"
                ),
            ));
        }
        match found {
            Some((what, sentence)) => {
                slices.retain(|slice| !is_silent(slice));
                self.clean = 0;
                let was_well = self.troubles.is_empty();
                self.troubles.insert(what, sentence.clone());
                if was_well { Turn::Degraded(sentence) } else { Turn::Same }
            }
            None if probes == 0 || self.troubles.is_empty() => Turn::Same,
            None => {
                self.clean += 1;
                if self.clean < CLEAN_TO_RECOVER {
                    return Turn::Same;
                }
                self.troubles.clear();
                Turn::Recovered
            }
        }
    }

    pub(crate) fn sentences(&self) -> impl Iterator<Item = (&'static str, &String)> {
        self.troubles.iter().map(|(what, sentence)| (*what, sentence))
    }
}

/// Everything asked of a known host stayed without an answer.
fn is_silent(slice: &HostSlice) -> bool {
    !slice.ports.is_empty() && slice.ports.iter().all(|port| !port.outcome.is_answer())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use model::{
        Coverage, Endpoint, Lane, LocalErrorKind, OpenReason, Outcome, PassId, PassKind, PassRef, PortObservation,
    };

    fn slice(last: u8, outcome: Outcome) -> HostSlice {
        let at = Timestamp::UNIX_EPOCH;
        let ip = [192, 0, 2, last].into();
        HostSlice {
            vantage: "scan1".into(),
            ip,
            pass: PassRef {
                id: PassId(model::derive_id(at, "pass", &1)),
                profile: "dmz".into(),
                lane: Lane::Known,
                kind: PassKind::Sweep,
            },
            at,
            covered: Coverage::default(),
            ports: vec![PortObservation { endpoint: Endpoint::tcp(ip, 22), outcome, at, attempts: 1, rtt_us: None }],
            services: Vec::new(),
            names: Vec::new(),
        }
    }

    fn slices(count: u8, outcome: Outcome) -> Vec<HostSlice> {
        (0..count).map(|last| slice(last, outcome)).collect()
    }

    #[test]
    fn the_silence_of_many_is_ours() {
        let mut health = Health::default();
        let mut seven = slices(7, Outcome::Silent);
        assert_eq!(health.examine(&mut seven, 0, 7), Turn::Same);
        assert_eq!(seven.len(), 7, "seven silent hosts are believed");
        let mut eight = slices(8, Outcome::Silent);
        assert!(matches!(health.examine(&mut eight, 0, 8), Turn::Degraded(_)));
        assert!(eight.is_empty(), "eight are not");
        assert_eq!(health.examine(&mut slices(8, Outcome::Silent), 0, 8), Turn::Same, "told once");
        let open = Outcome::Open(OpenReason::Connected);
        assert_eq!(health.examine(&mut slices(8, open), 0, 8), Turn::Same);
        assert_eq!(health.examine(&mut slices(8, open), 0, 8), Turn::Recovered);
    }

    #[test]
    fn one_answer_among_many_is_enough_to_believe_the_rest() {
        let mut health = Health::default();
        let mut mixed = slices(20, Outcome::Silent);
        mixed.push(slice(99, Outcome::Open(OpenReason::Connected)));
        assert_eq!(health.examine(&mut mixed, 0, 21), Turn::Same);
        assert_eq!(mixed.len(), 21);
    }

    #[test]
    fn local_errors_take_the_silence_out() {
        let mut health = Health::default();
        let mut unplugged = slices(2, Outcome::LocalError(LocalErrorKind::NoRoute));
        let Turn::Degraded(sentence) = health.examine(&mut unplugged, 2, 2) else { panic!("degraded") };
        assert!(sentence.contains("no route"), "{sentence}");
        assert!(unplugged.is_empty());
    }
}
