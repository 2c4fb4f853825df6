//! A configuration that is there already, to which a target is added.

use std::path::Path;

use crate::config::{Config, ConfigErrors, Env, Shard, Source};

/// What a file has before something is added to it.
pub(super) struct Existing {
    config: Config,
}

impl Existing {
    /// # Errors
    /// All mistakes in the file, or that it cannot be read.
    pub(super) fn read(file: &Path, env: Env<'_>) -> Result<Self, ConfigErrors> {
        let config = Config::load(&Source::from(file), env)?.of_shard(Shard::WHOLE);
        Ok(Existing { config })
    }

    /// Without a byte-order mark.
    pub(super) fn text(&self) -> &str {
        self.config.text().expose()
    }

    pub(super) fn has_target(&self, name: &str) -> bool {
        self.config.targets.iter().any(|target| target.name == name)
    }

    pub(super) fn has_receiver(&self, name: &str) -> bool {
        self.config.receivers.iter().any(|receiver| receiver.name == name)
    }

    pub(super) fn has_receivers(&self) -> bool {
        !self.config.receivers.is_empty()
    }
}
