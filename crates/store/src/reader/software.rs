use super::{Question, Reader, question::containing};
use crate::{
    StoreError,
    column::{get_address, get_json},
};
use model::{AddressRange, Endpoint, Service, Software, Transport};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Which software; every part that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct SoftwareFilter {
    pub within: Vec<AddressRange>,
    /// Part of the product's name.
    pub product: Option<String>,
    pub limit: Option<usize>,
}

/// A product in one version, and where it answers now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SoftwareRow {
    #[serde(flatten)]
    pub software: Software,
    /// How many endpoints it answers on.
    pub count: usize,
    /// Those endpoints, ascending.
    pub endpoints: BTreeSet<Endpoint>,
}

impl Reader {
    /// What answers on open endpoints, ascending by vendor, product and version.
    pub async fn software(&self, filter: SoftwareFilter) -> Result<Vec<SoftwareRow>, StoreError> {
        self.query(move |connection| {
            let mut question = Question::new("SELECT address, transport, port, service FROM service");
            question.and("status = 'open' AND product IS NOT NULL", []);
            question.and_within("{}", &filter.within);
            question.and_some(
                "product || coalesce(json_extract(service, '$.behind'), '') LIKE ? ESCAPE '\\'",
                filter.product.as_deref().map(containing),
            );
            let found = question.ask(connection, "address, vantage, transport, port, name", None, |row| {
                let transport: String = row.get(1)?;
                let transport = if transport == Transport::Udp.as_str() { Transport::Udp } else { Transport::Tcp };
                let endpoint = Endpoint { ip: get_address(row, 0)?, transport, port: row.get(2)? };
                Ok((get_json::<Service>(row, 3)?, endpoint))
            })?;
            let part = filter.product.map(|part| part.to_lowercase());
            let is_wanted =
                |software: &Software| part.as_deref().is_none_or(|part| software.product.to_lowercase().contains(part));
            let mut rows: BTreeMap<Software, BTreeSet<Endpoint>> = BTreeMap::new();
            for (service, endpoint) in found {
                for software in service.all_software().filter(is_wanted) {
                    rows.entry(software).or_default().insert(endpoint);
                }
            }
            let rows = rows.into_iter().take(filter.limit.unwrap_or(usize::MAX));
            Ok(rows.map(|(software, endpoints)| SoftwareRow { software, count: endpoints.len(), endpoints }).collect())
        })
        .await
    }
}
