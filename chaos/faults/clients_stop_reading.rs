//! One client in twenty stops reading. It gets the newest when it reads again, or was left; the others
//! notice nothing.

use super::prelude::*;

const CLIENTS: usize = 200;

pub(crate) const FAULT: Fault = Fault {
    number: 35,
    name: "clients-stop-reading",
    title: "one client in twenty stops reading",
    layout: Layout { crowd: CLIENTS, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    cluster.begins("one client in twenty stops reading");
    cluster.readers.stall(CLIENTS / 20);
    let full = || async { cluster.readers.stalled_with_full_buffers().then_some(()) };
    cluster.holds(Duration::from_secs(20), "their buffers are full", full).await?;
    cluster.landed("their buffers are full");
    cluster.pass(Duration::from_secs(3)).await;
    cluster.readers.resume();
    cluster.healed("they read again");
    cluster.until_published().await
}
