"""An OpenAI-compatible endpoint as a teacher: one chat completion a call."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2 as httpx

from pretune.core.errors import SpecError, TeacherError
from pretune.core.hosts import is_loopback
from pretune.data.teacher.ask import Ask, CallFailed, Outcome, Reply
from pretune.spec.teacher import EndpointSpec

_LARGEST = 16 << 20
"""Bytes of an answer; more is no chat completion."""

_HOPELESS = {
    401: "refuses the API key; check the variable that key_env names",
    402: "wants to be paid; top up the account, and run the same command again",
    403: "refuses the API key; check the variable that key_env names",
    404: "knows no such path or model; check url and model",
    405: "takes no chat completions on this path; check url",
    410: "knows no such path or model any more; check url and model",
}

_REFUSALS = (400, 413, 422)
"""What is said of one call's content and will be said again. Every other status may be of the hour
or of a proxy, and the same call may be answered later."""


class EndpointTeacher:
    """Calls the endpoint that the user named and no other: no redirect is followed.

    The API key lives in memory only; what the endpoint says in an error is not repeated, since it
    may quote what was sent.
    """

    def __init__(self, spec: EndpointSpec) -> None:
        self._spec = spec
        headers = {"User-Agent": "pretune"}
        if spec.key_env is not None:
            headers["Authorization"] = f"Bearer {_key(spec.key_env)}"
        self._client = httpx.Client(
            headers=headers,
            timeout=spec.timeout,
            limits=httpx.Limits(max_connections=spec.concurrency),
            follow_redirects=False,
            # Proxies of the environment are for other machines.
            trust_env=not is_loopback(urlsplit(spec.url).hostname or ""),
        )

    @property
    def model(self) -> str:
        """The model's name. An endpoint that moves keeps its answers."""
        return self._spec.model

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def call(self, ask: Ask) -> Reply:
        """See :class:`pretune.data.teacher.ask.Teacher`."""
        body = {
            "model": self._spec.model,
            "messages": [
                {"role": "system", "content": ask.system},
                {"role": "user", "content": ask.user},
            ],
            "max_tokens": ask.max_tokens,
            "temperature": ask.temperature,
            "seed": ask.seed,
        }
        until = time.monotonic() + self._spec.timeout
        try:
            url = f"{self._spec.url}/chat/completions"
            with self._client.stream("POST", url, json=body) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._failure(response)
                data = b"".join(_timely(response.iter_bytes(), until))
        except httpx.TimeoutException as error:
            raise CallFailed(Outcome.TIMEOUT, "no answer in time") from error
        except httpx.ConnectError as error:
            raise CallFailed(Outcome.UNREACHABLE, "the connection was refused") from error
        except httpx.DecodingError as error:
            raise CallFailed(Outcome.JUNK, "a broken encoding") from error
        except httpx.TransportError as error:
            raise CallFailed(Outcome.HALF, "the connection broke") from error
        return _reply(data, ask)

    def _failure(self, response: httpx.Response) -> Exception:
        status = response.status_code
        if status in _HOPELESS:
            return TeacherError(f'"{self._spec.url}" {_HOPELESS[status]} (status {status})')
        if 300 <= status < 400:
            return TeacherError(
                f'"{self._spec.url}" sends callers elsewhere (status {status}), which is not '
                "followed; name the right url"
            )
        if status == 429:
            outcome = Outcome.RATE_LIMITED
        elif status in _REFUSALS:
            outcome = Outcome.REFUSED
        elif status < 300:
            outcome = Outcome.JUNK
        else:
            outcome = Outcome.SERVER_ERROR
        return CallFailed(outcome, f"status {status}", _retry_after(response.headers))


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise SpecError(
            f'key_env names "{variable}", which is not set; set it to the API key, or leave '
            "key_env out"
        )
    if not key.isascii() or not key.isprintable():
        raise SpecError(f'the value of "{variable}" is no API key; it must be one line of ASCII')
    return key


def _timely(parts: Iterator[bytes], until: float) -> Iterator[bytes]:
    """``parts`` while there is time and they are not too many: a drip is no answer."""
    size = 0
    for part in parts:
        size += len(part)
        if size > _LARGEST:
            raise CallFailed(Outcome.JUNK, "an answer of more than 16 MB")
        if time.monotonic() > until:
            raise CallFailed(Outcome.TIMEOUT, "no whole answer in time")
        yield part


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait (RFC 9110, section 10.2.3); ``None`` where the header says none."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return float(given)
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, OSError):  # a year that no clock tells
        return None


def _reply(data: bytes, ask: Ask) -> Reply:
    try:
        value = json.loads(data)
        choice = value["choices"][0]
        text = choice["message"]["content"]
        if not isinstance(text, str):
            raise TypeError
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CallFailed(Outcome.JUNK, "no chat completion") from error
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
    usage = value.get("usage")
    prompt = _tokens(usage, "prompt_tokens")
    answer = _tokens(usage, "completion_tokens")
    whole = choice.get("finish_reason") in (None, "stop")
    if prompt is None or answer is None:  # an endpoint that does not count: as the budget does
        guess = len(text.encode()) // 3 + 1
        return Reply(text, whole, ask.most_tokens - ask.max_tokens, guess)
    return Reply(text, whole, prompt, answer)


def _tokens(usage: Any, name: str) -> int | None:
    found = usage.get(name) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None
