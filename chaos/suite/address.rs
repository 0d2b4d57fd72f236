//! Who has which address in the run's network.

use std::net::{IpAddr, Ipv4Addr};

/// The bridge: clients, recorders and the name server are here.
pub(crate) const HARNESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The backend, also on the bridge, so that it can be out of reach alone.
pub(crate) const BACKEND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The replicas that poll.
pub(crate) const POLLERS: [&str; 3] = ["castor", "pollux", "helena"];
/// The replicas that serve.
pub(crate) const GATEWAYS: [&str; 2] = ["idas", "lynceus"];

/// By the last byte of its address. A proxy's is that of its replica plus [`PROXY`].
const NODES: [(u8, &str); 14] = [
    (11, POLLERS[0]),
    (12, POLLERS[1]),
    (13, POLLERS[2]),
    (21, GATEWAYS[0]),
    (22, GATEWAYS[1]),
    (31, "redis-1"),
    (32, "redis-2"),
    (33, "redis-3"),
    (34, "redis-4"),
    (35, "redis-5"),
    (36, "redis-6"),
    (41, "sentinel-1"),
    (42, "sentinel-2"),
    (43, "sentinel-3"),
];
const PROXY: u8 = 100;

/// The address of a node; `None` for a name that nobody has.
pub(crate) fn of(name: &str) -> Option<Ipv4Addr> {
    let (last, _) = NODES.iter().find(|(_, node)| *node == name)?;
    Some(Ipv4Addr::new(10, 77, 0, *last))
}

/// Where the proxy of a replica listens, and from where it connects: so servers know who asks.
pub(crate) fn of_proxy(name: &str) -> Option<Ipv4Addr> {
    let [a, b, c, last] = of(name)?.octets();
    Some(Ipv4Addr::new(a, b, c, last + PROXY))
}

/// Whose address it is, or whose proxy's.
pub(crate) fn name_of(address: IpAddr) -> Option<&'static str> {
    let IpAddr::V4(address) = address else { return None };
    let [10, 77, 0, last] = address.octets() else { return None };
    let last = if last > PROXY { last - PROXY } else { last };
    NODES.iter().find_map(|(node, name)| (*node == last).then_some(*name))
}
