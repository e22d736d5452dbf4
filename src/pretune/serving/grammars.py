"""What an answer must look like, from a client's schema or regular expression to a constraint.

llguidance does the work. It compiles in a thread of its own, after a trial in a process of its own,
and what was compiled is kept by content.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property, partial

from llguidance import LLMatcher, LLTokenizer

from pretune.core.errors import SpecError
from pretune.core.sampling import Adherence
from pretune.serving.aside import Aside
from pretune.serving.bodies import Wanted
from pretune.serving.refusal import Refused
from pretune.serving.trial import compiled, try_out

_MOST_KEPT = 2**28
"""Bytes of compiled grammars that are kept."""

_SMALLEST = 2**18
"""Bytes that one counts for at least."""

MOST_WAITING = 16
"""Grammars that may be compiled or wait for it."""

_QUICK = 0.02
"""Seconds of compiling that a step of the engine has to spare, once an answer at most."""

_OPTIONS = {"whitespace_pattern": r"[ \n\r\t]{0,20}", "lenient": False}
"""Between the parts of JSON is room to indent, and an end to it, for a model that likes spaces; and
keywords that are not known are refused."""


class Grammars:
    """Compiles for one tokenizer (as the ``tokenizers`` library writes it) and ``vocabulary``
    logits."""

    def __init__(self, tokenizer: str, end_ids: Sequence[int], vocabulary: int) -> None:
        self._described, self._end_ids, self._vocabulary = tokenizer, list(end_ids), vocabulary
        self._known: OrderedDict[tuple[str, Wanted], _Compiled] = OrderedDict()
        self._compiler = Aside(self._compile, "schemas are being compiled", MOST_WAITING)

    async def constraint(self, wanted: Wanted, salt: str) -> "_Compiled":
        """The constraint for ``wanted``; whoever has another ``salt`` cannot learn from the time it
        takes that it was compiled before.

        Raises:
            Refused: 400, it cannot be compiled, with the reason; 429, too many are waiting.
        """
        key = (salt, wanted)
        known = self._known.get(key)
        if known is None or known.spent:
            self._known[key] = await self._compiler(salt, wanted, known)
            while sum(one.size for one in self._known.values()) > _MOST_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _compile(self, wanted: Wanted, known: "_Compiled | None") -> "_Compiled":
        try:
            grammar = _grammar(wanted)
            found, size = (None, known.size) if known else try_out(grammar)
            if found is None:
                began = time.thread_time()
                matcher, found = compiled(self._tokenizer, grammar)
                took = time.thread_time() - began
        except Refused:
            raise
        except ValueError as error:  # no Unicode, or no JSON
            found = str(error)[:300]
        if found is not None:
            raise Refused(f"{wanted.param} cannot be honoured: {found}", param=wanted.param)
        again = partial(compiled, self._tokenizer, grammar) if took < _QUICK else None
        return _Compiled(matcher, wanted.param, max(size, _SMALLEST), again)

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        try:
            return LLTokenizer(self._described, n_vocab=self._vocabulary, eos_token=self._end_ids)
        except Exception as error:  # whatever it finds strange in a tokenizer
            raise Refused(
                f"answers of this base cannot be held to a form: {error}", 501, kind="server_error"
            ) from error


def _grammar(wanted: Wanted) -> str:
    """llguidance's own form. Nothing is forced: with it, one that leaves no choice for a million
    characters (``a{1000000}``) computes them all at every step, a quarter of a second each time."""
    if wanted.regex is not None:
        plain = json.loads(LLMatcher.grammar_from_regex(wanted.regex))
        start = plain["grammars"][0]["lark_grammar"]
    else:
        # In place of what the schema itself says there: nothing is ignored silently.
        schema = json.loads(wanted.schema) | {"x-guidance": _OPTIONS}
        start = f"start: %json {json.dumps(schema)}"
    lark = f'%llguidance {{"no_forcing": true}}\n{start}'
    return json.dumps({"grammars": [{"lark_grammar": lark}]})


class _Compiled:
    """Implements :class:`pretune.core.sampling.Constraint`, for a field ``param``. Its matcher, of
    ``size`` bytes, is only copied.

    Copies share one lexer and the states that any of them made it learn, up to the limit
    (llguidance 1.9.1). So the answer that reaches it leaves nothing for the others: each of them
    goes on with a matcher of its own, made ``again``, where that is quick; and the next requests
    get another one.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        param: str,
        size: int,
        again: Callable[[], tuple[LLMatcher, str | None]] | None,
    ) -> None:
        self._matcher, self._again = matcher, again
        self.param, self.size = param, size
        self.spent = False

    def begin(self) -> Adherence:
        """A copy at the beginning."""
        return _Answer(self)

    def copy(self) -> LLMatcher:
        """A matcher that shares what it learns."""
        return self._matcher.deep_copy()

    def own(self) -> LLMatcher | None:
        """A matcher that shares nothing, as what is shared is spent; ``None`` where that would keep
        the engine waiting."""
        self.spent = True
        return self._again()[0] if self._again else None


class _Answer:
    """Implements :class:`pretune.core.sampling.Adherence`."""

    def __init__(self, origin: _Compiled) -> None:
        self._origin: _Compiled | None = origin
        self._param = origin.param
        self._matcher = origin.copy()
        self._said: list[int] = []

    @property
    def complete(self) -> bool:
        """Whether nothing but the end can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self) -> bytes:
        """The matcher's mask."""
        mask = self._matcher.compute_logit_bias()
        if self._matcher.is_error() and self._moved():
            mask = self._matcher.compute_logit_bias()
        if self._matcher.is_error():
            raise SpecError(
                f"{self._param} cannot be followed: what the answer may go on with became too "
                "complex to work out; simplify it"
            )
        return mask

    def _moved(self) -> bool:
        """Whether the answer now stands where it stood, in a matcher of its own."""
        origin, self._origin = self._origin, None
        own = origin.own() if origin else None
        if own is not None:
            own.consume_tokens(self._said)
            self._matcher = own
        return own is not None

    def accept(self, token: int) -> None:
        """Advance; a token that was not allowed is told of by :meth:`allowed`."""
        self._said.append(token)
        self._matcher.consume_token(token)
