//! What client keys, accounts and credentials are called: never by themselves.

use std::{collections::HashMap, sync::Arc};

use super::config::{CliproxyConfig, is_hash};
use crate::{secret::HashKey, upstream::json};

/// The longest name of a provider or model, in bytes.
const WORD: usize = 128;

/// Hashes and aliases.
#[derive(Clone, Debug)]
pub(super) struct Names {
    key: HashKey,
    /// By keyed hash.
    api_keys: HashMap<String, Arc<str>>,
    /// By label.
    credentials: HashMap<String, Arc<str>>,
}

impl Names {
    pub(super) fn new(config: &CliproxyConfig, key: HashKey) -> Self {
        let mut api_keys = HashMap::new();
        for (name, alias) in &config.key_aliases {
            let (name, alias) = (name.expose(), Arc::<str>::from(alias.as_str()));
            if is_hash(name) {
                api_keys.insert(name.to_owned(), Arc::clone(&alias));
            }
            api_keys.insert(key.hash(name), alias);
        }
        let credentials = config.credential_aliases.iter();
        let credentials = credentials.map(|(label, alias)| (label.clone(), alias.as_str().into())).collect();
        Names { key, api_keys, credentials }
    }

    /// What stands for a client key, an account or a key of a provider; empty for an empty one.
    pub(super) fn hash(&self, secret: &str) -> Arc<str> {
        if secret.is_empty() { Arc::default() } else { self.key.hash(secret).into() }
    }

    /// The same as a number, for what is stored.
    pub(super) fn print(&self, bytes: &[u8]) -> u64 {
        self.key.number(bytes)
    }

    /// The label of a client key, by its hash.
    pub(super) fn api_key(&self, hash: &str) -> Arc<str> {
        self.api_keys.get(hash).cloned().unwrap_or_else(|| hash.into())
    }

    /// The alias of a credential, if it has one.
    pub(super) fn credential(&self, label: &str) -> Option<Arc<str>> {
        self.credentials.get(label).cloned()
    }

    /// The label of a credential that the server numbers by a text. A number is no identity: it moves to another
    /// credential when the server restarts.
    pub(super) fn index(&self, index: &str) -> Option<Arc<str>> {
        match index {
            "" => None,
            _ if is_hash(index) => Some(index.into()),
            // Not what servers number by: it may be a key.
            _ => Some(self.hash(index)),
        }
    }
}

/// The provider as counters of credentials call it; absent: the server does not say.
pub(super) fn provider(word: &str) -> Option<Arc<str>> {
    let word = word.strip_prefix("openai-compatible-").unwrap_or(word);
    (!word.is_empty()).then(|| json::start(word, WORD).into())
}

/// A model as a label.
pub(super) fn model(word: &str) -> Arc<str> {
    if word.is_empty() { UNKNOWN.into() } else { json::start(word, WORD).into() }
}

/// What the server calls a provider or model that it does not know.
pub(super) const UNKNOWN: &str = "unknown";

#[cfg(test)]
pub(super) fn test_names(aliases: &[(&str, &str)]) -> Names {
    let config = super::config::test_config();
    let key_aliases = aliases.iter().map(|(key, alias)| ((*key).into(), (*alias).to_owned())).collect();
    Names::new(&CliproxyConfig { key_aliases, ..config }, HashKey::new(b"test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_keys_have_an_alias_by_themselves_or_by_their_hash() {
        let plain = test_names(&[]);
        let (ci, web) = (plain.hash("ck-ci"), plain.hash("ck-web"));
        assert_eq!((ci.len(), &*plain.api_key(&ci)), (16, &*ci));
        let names = test_names(&[("ck-ci", "ci"), (&web, "web")]);
        assert_eq!((&*names.api_key(&ci), &*names.api_key(&web)), ("ci", "web"));
        assert_eq!(&*names.hash(""), "");
    }

    #[test]
    fn a_text_is_a_label_and_anything_odd_is_hashed() {
        let names = test_names(&[]);
        assert_eq!(names.index("971b244bee59d693").as_deref(), Some("971b244bee59d693"));
        assert_eq!(names.index(""), None);
        for odd in ["alice@example.com", &"0".repeat(65), "a b"] {
            assert_eq!(names.index(odd), Some(names.hash(odd)), "{odd}");
        }
    }

    #[test]
    fn providers_are_joined_and_words_are_cut() {
        assert_eq!(provider("openai-compatible-fakeai").as_deref(), Some("fakeai"));
        assert_eq!(provider("fakeai").as_deref(), Some("fakeai"));
        assert_eq!(provider(""), None);
        assert_eq!(model("ä".repeat(100).as_str()).len(), 128);
        assert_eq!(&*model(""), "unknown");
    }
}
