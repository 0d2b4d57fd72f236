//! The replicas' password is changed at Redis, the connections that it opened are ended, and then the
//! file changes in which replicas find it: they follow without a restart.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 28,
    name: "password-changed",
    title: "password and certificate changed",
    // The file is looked at every two seconds.
    bound: |timing| Bound::Level(timing.lease_ms + 3000),
    changes: |_| 1,
    layout: Layout { guarded: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    cluster.begins("another password and another certificate at Redis");
    let ended = cluster.redis.change_password().await?;
    cluster.landed(&format!("{ended} connections of the old password were ended"));
    cluster.redis.change_certificate().await?;
    cluster.redis.tell_password()?;
    cluster.healed("the new password is in the file");
    cluster.until_published().await
}
