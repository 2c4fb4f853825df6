from layout import *
from panels import *
from queries import *

CREDENTIAL_STATUS = {
    "active": "green",
    "pending": "blue",
    "refreshing": "yellow",
    "error": "red",
    "disabled": GRAY,
    "unknown": "purple",
}
NAMED = (label("credential"), label("target"))
LATELY = "[10m]"


def lately(counter):
    """In the last ten minutes. $__rate_interval would grow with the time that is shown."""
    return f"sum({over('increase', counter, window=LATELY)})"


def percentiles(title, description, histogram):
    return chart(
        title,
        description,
        (8, 8),
        "s",
        *(line(quantile(share, histogram), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)),
        interval="1m",
        min=0,
    )


def tokens(kind):
    return line(f"60 * sum({rate(f'llm_{kind}_tokens')})", kind.replace("_", " "))


def recent(metric, window):
    return hourly(f"target_api_key:proxymeter_llm_{metric}:increase{window}")


FULLEST = f"topk(100, {latest('llm_credential_quota_used_ratio')})"
STATUS = numbered("llm_credential_status", CREDENTIAL_STATUS)
# Those that an operator switched off are not missing.
OFF = latest("llm_credential_status", 'status="disabled"') + " == 1"
OUT = f"sum(({latest('llm_credential_available')} == bool 0) unless on (cluster, job, target, credential) ({OFF}))"
REQUESTS, FAILED = lately("llm_requests"), lately("llm_requests_failed")
# The series of a status code begins with its first error, which increase() does not see. It is new if the target had
# other series before.
BEFORE = "offset $__rate_interval"
EARLIER = f"max without (instance) ({select('llm_errors_total')} {BEFORE})"
KNOWN = f"group by (cluster, job, target) ({select('llm_requests_total')} {BEFORE})"
FIRST = f"({latest('llm_errors_total')} unless {EARLIER}) and on (cluster, job, target) {KNOWN}"
ERRORS = f"{FIRST} or {over('increase', 'llm_errors')}"
COST = over("increase", "llm_cost_usd", window="[1d]")
# Chosen once for the time that is shown. Otherwise the ten would differ from moment to moment.
EXPENSIVE = f"topk(10, sum by (model) ({over('increase', 'llm_cost_usd', window='[$__range] @ end()')}))"

DASHBOARD = dashboard(
    "proxymeter-llm",
    "proxymeter / LLM traffic",
    "Requests, errors, tokens, cost and duration by provider, model and client key, and the credentials and "
    "their quotas.",
    EVERYWHERE,
    [
        *stats(
            stat(
                "Requests",
                "Attempts at the providers in the last ten minutes, retries and failed ones included.",
                while_running(f"{REQUESTS} / 600"),
                unit="reqps",
            ),
            stat(
                "Failed",
                "The share of the attempts in the last ten minutes that failed.",
                while_running(f"{FAILED} / {REQUESTS}"),
                unit="percentunit",
                thresholds=steps("green", yellow=0.02, red=0.1),
            ),
            stat(
                "Tokens per minute",
                "All tokens, as the server sums them up, in the last ten minutes.",
                while_running(f"{lately('llm_tokens')} / 10"),
            ),
            stat(
                "Cost in 24 h",
                "At the configured list prices; a lower bound.",
                while_running(f"sum({COST})"),
                unit="currencyUSD",
            ),
            stat(
                "p95 duration",
                "95 percent of the attempts in the last ten minutes took at most this long.",
                while_running(quantile(0.95, "llm_request_duration_seconds", LATELY)),
                unit="s",
                thresholds=steps("green", yellow=20, red=60),
            ),
            stat(
                "p95 first token",
                "In 95 percent of the attempts in the last ten minutes the answer began after at most this time.",
                while_running(quantile(0.95, "llm_time_to_first_token_seconds", LATELY)),
                unit="s",
                thresholds=steps("green", yellow=3, red=10),
            ),
            stat(
                "Credentials out",
                "Credentials that no request may use now, without those that were switched off.",
                OUT,
                thresholds=DOUBTFUL,
            ),
        ),
        chart(
            "Requests by provider",
            "Attempts at each provider.",
            (8, 8),
            "reqps",
            line(f"sum by (provider) ({rate('llm_requests')})", "{{provider}}"),
            stacked=True,
        ),
        chart(
            "Errors by status code",
            "The share of all attempts that failed, by the provider's status code. 499: the client hung up.",
            (8, 8),
            "percentunit",
            line(
                f"sum by (status_code) ({ERRORS}) / on () group_left () (sum({over('increase', 'llm_requests')}) > 0)",
                "{{status_code}}",
            ),
            stacked=True,
            interval="1m",
            min=0,
        ),
        percentiles(
            "Duration of attempts",
            "Half, 95 and 99 percent of the attempts took at most this long.",
            "llm_request_duration_seconds",
        ),
        timeline(
            "Credentials",
            "The state of each credential by which the server reaches a provider.",
            (11, 9),
            STATUS,
            "{{credential}} {{target}} {{cluster}}",
            statuses(**CREDENTIAL_STATUS),
        ),
        table(
            "Quota windows",
            "The share of each quota window that is used, of the 100 fullest, as the provider last said it, and when "
            "the window ends. No model: the quota is of all.",
            (13, 9),
            *NAMED,
            label("model"),
            label("window"),
            value(
                "Used",
                FULLEST,
                unit="percentunit",
                thresholds=FILLING,
                cell="gauge",
                min=0,
                max=1,
            ),
            value("Ends", f"{milliseconds('llm_credential_quota_reset')} and {FULLEST}", unit="dateTimeFromNow"),
            sort="Used",
            descending=True,
        ),
    ],
    [
        row(
            "Tokens, cost and budgets",
            chart(
                "Tokens per minute, by kind",
                "Kinds overlap, and mean what the provider means by them: do not add them up.",
                (8, 8),
                "short",
                *map(tokens, ("input", "output", "reasoning", "cached", "cache_write", "unpriced")),
                min=0,
            ),
            chart(
                "Cost per hour, by model",
                "At the configured list prices, of the ten models that cost most in the time that is shown; a lower "
                "bound.",
                (8, 8),
                "currencyUSD",
                line(f"3600 * sum by (model) ({rate('llm_cost_usd')}) and {EXPENSIVE}", "{{model}}"),
                interval="1m",
                min=0,
            ),
            bars(
                "Budgets",
                "The share of its budget that each client key has used in the running day or month; the 15 largest.",
                (8, 8),
                f"topk(15, {latest('llm_budget_used_ratio')})",
                "{{api_key}} {{budget}} a {{period}}",
                "percentunit",
                max=1,
            ),
            table(
                "Client keys",
                "Tokens and cost of each client key, by its alias or a keyed hash; the 50 with most tokens in "
                "30 days. Needs the recording rules.",
                (14, 9),
                label("api_key", "Client key"),
                label("target"),
                value("Tokens 24 h", recent("tokens", "1d")),
                value("Cost 24 h", recent("cost_usd", "1d"), unit="currencyUSD"),
                value("Tokens 30 d", f"topk(50, {recent('tokens', '30d')})"),
                value("Cost 30 d", recent("cost_usd", "30d"), unit="currencyUSD"),
                sort="Tokens 30 d",
                descending=True,
            ),
            table(
                "Limits of the budgets",
                "The configured budgets, in tokens or US dollars a day or month.",
                (10, 9),
                label("api_key", "Client key"),
                label("budget"),
                label("period"),
                value("Limit", f"topk(50, {latest('llm_budget_limit')})"),
                value("Used", latest("llm_budget_used_ratio"), unit="percentunit", thresholds=FILLING),
                hide=["target"],
                sort="Used",
                descending=True,
            ),
        ),
        row(
            "Failures, first token and cooldowns",
            chart(
                "Failed attempts by provider",
                "The share of the attempts of ten minutes that failed. Needs the recording rules.",
                (8, 8),
                "percentunit",
                line(
                    recorded("target_provider:proxymeter_llm_requests_failed:ratio_rate10m"),
                    "{{provider}} {{target}} {{cluster}}",
                ),
                min=0,
                max=1,
            ),
            percentiles(
                "Time to the first token",
                "In half, 95 and 99 percent of the attempts the answer began after at most this time.",
                "llm_time_to_first_token_seconds",
            ),
            table(
                "Cooldowns",
                "What the server does not use until the given time: a credential or one model; the 100 that end first.",
                (8, 8),
                label("credential"),
                label("scope"),
                label("model"),
                label("reason"),
                value("Until", f"bottomk(100, {milliseconds('llm_credential_cooldown_end')})", unit="dateTimeFromNow"),
                hide=["target"],
                sort="Until",
            ),
            table(
                "Use of credentials",
                "Attempts by each credential as the server counts them. Plan: the time until the plan that pays"
                " for it ends.",
                (24, 9),
                *NAMED,
                labels_of(latest("llm_credential_info")),
                label("provider"),
                value("Status", STATUS, mappings=statuses(**CREDENTIAL_STATUS)),
                value(
                    "Available",
                    latest("llm_credential_available"),
                    mappings=words({0: ("no", "orange"), 1: ("yes", "green")}),
                ),
                value("Requests", rate("llm_credential_requests"), unit="reqps"),
                value("Failed", rate("llm_credential_requests_failed"), unit="reqps"),
                value(
                    "Plan",
                    f"{latest('llm_credential_plan_expiry_timestamp_seconds')} - time()",
                    unit="s",
                    thresholds=EXPIRES,
                ),
                value("Token renewed", milliseconds("llm_credential_last_refresh"), unit="dateTimeFromNow"),
                sort="Credential",
            ),
        ),
        row(
            "How complete the counters are",
            table(
                "Reading of usage",
                "How usage is read from each server. Omitted: quota windows and cooldowns beyond the cap.",
                (12, 8),
                label("target"),
                value(None, f"{latest('llm_usage_mode')} == 1"),
                label("mode"),
                value("Server records", latest("llm_usage_enabled"), mappings=YES),
                value("Records", rate("llm_usage_records"), unit="cps"),
                value("Omitted", latest("llm_credential_limits_omitted"), thresholds=DOUBTFUL),
            ),
            chart(
                "Lost records",
                "Times at which records may have been lost, and attempts of which no record came. The counters "
                "are too low from then on.",
                (12, 8),
                "cps",
                line(rate("llm_usage_gaps"), "{{target}} {{cluster}} gaps"),
                line(rate("llm_usage_bypassed"), "{{target}} {{cluster}} bypassed"),
                min=0,
            ),
        ),
    ],
)
