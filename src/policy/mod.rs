//! Pure verdicts: facts, policy and the time in, a reason out.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod account;
pub mod admission;
pub mod allowed_sources;
pub mod answer_rate;
pub mod auth_guard;
pub mod availability;
pub mod called_name;
pub mod client_network;
pub mod dedup;
pub mod display_loop;
pub mod expiry;
pub mod graph;
pub mod heard;
pub mod mailslot_switch;
pub mod mapping;
pub mod name_askers;
pub mod nat64;
pub mod operator;
pub mod own_datagrams;
pub mod public_space;
pub mod rate;
pub mod reach;
pub mod relay;
pub mod remembered;
pub mod replies;
pub mod retry;
pub mod route;
pub mod source_rate;
pub mod spelling;
pub mod suspects;
pub mod tarpit;
pub mod template;
pub mod webhook;
