"""A sequence: one request on its way through the engine."""

import random
import time
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

from pretune.adapters.adapter import Adapter
from pretune.core.records import Chosen, FinishReason, Request, total_tokens
from pretune.core.scope import Scope, lay_out
from pretune.engine.blocks import Key
from pretune.engine.keys import block_key, salted
from pretune.engine.trie import OptionTrie


@dataclass(eq=False)
class Sequence:
    """Tokens of prompt and answer, and how many of them stand in ``blocks``.

    Every token is written the same way, whether its turn comes in a first prefill, in decode, or
    in a recomputation: ``ids``, ``routed`` and ``virtual`` say all about it, by position.

    ``began`` is when it was first let in (monotonic seconds), ``reused`` how many tokens it found
    written then, ``fetched`` whether its adapter had to be loaded.
    """

    request: Request
    trie: OptionTrie | None = None
    adapter: Adapter | None = None
    ids: list[int] = field(default_factory=list)
    routed: list[bool] = field(default_factory=list)
    virtual: list[int] = field(default_factory=list)
    prompt: int = 0
    written: int = 0
    blocks: list[int] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    generated: list[int] = field(default_factory=list)
    chosen: list[Chosen] = field(default_factory=list)
    reason: FinishReason | None = None
    error: str | None = None
    holds_slot: bool = False
    fetched: bool = False
    began: float | None = None
    reused: int = 0
    turn: tuple[float, int] = (0.0, 0)

    def __post_init__(self) -> None:
        self.arrived = time.monotonic()
        sampling = self.request.sampling
        self.draws = random.Random(sampling.seed)
        constraint = sampling.constraint
        self.adherence = constraint.begin() if constraint and not self.trie else None

    def open(self, adapter: Adapter | None) -> None:
        """Lay the prompt out for ``adapter``; from here on its version is this one.

        Raises:
            ScopeError: the adapter's scope needs a context, and the prompt has none.
        """
        self.adapter = adapter
        scope, length = Scope.PROMPT, 0
        if adapter is not None:
            scope, length = adapter.scope, adapter.method.config.virtual_tokens
        layout = lay_out(self.request.segments, scope, length)
        self.ids, self.virtual = list(layout.ids), list(layout.virtual)
        self.routed = list(layout.routed) if adapter else [False] * len(layout)
        self.prompt = len(layout)

    @property
    def opened(self) -> bool:
        """Whether the prompt is laid out."""
        return bool(self.ids)

    @property
    def remaining(self) -> int:
        """Tokens to write before the next one can be chosen."""
        return len(self.ids) - self.written

    @property
    def nodes(self) -> int:
        """Scratch tokens that a scoring sequence writes behind its prompt."""
        return len(self.trie) if self.trie else 0

    @property
    def group(self) -> str:
        """Whose room it takes."""
        return self.request.group or self.request.adapter or ""

    @property
    def most_tokens(self) -> int:
        """Tokens that it may come to: what it costs the others."""
        new = self.nodes if self.trie else self.request.max_new_tokens
        return total_tokens(self.request.segments) + new

    @property
    def adapts_decode(self) -> bool:
        """Whether the adapter applies to generated tokens as well."""
        return self.adapter is not None and self.adapter.scope is Scope.ALL

    def needs_slot(self) -> bool:
        """Whether a token that is still to be written is the adapter's."""
        return self.adapts_decode or any(self.routed[self.written :])

    def append(self, token: int) -> None:
        """Take up a generated token."""
        if self.adherence is not None:
            self.adherence.accept(token)
        self.generated.append(token)
        self.ids.append(token)
        self.routed.append(self.adapts_decode)
        self.virtual.append(-1)

    def key(self, index: int, block: int, root: Key) -> Key:
        """Key of the complete block ``index`` of ``block`` tokens; ``root`` comes before all."""
        while len(self.keys) <= index:
            start = len(self.keys) * block
            piece = slice(start, start + block)
            self.keys.append(
                block_key(
                    self.keys[-1] if self.keys else salted(root, self.request.salt),
                    self.ids[piece],
                    self.routed[piece],
                    self.virtual[piece],
                    self.adapter.digest if self.adapter else None,
                )
            )
        return self.keys[index]


def total_blocks(sequences: Seq[Sequence]) -> list[int]:
    """All blocks that ``sequences`` hold, with repetitions."""
    return [block for sequence in sequences for block in sequence.blocks]
