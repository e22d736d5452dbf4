"""The server of the load test, seen from outside: its counts, and what the system says it holds."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx

from pretune.serving.bodies import MOST_CHOICES
from pretune.serving.key_file import new_key

SLOTS, CACHE_TOKENS, MOST_REQUESTS = 2, 512, 32
"""Few of all, so that adapters come and go, blocks run out, and clients are told to come back."""

IDLE_SECONDS = 30
MOST_GROWTH = 48 * 2**20
"""Bytes that a server may grow by after its warm-up: what allocators keep, not what leaks."""


MOST_LINES = 20
"""Of the server's log that are told."""


class Held(NamedTuple):
    """What a process holds."""

    files: int
    threads: int
    rss: int


class Server:
    """``pretune serve`` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.admin_key = new_key(folder / "admin-keys")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log_file = folder / "server.log"
        self._log = self._log_file.open("w")
        command = [
            sys.executable, "-m", "pretune", "serve",
            str(folder / "runs"), str(folder / "registry"),
            "--port", str(port), "--admin-keys", str(folder / "admin-keys"),
            "--slots", str(SLOTS), "--cache-tokens", str(CACHE_TOKENS),
            "--most-requests", str(MOST_REQUESTS),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=self._log)

    def wait_ready(self, seconds: float = 120) -> None:
        """Until it takes requests."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/ready").status_code == 200:
                    return
            time.sleep(0.1)
        raise SystemExit("the server did not start")

    def counts(self) -> dict[str, float]:
        """The gauges of ``/metrics``."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        pairs = (line.split() for line in lines if line.startswith("pretune_") and "{" not in line)
        return {name.removeprefix("pretune_"): float(value) for name, value in pairs}

    def idle(self) -> dict[str, float]:
        """The gauges, once nothing is under way, or after :data:`IDLE_SECONDS`."""
        _until(lambda: not self._busy())
        time.sleep(1)  # connections of clients that left are closed by then
        return self.counts()

    def _busy(self) -> float:
        counts = self.counts()
        return counts["requests_waiting"] + counts["requests_running"]

    def settled(self, before: Held) -> Held:
        """What it holds once that is no more than ``before``, or after :data:`IDLE_SECONDS`: it may
        take a moment to notice that clients have gone."""
        _until(lambda: self.held().files <= before.files and self.held().threads <= before.threads)
        return self.held()

    def held(self) -> Held:
        """From the system's books."""
        place = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        rss = int(status["VmRSS"].split()[0]) * 1024
        return Held(len(os.listdir(place / "fd")), int(status["Threads"]), rss)

    def log(self) -> list[str]:
        """The lines of its log but the one that says where it listens."""
        lines = self._log_file.read_text(errors="replace").splitlines()
        return [line for line in lines if line and not line.startswith("serving ")]

    def stop(self) -> float:
        """SIGTERM; the seconds until it has gone, with nothing to finish."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(IDLE_SECONDS)
        finally:
            self.process.kill()
            self._log.close()
        return time.monotonic() - began


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + IDLE_SECONDS
    while not done() and time.monotonic() < end:
        time.sleep(0.1)


def room(url: str, model: str) -> list[str]:
    """What is in the way of as many answers at once as the server takes: one that ended and is
    still waited for is in no count."""
    body = {"model": model, "prompt": ["a"] * (MOST_REQUESTS // MOST_CHOICES), "n": MOST_CHOICES}
    response = httpx.post(f"{url}/v1/completions", json=body | {"max_tokens": 1}, timeout=60)
    if response.status_code == 200:
        return []
    return [f"no room for {MOST_REQUESTS} answers: {response.json()['error']['message']}"]


def left_over(
    counts: dict[str, float], before: Held, after: Held, log: Sequence[str] = ()
) -> list[str]:
    """What an idle server should not hold, and what it should not have told in its ``log``: a
    fault, blocks that do not add up, a task that ended with an error nobody asked for."""
    found = [
        f"{name} is {counts[name]:g}"
        for name in (
            "requests_waiting", "requests_running", "cache_blocks_held", "adapter_bytes_held",
        )
        if counts[name]
    ]  # fmt: skip
    if after.files > before.files:
        found.append(f"{after.files} open files, {before.files} before")
    if after.threads > before.threads:
        found.append(f"{after.threads} threads, {before.threads} before")
    if after.rss > before.rss + MOST_GROWTH:
        found.append(f"{(after.rss - before.rss) / 2**20:.0f} MiB more memory than before")
    found += [f"the log says: {line}" for line in log[:MOST_LINES]]
    return found
