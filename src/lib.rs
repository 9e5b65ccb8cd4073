//! Clustersim: a deterministic discrete-event simulator of a whole container cluster.
//!
//! Rooms by floor; a room may use only rooms on floors below it, and neighbours on a floor don't know each other (`tests/tidy.rs`
//! reads the `use crate::` lines):
//!
//! | floor | room |
//! | --- | --- |
//! | 10 | `main.rs`, [`cli`] |
//! | 9 | [`validate`], [`regress`], [`minimize`] |
//! | 8 | [`sweep`] |
//! | 7 | [`scenario`], [`report`] |
//! | 6 | [`host`] |
//! | 5 | [`engine`] |
//! | 4 | [`etcd`], [`apiserver`], [`controllers`], [`scheduler`], [`kubelet`], [`proxy`], [`operator`], [`traffic`], [`models`] |
//! | 3 | [`client`] |
//! | 2 | [`wire`], [`manifest`] |
//! | 1 | [`objects`] |
//! | 0 | [`base`] |
#![forbid(unsafe_code)]

pub mod apiserver;
pub mod base;
pub mod cli;
pub mod client;
pub mod controllers;
pub mod engine;
pub mod etcd;
pub mod host;
pub mod kubelet;
pub mod manifest;
pub mod minimize;
pub mod models;
pub mod objects;
pub mod operator;
pub mod proxy;
pub mod regress;
pub mod report;
pub mod scenario;
pub mod scheduler;
pub mod sweep;
pub mod traffic;
pub mod validate;
pub mod wire;
