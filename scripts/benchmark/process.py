"""Processes that the benchmark starts, and what they need. All of them end with it."""

import atexit
import os
import pathlib
import re
import signal
import subprocess
import time

STARTED = []


def start(command, **options):
    process = subprocess.Popen([str(word) for word in command], **options)
    STARTED.append(process)
    return process


def stop(process, patience=20):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process in STARTED:
        STARTED.remove(process)


@atexit.register
def stop_all():
    for process in list(STARTED):
        stop(process)


# So that the above runs.
signal.signal(signal.SIGTERM, lambda *_: exit(143))


def processor_time(pid):
    """The seconds of processor time of a process and its threads, ended ones too: the clock of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def processor_time_of(command, **options):
    """Runs a command, and returns the seconds of processor time that it takes and its output."""
    process = start(command, stdout=subprocess.PIPE, **options)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    STARTED.remove(process)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, output.decode()


def until(holds, within, what, every=0.02):
    """What `holds` returns, as soon as that is true."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(every)
    raise TimeoutError(f"waited too long: {what}")


class Daemon:
    """The program without environment variables. `config` is its file, without [web] and [storage]."""

    def __init__(self, work, config):
        self.work = pathlib.Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        file = self.work / "exporter.toml"
        file.write_text(f'[storage]\npath = "{self.work}/storage"\n{config}')
        program = os.path.abspath(os.environ["PROXYMETER"])
        command = [program, f"--config.file={file}", "--web.listen-address=127.0.0.1:0"]
        self.log = self.work / "daemon.log"
        with open(self.log, "wb") as log:
            self.process = start(command, stdout=log, stderr=log, env={}, cwd=self.work)
        self.port = until(self.find_port, 20, "the daemon listens")

    def find_port(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon ended:\n{self.log.read_text()}")
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", self.log.read_text())
        return found and int(found[1])

    def processor_time(self):
        return processor_time(self.process.pid)

    def memory(self, key):
        """VmHWM (the peak) or VmRSS, in MB of 2^20 bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+) kB", status, re.M)[1]) / 1024

    def stop(self):
        stop(self.process)
