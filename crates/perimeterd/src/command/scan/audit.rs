//! What an audit says in the output of a scan.

use super::report::{EndpointLine, FindingLine, Place};
use model::{Endpoint, TlsPosture, Weakness};
use probe::{
    audit::{Incomplete, Report},
    check::Verdict,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Serialize)]
pub(super) struct AuditLine {
    #[serde(flatten)]
    pub posture: TlsPosture,
    /// Asked for; what is not among them could not be told.
    pub asked: BTreeSet<Weakness>,
    pub weak: BTreeSet<Weakness>,
    /// By check: `vulnerable`, `not-vulnerable`, `not-testable`, `error`.
    pub checks: BTreeMap<&'static str, CheckLine>,
    /// Of the audit, and of the checks on top.
    pub connections: u8,
    pub check_connections: u8,
    /// Why not everything was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct CheckLine {
    pub verdict: &'static str,
    pub evidence: String,
}

impl EndpointLine {
    pub(super) fn take_audit(&mut self, report: &Report) {
        let line = AuditLine::from(report);
        if let Some(tls) = &mut self.tls {
            tls.weak = line.weak.iter().map(ToString::to_string).collect();
        }
        self.audit = Some(Box::new(line));
    }
}

impl From<&Report> for AuditLine {
    fn from(report: &Report) -> Self {
        let weaknesses = report.shown.weaknesses();
        let check = |checked: &probe::check::Checked| {
            (checked.check.id, CheckLine { verdict: checked.verdict.as_str(), evidence: checked.evidence.clone() })
        };
        Self {
            posture: report.shown.posture(),
            asked: weaknesses.asked,
            weak: weaknesses.found,
            checks: report.checks.iter().map(check).collect(),
            connections: report.connections,
            check_connections: report.check_connections,
            incomplete: report.incomplete.map(|why| match why {
                Incomplete::Failed(outcome) => format!("a connection did not come about: {}", outcome.as_str()),
                Incomplete::Late => "it took too long".to_owned(),
                Incomplete::Enough => "it would have taken more connections than may be made".to_owned(),
                Incomplete::NoTls => "it did not go over to TLS".to_owned(),
                Incomplete::Halted => "halted".to_owned(),
                Incomplete::Fragile => {
                    "nothing but listening is allowed on its port (see `[identify] fragile_ports`)".to_owned()
                }
            }),
        }
    }
}

/// What was found: what a check has proved, and the weaknesses that no such proof speaks of already.
pub(super) fn findings(endpoint: Endpoint, report: &Report) -> Vec<FindingLine> {
    let place = Some(Place { transport: endpoint.transport, port: endpoint.port });
    let finding = |id, evidence: String| FindingLine { ip: endpoint.ip, place, id, verdict: "confirmed", evidence };
    let proved = || report.checks.iter().filter(|checked| checked.verdict == Verdict::Vulnerable);
    let told: BTreeSet<Weakness> = proved().flat_map(|checked| checked.check.implies).copied().collect();
    let mut findings: Vec<FindingLine> =
        proved().map(|checked| finding(checked.check.finding_id(), checked.evidence.clone())).collect();
    let rest = report.shown.weaknesses().found.into_iter().filter(|weakness| !told.contains(weakness));
    findings.extend(rest.map(|weakness| finding(weakness.as_str(), format!("it {}", weakness.words()))));
    findings
}
