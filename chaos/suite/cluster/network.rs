//! The network of a run: a bridge, a namespace per node, and what is lost between them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::Command;

use parking_lot::Mutex;

use super::command::{run, run_with};
use crate::address;
use crate::run::{Outcome, Unknown};

const NAMESPACES: &str = "/run/netns";

/// All nodes, each in a network namespace of its own, linked to the bridge.
pub(crate) struct Network {
    /// How many packets rules dropped that are gone again, by node, and before the last rule came.
    dropped: Mutex<HashMap<String, Dropped>>,
}

#[derive(Clone, Copy, Default)]
struct Dropped {
    healed: u64,
    before: u64,
}

impl Network {
    /// Makes it. The process must have a network namespace of its own, and a mount namespace too.
    pub(crate) async fn make(nodes: &[&str]) -> Outcome<Self> {
        is_ones_own().await?;
        run(&["mkdir", "-p", NAMESPACES]).await?;
        run(&["mount", "-t", "tmpfs", "tmpfs", NAMESPACES]).await?;
        let mut orders =
            String::from("link set lo up\nlink add br0 type bridge\nlink set br0 up\n");
        let proxies = nodes.iter().filter_map(|node| address::of_proxy(node));
        for address in [address::HARNESS, address::BACKEND].into_iter().chain(proxies) {
            orders.push_str(&format!("address add {address}/24 dev br0\n"));
        }
        for node in nodes {
            orders.push_str(&format!(
                "netns add {node}\nlink add {node} type veth peer name eth0 netns {node}\n\
                 link set {node} master br0 up\n"
            ));
        }
        run_with(&["ip", "-batch", "-"], &orders).await?;
        for node in nodes {
            let address = of(node)?;
            let orders = format!(
                "link set lo up\naddress add {address}/24 dev eth0\nlink set eth0 up\n\
                 route add default via {}\n",
                address::HARNESS
            );
            run_with(&["ip", "-netns", node, "-batch", "-"], &orders).await?;
        }
        Ok(Self { dropped: Mutex::default() })
    }

    /// What `node` sends to `peers` is lost.
    pub(crate) async fn drop_to(&self, node: &str, peers: &[Ipv4Addr]) -> Outcome<()> {
        self.add(node, &to(peers)).await
    }

    /// What `peers` send to `node` is lost.
    pub(crate) async fn drop_from(&self, node: &str, peers: &[Ipv4Addr]) -> Outcome<()> {
        self.add(node, &from(peers)).await
    }

    /// Whatever they send each other is lost.
    pub(crate) async fn cut(&self, node: &str, peers: &[Ipv4Addr]) -> Outcome<()> {
        self.add(node, &(to(peers) + &from(peers))).await
    }

    /// That share of all packets is lost, each way.
    pub(crate) async fn lose(&self, node: &str, share: f64) -> Outcome<()> {
        let lost = format!("-m statistic --mode random --probability {share} -j DROP");
        self.add(node, &format!("-A INPUT {lost}\n-A OUTPUT {lost}\n")).await
    }

    /// How many packets have been lost by the rules of `node` since the last of them came.
    pub(crate) async fn dropped(&self, node: &str) -> Outcome<u64> {
        let now = dropped_now(node).await?;
        let past = self.dropped.lock().get(node).copied().unwrap_or_default();
        Ok((now + past.healed).saturating_sub(past.before))
    }

    /// Nothing more is lost.
    pub(crate) async fn heal(&self, node: &str) -> Outcome<()> {
        let now = dropped_now(node).await?;
        iptables(node, &["-F"]).await?;
        self.dropped.lock().entry(node.to_owned()).or_default().healed += now;
        Ok(())
    }

    /// All rules at once.
    async fn add(&self, node: &str, rules: &str) -> Outcome<()> {
        let now = dropped_now(node).await?;
        {
            let mut dropped = self.dropped.lock();
            let dropped = dropped.entry(node.to_owned()).or_default();
            dropped.before = dropped.healed + now;
        }
        let orders = format!("*filter\n{rules}COMMIT\n");
        let words = ["ip", "netns", "exec", node, "iptables-restore", "--noflush", "--wait"];
        run_with(&words, &orders).await?;
        Ok(())
    }
}

/// A program that will run inside the namespace of a node: `ip` becomes it, under the same process id.
pub(super) fn inside(node: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", node, program]);
    command
}

/// Whose address every node must have.
pub(super) fn of(node: &str) -> Outcome<Ipv4Addr> {
    address::of(node).ok_or_else(|| Unknown(format!("nobody is called {node}")))
}

/// A network namespace of one's own has no routes yet; that of a machine has.
async fn is_ones_own() -> Outcome<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Unknown("networks of one's own can be made by root alone".to_owned()));
    }
    if run(&["ip", "-4", "route", "show"]).await?.trim().is_empty() {
        return Ok(());
    }
    Err(Unknown("a run needs namespaces of its own: start it by chaos/run".to_owned()))
}

fn to(peers: &[Ipv4Addr]) -> String {
    peers.iter().map(|peer| format!("-A OUTPUT -d {peer} -j DROP\n")).collect()
}

fn from(peers: &[Ipv4Addr]) -> String {
    peers.iter().map(|peer| format!("-A INPUT -s {peer} -j DROP\n")).collect()
}

async fn iptables(node: &str, words: &[&str]) -> Outcome<String> {
    run(&[&["ip", "netns", "exec", node, "iptables", "--wait"], words].concat()).await
}

async fn dropped_now(node: &str) -> Outcome<u64> {
    let list = iptables(node, &["-nvxL"]).await?;
    let packets = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let packets = words.next()?.parse::<u64>().ok()?;
        (words.nth(1) == Some("DROP")).then_some(packets)
    });
    Ok(packets.sum())
}
