//! Chats and pagers over real sockets: what is sent, what is made of every answer, and that nothing leaks.

mod command;
mod fakes;
mod socket;

use crate::common::chats;
