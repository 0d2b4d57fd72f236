//! `pollux status --watch`: the cluster as it goes.

mod source;
mod view;

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::admin::gateway_instead;
use super::terminal::{Colours, Screen, cancel_on_q, size};
use super::text::{now, time};
use super::{Failure, runtime, shutdown_on_signal, status};
use crate::admin::ClusterReport;
use source::{News, Source};
use view::View;

/// How often a terminal is redrawn between reports: ages grow and the lease runs down meanwhile.
const REDRAW_EVERY: Duration = Duration::from_millis(250);

/// Shows what a replica knows of the cluster, until Ctrl-C, or `q` on a terminal, or until nobody reads it
/// any more.
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
                News::Trouble(_) if source.is_of_gateway().await => {
                    return Err(gateway_instead(admin));
                }
                News::Trouble(why) => {
                    return Err(Failure::Other(format!(
                        "no replica answers at {admin}: {why}; --url or --config names another \
                         admin address"
                    )));
                }
            };
            if io::stdout().is_terminal() && !json {
                draw(&mut source, *first.0, &shutdown).await
            } else {
                write(&mut source, first, json).await
            }
        };
        // What holds the terminal is dropped with it.
        shutdown.run_until_cancelled(following).await.unwrap_or(Ok(()))
    })
}

/// Redraws a terminal, until `q` is typed.
async fn draw(
    source: &mut Source,
    first: ClusterReport,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let refused = |error: io::Error| Failure::Other(format!("cannot use the terminal: {error}"));
    let mut resized = signal(SignalKind::window_change()).map_err(refused)?;
    let mut ticks = interval(REDRAW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let screen = Screen::enter().map_err(refused)?;
    cancel_on_q(shutdown.clone());
    let colours = Colours::of_stdout();
    let (mut report, mut since, mut trouble) = (first, Instant::now(), None);
    loop {
        let redraw = || {
            let (columns, rows) = size();
            let view = View {
                report: &report,
                elapsed: since.elapsed(),
                trouble: trouble.as_deref(),
                columns,
                rows: rows.unwrap_or(24),
                colours,
            };
            screen.show(&view.lines())
        };
        match news(source, &mut ticks, &mut resized, redraw).await.map_err(refused)? {
            News::Report(newer, _) => (report, since, trouble) = (*newer, Instant::now(), None),
            News::Trouble(why) => trouble = Some(why),
        }
    }
}

/// Waits for what comes next, and redraws meanwhile. The wait is one: a source that is away waits
/// longer before each try than a tick takes.
async fn news(
    source: &mut Source,
    ticks: &mut Interval,
    resized: &mut Signal,
    mut redraw: impl FnMut() -> io::Result<()>,
) -> io::Result<News> {
    let mut next = pin!(source.next());
    loop {
        redraw()?;
        tokio::select! {
            news = &mut next => return Ok(news),
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
    let replicas = report
        .replicas
        .iter()
        .map(|replica| (replica.replica.clone(), status::is_silent(replica, report.now)));
    (
        report.leader.as_ref().map(|leader| (leader.replica.clone(), leader.term)),
        report.store.ok,
        report.timeline.first().map(|entry| (entry.at, entry.event.clone())),
        replicas.collect::<Vec<_>>(),
        endpoints.collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;

    const REPORT: &str = r#"{"cluster":"test","replica":"castor","store":{"kind":"redis","ok":true,"error":null},"leader":null,"term":null,"replicas":[],"timeline":[],"endpoints":null}"#;

    /// How many connections find nobody: the wait before the last of them is far longer than a tick.
    const AWAY: usize = 7;

    /// An admin server that tells one report, hangs up, is away, and comes back slowly.
    async fn admin_server(connections: Arc<AtomicUsize>) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let earlier = connections.fetch_add(1, Ordering::SeqCst);
                if (1..=AWAY).contains(&earlier) {
                    continue;
                }
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    assert!(stream.read(&mut head).await.unwrap() > 0);
                    if earlier > AWAY {
                        sleep(2 * REDRAW_EVERY).await;
                    }
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
                    let text = format!("{head}event: cluster\ndata: {REPORT}\n\n");
                    stream.write_all(text.as_bytes()).await.unwrap();
                });
            }
        });
        url.parse().unwrap()
    }

    #[tokio::test]
    async fn a_screen_goes_on_after_an_outage_longer_than_its_ticks() {
        let connections = Arc::new(AtomicUsize::new(0));
        let admin = admin_server(Arc::clone(&connections)).await;
        let mut source = Source::new(&admin).unwrap();
        let mut ticks = interval(REDRAW_EVERY);
        let mut resized = signal(SignalKind::window_change()).unwrap();
        let (mut reports, mut troubles, mut drawn) = (0, 0, 0);
        let following = async {
            while reports < 2 {
                let redraw = || {
                    drawn += 1;
                    Ok(())
                };
                match news(&mut source, &mut ticks, &mut resized, redraw).await.unwrap() {
                    News::Report(..) => reports += 1,
                    News::Trouble(_) => troubles += 1,
                }
            }
        };
        let in_time = timeout(Duration::from_secs(20), following).await;
        let connections = connections.load(Ordering::SeqCst);
        assert!(
            in_time.is_ok(),
            "{reports} reports, {troubles} troubles, {connections} connections"
        );
        assert!(troubles > AWAY && connections == AWAY + 2, "{troubles}, {connections}");
        assert!(drawn > troubles + reports, "redrawn {drawn} times");
    }
}
