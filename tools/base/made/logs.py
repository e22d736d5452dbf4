"""Log lines of invented services and their templates, with `<*>` for what varies."""

from __future__ import annotations

import random
from collections.abc import Callable

from made.exercise import Exercise


def number(rng: random.Random) -> str:
    return str(rng.randint(0, 99999))


def address(rng: random.Random) -> str:
    return ".".join(str(rng.randint(1, 254)) for _ in range(4))


def endpoint(rng: random.Random) -> str:
    return f"{address(rng)}:{rng.randint(1024, 65000)}"


def path(rng: random.Random) -> str:
    parts = rng.sample(["var", "data", "home", "tmp", "logs", "srv", "cache", "app"], rng.randint(2, 4))
    return "/" + "/".join(parts)


def key(rng: random.Random) -> str:
    return f"{rng.getrandbits(40):x}"


def user(rng: random.Random) -> str:
    return rng.choice(["root", "admin", "guest", "svc_web", "backup", "jdoe", "test01"])


def block(rng: random.Random) -> str:
    return f"{rng.choice(['blk', 'task', 'job', 'session', 'attempt'])}_{rng.randint(1, 10**9)}"


FILLERS: dict[str, Callable[[random.Random], str]] = {
    "N": number, "A": address, "E": endpoint, "P": path, "K": key, "U": user, "B": block,
}  # fmt: skip
TEMPLATES = [
    "Connection from {E} closed", "Login failed for user {U} from {A} port {N}", "Opened file {P} with handle {N}",
    "Worker {N} finished {B} in {N} ms", "Received {N} bytes from {E}", "Deleting block {B} at {P}",
    "Session {K} opened for user {U}", "cannot write to {P}: disk is full", "Starting stage {N} with {N} tasks",
    "Retry {N} of {N} for request {K}", "memory usage {N} MB is above the limit of {N} MB",
    "Server {A} did not answer within {N} seconds", "cache miss for key {K}", "Element {N} of queue {B} was dropped",
    "fan speed of node {N} is {N} rpm", "job {B} submitted by {U}", "checkpoint written to {P}",
    "[instance: {K}] Took {N} seconds to start", "user {U} ran command {P}", "kernel: error at address {K}",
    "GET {P} status: {N} len: {N}", "Packet responder {N} for {B} stopping", "lost contact with {E}, trying {E}",
    "interface eth{N} is up", "temperature of sensor {N} is back to normal", "thread {K} waits for lock {K}",
]  # fmt: skip


def parse_log(rng: random.Random) -> Exercise:
    """Log line to template."""
    instruction = rng.choice(["Write the template of the log line.", "Replace the variable parts by <*>.",
                              "Log parsing: give the template.", "把日志中的变量替换为<*>。"])  # fmt: skip
    pairs = []
    for _ in range(rng.choice([1, 2, 3])):
        template = rng.choice(TEMPLATES)
        line, result = template, template
        for letter, filler in FILLERS.items():
            slot = "{" + letter + "}"
            while slot in line:
                line = line.replace(slot, filler(rng), 1)
            result = result.replace(slot, "<*>")
        pairs.append((line, result))
    return Exercise(instruction, pairs)


MAKERS = [(parse_log, 1)]
