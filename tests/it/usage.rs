//! The history of use: its sums against those of a simulation, and what the program shows of it.

mod forecast;
mod program;
mod scale;
mod truth;
