use model::{PortSet, Transport};

/// Ports in ascending order, TCP before UDP, and the place of each among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports {
    list: Box<[(Transport, u16)]>,
    tcp: Ranks,
    udp: Ranks,
}

impl Ports {
    pub(super) fn new(tcp: &PortSet, udp: &PortSet) -> Self {
        let list = tcp
            .iter()
            .map(|port| (Transport::Tcp, port))
            .chain(udp.iter().map(|port| (Transport::Udp, port)))
            .collect();
        Self { list, tcp: Ranks::new(tcp, 0), udp: Ranks::new(udp, tcp.len()) }
    }

    pub(super) fn list(&self) -> &[(Transport, u16)] {
        &self.list
    }

    pub(super) fn of(&self, transport: Transport) -> PortSet {
        self.list.iter().filter(|(of, _)| *of == transport).map(|(_, port)| *port).collect()
    }

    #[inline]
    pub(super) fn nth(&self, place: u64) -> Option<(Transport, u16)> {
        self.list.get(usize::try_from(place).ok()?).copied()
    }

    #[inline]
    pub(super) fn place(&self, transport: Transport, port: u16) -> Option<u64> {
        match transport {
            Transport::Tcp => self.tcp.of(port),
            Transport::Udp => self.udp.of(port),
        }
    }
}

/// For each 64 ports which of them there are, and the place of the first. Empty where there is none at all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ranks(Box<[(u64, u32)]>);

impl Ranks {
    fn new(ports: &PortSet, mut place: u32) -> Self {
        if ports.is_empty() {
            return Self(Box::default());
        }
        let mut words = vec![(0_u64, 0_u32); 1 << 10];
        for port in ports.iter() {
            if let Some((bits, _)) = words.get_mut(usize::from(port >> 6)) {
                *bits |= 1 << (port & 63);
            }
        }
        for (bits, before) in &mut words {
            *before = place;
            place += bits.count_ones();
        }
        Self(words.into())
    }

    #[inline]
    fn of(&self, port: u16) -> Option<u64> {
        let (bits, before) = self.0.get(usize::from(port >> 6))?;
        let bit = 1_u64 << (port & 63);
        (bits & bit != 0).then(|| u64::from(before + (bits & (bit - 1)).count_ones()))
    }
}
