//! What comes in: answers of confirmations, reports of passes, addresses of host names. Each ends in a commit.

use super::{COALESCE, CONFIRM_AGAIN, Monitor, Resolution};
use crate::{
    Batch, Credit, Journal, MonitorError, PassRecord,
    health::{Tally, strip, unproven},
    leases::Moved,
    look::Worth,
    pass::{Group, Report},
};
use inventory::ConfirmRequest;
use model::{AddressSet, HostSlice};
use probe::{ResolveError, Resolved};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

impl<J: Journal> Monitor<J> {
    pub(super) async fn take_report(
        &mut self,
        report: Report,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        match report {
            Report::Slice { slice } => {
                let mut slices = vec![slice];
                // Whatever else of the kind is waiting shares the transaction; another kind is taken right after.
                let mut other = None;
                while slices.len() < COALESCE && other.is_none() {
                    match self.reports.try_recv() {
                        Ok(Report::Slice { slice }) => slices.push(slice),
                        Ok(report) => other = Some(report),
                        Err(_) => break,
                    }
                }
                self.take_slices(slices, shutdown).await?;
                match other {
                    Some(report) => Box::pin(self.take_report(report, shutdown)).await,
                    None => Ok(()),
                }
            }
            Report::Group(group) => self.take_group(*group, shutdown).await,
            Report::Ended { record } => self.take_end(record, shutdown).await,
        }
    }

    /// Takes what came of a confirmation, and of the others that have come meanwhile.
    pub(super) async fn take_confirmations(
        &mut self,
        first: Result<(ConfirmRequest, HostSlice, Worth), JoinError>,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let mut answers = Vec::new();
        let mut next = Some(first);
        while let Some(ended) = next {
            match ended {
                Ok(answer) => answers.push(answer),
                Err(error) => tracing::error!(%error, "a confirmation ended in a bug; the next pass asks again"),
            }
            next = if answers.len() < COALESCE { self.confirming.try_join_next() } else { None };
        }
        let (now, mut batch) = (self.moment(), Batch::default());
        self.mind_the_clocks(now, &mut batch);
        let (mut requests, mut slices) = (Vec::with_capacity(answers.len()), Vec::new());
        for (request, slice, worth) in answers {
            slices.extend(self.health.examine_one(slice, &worth, &self.decider.inventory(), now));
            requests.push(request);
        }
        // First that nothing negative counts any more, then what still does.
        self.tell_health(now, &mut batch);
        self.tell_mirages(&mut batch);
        // Confirmations talk to whom they ask about behind a mirage.
        self.sift(&mut slices, true);
        self.decide(&slices, &mut batch);
        self.ask_again(&requests);
        self.commit(batch, shutdown).await
    }

    /// A question that is still open after it was asked must not wait for some lane to come by: it is asked when it is due
    /// next, or in a while where it got no answer that says anything.
    fn ask_again(&mut self, requests: &[ConfirmRequest]) {
        let now = self.clock.now();
        let scope = self.scope.load();
        let again = now.checked_add(CONFIRM_AGAIN).unwrap_or(now);
        for request in requests.iter().filter(|request| scope.contains(request.ip, now)) {
            let still = self.decider.inventory().pending_about(request.ip).into_iter();
            let same = still.filter(|open| open.question == request.question);
            self.confirmations
                .add(same.map(|open| ConfirmRequest { at: if open.at <= now { again } else { open.at }, ..open }));
        }
    }

    /// Good news, and conversations. That a conversation came to nothing is no look: the lanes have looks of their own.
    async fn take_slices(
        &mut self,
        mut slices: Vec<HostSlice>,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        strip(&mut slices, &self.decider.inventory());
        self.sift(&mut slices, true);
        let mut batch = Batch::default();
        self.tell_mirages(&mut batch);
        self.decide(&slices, &mut batch);
        self.commit(batch, shutdown).await
    }

    async fn take_group(&mut self, group: Group, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let Group { mut record, mut slices, heard, mut coverage, mut addresses, spoilt, local_errors, probes, .. } =
            group;
        let worth = group.worth;
        let (profile, lane) = (record.profile.clone(), record.lane);
        let tally = Tally { covered: &addresses, spoilt: &spoilt, local_errors, probes };
        let spared = self.tools.restraint.borrow().hosts.clone();
        let unproven = unproven(&slices, &spared, &self.decider.inventory());
        let (moment, mut batch) = (self.moment(), Batch::default());
        self.mind_the_clocks(moment, &mut batch);
        self.tell_mirages(&mut batch);
        self.sift(&mut slices, false);
        if local_errors > 0 {
            self.health.links(&self.tools.network.surroundings().faults, moment);
        }
        if !self.health.examine(&mut slices, &tally, &worth, &self.decider.inventory(), moment) {
            addresses = AddressSet::empty();
        }
        self.tell_health(moment, &mut batch);
        self.commit(batch, shutdown).await?;
        // Host by host, in pieces: a group of thousands must not hold up a command.
        for piece in slices.chunks(COALESCE) {
            let mut batch = Batch::default();
            self.decide(piece, &mut batch);
            self.commit(batch, shutdown).await?;
        }
        let now = self.clock.now();
        let mut batch = Batch::default();
        addresses = addresses.difference(&self.tools.mirages.unheard(now).difference(&heard)).difference(&unproven);
        // Who shows himself by no port was asked in one go.
        let absent = group.absent.intersection(&addresses).difference(&self.tools.mirages.unseen());
        let mut is_whole = group.counted.is_none();
        if let Some(part) = group.part {
            let running = self.lane(&profile, lane).and_then(|state| state.running.as_ref());
            let running = running.filter(|running| !part.is_first && running.record.id == record.id);
            let credit = running.and_then(|running| running.record.credit.clone());
            let credit = Credit::with(credit, &coverage, &addresses);
            is_whole = part.is_last;
            if part.is_last {
                let credit = credit.unwrap_or_default();
                (coverage, addresses, record.credit) = (credit.coverage(), credit.addresses, None);
            } else {
                record.credit = credit;
            }
        }
        if is_whole && !addresses.is_empty() {
            self.decider.group_done(&profile, lane, &coverage, &addresses, now, &mut batch);
        }
        if !absent.is_empty() {
            self.decider.nobody_at(&profile, lane, &absent, now, &mut batch);
        }
        if let Some(state) = self.lane(&profile, lane)
            && let Some(running) = &mut state.running
            && running.record.id == record.id
        {
            running.record = record.clone();
        }
        batch.passes.push(record);
        self.commit(batch, shutdown).await?;
        if let Some(counted) = group.counted {
            // A pass that was ended does not want to know.
            let _ = counted.send(addresses);
        }
        Ok(())
    }

    async fn take_end(&mut self, mut record: PassRecord, shutdown: &CancellationToken) -> Result<(), MonitorError> {
        let now = self.clock.now();
        let (profile, lane) = (record.profile.clone(), record.lane);
        let ours = self
            .lane(&profile, lane)
            .is_some_and(|state| state.running.as_ref().is_some_and(|running| running.record.id == record.id));
        if record.complete {
            record.finished = Some(now);
        } else if ours && let Some(state) = self.lane(&profile, lane) {
            // What counts was decided here.
            record.credit = state.running.as_ref().and_then(|running| running.record.credit.clone());
        }
        let batch = Batch { passes: vec![record.clone()], ..Batch::default() };
        if ours && let Some(state) = self.lane(&profile, lane) {
            state.end(record);
        }
        self.commit(batch, shutdown).await
    }

    pub(super) async fn take_resolution(
        &mut self,
        (key, answer): Resolution,
        shutdown: &CancellationToken,
    ) -> Result<(), MonitorError> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        match answer {
            Ok(Resolved { addresses, ttl }) => {
                let until = now.checked_add(ttl).unwrap_or(now);
                let moved = self.leases.answered(&key, &addresses, until, now);
                self.rescope();
                if let Some(moved) = moved {
                    self.move_lease(&key, &moved, &mut batch);
                }
                batch.leases = Some(self.leases.records());
            }
            Err(error) => {
                tracing::warn!(name = %key.1, %error, "a host name could not be resolved; it is asked again in a few seconds");
                self.leases.failed(&key, now);
                // That nobody can say just now ends nothing; that there is no such name ends it with its last record.
                if matches!(error, ResolveError::NoSuchName(_))
                    && let Some(old) = self.leases.ended(&key, now)
                {
                    self.rescope();
                    self.move_lease(&key, &Moved { old, new: Vec::new(), is_news: true }, &mut batch);
                    batch.leases = Some(self.leases.records());
                }
            }
        }
        self.commit(batch, shutdown).await
    }
}
