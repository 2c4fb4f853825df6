/// A system that a target was found to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Marzban,
    /// Marzban's successor.
    PasarGuard,
}

impl System {
    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            System::Marzban => "marzban",
            System::PasarGuard => "pasarguard",
        }
    }
}

/// What was detected behind a target's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub system: System,
    /// As the panel says it, e.g. `0.8.4`.
    pub version: String,
    /// The API generation we speak to it, e.g. `0.8`.
    pub generation: String,
}
