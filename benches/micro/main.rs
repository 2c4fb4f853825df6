//! How long the inner loops take: `cargo bench --bench micro`. What a whole daemon needs is measured by `scripts/bench`.

mod alerts;
mod bare;
mod decode;
mod exposition;
mod model;

/// As in the program: with another one, alerts take a different time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}
