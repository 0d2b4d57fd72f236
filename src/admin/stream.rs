//! The cluster as a stream: one report for all who look, and none while nobody does.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::report::{self, Polls};
use super::{AdminSource, AdminState};
use crate::election::View;
use crate::http::Problem;
use crate::store::Survey;

/// How often viewers get a report.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long a stream may be silent before a comment shows that it lives.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How many may look at once. With thousands of endpoints each of them is sent 2 MB a second.
const MOST_VIEWERS: usize = 16;
/// When a viewer whose connection broke connects again, in ms.
const RETRY: &[u8] = b"retry: 1000\n\n";

/// Those who look at the cluster, and what there is for them.
#[derive(Clone, Debug)]
pub(crate) struct Viewers {
    /// The newest report as an event; empty before the first.
    reports: watch::Sender<Bytes>,
    count: Arc<watch::Sender<usize>>,
    room: Arc<Semaphore>,
    /// One reads the history at a time: it may be large.
    history: Arc<Semaphore>,
    /// What the store told last, and when.
    seen: Arc<Mutex<Option<(Instant, Survey)>>>,
    /// Cancelled when the streams are to end.
    end: CancellationToken,
}

impl Viewers {
    /// Nobody yet; at `end` the streams of those who come end.
    pub(crate) fn until(end: CancellationToken) -> Self {
        let (reports, count) = (watch::Sender::default(), Arc::default());
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (room, history) = (semaphore(MOST_VIEWERS), semaphore(1));
        Self { reports, count, room, history, seen: Arc::default(), end }
    }

    /// The turn to read the history.
    pub(super) fn history(&self) -> &Arc<Semaphore> {
        &self.history
    }

    /// Keeps what the store has told, for when it does not answer.
    pub(super) fn keep(&self, survey: &Survey) {
        *self.seen.lock() = Some((Instant::now(), survey.clone()));
    }

    /// What the store told last, and how long ago.
    pub(super) fn seen(&self) -> Option<(Duration, Survey)> {
        self.seen.lock().as_ref().map(|(at, survey)| (at.elapsed(), survey.clone()))
    }

    fn join(&self) -> Option<Viewer> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let mut reports = self.reports.subscribe();
        // What others were told within the last second.
        reports.mark_changed();
        self.count.send_modify(|count| *count += 1);
        Some(Viewer { reports, viewers: self.clone(), _room: room })
    }

    /// Waits until somebody looks, or nobody does.
    async fn until_watched(&self, watched: bool) {
        // The sender lives as long as this.
        self.count.subscribe().wait_for(|count| (*count > 0) == watched).await.ok();
    }
}

/// Makes reports as long as somebody looks, until the streams are to end.
pub(crate) async fn inform_viewers(mut source: AdminSource) {
    let viewers = source.now().viewers;
    while viewers.end.run_until_cancelled(viewers.until_watched(true)).await.is_some() {
        let state = source.now();
        select! {
            () = viewers.end.cancelled() => return,
            () = viewers.until_watched(false) => {}
            () = inform(&state) => {}
            () = source.changed() => continue,
        }
        // Whoever comes next gets nothing from before.
        viewers.reports.send_replace(Bytes::new());
    }
}

/// Makes a report every second, and at once when the leadership changes.
async fn inform(state: &AdminState) {
    let mut changes = Changes::of(state.election.clone());
    loop {
        let next = Instant::now() + REPORT_EVERY;
        let in_turn = async {
            state.viewers.reports.send_replace(make(state, Polls::Ask).await);
            sleep_until(next).await;
        };
        select! {
            biased;
            // The leader of before may be dead: nobody waits for its answer.
            () = changes.next() => {
                state.viewers.reports.send_replace(make(state, Polls::DoNotAsk).await);
            }
            () = in_turn => {}
        }
    }
}

async fn make(state: &AdminState, polls: Polls) -> Bytes {
    let report = report::make(state, polls).await;
    // Nothing in it can fail to be written.
    let json = serde_json::to_vec(&report).unwrap_or_default();
    [b"event: cluster\ndata: ", &json[..], b"\n\n"].concat().into()
}

/// Changes of the leadership, as the elector sees them.
struct Changes {
    election: Option<watch::Receiver<View>>,
    known: Option<Leadership>,
}

/// The term, whether its lease was given back, and whether this replica leads.
type Leadership = (u64, bool, bool);

impl Changes {
    fn of(mut election: Option<watch::Receiver<View>>) -> Self {
        let known =
            election.as_mut().and_then(|election| leadership(&election.borrow_and_update()));
        Self { election, known }
    }

    /// Waits for the next. A replica that does not poll sees none.
    async fn next(&mut self) {
        let Some(election) = &mut self.election else { return pending().await };
        loop {
            if election.changed().await.is_err() {
                return pending().await;
            }
            let seen = leadership(&election.borrow_and_update());
            if seen != self.known {
                self.known = seen;
                return;
            }
        }
    }
}

fn leadership(view: &View) -> Option<Leadership> {
    let record = view.record.as_ref()?;
    Some((record.term, record.lease.is_empty(), view.leading.is_some()))
}

/// One who looks.
struct Viewer {
    reports: watch::Receiver<Bytes>,
    viewers: Viewers,
    _room: OwnedSemaphorePermit,
}

impl Viewer {
    /// The next bytes for it: of reports the newest, however slow it is. `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let end = self.viewers.end.clone();
        let frame = async {
            loop {
                select! {
                    changed = self.reports.changed() => {
                        changed.ok()?;
                        let report = self.reports.borrow_and_update().clone();
                        if !report.is_empty() {
                            return Some(report);
                        }
                    }
                    () = sleep(COMMENT_EVERY) => return Some(Bytes::from_static(b":\n\n")),
                }
            }
        };
        end.run_until_cancelled(frame).await?
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.viewers.count.send_modify(|count| *count -= 1);
    }
}

/// `GET /v1/cluster/stream`: Server-Sent Events, each with the whole report.
pub(super) async fn follow(State(state): State<AdminState>) -> Result<Response, Problem> {
    let viewer = state.viewers.join().ok_or_else(|| {
        let detail = format!(
            "{MOST_VIEWERS} look at this replica already, and it serves no more: look at another one"
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(REPORT_EVERY * 10)
    })?;
    let first = stream::iter([Bytes::from_static(RETRY)]);
    let rest = stream::unfold(viewer, async |mut viewer| Some((viewer.next().await?, viewer)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let frames = first.chain(rest).map(Ok::<_, Infallible>);
    Ok((headers, Body::from_stream(frames)).into_response())
}
