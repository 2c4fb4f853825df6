"""PromQL that the dashboards share.

Several exporters may poll the same targets: of what they say, the largest value counts (`max without (instance)`). The
labels of a site, job and cluster, stay, so that targets of the same name at two sites are two targets.

A query about something bad never answers 0 because its source is gone: it has no result then. So a 0 in place of nothing
(`or 0 * count(...)`) counts series that are there whenever the source works.
"""

SITE = 'job=~"$job",cluster=~"$cluster"'
EXPORTER = f'{SITE},instance=~"$instance"'
TARGET = f'{EXPORTER},target=~"$target"'
# What rules have recorded is of no instance.
RECORDED = f'{SITE},target=~"$target"'
# The exporter's own alerts have no target.
ALERT = f'{EXPORTER},target=~"$target|"'
NODE = 'node=~"$node"'


def select(metric, *matchers, scope=TARGET):
    return f"proxymeter_{metric}{{{','.join((scope,) + matchers)}}}"


def latest(metric, *matchers, scope=TARGET):
    return f"max without (instance) ({select(metric, *matchers, scope=scope)})"


def over(function, counter, *matchers, window="[$__rate_interval]", scope=TARGET):
    return f"max without (instance) ({function}({select(counter + '_total', *matchers, scope=scope)}{window}))"


def rate(counter, *matchers, scope=TARGET):
    return over("rate", counter, *matchers, scope=scope)


def bits(counter, *matchers, scope=TARGET):
    return f"8 * {rate(counter + '_bytes', *matchers, scope=scope)}"


def total(metric, *matchers):
    return f"sum({latest(metric, *matchers)})"


def zeros(metric, *matchers):
    """How many are 0."""
    return f"sum({latest(metric, *matchers)} == bool 0)"


def one(info, label=None):
    """An info metric, of which both versions are there for a while after an update."""
    labels = ", ".join(filter(None, ("cluster", "job", "target", label)))
    return f"topk by ({labels}) (1, {latest(info)})"


def milliseconds(metric, *matchers, scope=TARGET):
    """A time as Grafana's units for dates need it."""
    return f"1000 * {latest(metric + '_timestamp_seconds', *matchers, scope=scope)}"


def age(*matchers):
    return f"time() - {latest('target_part_last_success_timestamp_seconds', *matchers)}"


def numbered(metric, words, *matchers):
    """The current status as its number among the words, for a panel that shows the words again."""
    parts = (f"{number} * " + latest(metric, f'status="{word}"', *matchers) for number, word in enumerate(words, 1))
    return f"sum without (status) ({' or '.join(parts)})"


def quantile(share, histogram, window="[$__rate_interval]"):
    buckets = select(f"{histogram}_bucket")
    return f"histogram_quantile({share}, sum by (le) (max without (instance) (increase({buckets}{window}))))"


def own(metric, *matchers):
    """What an exporter says about itself."""
    return select(metric, *matchers, scope=EXPORTER)


def own_rate(counter):
    return f"rate({own(counter + '_total')}[$__rate_interval])"


def process(metric, function="{}"):
    """What every process exports, of the exporters."""
    exporters = f"last_over_time({own('build_info')}[1d])"
    return f"{function.format(f'{metric}{{{EXPORTER}}}')} and on (cluster, job, instance) {exporters}"


def of_active(query):
    """Those of active users."""
    active = latest("user_status", 'status="active"')
    return f"{query} and on (cluster, job, target, user) {active}"


def while_running(query):
    """Windows reach back to an exporter that no longer runs."""
    return f"{query} and on () count({own('build_info')})"


def recorded(rule, *matchers):
    return f"{rule}{{{','.join((RECORDED,) + matchers)}}}"


def hourly(rule, *matchers):
    """The last value of a rule that is evaluated once an hour."""
    return f"last_over_time({recorded(rule, *matchers)}[2h])"


def leading(rule, count=10):
    """The same few series throughout the time that is shown."""
    series = recorded(rule)
    return f"({series} and topk({count}, sum_over_time({series}[$__range] @ end())))"
