use crate::Severity;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! event_types {
    ($($variant:ident $name:literal $title:literal $category:ident $severity:literal $action:literal $emitted:literal),+ $(,)?) => {
        /// The kinds of change perimeterd knows. Names are Qualys' where it has one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType { $(#[serde(rename = $name)] $variant),+ }

        impl EventType {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// `PORT_OPEN`.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $name),+ } }

            /// `Port opened`: a name without data, for people and for CEF's Name field.
            pub fn title(self) -> &'static str { match self { $(Self::$variant => $title),+ } }

            pub fn category(self) -> Category { match self { $(Self::$variant => Category::$category),+ } }

            /// CEF's `act`: `opened`, `closed`, `changed`, …
            pub fn action(self) -> &'static str { match self { $(Self::$variant => $action),+ } }

            /// What it counts for where no rule says otherwise.
            pub fn default_severity(self) -> Severity {
                match Severity::try_from(match self { $(Self::$variant => $severity),+ }) {
                    Ok(severity) => severity,
                    Err(_) => Severity::INFO,
                }
            }

            /// Whether this version raises it; a rule that waits for one it does not raise gets a warning.
            pub fn is_emitted(self) -> bool { match self { $(Self::$variant => $emitted),+ } }
        }
    };
}

event_types! {
    HostFound "HOST_FOUND" "Host found" Host 3 "found" true,
    HostUp "HOST_UP" "Host returned" Host 2 "returned" true,
    HostLost "HOST_LOST" "Host lost" Host 3 "lost" true,
    HostPurged "HOST_PURGED" "Host purged" Host 1 "purged" true,
    HostUpdated "HOST_UPDATED" "Host operating system changed" Host 3 "changed" true,
    HostReplaced "HOST_REPLACED" "Host replaced" Host 3 "changed" true,
    HostNameChanged "HOST_NAME_CHANGED" "Host name changed" Host 2 "changed" true,
    HostkeyChanged "HOSTKEY_CHANGED" "SSH host key changed" Host 4 "changed" true,
    PortOpen "PORT_OPEN" "Port opened" Port 3 "opened" true,
    PortChanged "PORT_CHANGED" "Service changed on port" Port 2 "changed" true,
    PortClosed "PORT_CLOSED" "Port closed" Port 2 "closed" true,
    SslNew "SSL_NEW" "New certificate" Certificate 2 "found" true,
    SslChanged "SSL_CHANGED" "Certificate replaced" Certificate 3 "changed" true,
    SslExpiry "SSL_EXPIRY" "Certificate expiring" Certificate 2 "expiring" true,
    SslExpired "SSL_EXPIRED" "Certificate expired" Certificate 4 "expired" true,
    SslRogue "SSL_ROGUE" "Unauthorised certificate" Certificate 4 "found" true,
    SslWeak "SSL_WEAK" "Weak TLS configuration" Certificate 3 "found" true,
    SslRemoved "SSL_REMOVED" "Certificate no longer served" Certificate 1 "removed" true,
    SoftwareAdded "SOFTWARE_ADDED" "Software added" Software 2 "added" true,
    SoftwareUpdated "SOFTWARE_UPDATED" "Software changed version" Software 2 "changed" true,
    SoftwareRemoved "SOFTWARE_REMOVED" "Software removed" Software 2 "removed" true,
    VulnOpen "VULN_OPEN" "Vulnerability found" Vulnerability 4 "found" false,
    VulnActive "VULN_ACTIVE" "Vulnerability still open" Vulnerability 3 "found" false,
    VulnReopened "VULN_REOPENED" "Vulnerability reopened" Vulnerability 4 "reopened" false,
    VulnUpdated "VULN_UPDATED" "Vulnerability updated" Vulnerability 3 "changed" false,
    VulnClosed "VULN_CLOSED" "Vulnerability closed" Vulnerability 1 "closed" false,
    TicketOpen "TICKET_OPEN" "Ticket opened" Ticket 2 "opened" false,
    TicketResolved "TICKET_RESOLVED" "Ticket resolved" Ticket 1 "resolved" false,
    TicketClosed "TICKET_CLOSED" "Ticket closed" Ticket 1 "closed" false,
    TicketReopened "TICKET_REOPENED" "Ticket reopened" Ticket 2 "reopened" false,
    TicketOverdue "TICKET_OVERDUE" "Ticket overdue" Ticket 4 "found" false,
    TicketIgnored "TICKET_IGNORED" "Ticket ignored" Ticket 1 "ignored" false,
    PolicyViolation "POLICY_VIOLATION" "Policy violated" Policy 4 "found" true,
    PolicyCleared "POLICY_CLEARED" "Policy satisfied" Policy 1 "resolved" true,
    SharedKey "SHARED_KEY" "Key shared by several hosts" Host 3 "found" true,
    AnswersEverything "ANSWERS_EVERYTHING" "Something answers for everything" Port 3 "found" true,
    FindingClosed "FINDING_CLOSED" "Finding closed" Monitor 1 "resolved" true,
    ScanStale "SCAN_STALE" "Scan data stale" Monitor 4 "found" true,
    ScanRecovered "SCAN_RECOVERED" "Scan recovered" Monitor 1 "resolved" true,
    SensorDegraded "SENSOR_DEGRADED" "Sensor degraded" Monitor 4 "found" true,
    SensorBlocked "SENSOR_BLOCKED" "Sensor blocked" Monitor 4 "found" true,
    SensorOk "SENSOR_OK" "Sensor healthy" Monitor 1 "resolved" true,
    FlapStart "FLAP_START" "Flapping" Monitor 2 "found" true,
    FlapStop "FLAP_STOP" "Flapping ended" Monitor 1 "resolved" true,
    EventStorm "EVENT_STORM" "Event storm" Monitor 4 "found" true,
    FeedStale "FEED_STALE" "Feed stale" Monitor 3 "found" false,
    NotifyFailed "NOTIFY_FAILED" "Notification failed" Monitor 3 "found" true,
    Heartbeat "HEARTBEAT" "Heartbeat" Monitor 1 "found" false,
    BaselineDone "BASELINE_DONE" "Baseline learnt" Monitor 1 "found" true,
    ConfigReloaded "CONFIG_RELOADED" "Configuration reloaded" Monitor 1 "changed" true,
    Audit "AUDIT" "Operator action" Monitor 1 "changed" true,
}

/// What an event is about; CEF's `cat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    Host,
    Port,
    Certificate,
    Software,
    Vulnerability,
    Ticket,
    Policy,
    Monitor,
}

impl Category {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "Host",
            Self::Port => "Port",
            Self::Certificate => "Certificate",
            Self::Software => "Software",
            Self::Vulnerability => "Vulnerability",
            Self::Ticket => "Ticket",
            Self::Policy => "Policy",
            Self::Monitor => "Monitor",
        }
    }
}

/// A name that is no event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event type")]
pub struct UnknownEventType(pub String);

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownEventType(text.to_owned()))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_fit_syslog() {
        for &kind in EventType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).expect("a string"), kind.as_str());
            // RFC 5424 MSGID: at most 32 printable ASCII characters.
            assert!(kind.as_str().len() <= 32 && kind.as_str().bytes().all(|b| b.is_ascii_graphic()));
        }
        assert!("PORT_OPENED".parse::<EventType>().is_err());
    }
}
