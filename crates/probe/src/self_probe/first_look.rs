//! The way tried before anybody is known to be there.

use super::{BothWays, Finding, RawAnswer, trial};
use futures_util::{StreamExt, stream::FuturesUnordered};
use model::Endpoint;
use std::{pin::pin, time::Duration};
use tokio::time::sleep;

/// For an answer to a packet, and how long packets are waited for before connections are tried beside them.
const PACKET: Duration = Duration::from_secs(2);
const HEAD_START: Duration = Duration::from_millis(500);

/// Asks endpoints of which any may be open, all at once, by packets first. It takes a moment where anybody answers, and at most two seconds
/// where nobody does. Where only connections come about, those who accepted are tried properly.
pub(crate) async fn first_look(ways: &(impl BothWays + Sync), endpoints: &[Endpoint]) -> Finding {
    let packets = async {
        let mut asked: FuturesUnordered<_> = endpoints.iter().map(|endpoint| ways.syn(*endpoint, PACKET)).collect();
        while let Some(answer) = asked.next().await {
            match answer {
                RawAnswer::Heard => return Finding::Works,
                RawAnswer::Refused(why) => return Finding::Refused(why),
                RawAnswer::Silent | RawAnswer::NotAsked => {}
            }
        }
        Finding::Undecided
    };
    let connections = async {
        sleep(HEAD_START).await;
        let ask = async |endpoint: &Endpoint| ways.connect(*endpoint).await.then_some(*endpoint);
        let mut asked: FuturesUnordered<_> = endpoints.iter().map(ask).collect();
        while let Some(accepted) = asked.next().await {
            if accepted.is_some() {
                return accepted;
            }
        }
        // Packets may still be answered.
        std::future::pending().await
    };
    let witness = tokio::select! {
        biased;
        finding = pin!(packets) => return finding,
        witness = pin!(connections) => witness,
    };
    trial(ways, witness.as_slice()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::time::Instant;

    /// Hosts by their last number: what answers packets, and what accepts connections.
    struct Network {
        packets: Option<u8>,
        open: Option<u8>,
    }

    impl BothWays for Network {
        async fn syn(&self, endpoint: Endpoint, within: Duration) -> RawAnswer {
            if self.packets.is_some_and(|last| endpoint == one(last)) {
                return RawAnswer::Heard;
            }
            sleep(within).await;
            RawAnswer::Silent
        }

        async fn connect(&self, endpoint: Endpoint) -> bool {
            self.open.is_some_and(|last| endpoint == one(last))
        }
    }

    fn one(last: u8) -> Endpoint {
        Endpoint::tcp(Ipv4Addr::new(192, 0, 2, last).into(), 22)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_quick_and_does_not_guess() {
        let all: Vec<Endpoint> = (1..=9).map(one).collect();
        for (packets, open, expect, seconds) in [
            (Some(7), Some(7), Finding::Works, 0),
            (None, None, Finding::Undecided, 2),
            (None, Some(5), Finding::Dropped(vec![one(5)]), 12),
        ] {
            let begun = Instant::now();
            assert_eq!(first_look(&Network { packets, open }, &all).await, expect);
            assert_eq!(begun.elapsed().as_secs(), seconds, "{expect:?}");
        }
        assert_eq!(first_look(&Network { packets: None, open: None }, &[]).await, Finding::Undecided);
    }
}
