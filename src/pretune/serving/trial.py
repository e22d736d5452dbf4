"""Tries out a grammar where it can do no harm: in a process that the system ends when it takes more
than two seconds or a quarter of a gibibyte.

A library's own limits bound most of what a hostile schema can cost, and not all: ``multipleOf`` a
large number took twenty seconds and 430 MB (llguidance 1.9.1).
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

_CPU_SECONDS = 2
_WALL_SECONDS = 60.0
_BYTES = 2**28

LIMITS = LLParserLimits(
    initial_lexer_fuel=500_000,
    step_lexer_fuel=20_000,
    step_max_items=10_000,
    max_lexer_states=10_000,
    max_grammar_size=50_000,
    precompute_large_lexemes=False,
    verbose_errors=False,
)
"""What a grammar may cost; the steps' limits are milliseconds of the engine's thread."""

TOO_COMPLEX = "it takes too much time or memory to compile; simplify it"


class Tried(NamedTuple):
    """What is wrong with a grammar (``None``: nothing), and the bytes that it takes compiled (0
    where the system does not say)."""

    problem: str | None
    size: int = 0


def try_out(grammar: str) -> Tried:
    """Compile ``grammar`` and make a first step, in a process of its own.

    Raises:
        RuntimeError: the process could not do its work at all.
    """
    command = [sys.executable, "-m", __name__]
    try:
        ran = subprocess.run(
            command, input=grammar.encode(), capture_output=True, timeout=_WALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Tried(TOO_COMPLEX)
    if ran.returncode < 0:
        return Tried(TOO_COMPLEX)
    if ran.returncode:
        raise RuntimeError("a grammar could not be tried out; is llguidance installed?")
    size, _, problem = ran.stdout.decode().partition("\n")
    return Tried(problem or None, int(size))


def compiled(tokenizer: LLTokenizer, grammar: str) -> tuple[LLMatcher, str | None]:
    """A matcher at the beginning, and what is wrong with ``grammar``, a first step included."""
    matcher = LLMatcher(tokenizer, grammar, limits=LIMITS, log_level=0)
    tried = matcher.deep_copy()
    if not tried.is_error():
        tried.compute_bitmask()
    if tried.is_error():
        return matcher, tried.get_error().partition("\n")[0][:300] or TOO_COMPLEX
    return matcher, None


class _Bytes:
    """The smallest tokenizer: what a grammar costs does not hang on the vocabulary."""

    bos_token_id = None
    eos_token_id = 256
    tokens = (*(bytes([i]) for i in range(256)), b"")
    special_token_ids = (256,)

    def __call__(self, text: bytes) -> Sequence[int]:
        return list(text)


def _main() -> None:
    import resource

    from llguidance import TokenizerWrapper

    def used() -> int:
        # Not ru_maxrss: it begins at what the parent held when it made this process.
        pages = Path("/proc/self/statm")
        return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.exists() else 0

    tokenizer = LLTokenizer(TokenizerWrapper(_Bytes()))
    grammar = sys.stdin.buffer.read().decode()
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    before = used()
    _matcher, problem = compiled(tokenizer, grammar)  # held while it is measured
    sys.stdout.write(f"{used() - before}\n{problem or ''}")


if __name__ == "__main__":
    _main()
