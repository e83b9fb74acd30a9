use super::{Line, NEAR};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::time::Instant;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(5);

/// Looks all the time how many packets have arrived at the path from the near end, until it is asked.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sample>>>,
}

/// So many had arrived by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub at: Instant,
    /// Frames from the near end, of any kind.
    pub frames: u64,
}

impl Traffic {
    pub fn watch(line: &Line) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let thread = line.path().namespace().enter({
            let stop = stop.clone();
            move || {
                let mut samples = vec![look()];
                ready.send(()).expect("somebody waits");
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(EVERY);
                    samples.push(look());
                }
                samples
            }
        });
        is_ready.recv().expect("it looks");
        Self { stop, thread: Some(thread) }
    }

    /// Everything seen, in order of time.
    pub fn end(mut self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("looking does not fail")
    }

    /// From the last look before anything came to the first one after which nothing came any more.
    pub fn lasted(samples: &[Sample]) -> Duration {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Duration::ZERO };
        let begun = samples.iter().rfind(|sample| sample.frames == first.frames).unwrap_or(first);
        let ended = samples.iter().find(|sample| sample.frames == last.frames).unwrap_or(last);
        ended.at.saturating_duration_since(begun.at)
    }

    /// From the last look before anything came to the first one by which so many frames had come; None where they have not.
    pub fn until(samples: &[Sample], frames: u64) -> Option<Duration> {
        let first = samples.first()?;
        let begun = samples.iter().rfind(|sample| sample.frames == first.frames)?;
        let ended = samples.iter().find(|sample| sample.frames - first.frames >= frames)?;
        Some(ended.at.saturating_duration_since(begun.at))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been printed; a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}

/// The thread's own view of its namespace; `/proc/net` would be that of the process.
fn look() -> Sample {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").expect("the kernel counts packets");
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(NEAR)?.strip_prefix(':'));
    // Bytes, then packets.
    let frames = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    Sample { at: Instant::now(), frames: frames.unwrap_or_else(|| panic!("no count of {NEAR} in:\n{text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_lasts_from_the_last_look_before_it_to_the_first_after_it() {
        let begun = Instant::now();
        let samples = |frames: &[u64]| -> Vec<Sample> {
            let at = (0_u64..).map(|n| begun + Duration::from_millis(n * 10));
            at.zip(frames).map(|(at, frames)| Sample { at, frames: *frames }).collect()
        };
        for (frames, lasted) in
            [(&[3, 3, 3, 9, 9, 20, 20, 20][..], 30), (&[0, 5], 10), (&[4, 4, 4], 0), (&[4], 0), (&[], 0)]
        {
            assert_eq!(Traffic::lasted(&samples(frames)), Duration::from_millis(lasted), "{frames:?}");
        }
        let seen = samples(&[3, 3, 9, 9, 20, 20]);
        for (frames, until) in [(1, Some(10)), (6, Some(10)), (7, Some(30)), (17, Some(30)), (18, None)] {
            assert_eq!(Traffic::until(&seen, frames), until.map(Duration::from_millis), "{frames}");
        }
    }
}
