use super::{Order, Volley};
use crate::{Numbering, Permutation};
use jiff::{SignedDuration, Timestamp};
use model::{Endpoint, PortSet, Transport};
use std::net::IpAddr;

/// What is asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    pub ip: IpAddr,
    /// None: by either.
    pub transport: Option<Transport>,
    /// None: any.
    pub port: Option<u16>,
}

/// Where the subject's endpoints stand in the order of volleys over one numbering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Index and number, ascending by index.
    places: Vec<(u64, u64)>,
}

/// What a volley was to the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    pub tcp: PortSet,
    pub udp: PortSet,
    /// When the first and the last of them was asked, reckoned from their places in the order.
    pub first: Timestamp,
    pub last: Timestamp,
    /// Between these it was for certain, if it was; the later is unknown where the volley's end is.
    pub not_before: Timestamp,
    pub not_after: Option<Timestamp>,
    /// Whether it certainly was.
    pub sure: bool,
}

impl Places {
    /// The same for all volleys of one numbering and one seed.
    pub fn of(numbering: &Numbering, order: &Order, subject: &Subject) -> Self {
        let permutation = match order {
            Order::Permuted(seed) => Some(Permutation::new(numbering.len(), *seed)),
            Order::Ascending | Order::Moments(_) => None,
        };
        let index = |number: u64| match &permutation {
            Some(permutation) => permutation.index_of(number),
            None => Some(number),
        };
        let place = |number: u64| index(number).map(|index| (index, number));
        let mut places: Vec<(u64, u64)> = numbers(numbering, subject).into_iter().filter_map(place).collect();
        places.sort_unstable();
        Self { places }
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What the volley was to the subject; none where it did not touch it.
    pub fn touched(&self, numbering: &Numbering, volley: &Volley) -> Option<Touch> {
        let from = self.places.partition_point(|(index, _)| *index < volley.indices.start);
        let to = self.places.partition_point(|(index, _)| *index < volley.indices.end);
        let touched = self.places.get(from..to).filter(|places| !places.is_empty())?;
        let times = || touched.iter().map(|(index, number)| time(volley, *index, *number));
        let ports = |transport: Transport| {
            let endpoints = touched.iter().filter_map(|(_, number)| numbering.at(*number));
            endpoints.filter(|endpoint| endpoint.transport == transport).map(|endpoint| endpoint.port).collect()
        };
        Some(Touch {
            tcp: ports(Transport::Tcp),
            udp: ports(Transport::Udp),
            first: times().min()?,
            last: times().max()?,
            not_before: volley.began,
            not_after: volley.ended,
            sure: !volley.some && volley.ended.is_some(),
        })
    }
}

fn numbers(numbering: &Numbering, subject: &Subject) -> Vec<u64> {
    if let Some(port) = subject.port {
        let transports =
            [Transport::Tcp, Transport::Udp].into_iter().filter(|of| subject.transport.is_none_or(|t| t == *of));
        return transports
            .filter_map(|transport| numbering.number_of(&Endpoint { ip: subject.ip, transport, port }))
            .collect();
    }
    let Some(host) = numbering.host_index(subject.ip) else { return Vec::new() };
    let is_meant = |number: &u64| match subject.transport {
        Some(transport) => numbering.at(*number).is_some_and(|endpoint| endpoint.transport == transport),
        None => true,
    };
    numbering.numbers_of(host).filter(is_meant).collect()
}

/// When the endpoint at that place was asked, if the volley went on evenly.
fn time(volley: &Volley, index: u64, number: u64) -> Timestamp {
    let Some(ended) = volley.ended else { return volley.began };
    let length = ended.duration_since(volley.began).as_millis().max(0);
    let (part, all) = match &volley.order {
        Order::Moments(moments) => {
            let moment = usize::try_from(number).ok().and_then(|number| moments.get(number)).copied().unwrap_or(0);
            (i128::from(moment), 255)
        }
        Order::Permuted(_) | Order::Ascending => {
            let (done, all) = (index - volley.indices.start, volley.indices.end - volley.indices.start);
            // The middle of its turn.
            (i128::from(done) * 2 + 1, i128::from(all) * 2)
        }
    };
    let milliseconds = i64::try_from(length.saturating_mul(part) / all.max(1)).unwrap_or(i64::MAX);
    volley.began.checked_add(SignedDuration::from_millis(milliseconds)).unwrap_or(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Errand, Mode, VolleyId, Why};
    use model::{AddressRange, AddressSet};
    use proptest::prelude::*;
    use std::{net::Ipv4Addr, ops::Range, sync::Arc};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn ip(host: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, host).into()
    }

    fn subject(host: u8, port: Option<u16>) -> Subject {
        Subject { ip: ip(host), transport: None, port }
    }

    fn volley(order: Order, indices: Range<u64>, ended: Option<i64>) -> Volley {
        Volley {
            id: VolleyId::at(at(0)),
            errand: Errand { profile: Some("dmz".into()), lane: None, pass: None, why: Why::Lane },
            attempts: (1, 1),
            mode: Mode::Connect,
            source: None,
            order,
            indices,
            some: false,
            began: at(0),
            ended: ended.map(at),
        }
    }

    fn product(hosts: u8, tcp: &str, udp: &str) -> Numbering {
        let addresses: AddressSet = AddressRange::new(ip(0), ip(hosts - 1)).into_iter().collect();
        let ports = |text, transport| PortSet::parse(text, transport).expect(text);
        Numbering::product(&addresses, &ports(tcp, Transport::Tcp), &ports(udp, Transport::Udp)).expect("small")
    }

    fn touched(numbering: &Numbering, volley: &Volley, subject: &Subject) -> Option<Touch> {
        Places::of(numbering, &volley.order, subject).touched(numbering, volley)
    }

    #[test]
    fn tells_when_from_the_place_in_the_order() {
        let numbering = product(10, "80", "none");
        let whole = volley(Order::Ascending, 0..10, Some(100));
        let touch = touched(&numbering, &whole, &subject(3, Some(80))).expect("asked");
        assert_eq!((touch.first, touch.last, touch.sure), (at(35), at(35), true));
        assert_eq!((touch.not_before, touch.not_after), (at(0), Some(at(100))));
        assert_eq!((touch.tcp.to_string(), touch.udp.to_string()), ("80".to_owned(), "none".to_owned()));
        for absent in [subject(10, Some(80)), subject(3, Some(81)), subject(10, None)] {
            assert_eq!(touched(&numbering, &whole, &absent), None, "{absent:?}");
        }
        let udp = Subject { transport: Some(Transport::Udp), ..subject(3, None) };
        assert_eq!(touched(&numbering, &whole, &udp), None);
        let part = volley(Order::Ascending, 4..8, Some(100));
        assert_eq!(touched(&numbering, &part, &subject(3, Some(80))), None);
        assert_eq!(
            touched(&numbering, &part, &subject(4, Some(80))).map(|touch| touch.first),
            Some(at(12) + SignedDuration::from_millis(500))
        );
    }

    #[test]
    fn says_where_it_cannot_be_sure() {
        let numbering = product(10, "80", "none");
        let open = volley(Order::Permuted(7), 0..10, None);
        let touch = touched(&numbering, &open, &subject(3, None)).expect("perhaps");
        assert_eq!((touch.sure, touch.first, touch.not_after), (false, at(0), None));
        let some = Volley { some: true, ..volley(Order::Permuted(7), 0..10, Some(9)) };
        assert_eq!(touched(&numbering, &some, &subject(3, None)).map(|touch| touch.sure), Some(false));
        let nothing = volley(Order::Permuted(7), 0..0, Some(9));
        assert_eq!(touched(&numbering, &nothing, &subject(3, None)), None);
    }

    #[test]
    fn moments_are_the_endpoints_own() {
        let numbering = Numbering::list([Endpoint::tcp(ip(1), 22), Endpoint::udp(ip(1), 53), Endpoint::tcp(ip(2), 22)]);
        let volley = volley(Order::Moments(Arc::from([255, 0, 51])), 0..3, Some(10));
        let touch = touched(&numbering, &volley, &subject(1, None)).expect("asked");
        assert_eq!((touch.first, touch.last), (at(0), at(10)));
        assert_eq!((touch.tcp.to_string(), touch.udp.to_string()), ("22".to_owned(), "53".to_owned()));
        let touch = touched(&numbering, &volley, &subject(2, Some(22))).expect("asked");
        assert!(touch.first.duration_since(at(2)).abs() < SignedDuration::from_millis(1), "{touch:?}");
    }

    proptest! {
        /// Every endpoint of a pass in chunks is found in exactly the one that asked it, at a time within it, and its neighbours
        /// in the order at times that do not run backwards.
        #[test]
        fn finds_each_endpoint_in_the_chunk_that_asked_it(seed: u64, hosts in 1_u8..40, size in 1_u64..50) {
            let numbering = product(hosts, "22,80,443", "53");
            let order = Permutation::new(numbering.len(), seed);
            let chunks: Vec<Volley> = (0..numbering.len().div_ceil(size))
                .map(|n| volley(Order::Permuted(seed), n * size..((n + 1) * size).min(numbering.len()), Some(60)))
                .collect();
            let mut last: Option<(usize, Timestamp)> = None;
            for index in 0..numbering.len() {
                let endpoint = order.at(index).and_then(|number| numbering.at(number)).expect("inside");
                let subject = Subject { ip: endpoint.ip, transport: Some(endpoint.transport), port: Some(endpoint.port) };
                let places = Places::of(&numbering, &Order::Permuted(seed), &subject);
                let hits: Vec<(usize, Touch)> = chunks
                    .iter()
                    .enumerate()
                    .filter_map(|(n, chunk)| Some((n, places.touched(&numbering, chunk)?)))
                    .collect();
                prop_assert_eq!(hits.len(), 1);
                let (chunk, touch) = (hits[0].0, &hits[0].1);
                prop_assert!(touch.first >= at(0) && touch.last <= at(60) && touch.first == touch.last);
                    prop_assert!(last.is_none_or(|last| last < (chunk, touch.first)));
                last = Some((chunk, touch.first));
            }
            let whole = Places::of(&numbering, &Order::Permuted(seed), &Subject { ip: ip(0), transport: None, port: None });
            let ports: u32 = chunks
                .iter()
                .filter_map(|chunk| whole.touched(&numbering, chunk))
                .map(|touch| touch.tcp.len() + touch.udp.len())
                .sum();
            prop_assert_eq!(ports, 4);
        }
    }
}
