/// A system that a target can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Marzban,
    /// Marzban's successor.
    PasarGuard,
    /// 3x-ui, x-ui of alireza0, and the legacy panels of that family.
    Xui,
    /// CLIProxyAPI: one door to many LLM accounts.
    Cliproxy,
}

impl System {
    /// Every system.
    pub const ALL: [System; 4] = [System::Marzban, System::PasarGuard, System::Xui, System::Cliproxy];

    /// The word used in metrics, logs and pages.
    pub fn label(self) -> &'static str {
        match self {
            System::Marzban => "marzban",
            System::PasarGuard => "pasarguard",
            System::Xui => "xui",
            System::Cliproxy => "cliproxy",
        }
    }

    /// Whether it has a list of users.
    pub fn has_users(self) -> bool {
        match self {
            System::Marzban | System::PasarGuard | System::Xui => true,
            System::Cliproxy => false,
        }
    }

    /// Whether every version lists when each user was last online. Others name all who are online, or do not say.
    pub fn lists_last_online(self) -> bool {
        match self {
            System::Marzban | System::PasarGuard => true,
            System::Xui | System::Cliproxy => false,
        }
    }
}

/// The system detected behind a target's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub system: System,
    /// As the panel writes it, e.g. `0.8.4`.
    pub version: String,
    /// The API generation that the client uses, e.g. `0.8`.
    pub generation: String,
}
