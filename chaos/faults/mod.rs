//! The faults, each in a file of its own. The list has them in the order of their numbers.

mod all_killed;
mod backend_asks_for_rest;
mod backend_misbehaves;
mod backend_unreachable;
mod clients_stop_reading;
mod connections_reset;
mod everything_flushed;
mod failover_lagging;
mod gateway_killed;
mod leader_cut_off;
mod leader_cut_off_short;
mod leader_frozen_long;
mod leader_frozen_short;
mod leader_killed;
mod leader_killed_ten_times;
mod leader_out_of_memory;
mod leader_starved;
mod leader_stopped;
mod leader_suspended;
mod lease_deleted;
mod names_do_not_resolve;
mod node_drained;
mod packet_loss;
mod password_changed;
mod primary_turned_read_only;
mod quiet_after_reset;
mod redis_busy;
mod redis_clock_jumps;
mod redis_full;
mod redis_goes_back;
mod redis_loading;
mod redis_restarts_empty;
mod redis_slow_above;
mod redis_slow_below;
mod replica_clocks_off;
mod replies_lost;
mod replies_sliced;
mod rolling_restart;
mod slot_moved;
mod standby_killed;
mod standbys_cut_off;
mod subscribers_thrown_out;
mod two_primaries;

use crate::fault::Fault;

/// What scenarios are written with.
mod prelude {
    pub(crate) use std::time::{Duration, Instant};

    pub(crate) use crate::address;
    pub(crate) use crate::backend::Failure;
    pub(crate) use crate::cluster::{Cluster, Replica, key};
    pub(crate) use crate::fault::{Fault, Layout, Made, RedisLayout};
    pub(crate) use crate::run::{Bound, Invariant, Outcome, Unknown};
}

/// All of them. Number 37, two at once, is made of these.
pub(crate) static ALL: [Fault; 43] = [
    leader_killed::FAULT,
    leader_stopped::FAULT,
    leader_killed_ten_times::FAULT,
    leader_frozen_long::FAULT,
    leader_suspended::FAULT,
    leader_frozen_short::FAULT,
    all_killed::FAULT,
    standby_killed::FAULT,
    rolling_restart::FAULT,
    node_drained::FAULT,
    leader_starved::FAULT,
    leader_out_of_memory::FAULT,
    leader_cut_off::FAULT,
    leader_cut_off_short::FAULT,
    replies_lost::FAULT,
    standbys_cut_off::FAULT,
    redis_slow_below::FAULT,
    redis_slow_above::FAULT,
    packet_loss::FAULT,
    connections_reset::FAULT,
    quiet_after_reset::FAULT,
    replies_sliced::FAULT,
    names_do_not_resolve::FAULT,
    backend_unreachable::FAULT,
    redis_restarts_empty::FAULT,
    redis_goes_back::FAULT,
    failover_lagging::FAULT,
    primary_turned_read_only::FAULT,
    two_primaries::FAULT,
    redis_full::FAULT,
    lease_deleted::FAULT,
    everything_flushed::FAULT,
    redis_busy::FAULT,
    redis_loading::FAULT,
    password_changed::FAULT,
    slot_moved::FAULT,
    subscribers_thrown_out::FAULT,
    replica_clocks_off::FAULT,
    redis_clock_jumps::FAULT,
    backend_misbehaves::FAULT,
    backend_asks_for_rest::FAULT,
    clients_stop_reading::FAULT,
    gateway_killed::FAULT,
];
