use crate::{Arrival, Batch, Receive, ReceiveCounters, Transmit, TransmitCounters, WireError, read, read::outline};
use std::time::Duration;
use tracing::{Level, enabled, trace};

/// A way in or out that tells of every packet at level `trace`, target `wire::trace`. Where nobody listens at that level it costs a
/// comparison a call.
#[derive(Debug)]
pub struct Traced<T>(pub T);

impl<T: Transmit> Transmit for Traced<T> {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        let waiting = batch.len();
        let result = self.0.send(batch);
        if enabled!(Level::TRACE) {
            match &result {
                Ok(taken) => {
                    for packet in batch.left_last(*taken) {
                        trace!(bytes = packet.len(), "sent {}", outline(packet));
                    }
                    if *taken < waiting {
                        trace!(left = batch.len(), "the kernel took {taken} of {waiting}");
                    }
                }
                Err(error) => trace!(left = batch.len(), "not sent: {error}"),
            }
        }
        result
    }

    fn counters(&self) -> TransmitCounters {
        self.0.counters()
    }
}

impl<T: Receive> Receive for Traced<T> {
    fn receive(&mut self, timeout: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
        if !enabled!(Level::TRACE) {
            return self.0.receive(timeout, each);
        }
        self.0.receive(timeout, &mut |packet, arrival| {
            let said = read(packet).map_or_else(|| outline(packet), |heard| heard.to_string());
            trace!(bytes = arrival.length, "heard {said}");
            each(packet, arrival);
        })
    }

    fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
        self.0.counters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mark, SynTemplate};
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    use tracing_subscriber::fmt::MakeWriter;

    /// What was told.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Told {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// Takes one packet, then finds the link down; hands over a SYN and something else.
    #[derive(Debug)]
    struct Odd;

    fn syn() -> Vec<u8> {
        let template = SynTemplate::new([198, 51, 100, 1].into(), 1500);
        let mut packet = vec![0; template.len()];
        let mark = Mark { source_port: 61_000, sequence: 7, ip_id: 9 };
        template.stamp(&mut packet, [192, 0, 2, 7].into(), 443, &mark, 0);
        packet
    }

    impl Transmit for Odd {
        fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
            if batch.len() == 1 {
                let source = io::Error::from_raw_os_error(libc::ENETDOWN);
                return Err(WireError::LinkDown { link: "eth0".to_owned(), source });
            }
            batch.advance(1);
            Ok(1)
        }

        fn counters(&self) -> TransmitCounters {
            TransmitCounters::default()
        }
    }

    impl Receive for Odd {
        fn receive(&mut self, _: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
            let arrival = Arrival { at: Duration::ZERO, waited: Duration::ZERO, length: 60, vlan: None, sender: None };
            each(&syn(), &arrival);
            each(&[1, 2, 3], &arrival);
            Ok(())
        }

        fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
            Ok(ReceiveCounters::default())
        }
    }

    /// Sends two packets, the second of which fails, and receives two; gives how many came.
    fn talk() -> usize {
        let mut way = Traced(Odd);
        let mut batch = Batch::new(2, 60);
        for _ in 0..2 {
            assert!(batch.push(60, |place| place.copy_from_slice(&syn())));
        }
        assert_eq!(way.send(&mut batch).expect("one is taken"), 1);
        assert!(way.send(&mut batch).is_err());
        let mut came = 0;
        way.receive(Duration::ZERO, &mut |_, _| came += 1).expect("it works");
        came
    }

    #[test]
    fn every_packet_is_told_to_whoever_listens_and_to_nobody_else() {
        for (level, lines) in [(Level::TRACE, 5), (Level::DEBUG, 0)] {
            let told = Told::default();
            let subscriber =
                tracing_subscriber::fmt().with_max_level(level).with_writer(told.clone()).with_ansi(false).finish();
            assert_eq!(tracing::subscriber::with_default(subscriber, talk), 2);
            let told = String::from_utf8(told.0.lock().expect("no panics").clone()).expect("text");
            assert_eq!(told.lines().count(), lines, "{told}");
            for part in [
                "sent protocol 6 198.51.100.1:61000 > 192.0.2.7:443 id 9 ttl 64 bytes=60",
                "the kernel took 1 of 2 left=1",
                "not sent: the link eth0 is down or gone",
                "heard tcp 198.51.100.1:61000 > 192.0.2.7:443 [S] seq 7",
                "heard 3 bytes that are no IP packet",
            ] {
                assert_eq!(told.contains(part), lines > 0, "{part} in {told}");
            }
        }
    }
}
