//! The way of spans from their end to the collector.

use std::mem::{replace, take};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout_at};

use super::collector::{Collector, NotTaken};

/// How many spans wait for the collector at the most: a few megabytes.
const MOST_WAITING: usize = 2048;
/// How many spans are sent at once at the most.
const BATCH: usize = 512;
/// How long spans are gathered for one batch.
const GATHERING: Duration = Duration::from_secs(1);

/// Makes the queue that spans join when they end.
pub(super) fn queue() -> (Queue, Waiting) {
    let (sender, spans) = mpsc::channel(MOST_WAITING);
    let overflow = Arc::new(AtomicU64::new(0));
    (Queue { spans: sender, overflow: Arc::clone(&overflow) }, Waiting { spans, overflow })
}

/// Where spans join the queue; never waits.
#[derive(Debug)]
pub(super) struct Queue {
    spans: Sender<SpanData>,
    /// How many spans found no room since the last look.
    overflow: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.overflow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The queue is emptied by a task, which nothing here may wait for.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Where they leave it.
pub(super) struct Waiting {
    spans: Receiver<SpanData>,
    overflow: Arc<AtomicU64>,
}

impl Waiting {
    /// Waits for spans, and gathers some more. `None`: there will be no more.
    async fn batch(&mut self) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        if self.spans.recv_many(&mut batch, BATCH).await == 0 {
            return None;
        }
        let end = Instant::now() + GATHERING;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(end, self.spans.recv_many(&mut batch, room)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Some(batch)
    }
}

/// Sends spans to a collector until the last one has ended. Each batch is sent once: what is not
/// taken is lost, as traces may be.
pub(super) async fn run(
    mut waiting: Waiting,
    collector: Collector,
    resource: ResourceAttributesWithSchema,
) {
    let mut losses = Losses::default();
    while let Some(batch) = waiting.batch().await {
        losses.overflowed(waiting.overflow.swap(0, Ordering::Relaxed));
        let spans = batch.len() as u64;
        match collector.send(batch, &resource).await {
            Ok(()) => losses.taken(),
            Err(error) => losses.not_taken(spans, &collector, &error),
        }
    }
    losses.overflowed(waiting.overflow.swap(0, Ordering::Relaxed));
    losses.end();
}

/// Counts the spans that were lost, and logs the beginning and the end of a row of losses.
#[derive(Default)]
struct Losses {
    /// How many since all went well for the last time.
    lost: u64,
    /// Whether the collector refused the last batch, or did not answer.
    refused: bool,
    /// Whether there was no room since all went well.
    overflowing: bool,
}

impl Losses {
    fn overflowed(&mut self, spans: u64) {
        if spans == 0 {
            return;
        }
        self.lost += spans;
        if !replace(&mut self.overflowing, true) {
            tracing::warn!(
                spans,
                "traces come faster than the collector takes them: spans are dropped; lower traces.ratio?"
            );
        }
    }

    fn not_taken(&mut self, spans: u64, collector: &Collector, error: &NotTaken) {
        let lost = error.rejected().unwrap_or(spans);
        self.lost += lost;
        let to = collector.shown();
        if self.refused {
            tracing::debug!(%error, to, spans = lost, "still cannot send traces");
        } else {
            tracing::warn!(%error, to, spans = lost, "cannot send traces: spans are dropped until it can");
        }
        self.refused = true;
    }

    fn taken(&mut self) {
        if self.refused || self.overflowing {
            let Self { lost, .. } = take(self);
            tracing::info!(lost, "traces are sent again");
        }
    }

    fn end(&self) {
        if self.lost > 0 {
            tracing::warn!(lost = self.lost, "traces end: spans were lost until now");
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::Tracer as _;

    use super::*;
    use crate::telemetry::Traces;

    #[test]
    fn spans_without_room_are_dropped_and_counted() {
        let (queue, mut waiting) = queue();
        let (tracer, _) = Traces::ending_in(queue).draw().unwrap();
        for _ in 0..MOST_WAITING + 10 {
            drop(tracer.start("poll"));
        }
        drop(tracer);
        assert_eq!(waiting.overflow.load(Ordering::Relaxed), 10);
        assert_eq!(std::iter::from_fn(|| waiting.spans.try_recv().ok()).count(), MOST_WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn spans_are_gathered_for_a_second_unless_a_batch_is_full() {
        let (queue, mut waiting) = queue();
        let (tracer, _) = Traces::ending_in(queue).draw().unwrap();
        let spans = |count: usize| (0..count).for_each(|_| drop(tracer.start("poll")));
        let started = Instant::now();
        spans(2);
        assert_eq!(waiting.batch().await.unwrap().len(), 2);
        assert_eq!(started.elapsed().as_secs(), GATHERING.as_secs());
        spans(BATCH + 1);
        assert_eq!(waiting.batch().await.unwrap().len(), BATCH);
        assert_eq!(started.elapsed().as_secs(), GATHERING.as_secs());
        assert_eq!(waiting.batch().await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_batch_does_not_wait_for_more() {
        let (queue, mut waiting) = queue();
        let traces = Traces::ending_in(queue);
        drop(traces.draw().unwrap().0.start("poll"));
        drop(traces);
        let started = Instant::now();
        assert_eq!(waiting.batch().await.unwrap().len(), 1);
        assert!(waiting.batch().await.is_none());
        assert!(started.elapsed() < GATHERING);
    }
}
