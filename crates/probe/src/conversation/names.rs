//! Names to ask a server by that its own certificate tells, or that it is known by otherwise.

use crate::Resolve;
use jiff::Timestamp;
use model::{ServiceName, TlsObservation};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Names asked under beside those of the configuration.
pub const MOST_LEARNT: usize = 8;
/// Names looked up for that: a certificate may list hundreds that lead elsewhere.
const MOST_LOOKUPS: usize = 24;
/// For all lookups together.
const PATIENCE: Duration = Duration::from_secs(5);

/// The names that lead to this very address: those the host is known by (`hints`: by reverse DNS, by what it calls itself), which is all
/// there is where a server answers to nobody who names nobody, then those of the certificate shown under no name. Without those in `known`.
/// What a stranger says widens no scope: asked is only the address that it was said at, which must be in scope by itself
/// ([`identify_learnt`](super::identify_learnt)). Wildcards are nobody's name. Of a certificate with more names than are looked up at a
/// time, those of today come first, and others tomorrow.
pub async fn learn_names(
    tls: &TlsObservation,
    ip: IpAddr,
    known: &[ServiceName],
    hints: &BTreeSet<String>,
    now: Timestamp,
    resolver: &dyn Resolve,
) -> Vec<ServiceName> {
    let is_name = |name: &&String| name.contains('.') && !name.contains('*') && name.parse::<IpAddr>().is_err();
    let names = |all: &mut dyn Iterator<Item = &String>| -> BTreeSet<ServiceName> {
        all.filter(is_name).filter_map(|name| name.parse().ok()).filter(|name| !known.contains(name)).collect()
    };
    let hints = names(&mut hints.iter());
    let mut sans: Vec<ServiceName> =
        names(&mut tls.certificate.iter().flat_map(|leaf| &leaf.sans)).difference(&hints).cloned().collect();
    let rest = MOST_LOOKUPS.saturating_sub(hints.len()).max(1);
    if sans.len() > rest {
        let day = usize::try_from(now.as_second().div_euclid(86_400)).unwrap_or(0);
        let turn = (day % sans.len()).saturating_mul(rest) % sans.len();
        sans.rotate_left(turn);
    }
    let told = hints.into_iter().chain(sans);
    let mut learnt = Vec::new();
    // A name that leads to loopback means another host to everybody who looks it up.
    if ip.is_loopback() || ip.is_unspecified() {
        return learnt;
    }
    let end = Instant::now() + PATIENCE;
    for name in told.take(MOST_LOOKUPS) {
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
        let (none, today) = (BTreeSet::new(), Timestamp::UNIX_EPOCH);
        let (other, loopback) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8)), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let learnt = learn_names(&tls, HERE, &known, &none, today, &names).await;
        assert_eq!(learnt.iter().map(ServiceName::as_str).collect::<Vec<_>>(), ["www.example.org"]);
        assert_eq!(names.0.load(Ordering::SeqCst), 2);
        assert_eq!(learn_names(&tls, other, &known, &none, today, &names).await, []);
        assert_eq!(learn_names(&tls, loopback, &known, &none, today, &names).await, []);
    }

    #[tokio::test]
    async fn a_certificate_of_many_names_does_not_keep_us_busy() {
        let names = Names::default();
        let (none, today) = (BTreeSet::new(), Timestamp::UNIX_EPOCH);
        let elsewhere = (0..500).map(|number| format!("n{number}.example.com")).collect();
        assert_eq!(learn_names(&shown(elsewhere), HERE, &[], &none, today, &names).await, []);
        assert_eq!(names.0.load(Ordering::SeqCst), MOST_LOOKUPS);
        let here = (0..500).map(|number| format!("n{number}.example.org")).collect();
        assert_eq!(learn_names(&shown(here), HERE, &[], &none, today, &names).await.len(), MOST_LEARNT);
    }

    #[tokio::test]
    async fn among_many_names_the_one_that_leads_here_is_found_some_day() {
        let sans = (0..100).map(|number| format!("n{number:03}.example.com")).chain(["z.example.org".to_owned()]);
        let tls = shown(sans.collect());
        let none = BTreeSet::new();
        let mut found = Vec::new();
        for day in 0..5 {
            let now = Timestamp::from_second(day * 86_400).expect("in range");
            found.extend(learn_names(&tls, HERE, &[], &none, now, &Names::default()).await);
        }
        assert_eq!(found.iter().map(ServiceName::as_str).collect::<Vec<_>>(), ["z.example.org"]);
    }

    #[tokio::test]
    async fn a_host_is_asked_by_the_names_it_is_known_by() {
        let mut nameless = shown(Vec::new());
        nameless.certificate = None;
        let hints = ["host7.example.org", "host7", "host7.example.com"].map(str::to_owned).into();
        let learnt = learn_names(&nameless, HERE, &[], &hints, Timestamp::UNIX_EPOCH, &Names::default()).await;
        assert_eq!(learnt.iter().map(ServiceName::as_str).collect::<Vec<_>>(), ["host7.example.org"]);
    }
}
