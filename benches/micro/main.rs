//! How long the inner loops take: `cargo bench --bench micro`. What a whole daemon needs is measured by `scripts/bench`.

mod alerts;
mod decode;
mod exposition;
mod model;

fn main() {
    divan::main();
}
