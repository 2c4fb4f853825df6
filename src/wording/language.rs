use std::sync::LazyLock;

use fluent_bundle::{FluentResource, concurrent::FluentBundle};
use serde::{Deserialize, Serialize};
use unic_langid::{LanguageIdentifier, langid};

pub(super) type Bundle = FluentBundle<FluentResource>;

/// A language that notifications are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    En,
    Zh,
    Fa,
    Ru,
}

/// In the order of [`Language::ALL`].
static BUNDLES: LazyLock<[Bundle; 4]> = LazyLock::new(|| Language::ALL.map(Language::parse));

impl Language {
    /// Every language.
    pub const ALL: [Language; 4] = [Language::En, Language::Zh, Language::Fa, Language::Ru];

    /// The word in the configuration, and in the attribute `lang` of a page.
    pub fn label(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Zh => "zh",
            Language::Fa => "fa",
            Language::Ru => "ru",
        }
    }

    /// Whether it is written from right to left.
    pub fn is_rtl(self) -> bool {
        self == Language::Fa
    }

    /// The Fluent file.
    pub(super) fn source(self) -> &'static str {
        match self {
            Language::En => include_str!("en.ftl"),
            Language::Zh => include_str!("zh.ftl"),
            Language::Fa => include_str!("fa.ftl"),
            Language::Ru => include_str!("ru.ftl"),
        }
    }

    fn id(self) -> LanguageIdentifier {
        match self {
            Language::En => langid!("en"),
            Language::Zh => langid!("zh"),
            Language::Fa => langid!("fa"),
            Language::Ru => langid!("ru"),
        }
    }

    /// The language of this label.
    pub fn from_label(label: &str) -> Option<Self> {
        Language::ALL.into_iter().find(|language| language.label() == label)
    }

    pub(super) fn bundle(self) -> &'static Bundle {
        let [en, zh, fa, ru] = &*BUNDLES;
        match self {
            Language::En => en,
            Language::Zh => zh,
            Language::Fa => fa,
            Language::Ru => ru,
        }
    }

    /// What cannot be parsed is left out; a test finds it.
    fn parse(self) -> Bundle {
        let resource = match FluentResource::try_new(self.source().to_owned()) {
            Ok(resource) | Err((resource, _)) => resource,
        };
        let mut bundle = Bundle::new_concurrent(vec![self.id()]);
        bundle.set_use_isolating(self.is_rtl());
        bundle.add_resource_overriding(resource);
        bundle
    }
}
