//! Whether the sensor itself can be trusted just now. While it cannot, nothing negative is believed.

use model::{AddressRange, AddressSet, HostSlice, Outcome};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};
use tokio::time::Instant;

/// From so many hosts up, silence of all of them at once means us, not them.
const MANY: usize = 8;
/// A group with more local errors than this share is not trusted.
const MOST_LOCAL_ERRORS: f64 = 0.01;
/// Groups in which what was in doubt is well again that end a trouble.
const CLEAN_TO_RECOVER: u32 = 2;
/// For so long the silence of many casts doubt on the silence of others too. Beyond it, it may be theirs after all, and must
/// not hide what happens elsewhere.
const DOUBT_ABOUT_OTHERS: Duration = Duration::from_hours(1);

const LOCAL_ERRORS: &str = "local-errors";
const SILENCE: &str = "silence";

/// The sensor's troubles, by what they are.
#[derive(Debug, Default)]
pub(crate) struct Health {
    troubles: BTreeMap<&'static str, Trouble>,
}

#[derive(Debug)]
struct Trouble {
    sentence: String,
    since: Instant,
    /// Where it showed. Only these can show that it is over: what goes well elsewhere says nothing about it.
    doubted: AddressSet,
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

/// How the asking of a group went.
#[derive(Debug)]
pub(crate) struct Tally<'a> {
    /// Addresses asked without a local error. Empty in the known lane, whose slices list every question.
    pub(crate) covered: &'a AddressSet,
    /// Addresses of which some question could not be asked.
    pub(crate) spoilt: &'a AddressSet,
    /// Endpoints that could not be asked for local reasons, of how many.
    pub(crate) local_errors: u64,
    pub(crate) probes: u64,
}

impl Health {
    /// Looks at a group. Where the silence in it cannot be believed, the silent slices are taken out.
    pub(crate) fn examine(&mut self, slices: &mut Vec<HostSlice>, tally: &Tally<'_>, now: Instant) -> Turn {
        let silent = slices.iter().filter(|slice| is_silent(slice)).count();
        let all_silent = silent > 0 && silent == slices.len();
        let &Tally { local_errors, probes, .. } = tally;
        let mut found: Option<(&'static str, String, AddressSet)> = None;
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        if local_errors > 0 && local_errors as f64 > MOST_LOCAL_ERRORS * probes as f64 {
            let kind = slices
                .iter()
                .flat_map(|slice| &slice.ports)
                .find(|port| matches!(port.outcome, Outcome::LocalError(_)))
                .map_or("local errors", |port| port.outcome.as_str());
            let sentence = format!(
                "{local_errors} of {probes} probes could not be sent or answered for local reasons ({kind}); nothing is called closed or lost meanwhile"
            );
            let hosts = addresses(slices.iter().filter(|slice| has_local_error(slice)));
            found = Some((LOCAL_ERRORS, sentence, tally.spoilt.union(&hosts)));
        } else if silent >= MANY && all_silent {
            let sentence = format!(
                "all {silent} known hosts of a group fell silent at once; that is taken for a fault of the sensor or its uplink, and none of them is called lost"
            );
            found = Some((SILENCE, sentence, addresses(slices.iter())));
        }
        let was_well = self.troubles.is_empty();
        let turn = match found {
            Some((what, sentence, doubted)) => {
                let trouble = self.troubles.entry(what).or_insert_with(|| Trouble {
                    sentence: String::new(),
                    since: now,
                    doubted: AddressSet::empty(),
                    clean: 0,
                });
                trouble.sentence.clone_from(&sentence);
                trouble.doubted = trouble.doubted.union(&doubted);
                trouble.clean = 0;
                slices.retain(|slice| !is_silent(slice));
                return if was_well { Turn::Degraded(sentence) } else { Turn::Same };
            }
            None if was_well => Turn::Same,
            None => {
                self.note_recovery(slices, tally);
                if self.troubles.is_empty() { Turn::Recovered } else { Turn::Same }
            }
        };
        // While the trouble lasts, a group in which only some are silent is one on which the link came back half way.
        slices.retain(|slice| !(is_silent(slice) && self.doubts(slice.ip, now)));
        turn
    }

    /// Whether the silence of a host proves nothing at present.
    pub(crate) fn doubts(&self, ip: IpAddr, now: Instant) -> bool {
        self.troubles.get(SILENCE).is_some_and(|trouble| {
            trouble.doubted.contains(ip) || now.saturating_duration_since(trouble.since) < DOUBT_ABOUT_OTHERS
        })
    }

    fn note_recovery(&mut self, slices: &[HostSlice], tally: &Tally<'_>) {
        self.troubles.retain(|what, trouble| {
            let is_doubted = |slice: &HostSlice| trouble.doubted.contains(slice.ip);
            let is_well = match *what {
                SILENCE => slices.iter().any(|slice| is_doubted(slice) && !is_silent(slice)),
                _ => {
                    trouble.doubted.difference(tally.covered) != trouble.doubted
                        || (tally.covered.is_empty()
                            && slices.iter().any(|slice| is_doubted(slice) && !has_local_error(slice)))
                }
            };
            trouble.clean += u32::from(is_well);
            trouble.clean < CLEAN_TO_RECOVER
        });
    }

    pub(crate) fn sentences(&self) -> impl Iterator<Item = (&'static str, &String)> {
        self.troubles.iter().map(|(what, trouble)| (*what, &trouble.sentence))
    }
}

/// Everything asked of a known host stayed without an answer.
pub(crate) fn is_silent(slice: &HostSlice) -> bool {
    !slice.ports.is_empty() && slice.services.is_empty() && slice.ports.iter().all(|port| !port.outcome.is_answer())
}

fn has_local_error(slice: &HostSlice) -> bool {
    slice.ports.iter().any(|port| matches!(port.outcome, Outcome::LocalError(_)))
}

fn addresses<'a>(slices: impl Iterator<Item = &'a HostSlice>) -> AddressSet {
    slices.map(|slice| AddressRange::single(slice.ip)).collect()
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
            mac: None,
        }
    }

    fn look(health: &mut Health, slices: &mut Vec<HostSlice>, local_errors: u64, probes: u64) -> Turn {
        let none = AddressSet::empty();
        let tally = Tally { covered: &none, spoilt: &none, local_errors, probes };
        health.examine(slices, &tally, Instant::now())
    }

    fn slices(count: u8, outcome: Outcome) -> Vec<HostSlice> {
        (0..count).map(|last| slice(last, outcome)).collect()
    }

    #[test]
    fn the_silence_of_many_is_ours() {
        let mut health = Health::default();
        let mut seven = slices(7, Outcome::Silent);
        assert_eq!(look(&mut health, &mut seven, 0, 7), Turn::Same);
        assert_eq!(seven.len(), 7, "seven silent hosts are believed");
        let mut eight = slices(8, Outcome::Silent);
        assert!(matches!(look(&mut health, &mut eight, 0, 8), Turn::Degraded(_)));
        assert!(eight.is_empty(), "eight are not");
        assert_eq!(look(&mut health, &mut slices(8, Outcome::Silent), 0, 8), Turn::Same, "told once");
        let open = Outcome::Open(OpenReason::Connected);
        assert_eq!(look(&mut health, &mut slices(8, open), 0, 8), Turn::Same);
        assert_eq!(look(&mut health, &mut slices(8, open), 0, 8), Turn::Recovered);
    }

    #[test]
    fn one_answer_among_many_is_enough_to_believe_the_rest() {
        let mut health = Health::default();
        let mut mixed = slices(20, Outcome::Silent);
        mixed.push(slice(99, Outcome::Open(OpenReason::Connected)));
        assert_eq!(look(&mut health, &mut mixed, 0, 21), Turn::Same);
        assert_eq!(mixed.len(), 21);
    }

    #[test]
    fn local_errors_take_the_silence_out() {
        let mut health = Health::default();
        let mut unplugged = slices(2, Outcome::LocalError(LocalErrorKind::NoRoute));
        let Turn::Degraded(sentence) = look(&mut health, &mut unplugged, 2, 2) else { panic!("degraded") };
        assert!(sentence.contains("no route"), "{sentence}");
        assert!(unplugged.is_empty());
    }

    const OPEN: Outcome = Outcome::Open(OpenReason::Connected);

    #[test]
    fn what_goes_well_elsewhere_ends_no_trouble() {
        let mut health = Health::default();
        assert!(matches!(look(&mut health, &mut slices(8, Outcome::Silent), 0, 8), Turn::Degraded(_)));
        for _ in 0..5 {
            assert_eq!(look(&mut health, &mut Vec::new(), 0, 4_096), Turn::Same, "dark addresses prove nothing");
            assert_eq!(look(&mut health, &mut vec![slice(99, OPEN)], 0, 1), Turn::Same, "nor do others");
        }
        for expect in [Turn::Same, Turn::Recovered] {
            assert_eq!(look(&mut health, &mut vec![slice(3, OPEN)], 0, 1), expect);
        }
        // A range this machine has no route to, beside one that it has.
        let dark: AddressSet = [AddressRange::single([198, 51, 100, 1].into())].into_iter().collect();
        let bright: AddressSet = [AddressRange::single([192, 0, 2, 1].into())].into_iter().collect();
        let mut turns = Vec::new();
        for _ in 0..4 {
            let bad = Tally { covered: &AddressSet::empty(), spoilt: &dark, local_errors: 20, probes: 20 };
            turns.push(health.examine(&mut Vec::new(), &bad, Instant::now()));
            let good = Tally { covered: &bright, spoilt: &AddressSet::empty(), local_errors: 0, probes: 20 };
            turns.extend((0..3).map(|_| health.examine(&mut vec![slice(1, OPEN)], &good, Instant::now())));
        }
        assert!(matches!(turns.remove(0), Turn::Degraded(_)));
        assert!(turns.iter().all(|turn| *turn == Turn::Same), "{turns:?}");
    }

    #[test]
    fn a_standing_trouble_doubts_the_few_as_well_but_not_for_ever() {
        let mut health = Health::default();
        let none = AddressSet::empty();
        let tally = Tally { covered: &none, spoilt: &none, local_errors: 0, probes: 8 };
        let begin = Instant::now();
        health.examine(&mut slices(8, Outcome::Silent), &tally, begin);
        for (minutes, last, believed) in [(1, 99, 0), (61, 99, 1), (61, 3, 0)] {
            let mut one = vec![slice(last, Outcome::Silent)];
            health.examine(&mut one, &tally, begin + Duration::from_mins(minutes));
            assert_eq!(one.len(), believed, "host {last} after {minutes} min");
        }
    }
}
