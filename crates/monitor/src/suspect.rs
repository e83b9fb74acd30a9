//! Hosts of a group whose sweep was given up because more of their ports opened than anybody can be behind.

use crate::{
    control,
    pass::{Plan, Report, Tools, slice_of},
};
use model::{Coverage, Endpoint, PortSet, Transport};
use probe::Trap;
use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    sync::OnceCell,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
};

/// Where so many ports are asked about, a sweep sees by itself that too many open.
pub(crate) const MANY_PORTS: u32 = 512;
/// By then it has seen enough of a host for which something answers, beside the round trip.
pub(crate) const SOON: Duration = Duration::from_millis(60);
/// Somebody real is looked for on these ports, of those that were to be asked, and wherever somebody was heard before.
const LIKELY: &str = "top:100";
/// And on so many others each time, drawn by lot among those where nobody listened yet: he may be anywhere, and listening on all of them
/// at once would be a burden.
const OTHERS: usize = 32;
/// With one host somebody talks so often within an hour, those likely ports included.
const TALKS_AN_HOUR: usize = 256;

/// Those of one group.
pub(crate) struct Suspects<'a> {
    tools: &'a Tools,
    plan: &'a Plan,
    told: UnboundedReceiver<IpAddr>,
    all: BTreeSet<IpAddr>,
    examined: JoinSet<()>,
}

impl<'a> Suspects<'a> {
    /// With whom the sweep is to tell: nobody begins to talk to one from then on.
    pub(crate) fn new(tools: &'a Tools, plan: &'a Plan) -> (Self, Trap) {
        let (tell, told) = unbounded_channel();
        let mirages = tools.mirages.clone();
        let trap = Arc::new(move |ip| {
            // Whoever gave the group up does not want to know.
            if tell.send(ip).is_ok() {
                mirages.suspect(ip);
            }
        });
        (Self { tools, plan, told, all: BTreeSet::new(), examined: JoinSet::new() }, trap)
    }

    /// Something answers for every port of these, which is known: nobody has to be asked for that again, but whoever may be behind
    /// it is.
    pub(crate) fn is_known_of(&mut self, hosts: impl IntoIterator<Item = IpAddr>) {
        self.all.extend(hosts);
    }

    /// Begins to ask, of each that is told, what should not answer beside it. Never ends.
    pub(crate) async fn examine_all(&mut self) {
        while let Some(ip) = self.told.recv().await {
            self.examine(ip);
        }
        std::future::pending::<()>().await;
    }

    fn examine(&mut self, ip: IpAddr) {
        if !self.all.insert(ip) {
            return;
        }
        let Some(port) = self.plan.tcp.iter().next() else { return };
        let tools = self.tools.clone();
        self.examined.spawn(async move { control::examine(&tools, Endpoint::tcp(ip, port), &OnceCell::new()).await });
    }

    /// Once it is known what answers there, whoever may be behind it is asked who he is.
    pub(crate) async fn settle(mut self) {
        while let Ok(ip) = self.told.try_recv() {
            self.examine(ip);
        }
        // An examination that ended in a bug shows nothing.
        while self.examined.join_next().await.is_some() {}
        for ip in &self.all {
            self.tools.mirages.suspect_no_more(*ip);
            let likely = self.likely(*ip);
            let others = self.others(*ip, &likely);
            for endpoint in likely.into_iter().chain(others) {
                self.look_behind(endpoint);
            }
        }
    }

    fn likely(&self, ip: IpAddr) -> Vec<Endpoint> {
        // It is written well; were it not, nobody would be looked for but those who are known.
        let likely = PortSet::parse(LIKELY, Transport::Tcp).unwrap_or_default();
        let is_likely = |endpoint: &Endpoint| likely.contains(endpoint.port) || self.tools.index.contains(endpoint);
        self.plan.tcp.iter().map(|port| Endpoint::tcp(ip, port)).filter(is_likely).collect()
    }

    /// Where many ports are asked.
    fn others(&self, ip: IpAddr, likely: &[Endpoint]) -> Vec<Endpoint> {
        if self.plan.tcp.len() < MANY_PORTS {
            return Vec::new();
        }
        let (tools, lot) = (self.tools, self.tools.mirages.draw());
        let lately = tools.mirages.talks_lately(ip, tools.clock.now()) + likely.len();
        let most = TALKS_AN_HOUR.saturating_sub(lately).min(OTHERS / self.all.len().clamp(1, OTHERS));
        let ports = self.plan.tcp.iter().map(|port| Endpoint::tcp(ip, port));
        let mut others: Vec<Endpoint> =
            ports.filter(|it| !likely.contains(it) && !tools.mirages.was_talked_to(it)).collect();
        others.sort_by_cached_key(|endpoint| control::digest(&(lot, endpoint.port)));
        others.truncate(most);
        others
    }

    fn look_behind(&self, endpoint: Endpoint) {
        let now = self.tools.clock.now();
        let known = self.tools.index.get(&endpoint);
        let speaks = known.is_some_and(|known| known.tls || known.prior.is_some());
        if self.tools.restraint.borrow().silences(endpoint.ip)
            || !self.tools.mirages.may_talk(endpoint, speaks, self.plan.identify, now)
        {
            return;
        }
        let Some(under_way) = self.tools.conversations.begin(endpoint) else { return };
        let (tools, pass) = (self.tools.clone(), self.plan.reference());
        tokio::spawn(async move {
            let talk = async {
                let mut answered = vec![tools.conversations.introduce(endpoint, None, now).await];
                if control::is_mute(&answered) && speaks && tools.mirages.hold(&endpoint) {
                    answered.push(control::witness(&tools, endpoint).await);
                }
                let slice = slice_of(&tools, pass, endpoint.ip, Coverage::default(), Vec::new(), answered);
                let _ = tools.reports.send(Report::Slice { slice }).await;
                tools.mirages.heard(endpoint, now);
            };
            tokio::select! {
                () = tools.stop.cancelled() => {}
                () = talk => {}
            }
            drop(under_way);
        });
    }
}

/// Also where the group is given up: nobody stays suspected.
impl Drop for Suspects<'_> {
    fn drop(&mut self) {
        self.told.close();
        while let Ok(ip) = self.told.try_recv() {
            self.all.insert(ip);
        }
        for ip in &self.all {
            self.tools.mirages.suspect_no_more(*ip);
        }
    }
}
