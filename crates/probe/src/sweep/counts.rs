//! What a sweep's questions came to, and what that says of those that were lost.

use model::Loss;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepCounts {
    /// Endpoints that were asked, with an answer or silence to show for it.
    pub probes: u64,
    /// Questions sent to them.
    pub attempts: u64,
    /// Endpoints that answered, open or closed.
    pub answered: u64,
    /// Known endpoints asked, and those of them that were silent at the first attempt: the measured loss.
    pub known_asked: u64,
    pub known_missed_first: u64,
    /// Open endpoints by the first question that arrived; the first place is the first question's.
    pub open_at: [u64; MOST_ATTEMPTS],
    /// Endpoints asked for that time, and those that answered to it; the first place is the first attempt's.
    pub asked_at: [u64; MOST_ATTEMPTS],
    pub answered_at: [u64; MOST_ATTEMPTS],
    /// Of those asked for that time, so many in stretches in which this machine lost packets whenever they were asked again.
    pub lost_at: [u64; MOST_ATTEMPTS],
    /// Stretches of questions asked again because this machine lost packets.
    pub replayed: u64,
    /// Endpoints without an answer for want of something of our own.
    pub local_errors: u64,
    /// Endpoints never asked.
    pub not_probed: u64,
    /// Addresses on a link of ours that nobody answered for (ARP, neighbour discovery): nobody is there, which is what silence means
    /// of their ports. Those count as asked.
    pub absent: u64,
}

/// Attempts that are counted apart; what comes after belongs to the last.
pub const MOST_ATTEMPTS: usize = 10;

impl SweepCounts {
    /// Those of another group.
    pub fn add(&mut self, more: &Self) {
        self.probes += more.probes;
        self.attempts += more.attempts;
        self.answered += more.answered;
        self.known_asked += more.known_asked;
        self.known_missed_first += more.known_missed_first;
        for (mine, theirs) in self.open_at.iter_mut().zip(more.open_at) {
            *mine += theirs;
        }
        for (mine, theirs) in self.asked_at.iter_mut().zip(more.asked_at) {
            *mine += theirs;
        }
        for (mine, theirs) in self.answered_at.iter_mut().zip(more.answered_at) {
            *mine += theirs;
        }
        for (mine, theirs) in self.lost_at.iter_mut().zip(more.lost_at) {
            *mine += theirs;
        }
        self.replayed += more.replayed;
        self.local_errors += more.local_errors;
        self.not_probed += more.not_probed;
        self.absent += more.absent;
    }

    /// How often an open port would have been asked in vain here, from never on: of all that were asked, how many would have come to so
    /// many questions had they been silent to each, those whose answers this machine may have lost not counted. Nothing where nothing
    /// is silent.
    ///
    /// Who stayed silent does not show it: where most answer, nearly all of the few that are left are those that were asked less.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shares of a count"
    )]
    pub fn asked_in_vain(&self) -> [(i32, u64); MOST_ATTEMPTS + 1] {
        // By how many of the questions so far could have been answered.
        let (mut going_on, mut ended) = ([0.0; MOST_ATTEMPTS + 1], [0.0; MOST_ATTEMPTS + 1]);
        let answered: u64 = self.answered_at.iter().sum();
        going_on[0] = if self.asked_at[0] > answered { 1.0 } else { 0.0 };
        let mut silent = self.asked_at[0];
        for ((asked, answered), lost) in self.asked_at.into_iter().zip(self.answered_at).zip(self.lost_at) {
            let again = if silent == 0 { 0.0 } else { (asked as f64 / silent as f64).min(1.0) };
            let in_vain = if asked == 0 { 0.0 } else { (lost as f64 / asked as f64).min(1.0) };
            let before = std::mem::take(&mut going_on);
            for (questions, share) in before.into_iter().enumerate() {
                ended[questions] += share * (1.0 - again);
                going_on[questions] += share * again * in_vain;
                if let Some(next) = going_on.get_mut(questions + 1) {
                    *next += share * again * (1.0 - in_vain);
                }
            }
            silent = asked.saturating_sub(answered);
        }
        let mut places = 0..;
        ended.map(|share| {
            let place = places.next().unwrap_or_default();
            let share = share + going_on.get(place).copied().unwrap_or_default();
            (i32::try_from(place).unwrap_or(i32::MAX), (share * self.probes as f64).round() as u64)
        })
    }

    /// What of the questions is lost, by what only the second one found: of those open it finds as large a part of what is left as
    /// the first does of all, so that the two are to each other as what is lost to one.
    pub fn loss(&self) -> Loss {
        let [first, second, ..] = self.open_at;
        Loss { asked: first.max(second), missed: second }
    }

    /// The chance that every question to a given open port was lost, where so much is lost of the first ones. None where nothing is
    /// known of it.
    #[expect(clippy::cast_precision_loss, reason = "a probability")]
    pub fn p_miss(&self, first: Loss) -> Option<f64> {
        let silent = self.asked_in_vain();
        let all: u64 = silent.iter().map(|(_, count)| count).sum();
        if all == 0 && self.probes > 0 {
            return Some(0.0);
        }
        if first.asked == 0 || all == 0 {
            return None;
        }
        let mut lost = (first.missed as f64 + 1.0) / (first.asked as f64 + 2.0);
        let (mut all_lost, mut sum) = (1.0, 0.0);
        for (place, (_, count)) in silent.into_iter().enumerate() {
            sum += count as f64 / all as f64 * all_lost;
            if place == 1 {
                lost = self.lost_of_the_second(lost);
            }
            all_lost *= lost;
        }
        Some(sum)
    }

    /// Losses that come together take more of the questions to those that lost one already. What only the third one found shows it,
    /// where most of the silent were asked a third time; few say little.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn lost_of_the_second(&self, first: f64) -> f64 {
        let [_, second, third, ..] = self.open_at;
        let left = self.asked_at[1].saturating_sub(self.answered_at[1]);
        let share = if left == 0 { 0.0 } else { (self.asked_at[2] as f64 / left as f64).min(1.0) };
        if share < MOST_OF_THEM {
            return first;
        }
        ((third as f64 / share + FEW_SAY * first) / (second as f64 + FEW_SAY)).min(1.0)
    }
}

/// So large a part of the silent is most of them; and what is measured by so many counts as much as what was known before.
const MOST_OF_THEM: f64 = 0.5;
const FEW_SAY: f64 = 10.0;
