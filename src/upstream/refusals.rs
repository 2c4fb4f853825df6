//! How long a login that was refused is left alone.

use std::time::Duration;

/// After the first refusal, and at most. Panels send each refused login to their operator's chat, some with the password.
const FIRST: Duration = Duration::from_secs(15 * 60);
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// How long to wait after one more refusal than `before`.
pub(super) fn wait_after(before: u32) -> Duration {
    FIRST.saturating_mul(1 << before.min(16)).min(LONGEST)
}
