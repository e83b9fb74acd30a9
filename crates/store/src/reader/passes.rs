use super::{Question, Reader};
use crate::{StoreError, column::get_json};
use model::Lane;
use monitor::{LeaseRecord, PassRecord, Violations};

/// Which passes; every part that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct PassFilter {
    pub profile: Option<String>,
    pub lane: Option<Lane>,
    pub finished: Option<bool>,
    pub limit: Option<usize>,
}

impl Reader {
    /// The last 100 of each profile and lane, newest first.
    pub async fn passes(&self, filter: PassFilter) -> Result<Vec<PassRecord>, StoreError> {
        self.query(move |connection| {
            let mut question = Question::new("SELECT record FROM pass");
            question.and_some("profile = ?", filter.profile);
            question.and_some("lane = ?", filter.lane.map(Lane::as_str));
            question.and_some("(finished IS NOT NULL) = ?", filter.finished);
            question.ask(connection, "started DESC, id DESC", filter.limit, |row| get_json(row, 0))
        })
        .await
    }

    /// The state rules that hosts break now, ascending by address.
    pub async fn violations(&self) -> Result<Vec<Violations>, StoreError> {
        self.query(|connection| {
            let question = Question::new("SELECT record FROM violation");
            question.ask(connection, "address, vantage", None, |row| get_json(row, 0))
        })
        .await
    }

    /// What host names last resolved to, ascending by asset and name.
    pub async fn leases(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        self.query(|connection| {
            let question = Question::new("SELECT record FROM lease");
            question.ask(connection, "asset, name", None, |row| get_json(row, 0))
        })
        .await
    }
}
