//! Rule sets as the configuration says them: a tree of conditions whose attributes, operators and values have been checked.
//! What they mean for an event or a host is the `rules` crate's business.

use model::{AddressRange, EventType, Severity};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleSet {
    pub title: Option<String>,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique in its set; stable, it goes into every alert.
    pub id: String,
    pub title: Option<String>,
    pub trigger: Trigger,
    /// None: the event type's own.
    pub severity: Option<Severity>,
    pub enabled: bool,
    /// An exception: an event it matches is no alert in this profile, whatever other rules say.
    pub drop: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// `on` and `when`: these events, where the condition holds.
    Event { on: Vec<EventType>, when: Condition },
    /// `require`: hosts must satisfy it; `POLICY_VIOLATION` while one does not.
    State { require: Condition },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Holds where every part holds; the empty one always does. The keys of a table.
    All(Vec<Condition>),
    /// `any = [{…}, {…}]`.
    Any(Vec<Condition>),
    /// `not = {…}`.
    Not(Box<Condition>),
    /// One attribute against one test.
    Attribute(Attribute, Test),
}

/// What can be asked about. In TOML: its `snake_case` name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    // host
    Ip,
    Name,
    Asset,
    Tag,
    Value,
    Approved,
    Os,
    OsFamily,
    OpenTcp,
    OpenUdp,
    // endpoint and service
    Transport,
    Port,
    Service,
    Product,
    Version,
    Tls,
    Banner,
    // certificate
    Issuer,
    Subject,
    San,
    SelfSigned,
    DaysLeft,
    Verdict,
    // change
    Severity,
    Old,
    New,
    Reason,
    // what later versions know; accepted with a warning, never true
    Cve,
    Kev,
    Cvss,
    Epss,
}

/// The kind of value an attribute has: decides which tests it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Text,
    Number,
    Boolean,
    Address,
    /// A set of texts: a positive test holds where any member passes.
    Texts,
    /// A set of port numbers.
    Ports,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `port = 80`, `port = [80, 443]`, `{ in = […] }`: equal to any of these.
    In(Vec<Value>),
    /// `{ not_in = […] }`, `{ ne = x }`.
    NotIn(Vec<Value>),
    /// `{ lt = n }`, `le`, `gt`, `ge`; `{ between = [a, b] }` is two of them.
    Less(f64),
    LessOrEqual(f64),
    Greater(f64),
    GreaterOrEqual(f64),
    /// Texts are compared without regard to case, here and everywhere.
    Contains(Vec<String>),
    NotContains(Vec<String>),
    StartsWith(String),
    EndsWith(String),
    /// `*` and `?`.
    Glob(String),
    /// Sets: `{ subset_of = [22, 80] }`, …
    SubsetOf(Vec<Value>),
    SupersetOf(Vec<Value>),
    AnyOf(Vec<Value>),
    NoneOf(Vec<Value>),
    /// `{ exists = true }`.
    Exists(bool),
    /// Several tests of one table: all must hold.
    All(Vec<Test>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(f64),
    Boolean(bool),
    /// An address, prefix or range, for [`ValueKind::Address`].
    Addresses(AddressRange),
    /// `"1-1024"` in a list of ports.
    Ports(u16, u16),
}
