//! Names to ask a server by that its own certificate tells.

use crate::Resolve;
use model::{ServiceName, TlsObservation};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Names asked under beside those of the configuration.
pub const MOST_LEARNT: usize = 8;
/// Names looked up for that: a certificate may list hundreds that lead elsewhere.
const MOST_LOOKUPS: usize = 24;
/// For all lookups together.
const PATIENCE: Duration = Duration::from_secs(5);

/// The names of the certificate shown under no name that lead to this very address, without those in `known`. What a stranger's
/// certificate says widens no scope: asked is only the address that it was shown at, which must be in scope by itself
/// ([`identify_learnt`](super::identify_learnt)). Wildcards are nobody's name.
pub async fn learn_names(
    tls: &TlsObservation,
    ip: IpAddr,
    known: &[ServiceName],
    resolver: &dyn Resolve,
) -> Vec<ServiceName> {
    let sans = tls.certificate.iter().flat_map(|leaf| &leaf.sans);
    let told: BTreeSet<ServiceName> = sans
        .filter(|name| name.contains('.') && !name.contains('*') && name.parse::<IpAddr>().is_err())
        .filter_map(|name| name.parse().ok())
        .filter(|name| !known.contains(name))
        .collect();
    let mut learnt = Vec::new();
    // A name that leads to loopback means another host to everybody who looks it up.
    if ip.is_loopback() || ip.is_unspecified() {
        return learnt;
    }
    let end = Instant::now() + PATIENCE;
    for name in told.into_iter().take(MOST_LOOKUPS) {
        if learnt.len() >= MOST_LEARNT {
            break;
        }
        // A name that leads nowhere, or nobody knows where, is none to ask by.
        if let Ok(Ok(resolved)) = timeout_at(end, resolver.resolve(&name)).await
            && resolved.addresses.contains(&ip)
        {
            learnt.push(name);
        }
    }
    learnt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ResolveError, Resolved, Resolving, Reversing};
    use std::{
        net::Ipv4Addr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    /// Every name of `example.org` leads here; the others do not exist.
    #[derive(Debug, Default)]
    struct Names(AtomicUsize);

    impl Resolve for Names {
        fn resolve<'a>(&'a self, name: &'a ServiceName) -> Resolving<'a> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if name.as_str().ends_with("example.org") {
                    Ok(Resolved { addresses: vec![HERE], ttl: Duration::from_mins(1) })
                } else {
                    Err(ResolveError::NoSuchName(name.clone()))
                }
            })
        }

        fn reverse(&self, _ip: IpAddr) -> Reversing<'_> {
            Box::pin(async { Ok(BTreeSet::new()) })
        }
    }

    fn shown(sans: Vec<String>) -> TlsObservation {
        let certified = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).expect("a certificate");
        let mut leaf = identify::read_certificate(certified.cert.der()).expect("readable");
        leaf.sans = sans;
        TlsObservation { certificate: Some(leaf), ..TlsObservation::new("TLSv1.3", "TLS_AES_128_GCM_SHA256") }
    }

    #[tokio::test]
    async fn names_that_lead_here_are_learnt_and_no_others() {
        let sans = ["www.example.org", "*.example.org", "example.com", "192.0.2.7", "localhost", "mail.example.org"];
        let tls = shown(sans.map(str::to_owned).to_vec());
        let known = ["mail.example.org".parse().expect("a name")];
        let names = Names::default();
        let learnt = learn_names(&tls, HERE, &known, &names).await;
        assert_eq!(learnt.iter().map(ServiceName::as_str).collect::<Vec<_>>(), ["www.example.org"]);
        assert_eq!(names.0.load(Ordering::SeqCst), 2);
        assert_eq!(learn_names(&tls, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8)), &known, &names).await, []);
        assert_eq!(learn_names(&tls, IpAddr::V4(Ipv4Addr::LOCALHOST), &known, &names).await, []);
    }

    #[tokio::test]
    async fn a_certificate_of_many_names_does_not_keep_us_busy() {
        let names = Names::default();
        let elsewhere = (0..500).map(|number| format!("n{number}.example.com")).collect();
        assert_eq!(learn_names(&shown(elsewhere), HERE, &[], &names).await, []);
        assert_eq!(names.0.load(Ordering::SeqCst), MOST_LOOKUPS);
        let here = (0..500).map(|number| format!("n{number}.example.org")).collect();
        assert_eq!(learn_names(&shown(here), HERE, &[], &names).await.len(), MOST_LEARNT);
    }
}
