"""Runs an Alertmanager and compares its webhook body with ours. Run by alertmanager_e2e.sh."""

import http.server
import pathlib
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ALERTS = pathlib.Path("tests/fixtures/webhook/alerts.json")
GOLDEN = pathlib.Path("tests/golden/webhook.json")

CONFIG = """
route:
  receiver: ops
  group_by: [target, alertname]
  group_wait: 1s
receivers:
  - name: ops
    webhook_configs:
      - url: http://127.0.0.1:{port}/
"""

posted = queue.Queue()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        posted.put((dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post_alerts(base, log):
    """Posts as soon as the API is there."""
    request = urllib.request.Request(
        base + "/api/v2/alerts", ALERTS.read_bytes(), {"Content-Type": "application/json"}
    )
    for _ in range(300):
        try:
            urllib.request.urlopen(request, timeout=5)
            return
        except urllib.error.HTTPError as refused:
            sys.exit(f"Alertmanager refused the alerts: {refused.read().decode()}")
        except OSError:
            time.sleep(0.1)
    sys.exit("Alertmanager did not start within 30 seconds:\n" + log.read_text())


def main(alertmanager, work, update):
    work = pathlib.Path(work)
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    config = work / "alertmanager.yml"
    config.write_text(CONFIG.format(port=receiver.server_port))
    port = free_port()
    command = [
        alertmanager,
        f"--config.file={config}",
        f"--storage.path={work / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.external-url=http://proxymeter.example:9105/",
        "--web.route-prefix=/",
        "--cluster.listen-address=",
    ]
    with open(work / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        post_alerts(f"http://127.0.0.1:{port}", work / "log")
        headers, body = posted.get(timeout=60)
    finally:
        process.terminate()
        process.wait()
    if headers.get("Content-Type") != "application/json":
        sys.exit(f"another content type: {headers}")
    if update:
        GOLDEN.write_bytes(body)
    if body != GOLDEN.read_bytes():
        sys.stdout.buffer.write(b"Alertmanager posted:\n" + body + b"instead of:\n" + GOLDEN.read_bytes())
        sys.exit(1)
    print(f"Alertmanager posted exactly {GOLDEN}")


main(sys.argv[1], sys.argv[2], "--update" in sys.argv[3:])
