"""Counts in Prometheus form, labelled by task and version."""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from pretune.engine.engine import Stats
from pretune.serving.meter import Served

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

_GAUGES = {
    "requests_waiting": ("waiting", "Requests that wait for room or for their adapter."),
    "requests_running": ("running", "Requests in the batch."),
    "cache_blocks_held": ("blocks_held", "KV blocks that running requests hold."),
    "cache_blocks_kept": ("blocks_kept", "KV blocks kept for reuse."),
    "cache_blocks": ("blocks", "KV blocks in all."),
    "adapters_resident": ("adapters_resident", "Adapters in a slot."),
    "adapter_bytes_held": ("adapter_bytes_held", "Bytes of adapters that some prompt needs now."),
    "adapter_loads": ("adapter_loads", "Adapters loaded into a slot since the start."),
    "preemptions": ("preemptions", "Requests that gave up their blocks since the start."),
    "reused_prompt_tokens": ("reused_tokens", "Prompt tokens found in kept blocks."),
    "engine_steps": ("steps", "Steps since the start."),
}
"""Metric by field of the engine's stats, with its help text."""


class Prometheus:
    """Implements :class:`pretune.serving.meter.Meter` in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "pretune_requests",
            "Requests that ended.",
            ["task", "version", "outcome"],
            registry=registry,
        )
        self._tokens = Counter(
            "pretune_tokens",
            "Tokens of prompts and answers; of prompts also those found in kept blocks (reused).",
            ["task", "version", "kind"],
            registry=registry,
        )
        self._queue = Histogram(
            "pretune_queue_seconds",
            "Seconds that an answer waited for room and for its adapter.",
            ["task", "version"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._fetched = Counter(
            "pretune_adapter_waits",
            "Answers that waited for their adapter to be loaded.",
            ["task", "version"],
            registry=registry,
        )
        self._first = Histogram(
            "pretune_time_to_first_token_seconds",
            "From a request's arrival to its first token.",
            ["task", "version"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._token = Histogram(
            "pretune_inter_token_seconds",
            "From each token to the next of its answer.",
            ["task", "version"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._whole = Histogram(
            "pretune_request_seconds",
            "From a request's arrival to its end.",
            ["task", "version"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._shadowed = Counter(
            "pretune_shadow_requests",
            "Requests that a shadow version was asked as well, by whether it agreed.",
            ["task", "version", "result"],
            registry=registry,
        )
        self._versions: set[tuple[str, str]] = set()
        self._gauges = {
            field: Gauge(f"pretune_{name}", text, registry=registry)
            for name, (field, text) in _GAUGES.items()
        }

    def served(self, one: Served) -> None:
        """Count a request."""
        who = (one.task, one.version)
        self._versions.add(who)
        self._requests.labels(*who, one.outcome).inc()
        self._tokens.labels(*who, "prompt").inc(one.prompt_tokens)
        self._tokens.labels(*who, "new").inc(one.new_tokens)
        self._tokens.labels(*who, "reused").inc(sum(begun.reused for begun in one.begun))
        self._fetched.labels(*who).inc(sum(begun.fetched for begun in one.begun))
        for begun in one.begun:
            self._queue.labels(*who).observe(begun.waited)
        self._whole.labels(*who).observe(one.seconds)
        if one.first is not None:
            self._first.labels(*who).observe(one.first)
        between = self._token.labels(*who)
        for gap in one.gaps:
            between.observe(gap)

    def shadowed(self, task: str, version: str, result: str) -> None:
        """Count what came of asking a shadow."""
        self._versions.add((task, version))
        self._shadowed.labels(task, version, result).inc()

    def keep(self, versions: Collection[tuple[str, str]]) -> None:
        """Drop the series of all other versions, so that promotions do not add up for ever."""
        gone = self._versions.difference(versions)
        for task, version in gone:
            for metric in (
                self._requests, self._tokens, self._first, self._token, self._whole, self._shadowed,
                self._queue, self._fetched,
            ):  # fmt: skip
                metric.remove_by_labels({"task": task, "version": version})
        self._versions -= gone

    def exposition(self, stats: Stats) -> tuple[bytes, str]:
        """The text format."""
        for field, gauge in self._gauges.items():
            gauge.set(getattr(stats, field))
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4
