//! The price map of LiteLLM, `model_prices_and_context_window.json`: an object of models, each an object with prices in
//! US dollars per token among many other fields.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use serde_json::value::RawValue;

use super::{
    model_price::{ModelPrice, Rates, Schedule},
    price::{Price, scaled},
};

const INPUT: &str = "input_cost_per_token";
const OUTPUT: &str = "output_cost_per_token";
const CACHE_READ: &str = "cache_read_input_token_cost";
const CACHE_WRITE: &str = "cache_creation_input_token_cost";
const REASONING: &str = "output_cost_per_reasoning_token";

/// Entries that are no models.
const OTHERS: [&str; 2] = ["sample_spec", "fallback_generalizations"];
/// What CLIProxyAPI serves. Other modes have prices per image or second beside those of tokens.
const MODES: [&str; 3] = ["chat", "responses", "completion"];
/// Aliases of aliases are followed this far.
const HOPS: usize = 4;

pub(super) type Models = BTreeMap<Box<str>, Arc<ModelPrice>>;

/// An entry that cannot be read.
struct Odd;

type Fields<'f> = BTreeMap<String, &'f RawValue>;

enum Entry {
    Priced(Arc<ModelPrice>),
    AliasOf(Box<str>),
    Unpriced,
}

/// The models that have prices, and the names of the entries that cannot be read.
pub(super) fn read(bytes: &[u8]) -> Result<(Models, Vec<String>), serde_json::Error> {
    let entries: Fields<'_> = serde_json::from_slice(bytes)?;
    let (mut models, mut aliases, mut odd) = (Models::new(), BTreeMap::new(), Vec::new());
    // Many names have the same prices.
    let mut distinct = HashSet::<Arc<ModelPrice>>::new();
    for (name, entry) in entries.into_iter().filter(|(name, _)| !OTHERS.contains(&&**name)) {
        match read_entry(&name, entry) {
            Ok(Entry::Priced(price)) => {
                let price = distinct.get(&price).cloned().unwrap_or(price);
                distinct.insert(Arc::clone(&price));
                models.insert(name.into(), price);
            }
            Ok(Entry::AliasOf(target)) => {
                aliases.insert(name, target);
            }
            Ok(Entry::Unpriced) => {}
            Err(Odd) => odd.push(name),
        }
    }
    for (name, mut target) in &aliases {
        for _ in 0..HOPS {
            let Some(next) = aliases.get(&**target) else { break };
            target = next;
        }
        if let Some(price) = models.get(target).cloned() {
            models.insert(name.as_str().into(), price);
        }
    }
    Ok((models, odd))
}

fn read_entry(name: &str, entry: &RawValue) -> Result<Entry, Odd> {
    let fields: Fields<'_> = serde_json::from_str(entry.get()).map_err(|_| Odd)?;
    if let Some(target) = fields.get("alias_of") {
        return serde_json::from_str(target.get()).map(Entry::AliasOf).map_err(|_| Odd);
    }
    let mode = fields.get("mode").map(|mode| mode.get().trim_matches('"'));
    if mode.is_some_and(|mode| !MODES.contains(&mode)) {
        return Ok(Entry::Unpriced);
    }
    let price = match tiered(&fields)? {
        Some(base) => ModelPrice { base, flex: None, priority: None },
        None => {
            // xAI's higher prices begin at the bound itself.
            let inclusive = name.starts_with("xai/");
            let base = schedule(&fields, "", inclusive)?;
            let of_tier =
                |suffix| schedule(&fields, suffix, inclusive).map(|tier| (tier != base).then_some(tier));
            let (flex, priority) = (of_tier("_flex")?, of_tier("_priority")?);
            ModelPrice { base, flex, priority }
        }
    };
    let Rates { input, output, cache_read: _, cache_write: _, reasoning: _ } = price.base.flat;
    Ok(if input.or(output).is_some() { Entry::Priced(Arc::new(price)) } else { Entry::Unpriced })
}

/// The prices of one service tier, whose fields end in `suffix`. Where the tier has none, those of all tiers hold.
/// `_above_1hr` is the life of a cache entry and no bound.
fn schedule(fields: &Fields<'_>, suffix: &str, inclusive: bool) -> Result<Schedule, Odd> {
    let of = |field: &str, above: &str| match price(fields, &format!("{field}{above}{suffix}"))? {
        None => price(fields, &format!("{field}{above}")),
        of_tier => Ok(of_tier),
    };
    // A price of reasoning is of the base tier, and has no bounds. One that only repeats the price of output must not
    // hide what output costs in other tiers and beyond bounds.
    let output_of_tier = !suffix.is_empty() && fields.contains_key(&format!("{OUTPUT}{suffix}"));
    let output_of_base = price(fields, OUTPUT)?;
    let reasoning =
        price(fields, REASONING)?.filter(|price| !output_of_tier && Some(*price) != output_of_base);
    let flat = Rates {
        input: of(INPUT, "")?,
        output: of(OUTPUT, "")?,
        cache_read: of(CACHE_READ, "")?,
        cache_write: of(CACHE_WRITE, "")?,
        reasoning,
    };
    let mut above = Vec::new();
    let mut before = flat;
    for thousands in bounds(fields) {
        let field = format!("_above_{thousands}k_tokens");
        let rates = Rates {
            input: of(INPUT, &field)?.or(before.input),
            output: of(OUTPUT, &field)?.or(before.output),
            cache_read: of(CACHE_READ, &field)?.or(before.cache_read),
            cache_write: of(CACHE_WRITE, &field)?.or(before.cache_write),
            reasoning,
        };
        let bound = thousands.saturating_mul(1000);
        above.push((if inclusive { bound.saturating_sub(1) } else { bound }, rates));
        before = rates;
    }
    Ok(Schedule { flat, above })
}

/// The numbers N of the fields that end in `_above_Nk_tokens`, in their order.
fn bounds(fields: &Fields<'_>) -> BTreeSet<u64> {
    let bound = |field: &String| {
        let mut prefixes = [INPUT, OUTPUT, CACHE_READ, CACHE_WRITE].iter();
        let rest = prefixes.find_map(|prefix| field.strip_prefix(prefix)?.strip_prefix("_above_"))?;
        rest.split_once("k_tokens")?.0.parse().ok()
    };
    fields.keys().filter_map(bound).collect()
}

/// `tiered_pricing`: a list of prices for prompts of more than one number of tokens and up to another. It replaces flat
/// prices. Beyond the last range, the last one holds.
fn tiered(fields: &Fields<'_>) -> Result<Option<Schedule>, Odd> {
    let Some(list) = fields.get("tiered_pricing") else { return Ok(None) };
    let list: Vec<Fields<'_>> = serde_json::from_str(list.get()).map_err(|_| Odd)?;
    let mut tiers = Vec::new();
    for tier in list.iter().filter(|tier| tier.contains_key("range") && tier.contains_key(INPUT)) {
        let range: &RawValue = tier.get("range").ok_or(Odd)?;
        let (from, _): (&RawValue, &RawValue) = serde_json::from_str(range.get()).map_err(|_| Odd)?;
        let output = price(tier, OUTPUT)?;
        let rates = Rates {
            input: price(tier, INPUT)?,
            output: if output.is_some() { output } else { price(fields, OUTPUT)? },
            cache_read: price(tier, CACHE_READ)?,
            cache_write: price(tier, CACHE_WRITE)?,
            reasoning: price(tier, REASONING)?,
        };
        tiers.push((scaled(from.get(), 0).ok_or(Odd)?, rates));
    }
    tiers.sort_by_key(|(from, _)| *from);
    let mut tiers = tiers.into_iter();
    Ok(tiers.next().map(|(_, flat)| Schedule { flat, above: tiers.collect() }))
}

/// A price of an entry, which some files write in quotes. Absent: there is none.
fn price(fields: &Fields<'_>, field: &str) -> Result<Option<Price>, Odd> {
    match fields.get(field).map(|value| value.get()) {
        None | Some("null") => Ok(None),
        Some(text) => Price::per_token(text.trim_matches('"')).map(Some).ok_or(Odd),
    }
}
