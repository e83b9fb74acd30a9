use super::{Fates, Stage, Way};
use crate::router::{packet::Packet, period};
use serde::Deserialize;
use std::time::Duration;

/// The path changes as time passes: to a longer or a shorter one, or into nothing until it is routed anew. Packets on the way
/// keep the path they took, so some overtake others.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// In the order of time; before the first the path adds nothing.
    pub path: Vec<Path>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// Taken from then on.
    #[serde(deserialize_with = "period::read")]
    pub at: Duration,
    /// One way.
    #[serde(default, deserialize_with = "period::read")]
    pub delay: Duration,
    #[serde(default)]
    pub blackhole: bool,
}

#[derive(Debug)]
pub struct Route {
    path: Vec<Path>,
    taken: usize,
}

impl Route {
    pub fn new(settings: RouteSettings) -> Self {
        let mut path = settings.path;
        path.sort_by_key(|path| path.at);
        Self { path, taken: 0 }
    }
}

impl Stage for Route {
    fn take(&mut self, packet: Packet, way: Way, now: Duration, fates: &mut Fates) {
        let taken = self.path.iter().take_while(|path| path.at <= now).count();
        for _ in self.taken..taken {
            fates.count("changes");
        }
        self.taken = taken;
        match taken.checked_sub(1).and_then(|last| self.path.get(last)) {
            Some(path) if path.blackhole => fates.drop("dropped"),
            Some(path) => fates.delay(packet, way, path.delay),
            None => fates.pass(packet, way),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::stage::trial::{Trial, syn};

    #[test]
    fn each_path_has_its_time() {
        let s = Duration::from_secs;
        let ms = Duration::from_millis;
        let path = |at, delay, blackhole| Path { at: s(at), delay: ms(delay), blackhole };
        let settings = RouteSettings { path: vec![path(20, 80, false), path(5, 10, false), path(15, 0, true)] };
        let mut trial = Trial::of(Route::new(settings));
        for (at, expected) in [(0, Some(0)), (5, Some(10)), (14, Some(10)), (15, None), (19, None), (20, Some(80))] {
            let fates = trial.take(syn(1000, 80), Way::Out, s(at));
            assert_eq!(fates.first().map(|fate| fate.after), expected.map(ms), "at {at} s");
        }
        assert_eq!(trial.count("changes"), 3);
    }
}
