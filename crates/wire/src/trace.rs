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
