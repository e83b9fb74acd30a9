//! Asking who answered to a datagram under every name it has here.

use super::job::Job;
use model::{Clock, Service, ServiceName, ServiceObservation, SystemClock};
use probe::conversation::{self, Ask, Timeouts};

/// Whom to ask about what, as every conversation of a scan does.
pub(super) fn about<'a>(
    job: &'a Job,
    name: Option<&'a ServiceName>,
    prior: Option<&'a Service>,
    prior_tls: bool,
) -> Ask<'a> {
    Ask { name, prior, prior_tls, roots: &job.roots, timeouts: Timeouts::default() }
}

/// What it has said under no name, and where what it shows depends on that, what it says under each.
pub(super) async fn ask(job: &Job, heard: ServiceObservation) -> Vec<ServiceObservation> {
    let endpoint = heard.endpoint;
    let mut services = vec![heard];
    if !services.iter().any(conversation::depends_on_name) {
        return services;
    }
    let prior = services.first().and_then(|heard| heard.service.clone());
    for name in &job.scope.load().names_of(endpoint.ip, SystemClock.now()) {
        let ask = about(job, Some(name), prior.as_ref(), true);
        services.extend(conversation::identify_known(&job.dialer, endpoint, ask, None).await.observation);
    }
    conversation::settle_names(&mut services);
    services
}
