"""Who may still come in: what is full is full for those who fill it, so that they keep nobody out.

The queues behind a door take turns among parties, but can only do so for those who were let in.
"""

from collections.abc import Sequence

TIMES = 2
"""How many times as many as there is room for may be in, whoever they are: memory has an end."""


def has_room(party: str, inside: Sequence[str], most: int) -> bool:
    """Whether one more of ``party`` may join those ``inside`` (a name each): where ``most`` are in,
    only if it has less than an equal share of ``most``, among the parties inside and itself."""
    if len(inside) < most:
        return True
    share = most / len({*inside, party})
    return inside.count(party) < share and len(inside) < TIMES * most
