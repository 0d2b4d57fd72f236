//! `pollux status --watch`: the cluster as it goes.

mod source;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};
use url::Url;

use super::terminal::{Colours, Screen, size};
use super::text::{now, time};
use super::{Failure, runtime, shutdown_on_signal, status};
use crate::admin::ClusterReport;
use source::{News, Source};
use view::View;

/// How often a terminal is redrawn between reports: ages grow and the lease runs down meanwhile.
const REDRAW_EVERY: Duration = Duration::from_millis(250);

/// Shows what a replica knows of the cluster, until Ctrl-C, or until nobody reads it any more.
///
/// # Errors
/// When no replica answers at first. Later it is waited for.
pub fn follow(admin: &Url, json: bool) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let mut source = Source::new(admin)?;
        let shutdown = shutdown_on_signal()?;
        let following = async {
            let first = match source.next().await {
                News::Report(report, data) => (report, data),
                News::Trouble(why) => {
                    return Err(Failure::Other(format!(
                        "no replica answers at {admin}: {why}; --url or --config names another \
                         admin address"
                    )));
                }
            };
            if io::stdout().is_terminal() && !json {
                draw(&mut source, *first.0).await
            } else {
                write(&mut source, first, json).await
            }
        };
        // What holds the terminal is dropped with it.
        shutdown.run_until_cancelled(following).await.unwrap_or(Ok(()))
    })
}

/// Redraws a terminal.
async fn draw(source: &mut Source, first: ClusterReport) -> Result<(), Failure> {
    let refused = |error: io::Error| Failure::Other(format!("cannot use the terminal: {error}"));
    let mut resized = signal(SignalKind::window_change()).map_err(refused)?;
    let mut ticks = interval(REDRAW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let screen = Screen::enter().map_err(refused)?;
    let colours = Colours::of_stdout();
    let (mut report, mut since, mut trouble) = (first, Instant::now(), None);
    loop {
        let (columns, rows) = size();
        let view = View {
            report: &report,
            elapsed: since.elapsed(),
            trouble: trouble.as_deref(),
            columns,
            rows: rows.unwrap_or(24),
            colours,
        };
        screen.show(&view.lines()).map_err(refused)?;
        tokio::select! {
            news = source.next() => match news {
                News::Report(newer, _) => {
                    (report, since, trouble) = (*newer, Instant::now(), None);
                }
                News::Trouble(why) => trouble = Some(why),
            },
            _ = resized.recv() => {}
            _ = ticks.tick() => {}
        }
    }
}

/// Prints what is not a terminal's: JSON each time, or a report when something has changed.
async fn write(
    source: &mut Source,
    first: (Box<ClusterReport>, bytes::Bytes),
    json: bool,
) -> Result<(), Failure> {
    let (mut report, mut data) = first;
    let mut known = None;
    loop {
        let now_known = notable(&report);
        let text = if json {
            [&data[..], b"\n"].concat()
        } else if known.as_ref() != Some(&now_known) {
            format!("{}\n{}\n", time(now()), status::describe(&report)).into_bytes()
        } else {
            Vec::new()
        };
        known = Some(now_known);
        let mut stdout = io::stdout().lock();
        match stdout.write_all(&text).and_then(|()| stdout.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::Other(format!("cannot print: {error}"))),
        }
        drop(stdout);
        let mut told = false;
        (report, data) = loop {
            match source.next().await {
                News::Report(report, data) => break (report, data),
                News::Trouble(why) if !std::mem::replace(&mut told, true) => eprintln!("{why}"),
                News::Trouble(_) => {}
            }
        };
    }
}

/// What is worth a report of its own when it changes. Ages and versions change all the time.
fn notable(report: &ClusterReport) -> impl PartialEq + use<> {
    let endpoints = report.endpoints.iter().flatten().map(|endpoint| {
        (endpoint.name.clone(), endpoint.stale, endpoint.failures > 0, endpoint.retry_at.is_some())
    });
    (
        report.leader.as_ref().map(|leader| (leader.replica.clone(), leader.term)),
        report.store.ok,
        report.timeline.first().map(|entry| (entry.at, entry.event.clone())),
        report.replicas.iter().map(|replica| replica.replica.clone()).collect::<Vec<_>>(),
        endpoints.collect::<Vec<_>>(),
    )
}
