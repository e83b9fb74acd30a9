//! The daemon's numbers for Prometheus, as the status report has them at the moment of the scrape.

use model::{CheckState, EventType, StatusReport};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    fmt,
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
};

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    profile: String,
    lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RecipientLabels {
    recipient: String,
    channel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabels {
    r#type: &'static str,
}

pub(crate) fn render(status: &StatusReport, events: &BTreeMap<EventType, u64>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("perimeterd");
    whole(&mut registry, status);
    engine(&mut registry, status);
    lanes(&mut registry, status);
    delivery(&mut registry, status);
    let by_type = Family::<TypeLabels, Counter>::default();
    for (kind, &count) in events {
        by_type.get_or_create(&TypeLabels { r#type: kind.as_str() }).inner().store(count, Ordering::Relaxed);
    }
    registry.register("events", "Events committed, by type", by_type);
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

fn whole(registry: &mut Registry, status: &StatusReport) {
    let build = vec![("version", status.version.clone()), ("mode", status.mode.clone())];
    registry.register("build", "The program that runs", Info::new(build));
    let seconds = |time: jiff::Timestamp| time.as_duration().as_secs_f64();
    let gauges: [(&str, &str, f64); 8] = [
        ("start_time_seconds", "When the daemon started, in seconds since the epoch", seconds(status.started)),
        ("degraded", "1 while something is wrong with the watch", flag(status.state == CheckState::Degraded)),
        ("halted", "1 while all probing is stopped", flag(status.halted)),
        ("hosts", "Hosts in the inventory", number(status.hosts)),
        ("endpoints", "Open endpoints in the inventory", number(status.endpoints)),
        ("certificates", "Certificates in the inventory", number(status.certificates)),
        ("vantages", "Sensors that look at each target", f64::from(status.vantages)),
        ("lanes", "Lanes that are switched on", number(status.lanes.len() as u64)),
    ];
    for (name, help, value) in gauges {
        let gauge = FloatGauge::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
}

/// Packets of our own, where there are any.
fn engine(registry: &mut Registry, status: &StatusReport) {
    let Some(engine) = &status.engine else { return };
    let rate = FloatGauge::default();
    rate.set(engine.rate);
    registry.register("packet_rate", "Packets a second that may leave now", rate);
    let limit = vec![("by", engine.limited_by.clone())];
    registry.register("packet_limit", "What keeps the rate of packets from more", Info::new(limit));
    let counts = [
        ("packets_sent", "Packets of our own that left", engine.sent),
        ("packets_unsent", "Packets that could not be sent", engine.unsent),
        ("packet_answers", "Answers that proved themselves", engine.answers),
        ("packets_forged", "What looked like answers and answered nothing that was asked", engine.forged),
        ("ring_drops", "Packets lost between the network and the daemon", engine.ring_drops),
        ("canaries_asked", "Questions to endpoints that always answer", engine.canaries),
        ("canaries_missed", "Those of them without an answer", engine.canaries_missed),
    ];
    for (name, help, value) in counts {
        let counter = Counter::<u64>::default();
        counter.inner().store(value, Ordering::Relaxed);
        registry.register(name, help, counter);
    }
}

fn lanes(registry: &mut Registry, status: &StatusReport) {
    type Reading = fn(&model::LaneStatus) -> Option<f64>;
    let readings: [(&str, &str, Reading); 15] = [
        ("lane_period_seconds", "The lane's period", |lane| Some(lane.period_s)),
        ("lane_baseline_done", "1 once the baseline is learnt", |lane| Some(flag(lane.baseline_done))),
        ("lane_running", "1 while a pass runs", |lane| Some(flag(lane.running))),
        ("lane_progress_ratio", "Done of the running pass, 0 to 1", |lane| Some(lane.progress)),
        ("lane_lag_seconds", "How far the lane is behind its period", |lane| Some(lane.lag_s)),
        ("lane_coverage_ratio", "Asked without local error in the last pass, 0 to 1", |lane| Some(lane.coverage)),
        ("lane_last_pass_probes", "Endpoints asked in the last pass", |lane| Some(number(lane.probes))),
        ("lane_last_pass_attempts", "Packets or connections of the last pass", |lane| Some(number(lane.attempts))),
        ("lane_last_pass_local_errors", "Our own errors in the last pass", |lane| Some(number(lane.local_errors))),
        ("lane_loss_ratio", "Measured loss, 0 to 1; absent where nothing known was asked", |lane| lane.loss),
        ("lane_loss_low_ratio", "The true loss is hardly lower (95 % confidence)", |lane| Some(lane.loss_interval?.0)),
        ("lane_loss_high_ratio", "The true loss is hardly higher (95 % confidence)", |lane| {
            Some(lane.loss_interval?.1)
        }),
        ("lane_last_pass_replayed", "Stretches asked again because this machine lost packets", |lane| {
            Some(number(lane.replayed))
        }),
        ("lane_miss_probability", "The chance that random loss hid an open port", |lane| lane.p_miss_random_loss),
        ("lane_last_finished_seconds", "When the last pass ended, in seconds since the epoch", |lane| {
            lane.last_finished.map(|time| time.as_duration().as_secs_f64())
        }),
    ];
    for (name, help, reading) in readings {
        let family = Family::<LaneLabels, FloatGauge>::default();
        for lane in &status.lanes {
            if let Some(value) = reading(lane) {
                let labels = LaneLabels { profile: lane.profile.clone(), lane: lane.lane.as_str() };
                family.get_or_create(&labels).set(value);
            }
        }
        registry.register(name, help, family);
    }
}

fn delivery(registry: &mut Registry, status: &StatusReport) {
    let backlog = Family::<RecipientLabels, FloatGauge>::default();
    let oldest = Family::<RecipientLabels, FloatGauge>::default();
    let failing = Family::<RecipientLabels, FloatGauge>::default();
    for row in &status.delivery {
        let labels = RecipientLabels { recipient: row.recipient.clone(), channel: row.channel.clone() };
        backlog.get_or_create(&labels).set(number(row.backlog));
        let age = row.oldest.map_or(0.0, |time| status.now.duration_since(time).as_secs_f64().max(0.0));
        oldest.get_or_create(&labels).set(age);
        failing.get_or_create(&labels).set(flag(row.last_error.is_some()));
    }
    registry.register("delivery_backlog", "Alerts committed and not yet delivered", backlog);
    registry.register("delivery_oldest_seconds", "Age of the oldest of them", oldest);
    registry.register("delivery_failing", "1 while the last attempt failed", failing);
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "a metric; exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
