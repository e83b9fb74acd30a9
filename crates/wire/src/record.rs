//! Packets written down as they pass: a file that `tcpdump -r` and Wireshark read.

use crate::{Arrival, Batch, Receive, ReceiveCounters, Transmit, TransmitCounters, WireError};
use model::Clock;
use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A pcap file with times in nanoseconds (draft-ietf-opsawg-pcap).
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
const LONGEST: u32 = 65_535;
/// Packets begin with their IP header, of either version (`LINKTYPE_RAW`).
const RAW: u32 = 101;

/// A file of packets, which several ways in and out may share. Trouble with the file stops the recording, not the packets;
/// [`Recording::finish`] tells.
#[derive(Debug, Clone)]
pub struct Recording(Arc<Mutex<State>>);

struct State {
    out: Box<dyn Write + Send>,
    packets: u64,
    trouble: Option<io::Error>,
}

impl Recording {
    /// To a new file; one that is there is emptied.
    pub fn create(path: &Path) -> Result<Self, WireError> {
        Self::to(Box::new(BufWriter::new(File::create(path).map_err(WireError::Record)?)))
    }

    pub fn to(mut out: Box<dyn Write + Send>) -> Result<Self, WireError> {
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[4..6].copy_from_slice(&VERSION[0].to_le_bytes());
        header[6..8].copy_from_slice(&VERSION[1].to_le_bytes());
        // Two fields of zeros: times are UTC, and as exact as they are.
        header[16..20].copy_from_slice(&LONGEST.to_le_bytes());
        header[20..24].copy_from_slice(&RAW.to_le_bytes());
        out.write_all(&header).map_err(WireError::Record)?;
        Ok(Self(Arc::new(Mutex::new(State { out, packets: 0, trouble: None }))))
    }

    /// Writes down what there is so far, and gives how many packets that is; the first trouble there was, if any.
    pub fn finish(&self) -> Result<u64, WireError> {
        let mut state = self.state();
        match state.trouble.take() {
            Some(trouble) => Err(WireError::Record(trouble)),
            None => state.out.flush().map(|()| state.packets).map_err(WireError::Record),
        }
    }

    /// A packet that passed `at` a time since 1970 UTC, of which `length` bytes were on the wire.
    fn add(&self, at: Duration, packet: &[u8], length: u32) {
        let mut state = self.state();
        if state.trouble.is_some() {
            return;
        }
        let captured = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let mut header = [0; 16];
        header[0..4].copy_from_slice(&u32::try_from(at.as_secs()).unwrap_or(u32::MAX).to_le_bytes());
        header[4..8].copy_from_slice(&at.subsec_nanos().to_le_bytes());
        header[8..12].copy_from_slice(&captured.to_le_bytes());
        header[12..16].copy_from_slice(&length.max(captured).to_le_bytes());
        match state.out.write_all(&header).and_then(|()| state.out.write_all(packet)) {
            Ok(()) => state.packets += 1,
            Err(error) => state.trouble = Some(error),
        }
    }

    /// What another thread left after a panic is whole or missing a record: the file is for reading along, not for keeping.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("packets", &self.packets).field("trouble", &self.trouble).finish_non_exhaustive()
    }
}

/// A way in or out that writes down what passes.
#[derive(Debug)]
pub struct Recorded<T> {
    inner: T,
    recording: Recording,
    clock: Arc<dyn Clock>,
}

impl<T> Recorded<T> {
    /// `clock` says when packets leave; when they come in the kernel says.
    pub fn new(inner: T, recording: Recording, clock: Arc<dyn Clock>) -> Self {
        Self { inner, recording, clock }
    }
}

impl<T: Transmit> Transmit for Recorded<T> {
    fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
        let taken = self.inner.send(batch)?;
        let now = Duration::try_from(self.clock.now().as_duration()).unwrap_or_default();
        for packet in batch.left_last(taken) {
            self.recording.add(now, packet, 0);
        }
        Ok(taken)
    }

    fn counters(&self) -> TransmitCounters {
        self.inner.counters()
    }
}

impl<T: Receive> Receive for Recorded<T> {
    fn receive(&mut self, timeout: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
        let Self { inner, recording, .. } = self;
        inner.receive(timeout, &mut |packet, arrival| {
            recording.add(arrival.at, packet, arrival.length);
            each(packet, arrival);
        })
    }

    fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
        self.inner.counters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    /// A file in memory that takes so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().expect("no panics");
            if disk.0.len() + bytes.len() > disk.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn disk(room: usize) -> Disk {
        Disk(Arc::new(Mutex::new((Vec::new(), room))))
    }

    #[derive(Debug)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(1_700_000_000_250).expect("a time")
        }
    }

    /// Takes two packets a call.
    #[derive(Debug)]
    struct Two;

    impl Transmit for Two {
        fn send(&mut self, batch: &mut Batch) -> Result<usize, WireError> {
            let taken = batch.len().min(2);
            batch.advance(taken);
            Ok(taken)
        }

        fn counters(&self) -> TransmitCounters {
            TransmitCounters::default()
        }
    }

    #[test]
    fn what_has_left_is_written_down_and_nothing_else() {
        let disk = disk(1000);
        let recording = Recording::to(Box::new(disk.clone())).expect("there is room");
        let mut way = Recorded::new(Two, recording.clone(), Arc::new(Noon));
        let mut batch = Batch::new(4, 8);
        for number in 1..=3 {
            assert!(batch.push(3, |place| place.fill(number)));
        }
        assert_eq!(way.send(&mut batch).expect("it works"), 2);
        assert_eq!(recording.finish().expect("there is room"), 2);
        let bytes = disk.0.lock().expect("no panics").0.clone();
        let file = [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0];
        assert_eq!(bytes[..24], file);
        let seconds = 1_700_000_000_u32.to_le_bytes();
        let nanoseconds = 250_000_000_u32.to_le_bytes();
        let record = |number| [&seconds[..], &nanoseconds, &[3, 0, 0, 0, 3, 0, 0, 0], &[number; 3]].concat();
        assert_eq!(bytes[24..], [record(1), record(2)].concat());
        assert_eq!(way.send(&mut batch).expect("it works"), 1);
        assert_eq!(recording.finish().expect("there is room"), 3);
    }

    #[test]
    fn a_full_disk_stops_the_recording_and_is_told() {
        let recording = Recording::to(Box::new(disk(60))).expect("there is room");
        let mut way = Recorded::new(Two, recording.clone(), Arc::new(Noon));
        let mut batch = Batch::new(4, 8);
        for number in 1..=4 {
            assert!(batch.push(3, |place| place.fill(number)));
        }
        assert_eq!(way.send(&mut batch).expect("packets leave all the same"), 2);
        assert!(matches!(recording.finish(), Err(WireError::Record(_))));
        assert!(matches!(Recording::to(Box::new(disk(10))), Err(WireError::Record(_))));
    }
}
