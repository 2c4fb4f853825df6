"""CLIProxyAPI: 6.9 with totals of so many attempts, and 7.2 with a queue of records."""

import datetime
import re
import time

from .population import Population, Template

KEYS = ["sk-client-alpha-0000000001", "sk-client-beta-00000000002", "sk-client-gamma-0000000003"]
MODELS = ["claude-opus-4-8", "claude-sonnet-4-6", "gpt-5.2-codex", "gemini-3-pro", "gpt-5-mini"]
DETAIL = {
    "timestamp": "«time»", "latency_ms": "«#latency»", "source": "sk-up-ant-AAAA000000000001",
    "auth_index": "76f2b6ff23d91ab7",
    "tokens": {
        "input_tokens": "«#input»", "output_tokens": 120, "reasoning_tokens": 0, "cached_tokens": 20,
        "total_tokens": "«#total»",
    },
    "failed": False,
}
RECORD = {
    "timestamp": "«time»", "latency_ms": "«#latency»", "ttft_ms": 310, "source": "sk-up-ant-AAAA000000000001",
    "auth_index": "2187e6c2f59bd973", "client_ip": "127.0.0.1", "x_forwarded_for": "",
    "user_agent": "claude-cli/2.1.0 (external, cli)",
    "tokens": {
        "input_tokens": "«#input»", "output_tokens": 120, "reasoning_tokens": 0, "cached_tokens": 20,
        "cache_read_tokens": 20, "cache_read_tokens_present": True, "cache_creation_tokens": 0,
        "total_tokens": "«#total»",
    },
    "failed": False, "generate": True, "fail": {"status_code": 200, "body": ""},
    "response_headers": {
        "Content-Length": ["356"], "Content-Type": ["application/json"], "Date": ["Wed, 25 Nov 2026 19:12:31 GMT"],
        "Set-Cookie": ["session=value; Path=/"], "X-Request-Id": ["req_000000230591"],
    },
    "accounting_version": 2,
    "token_breakdown": {
        "schema_version": 2, "quality": "complete", "total_tokens": "«#total»",
        "input": {
            "total_tokens": "«#input»", "uncached_tokens": "«#input»", "cache_read_tokens": 0, "cache_write_tokens": 0
        },
        "output": {"total_tokens": 120, "non_reasoning_tokens": 120, "reasoning_tokens": 0}, "unclassified_tokens": 0,
    },
    "provider": "claude", "executor_type": "ClaudeExecutor", "model": "«model»", "alias": "«model»",
    "endpoint": "POST /v1/messages", "auth_type": "apikey", "api_key": "«key»", "request_id": "«id»",
    "reasoning_effort": "", "service_tier": "auto",
}
CREDENTIAL = {
    "account": "carol@example.com", "account_type": "oauth", "auth_index": "76f2b6ff23d91ab7", "disabled": False,
    "email": "carol@example.com", "failed": 0, "id": "claude-carol@example.com.json", "label": "carol@example.com",
    "name": "claude-carol@example.com.json", "provider": "claude", "source": "file", "status": "active", "status_message": "",
    "success": 12, "type": "claude", "unavailable": False,
}


def attempt(template, number, at, **more):
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    tokens = 100 + number % 900
    return template.fill(
        time=moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z"), latency=str(100 + number % 900), input=str(tokens),
        total=str(tokens + 120), **more,
    )


class Usage(Population):
    """So many attempts since the start of the server, in one answer, and a hundred more at each tick."""

    name = "cliproxy"
    kept = "usage"
    missing = "404 page not found"
    headers = {"X-CPA-VERSION": "6.9.49"}
    MORE = 100

    def __init__(self, users, firing=0):
        super().__init__(users, firing)
        self.template = Template(DETAIL)
        self.lists, self.counts, self.tokens = None, None, None

    def config(self, target, url, more=""):
        return f'[cliproxy.{target}]\nurl = "{url}"\nmanagement_key = "key"\nusage = "snapshot"\n{more}'

    def fixed(self):
        base = "/v0/management"
        return {
            f"{base}/usage-statistics-enabled": {"usage-statistics-enabled": True},
            f"{base}/auth-files": {"files": [CREDENTIAL]}, f"{base}/api-key-usage": {},
            f"{base}/config": {"redis-usage-queue-retention-seconds": 60},
        }

    def files(self):
        return {"/v0/management/usage": "/usage"}

    def is_list(self, path):
        return path.endswith("/v0/management/usage")

    def add(self, number, at):
        place = number % len(self.lists)
        self.lists[place].append(attempt(self.template, number, at))
        self.counts[place] += 1
        self.tokens[place] += 220 + number % 900

    def body(self):
        apis = []
        for place, key in enumerate(KEYS):
            lists = range(place * len(MODELS), (place + 1) * len(MODELS))
            for this in lists:
                # Joined once: what comes later is appended.
                self.lists[this] = [b",".join(self.lists[this])]
            models = b",".join(
                b'"%s":{%s,"details":[%s]}' % (model.encode(), self.totals([this]), self.lists[this][0])
                for model, this in zip(MODELS, lists)
            )
            apis.append(b'"%s":{%s,"models":{%s}}' % (key.encode(), self.totals(lists), models))
        usage = b'{%s,"failure_count":0,"apis":{%s}}' % (self.totals(range(len(self.lists))), b",".join(apis))
        return b'{"failed_requests":0,"usage":%s}' % usage

    def totals(self, lists):
        count, tokens = (sum(values[this] for this in lists) for values in (self.counts, self.tokens))
        return b'"total_requests":%d,"total_tokens":%d' % (count, tokens)

    def answer(self, path):
        if self.lists is None:
            lists = len(KEYS) * len(MODELS)
            self.lists, self.counts, self.tokens = [[] for _ in range(lists)], [0] * lists, [0] * lists
            for number in range(self.users):
                self.add(number, self.begins - 86_400 + number * 86_000 / self.users)
        return self.kept, self.body()

    def tick(self, number):
        if self.lists is None:
            return
        for more in range(self.MORE):
            self.add(sum(self.counts), time.time() - 1 + more / self.MORE)
        yield self.kept, None, self.body()


class Queue(Usage):
    """A server with a queue, into which `users` records come in a second."""

    name = "cliproxy-queue"
    kept = None
    missing = ""
    headers = {"X-CPA-VERSION": "7.2.140"}

    def __init__(self, users, firing=0):
        super().__init__(users, firing)
        self.template = Template(RECORD)
        self.taken = None

    def config(self, target, url, more=""):
        return super().config(target, url, more).replace('"snapshot"', '"queue"')

    def files(self):
        return {"/v0/management/usage-queue": "/none", "/batch": "/batch"}

    def is_list(self, path):
        return "/v0/management/usage-queue" in path

    def record(self, number, at):
        key, model = KEYS[number % len(KEYS)], MODELS[number % len(MODELS)]
        return attempt(self.template, number, at, key=key, model=model, id=f"{number:08x}")

    def answer(self, path):
        now = time.time()
        if self.taken is None:
            self.taken, self.begins = 0, now
        most = int((re.search(r"count=(\d+)", path) or (0, 1))[1])
        waiting = int((now - self.begins) * self.users) - self.taken
        numbers = range(self.taken, self.taken + min(most, waiting))
        self.taken = numbers.stop
        return None, b"[%s]" % b",".join(self.record(number, now) for number in numbers)

    def batch(self, records):
        """An answer with so many records."""
        return b"[%s]" % b",".join(self.record(number, self.begins) for number in range(records))

    def tick(self, number):
        return ()
