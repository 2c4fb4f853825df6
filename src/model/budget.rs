use serde::{Deserialize, Serialize};

use super::{LlmPeriod, LlmSpent, OTHER, Timestamp, glob::Names};

/// What a client key of an LLM proxy may use in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub unit: BudgetUnit,
    pub period: BudgetPeriod,
    /// Above zero.
    pub limit: u64,
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetUnit {
    Tokens,
    /// Billionths of a US dollar.
    UsdNanos,
}

/// How long a budget lasts, by the calendar of the configured zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetPeriod {
    Day,
    Month,
}

/// A budget, and the client keys that have it: each on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBudget {
    pub budget: Budget,
    pub targets: Names,
    pub keys: Names,
}

impl Budget {
    /// How much of the budget `used` has spent, and when the period began.
    pub fn spent(&self, used: &LlmPeriod) -> (u64, Timestamp) {
        let LlmSpent { since, tokens, cost_nanos } = match self.period {
            BudgetPeriod::Day => used.day,
            BudgetPeriod::Month => used.month,
        };
        match self.unit {
            BudgetUnit::Tokens => (tokens, since),
            BudgetUnit::UsdNanos => (cost_nanos, since),
        }
    }

    /// Whether `api_key` is one client's. Those beyond the cap are counted together, and requests without a key are
    /// anyone's.
    pub fn is_of_one(api_key: &str) -> bool {
        !api_key.is_empty() && api_key != OTHER
    }
}

impl BudgetUnit {
    /// The word used in metrics.
    pub fn label(self) -> &'static str {
        match self {
            BudgetUnit::Tokens => "tokens",
            BudgetUnit::UsdNanos => "usd",
        }
    }
}

impl BudgetPeriod {
    /// Every period.
    pub const ALL: [BudgetPeriod; 2] = [BudgetPeriod::Day, BudgetPeriod::Month];

    /// The word used in the configuration and in metrics.
    pub fn label(self) -> &'static str {
        match self {
            BudgetPeriod::Day => "day",
            BudgetPeriod::Month => "month",
        }
    }
}
