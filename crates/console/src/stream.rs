//! `GET /api/v1/stream`: events as they are committed, as server-sent events, without a gap and in order.

use crate::{Console, query::sequence_number, refusal::Refusal};
use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use model::Event;
use std::{collections::VecDeque, convert::Infallible, sync::Arc};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

/// Events read from the store at once.
const PAGE: usize = 200;

/// With `Last-Event-ID` (or `after`), everything since that sequence number and then what comes; without, what comes.
pub(crate) async fn stream(
    State((console, shutdown)): State<(Arc<Console>, CancellationToken)>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Refusal> {
    let mut last = None;
    for (key, value) in &pairs {
        if key != "after" {
            return Err(Refusal::question(format!("there is no parameter `{key}` here; there is after")));
        }
        last = Some(sequence_number(value)?);
    }
    // A browser that reconnects says where it was; that counts more than what its address says.
    if let Some(id) = headers.get("last-event-id") {
        let text = id.to_str().map_err(|_| Refusal::question("Last-Event-ID: not a sequence number"))?;
        last = Some(sequence_number(text)?);
    }
    // Before the first read of the store: what is committed in between comes twice, and is dropped once.
    let live = console.control.subscribe();
    let catching_up = last.is_some();
    let feed = Feed { console, live, last, catching_up, read: VecDeque::new(), shutdown };
    let events = stream::unfold(feed, async |mut feed| {
        let event = feed.next().await?;
        Some((Ok(message(&event)), feed))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Feed {
    console: Arc<Console>,
    live: Receiver<Event>,
    /// The sequence number told last.
    last: Option<u64>,
    /// The store may hold events after `last` that were not told.
    catching_up: bool,
    read: VecDeque<Event>,
    shutdown: CancellationToken,
}

impl Feed {
    /// None ends the stream; the client comes back with what it saw last.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.last = event.seq.or(self.last);
                return Some(event);
            }
            if self.catching_up {
                match self.console.events_after(self.last.unwrap_or(0), PAGE).await {
                    Ok(events) if events.is_empty() => self.catching_up = false,
                    Ok(events) => self.read.extend(events),
                    Err(refusal) => {
                        tracing::warn!("an event stream ends: {}", refusal.message);
                        return None;
                    }
                }
                continue;
            }
            let received = tokio::select! {
                () = self.shutdown.cancelled() => return None,
                received = self.live.recv() => received,
            };
            match received {
                Ok(event) => match (event.seq, self.last) {
                    (Some(seq), Some(last)) if seq <= last => {}
                    (Some(seq), last) if last.is_none_or(|last| seq == last + 1) => self.read.push_back(event),
                    // A gap: the store has what is missing, and this one.
                    _ => self.catching_up = self.last.is_some(),
                },
                // Too slow for the channel, but not for the store. Without a place to start from, the next one is it.
                Err(RecvError::Lagged(_)) => self.catching_up = self.last.is_some(),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn message(event: &Event) -> sse::Event {
    let mut message = sse::Event::default().event(event.kind.as_str());
    if let Some(seq) = event.seq {
        message = message.id(seq.to_string());
    }
    // An event always serialises; were it not so, its number still comes through.
    match serde_json::to_string(event) {
        Ok(json) => message.data(json),
        Err(_) => message,
    }
}
