"""Runs a daemon under strace and checks the trace; then checks the check with wrong traces. Run by write_order.sh."""

import dataclasses
import http.server
import pathlib
import re
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request

CALLS = "openat,mkdir,pwrite64,fsync,fdatasync,connect,sendto,sendmsg,write,writev,recvfrom,read"
# Grouped by user: one message for each.
CONFIG = """
[storage]
path = "{storage}"
[alerting]
group_by = ["target", "alertname", "subject"]
group_wait = "0s"
[webhook.hook]
url = "http://127.0.0.1:{hook}/"
[email.mail]
smarthost = "127.0.0.1:{mail}"
tls = "none"
from = "meter@example.com"
to = "ops@example.com"
"""
# Text that only an answer that accepts a notification holds.
TAKEN = {"hook": "X-Taken: yes", "mail": "250 taken"}
NOTICE = re.compile(r"(?:webhook-id: |Message-ID: <)(msg_\w+)")
ENOUGH = 5


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("X-Taken", "yes")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        answers = {b"DATA": b"354 go on", b"QUIT": b"221 bye"}
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            word = line[:4].upper()
            self.wfile.write(answers.get(word, b"250 fine") + b"\r\n")
            if word == b"QUIT":
                return
            if word == b"DATA":
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                self.wfile.write(b"250 taken\r\n")


def start(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def record(program, work):
    """The trace of a daemon's first moments, its storage folder, and the ports of its receivers."""
    receivers = {
        "hook": start(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)),
        "mail": start(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)),
    }
    storage, config, log, trace = work / "storage", work / "exporter.toml", work / "log", work / "trace"
    panels = subprocess.Popen([program, "demo", "--panels-only"], stdout=subprocess.PIPE, text=True)
    tracer = None
    try:
        # The last line of the configuration that it prints is the second panel's.
        lines = iter(panels.stdout.readline, "")
        text = ""
        for line in lines:
            text += line
            if line.startswith("api_key"):
                break
        text = re.sub(r'listen = ".*"', 'listen = "127.0.0.1:0"', text)
        config.write_text(text + CONFIG.format(storage=storage, **receivers))
        with open(log, "w", encoding="utf-8") as stderr:
            tracer = subprocess.Popen(
                # The shell becomes the daemon, so that its id is known.
                ["strace", "-f", "-yy", "-ttt", "-s", "5000", "-e", "signal=none", "-e", f"trace={CALLS}", "-o", trace,
                 "sh", "-c", 'echo $$; exec "$@"', "sh", program, f"--config.file={config}"],
                stdout=subprocess.PIPE, stderr=stderr, text=True,
            )
        daemon = tracer.stdout.readline().strip()
        until(lambda: delivered_all(log.read_text()), "both receivers to get everything", log)
        subprocess.run(["kill", "-TERM", daemon], check=True)
        if tracer.wait(timeout=30) != 0:
            sys.exit("the daemon did not end well:\n" + log.read_text())
    finally:
        for process in filter(None, (tracer, panels)):
            process.terminate()
            process.wait()
    return trace.read_text().splitlines(), storage, receivers


def until(holds, what, log):
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    sys.exit(f"waited in vain for {what}:\n{log.read_text()}")


def delivered_all(log):
    address = re.search(r"listening on (http://[^\s\"]+)", log)
    if not address:
        return False
    with urllib.request.urlopen(address[1] + "/metrics", timeout=10) as answer:
        page = answer.read().decode()
    value = lambda name, receiver: re.search(rf'^proxymeter_{name}{{receiver="{receiver}"}} (\d+)$', page, re.M)
    delivered = [value("notifications_total", receiver) for receiver in TAKEN]
    waits = [value("notification_queue_length", receiver) for receiver in TAKEN]
    return all(delivered) and all(int(one[1]) >= ENOUGH for one in delivered) and all(one and one[1] == "0" for one in waits)


@dataclasses.dataclass
class Call:
    """A system call; `began` and `ended` are lines of the trace."""

    name: str
    text: str
    began: int
    ended: int
    time: float

    def failed(self):
        return " = -1 " in self.text


def calls(lines):
    begun, done = {}, []
    for number, line in enumerate(lines):
        thread, stamp, text = line.split(maxsplit=2)
        if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            if thread in begun:
                call = begun.pop(thread)
                call.text += text[resumed.end():]
                call.ended = number
                done.append(call)
        elif named := re.match(r"(\w+)\(", text):
            call = Call(named[1], text.removesuffix(" <unfinished ...>"), number, number, float(stamp))
            if call.text == text:
                done.append(call)
            else:
                begun[thread] = call
    return sorted(done, key=lambda call: call.began)


def judge(lines, storage, receivers):
    """How many notifications each receiver got; an AssertionError says what was done in a wrong order."""
    trace = calls(lines)
    wal = f"<{storage}/proxymeter.db-wal>"
    writes = [call for call in trace if call.name == "pwrite64" and wal in call.text.split(",", 1)[0]]
    syncs = [call for call in trace if call.name in ("fsync", "fdatasync") and not call.failed()]

    def synced(what, after, before):
        """Whether a sync of this file lies wholly between these two lines."""
        return any(f"<{what}>" in sync.text and after < sync.began and sync.ended < before for sync in syncs)

    def port(call):
        """To which of our receivers the call speaks."""
        found = re.search(r"->127\.0\.0\.1:(\d+)\]|sin_port=htons\((\d+)\)", call.text.split('"POST')[0])
        number = int(found[1] or found[2]) if found else None
        return next((name for name, port in receivers.items() if port == number), None)

    of_receiver = {name: [call for call in trace if port(call) == name] for name in receivers}
    connects = {name: [call for call in of if call.name == "connect"] for name, of in of_receiver.items()}
    first = min(of[0].began for of in connects.values() if of)

    made = [("mkdir", f'"{storage}"', storage.parent)]
    made += [("openat", f'"{storage}/proxymeter.db{end}"', storage) for end in ("", "-wal")]
    for name, path, folder in made:
        making = [call for call in trace if call.name == name and path in call.text and not call.failed()
                  and (name == "mkdir" or "O_CREAT" in call.text)]
        assert making, f"{path} was not made"
        assert synced(folder, making[0].ended, first), f"the entry of {path} was not synced before the first notification"

    delivered = {}
    for receiver, attempts in connects.items():
        ends = [attempt.began for attempt in attempts[1:]] + [len(lines)]
        for attempt, end in zip(attempts, ends):
            talk = [call for call in of_receiver[receiver] if attempt.began < call.began < end]
            ids = {found[1] for call in talk if (found := NOTICE.search(call.text))}
            assert len(ids) == 1, f"a visit to {receiver} brought {ids or 'nothing'}"
            (notice,) = ids
            recorded = [write.ended for write in writes if notice in write.text and write.ended < attempt.began]
            assert recorded, f"{notice} was not written down before {receiver} was visited"
            assert synced(f"{storage}/proxymeter.db-wal", recorded[0], attempt.began), \
                f"{notice} was not synced before {receiver} was visited"
            answers = [call for call in talk if call.name in ("recvfrom", "read") and TAKEN[receiver] in call.text]
            assert answers, f"{receiver} did not take {notice}"
            # The receiver's row holds when it last took something: what was written before this answer is older.
            row = re.compile(rf"{receiver}{{.{{0,80}}?last_success\W+(\d+)")
            marks = [write.ended for write in writes if answers[0].ended < write.began < end
                     and any(int(at) >= int(answers[0].time * 1000) for at in row.findall(write.text))]
            assert marks, f"that {receiver} took {notice} was not written down before the next"
            assert synced(f"{storage}/proxymeter.db-wal", marks[0], end), \
                f"that {receiver} took {notice} was not synced before the next"
        delivered[receiver] = len(attempts)
    return delivered


def lies(lines, storage, receivers):
    """Traces with a wrong order, made from the real one, each with the error that judge must raise."""
    wal = f"<{storage}/proxymeter.db-wal>"
    connect = re.compile("|".join(rf"connect\(.*htons\({port}\)" for port in receivers.values()))
    sync = re.compile(r" f(data)?sync\(")
    first = next(number for number, line in enumerate(lines) if connect.search(line))
    last_sync = max(number for number, line in enumerate(lines[:first]) if wal in line and sync.search(line))
    without = lambda leave_out: [line for number, line in enumerate(lines) if not leave_out(number, line)]
    is_sync = lambda line: wal in line and sync.search(line)
    is_write = lambda line: wal in line and " pwrite64(" in line
    yield "was not synced before", without(lambda number, line: is_sync(line) and number < first)
    yield "was not synced before", [re.sub(r"= 0$", "= -1 EIO (Input/output error)", line) if is_sync(line) else line
                                    for line in lines]
    yield "was not synced before", lines[:last_sync] + [lines[first]] + lines[last_sync:first] + lines[first + 1:]
    yield "was not written down before", without(lambda number, line: is_write(line) and number < first)
    yield "was not written down before the next", without(lambda number, line: is_write(line) and number > first)
    yield "was not synced before the next", without(lambda number, line: is_sync(line) and number > first)
    yield "entry of", without(lambda _, line: f"<{storage}>)" in line and sync.search(line))
    yield "entry of", without(lambda _, line: f"<{storage.parent}>)" in line and sync.search(line))


def main(program, work):
    work = pathlib.Path(work).resolve()
    trace = record(program, work)
    try:
        delivered = judge(*trace)
    except AssertionError as wrong:
        sys.exit(f"a wrong order of writes: {wrong}")
    assert all(delivered[receiver] >= ENOUGH for receiver in TAKEN), delivered
    seen = 0
    for complaint, lie in lies(*trace):
        assert lie != trace[0]
        try:
            judge(lie, *trace[1:])
        except AssertionError as wrong:
            assert complaint in str(wrong), f"{wrong}, where it should be: {complaint}"
            seen += 1
        else:
            sys.exit(f"a wrong trace was not refused: {complaint}")
    print(f"{delivered} notifications, each synced before it was sent and marked before the next; {seen} wrong traces were refused")


main(*sys.argv[1:])
