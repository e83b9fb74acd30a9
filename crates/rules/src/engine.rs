use crate::{
    attribute::Subject,
    condition::{holds, normalise},
    explanation::explain,
    state::{Broken, rule_reference},
};
use config::{
    Config,
    rule::{Rule, RuleSet, Trigger},
};
use jiff::Timestamp;
use model::{Alert, AlertId, Event, EventType, HostFacts, Severity};
use std::{collections::BTreeMap, sync::Arc};

/// The rules in force: active profiles with their enabled rules. Never changes; a reload makes another.
#[derive(Debug, Clone)]
pub struct Engine {
    profiles: Vec<Watch>,
    /// The business value of every asset.
    values: BTreeMap<Arc<str>, u8>,
}

/// An active profile.
#[derive(Debug, Clone)]
struct Watch {
    profile: Arc<str>,
    assets: Vec<Arc<str>>,
    /// In the profile's order.
    rulesets: Vec<(Arc<str>, Arc<[Rule]>)>,
}

/// What the rules say of one event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// At most one a profile.
    pub alerts: Vec<Alert>,
    /// Where an exception kept it from being one: to be recorded, never silent.
    pub dropped: Vec<Dropped>,
}

/// An exception that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    pub profile: String,
    pub ruleset: String,
    pub rule: String,
}

impl Engine {
    pub fn new(config: &Config) -> Self {
        let rulesets: BTreeMap<&str, Arc<[Rule]>> =
            config.rulesets.iter().map(|(name, set)| (&**name, in_force(set))).collect();
        let profiles = config.profiles.iter().filter(|(_, profile)| profile.active).map(|(name, profile)| Watch {
            profile: name.clone(),
            assets: profile.assets.clone(),
            rulesets: profile
                .rulesets
                .iter()
                .filter_map(|set| Some((set.clone(), rulesets.get(&**set)?.clone())))
                .collect(),
        });
        Self {
            profiles: profiles.collect(),
            values: config.assets.iter().map(|(name, asset)| (name.clone(), asset.value)).collect(),
        }
    }

    /// The alerts of [`Self::judge`].
    pub fn evaluate(&self, event: &Event, host: Option<&HostFacts>, now: Timestamp) -> Vec<Alert> {
        self.judge(event, host, now).alerts
    }

    /// What an event means to every profile it concerns: the one it names, else those that watch one of its assets; one
    /// that is about no host at all concerns every profile. `host` is what is known of its host after the change. The
    /// same event judged again gives alerts with the same ids.
    pub fn judge(&self, event: &Event, host: Option<&HostFacts>, now: Timestamp) -> Judgement {
        let subject = Subject { event: Some(event), host, values: &self.values };
        let mut judgement = Judgement::default();
        for watch in self.profiles.iter().filter(|watch| watch.concerns(event)) {
            if let Some((ruleset, rule)) = watch.event_rules(event.kind, true, &subject).next() {
                judgement.dropped.push(Dropped {
                    profile: watch.profile.to_string(),
                    ruleset: ruleset.to_owned(),
                    rule: rule.id.clone(),
                });
                continue;
            }
            let mut matched: Vec<(String, Severity)> = Vec::new();
            if matches!(event.kind, EventType::PolicyViolation | EventType::PolicyCleared) {
                matched.extend(watch.state_rule_of(event).map(|id| (id, event.severity)));
            }
            let by_event = watch.event_rules(event.kind, false, &subject);
            matched.extend(by_event.map(|(_, rule)| (rule.id.clone(), rule.severity.unwrap_or(event.severity))));
            let Some(severity) = matched.iter().map(|(_, severity)| *severity).max() else { continue };
            let mut rules: Vec<String> = Vec::new();
            for (id, _) in matched {
                if !rules.contains(&id) {
                    rules.push(id);
                }
            }
            judgement.alerts.push(Alert {
                id: AlertId::of(event.id, event.time, &watch.profile),
                event: event.id,
                profile: watch.profile.to_string(),
                rules,
                severity,
                time: now.max(event.time),
            });
        }
        judgement
    }

    /// The state rules a host breaks now, in every profile that watches one of its assets. A host that is not up is not
    /// judged: the answer is empty and means nothing, and [`crate::state_events`] keeps what was known.
    pub fn violations(&self, facts: &HostFacts) -> Vec<Broken> {
        if !facts.up {
            return Vec::new();
        }
        let subject = Subject { event: None, host: Some(facts), values: &self.values };
        let mut broken = Vec::new();
        for watch in self.profiles.iter().filter(|watch| watch.watches(&facts.assets)) {
            for (ruleset, rule) in watch.rules() {
                let Trigger::State { require } = &rule.trigger else { continue };
                if rule.drop || holds(require, &subject) {
                    continue;
                }
                broken.push(Broken {
                    profile: watch.profile.to_string(),
                    ruleset: ruleset.to_owned(),
                    rule: rule.id.clone(),
                    severity: rule.severity.unwrap_or(EventType::PolicyViolation.default_severity()),
                    why: explain(require, &subject),
                });
            }
        }
        broken
    }

    /// Whether a state rule is in force for a host: there, and in a profile that watches one of the host's assets.
    pub(crate) fn requires(&self, profile: &str, ruleset: &str, rule: &str, facts: &HostFacts) -> bool {
        let watches = self.profiles.iter().filter(|watch| *watch.profile == *profile && watch.watches(&facts.assets));
        watches.flat_map(Watch::rules).any(|(set, known)| {
            set == ruleset && known.id == rule && !known.drop && matches!(known.trigger, Trigger::State { .. })
        })
    }
}

impl Watch {
    fn concerns(&self, event: &Event) -> bool {
        match &event.profile {
            Some(profile) => **profile == *self.profile,
            None if event.assets.is_empty() => event.host.is_none(),
            None => self.watches(&event.assets),
        }
    }

    fn watches(&self, assets: &[String]) -> bool {
        assets.iter().any(|asset| self.assets.iter().any(|watched| **watched == **asset))
    }

    fn rules(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.rulesets.iter().flat_map(|(name, rules)| rules.iter().map(|rule| (&**name, rule)))
    }

    /// The event rules that match: exceptions, or the others.
    fn event_rules<'a>(
        &'a self,
        kind: EventType,
        exceptions: bool,
        subject: &'a Subject<'a>,
    ) -> impl Iterator<Item = (&'a str, &'a Rule)> {
        self.rules().filter(move |(_, rule)| match &rule.trigger {
            Trigger::Event { on, when } => rule.drop == exceptions && on.contains(&kind) && holds(when, subject),
            Trigger::State { .. } => false,
        })
    }

    /// The id of the state rule that gave rise to this event. One that is no longer in force still speaks for the
    /// `POLICY_CLEARED` that ends it.
    fn state_rule_of(&self, event: &Event) -> Option<String> {
        let reference = event.reason.as_deref()?.strip_prefix("rule ")?;
        let in_force = self.rules().find(|(ruleset, rule)| {
            matches!(rule.trigger, Trigger::State { .. }) && rule_reference(ruleset, &rule.id) == reference
        });
        match in_force {
            Some((_, rule)) => Some(rule.id.clone()),
            None => Some(reference.rsplit_once('/')?.1.to_owned()),
        }
    }
}

/// The enabled rules, ready to be compared.
fn in_force(set: &RuleSet) -> Arc<[Rule]> {
    let rules = set.rules.iter().filter(|rule| rule.enabled).map(|rule| Rule {
        trigger: match &rule.trigger {
            Trigger::Event { on, when } => Trigger::Event { on: on.clone(), when: normalise(when) },
            Trigger::State { require } => Trigger::State { require: normalise(require) },
        },
        ..rule.clone()
    });
    rules.collect()
}
