//! The integration tests are one program, because each program links SQLite and the TLS library. They share a process
//! and run beside each other: a test that measures its own process is a program of its own, such as `tests/storm.rs`.

mod common;

mod access;
mod access_changes;
mod alertmanager;
mod alerts_reference;
mod chat;
mod check;
mod cliproxy;
mod config;
mod crash;
mod dashboards;
mod delivery;
mod documents;
mod email;
mod endpoint;
mod english;
mod exposition;
mod floors;
mod heartbeat;
mod hosts;
mod init;
mod marzban;
mod metrics_reference;
mod mutation;
mod program;
mod prometheus_rules;
mod readme;
mod receivers;
mod reload;
mod replay;
mod server;
mod silences;
mod simulator;
mod slow_panel;
mod slow_readers;
mod storage;
mod store;
mod systemd;
mod tls;
mod usage;
mod web_config;
mod webhook;
mod wording;
mod xui;
