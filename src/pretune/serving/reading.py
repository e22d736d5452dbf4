"""What clients ask, to prompts of token ids, however long it is."""

from pretune.serving.aside import Aside
from pretune.serving.bodies import ChatBody, CompletionBody
from pretune.serving.catalogue import Asked, Catalogue, ServedTask

LONG = 2**12
"""Characters from which the event loop does not read a prompt itself: tokenisers take about a
second for a million, in which nobody would be answered."""


class Reader:
    """Reads prompts, long ones in a thread of their own, one after another."""

    def __init__(self) -> None:
        self._aside = Aside(Catalogue.asked, "long prompts are being read")

    async def asked(
        self, catalogue: Catalogue, task: ServedTask, body: ChatBody | CompletionBody
    ) -> list[Asked]:
        """The prompts of ``body`` for ``task``.

        Raises:
            Refused: 400, they make no prompt; 429, too many long ones are waiting.
        """
        if body.length < LONG:
            return catalogue.asked(task, body)
        return await self._aside(catalogue, task, body)
