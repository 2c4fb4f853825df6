"""Clients: one that keeps its connection, wrk, and curl."""

import pathlib
import re
import socket
import subprocess
import time

from .process import processor_time_of

BUFFER = 1 << 22
FORMS = {
    "plain": "",
    "gzip": "Accept-Encoding: gzip\r\n",
    "OpenMetrics": "Accept: application/openmetrics-text\r\n",
}


class Client:
    """One connection to a server on loopback, kept for many requests."""

    def __init__(self, port, path="/metrics", form="plain", kept=True):
        self.port, self.kept = port, kept
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{FORMS[form]}\r\n".encode()
        self.buffer = bytearray(BUFFER)
        self.socket = None

    def get(self, keep_body=False):
        """Seconds that one request takes, the size of the body, and the body if it is wanted."""
        began = time.perf_counter()
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=120)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.request)
        view, body = memoryview(self.buffer), []
        got = 0
        while (head_ends := self.buffer.find(b"\r\n\r\n", 0, got)) < 0:
            got += self.read(view[got:])
        head = bytes(view[:head_ends]).lower()
        size = re.search(rb"\r\ncontent-length: *(\d+)", head)
        is_chunked = b"\r\ntransfer-encoding: chunked" in head
        if not head.startswith(b"http/1.1 200") or (size is None and not is_chunked):
            raise RuntimeError(f"an answer without a length, or not 200: {head[:200]}")
        keep = (lambda start, end: body.append(bytes(view[start:end]))) if keep_body else (lambda start, end: None)
        if is_chunked:
            size = self.read_chunks(view, head_ends + 4, got, keep)
        else:
            size, got = int(size[1]), got - head_ends - 4
            keep(head_ends + 4, head_ends + 4 + got)
            while got < size:
                n = self.read(view)
                keep(0, n)
                got += n
        took = time.perf_counter() - began
        if not self.kept:
            self.close()
        return took, size, b"".join(body)

    def read_chunks(self, view, start, end, keep):
        """Reads a body in chunks, of which the buffer has the bytes from start to end. Returns its size."""
        size = 0
        while True:
            while (line_ends := self.buffer.find(b"\r\n", start, end)) < 0:
                if start > BUFFER // 2:
                    rest = bytes(view[start:end])
                    view[: len(rest)], start, end = rest, 0, len(rest)
                end += self.read(view[end:])
            chunk = int(bytes(view[start:line_ends]), 16)
            is_last = chunk == 0
            start, size = line_ends + 2, size + chunk
            while end - start < chunk:
                keep(start, end)
                chunk -= end - start
                start, end = 0, self.read(view)
            keep(start, start + chunk)
            start += chunk
            while end - start < 2:
                rest = bytes(view[start:end])
                view[: len(rest)], start, end = rest, 0, len(rest)
                end += self.read(view[end:])
            start += 2
            if is_last:
                return size

    def read(self, view):
        if n := self.socket.recv_into(view):
            return n
        raise ConnectionError("the server closed the connection")

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


def wrk(port, connections, seconds, form="plain", path="/metrics"):
    """Requests per second, and the latency that 99 % do not exceed, in ms."""
    headers = [word for line in FORMS[form].split("\r\n") if line for word in ("-H", line)]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=60s", "--latency", *headers]
    command.append(f"http://127.0.0.1:{port}{path}")
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if errors := re.findall(r"(?:Non-2xx|Socket errors).*", output):
        raise RuntimeError(f"wrk: {errors}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    late = re.search(r"^\s+99%\s+(\S+)\s*$", output, re.M)
    if rate == 0 or late is None:
        raise RuntimeError(f"wrk got no answer in time:\n{output}")
    return rate, milliseconds(late[1])


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


def curl(work, urls):
    """Seconds of processor time that downloading these takes, one after the other on one connection."""
    file = pathlib.Path(work) / "curl.conf"
    file.write_text("silent\nfail\n" + "".join(f'url = "{url}"\noutput = /dev/null\n' for url in urls))
    return processor_time_of(["curl", "--config", file])[0]
