"""What clients ask, to prompts of token ids, however long it is."""

from pretune.serving.aside import Aside
from pretune.serving.bodies import ChatBody, CompletionBody
from pretune.serving.catalogue import Asked, Catalogue, ServedTask

LONG = 2**12
"""Bytes of a body from which the event loop does not read its prompts itself: tokenisers take about
a second for a million, in which nobody would be answered."""


class Reader:
    """Reads prompts, long ones in a thread of their own, where at most ``most`` requests wait."""

    def __init__(self, most: int) -> None:
        self._aside = Aside(Catalogue.asked, "long prompts are being read", most)

    @property
    def busy(self) -> bool:
        """Whether a long prompt has to wait now."""
        return self._aside.busy

    async def asked(
        self, catalogue: Catalogue, task: ServedTask, body: ChatBody | CompletionBody, line: str
    ) -> list[Asked]:
        """The prompts of ``body`` for ``task``, in turn with those of other lines.

        Raises:
            Refused: 400, they make no prompt; 429, too many long ones are waiting.
        """
        if body.size < LONG:
            return catalogue.asked(task, body)
        return await self._aside(line, catalogue, task, body)
