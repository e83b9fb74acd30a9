use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use probe::Dialer;
use std::{
    io::{self, IsTerminal},
    time::Duration,
};
use tokio::time::sleep;

/// A bar on stderr for scans that take a while, on a terminal.
#[derive(Debug, Clone)]
pub(super) struct Progress(ProgressBar);

/// Shorter scans show none.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(200);

impl Progress {
    pub(super) fn new(endpoints: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(endpoints), ProgressDrawTarget::hidden());
        let form = "{bar:30} {percent:>3}%  {pos}/{len} endpoints  {per_sec}  {eta} left  {msg}";
        // A wrong template would be a mistake of ours; the plain bar does as well.
        let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Self(bar)
    }

    /// Follows the dialer until dropped.
    pub(super) async fn follow(self, dialer: Dialer) {
        if !io::stderr().is_terminal() {
            return;
        }
        sleep(PATIENCE).await;
        self.0.set_draw_target(ProgressDrawTarget::stderr());
        loop {
            let counters = dialer.counters();
            let most = self.0.length().unwrap_or(u64::MAX);
            self.0.set_position(counters.attempts.min(most));
            self.0.set_message(format!("{} open", counters.opens));
            sleep(TICK).await;
        }
    }

    /// Writes to stdout without tearing the bar.
    pub(super) fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
