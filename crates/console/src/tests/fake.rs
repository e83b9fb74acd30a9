//! A daemon that only remembers.

use super::at;
use crate::{Control, ControlFuture, LaneView, ProfileView, RecipientView, Review};
use model::{
    CheckState, Delivery, DeliveryStatus, EngineStatus, Event, Lane, LaneStatus, NotEnumerable, Severity, StatusReport,
};
use std::{path::Path, sync::Mutex};
use tokio::sync::broadcast;

/// Remembers what it was asked to do.
#[derive(Debug)]
pub(super) struct Fake {
    done: Mutex<Vec<String>>,
    ready: bool,
    pub(super) events: broadcast::Sender<Event>,
}

impl Fake {
    pub(super) fn new(ready: bool) -> Self {
        // A short channel: what it drops has to be read from the store.
        Self { done: Mutex::default(), ready, events: broadcast::Sender::new(2) }
    }

    /// What it was asked so far.
    pub(super) fn done(&self) -> Vec<String> {
        self.done.lock().expect("not poisoned").clone()
    }

    fn note(&self, what: String) {
        self.done.lock().expect("not poisoned").push(what);
    }
}

impl Control for Fake {
    fn status(&self) -> ControlFuture<'_, StatusReport> {
        Box::pin(async { report() })
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn halt(&self) -> ControlFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.note("halt".to_owned());
            Ok(())
        })
    }

    fn resume(&self) -> ControlFuture<'_, Result<(), String>> {
        Box::pin(async { Err("the disk is full".to_owned()) })
    }

    fn scan_now<'a>(&'a self, profile: &'a str) -> ControlFuture<'a, Result<String, String>> {
        Box::pin(async move {
            self.note(format!("scan {profile}"));
            Ok(format!("{profile} is being scanned"))
        })
    }

    fn review(&self, review: Review) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let count = review.addresses.map_or_else(|| "all".to_owned(), |set| set.len().to_string());
            self.note(format!("review {count} {} by {}", review.withdraw, review.by));
            Ok("noted".to_owned())
        })
    }

    fn reload(&self) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(async { Err("error: unknown key `colour`\n --> x.toml:3:1".to_owned()) })
    }

    fn relabel(&self) -> ControlFuture<'_, Result<String, String>> {
        Box::pin(async { Ok("7 kept answers".to_owned()) })
    }

    fn notify_test<'a>(&'a self, recipient: &'a str) -> ControlFuture<'a, Result<Delivery, String>> {
        Box::pin(async move {
            match recipient {
                "soc" => Ok(Delivery::Delivered("250 queued".to_owned())),
                _ => Err(format!("there is no recipient `{recipient}`")),
            }
        })
    }

    fn backup<'a>(&'a self, path: &'a Path) -> ControlFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.note(format!("backup {}", path.display()));
            Ok(())
        })
    }

    fn profiles(&self) -> Vec<ProfileView> {
        let lanes = vec![LaneView { lane: Lane::Hot, every: "5m".to_owned() }];
        let (name, assets) = ("dmz".to_owned(), vec!["dmz".to_owned()]);
        vec![ProfileView { name, active: true, assets, rulesets: vec!["builtin:perimeter".to_owned()], lanes }]
    }

    fn recipients(&self) -> Vec<RecipientView> {
        vec![RecipientView {
            name: "soc".to_owned(),
            channel: "email".to_owned(),
            to: "soc@example.org".to_owned(),
            every: "5m".to_owned(),
            profiles: vec![],
            min_severity: Severity::HIGH,
        }]
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

pub(super) fn report() -> StatusReport {
    StatusReport {
        sensor: "scan1".to_owned(),
        version: "0.1.0".to_owned(),
        mode: "connect".to_owned(),
        mode_why: "every target is this machine itself".to_owned(),
        roots: String::new(),
        started: at(0),
        now: at(3600),
        state: CheckState::Ok,
        reasons: vec![],
        halted: false,
        hosts: 3,
        endpoints: 9,
        certificates: 1,
        events: 2,
        vantages: 1,
        not_enumerable: vec![NotEnumerable { target: "2001:db8::/64".to_owned(), candidates: 3 }],
        engine: Some(EngineStatus {
            rate: 2_000.0,
            limited_by: "path".to_owned(),
            sent: 5_000,
            unsent: 1,
            answers: 70,
            forged: 2,
            ring_drops: 3,
            canaries: 40,
            canaries_missed: 4,
        }),
        lanes: vec![LaneStatus {
            profile: "dmz \"1\"".to_owned(),
            lane: Lane::Hot,
            period_s: 300.0,
            baseline_done: true,
            running: false,
            progress: 0.0,
            last_started: Some(at(10)),
            last_finished: Some(at(20)),
            lag_s: 1.5,
            opens: None,
            coverage: 0.75,
            probes: 100,
            attempts: 120,
            loss: None,
            loss_interval: None,
            replayed: 2,
            p_miss_random_loss: None,
            local_errors: 4,
        }],
        delivery: vec![DeliveryStatus {
            recipient: "soc".to_owned(),
            channel: "email".to_owned(),
            backlog: 7,
            oldest: Some(at(3000)),
            last_delivered: None,
            last_error: Some("451".to_owned()),
            next_try: None,
        }],
    }
}
