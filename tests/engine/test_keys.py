"""What a block's key holds (law 6): who changes one ingredient finds none of the other's blocks."""

from dataclasses import replace

import pytest

from laws.cases import CONFIGS, make_adapter, request_of
from laws.probe import SMALL, Probe
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope
from pretune.engine import keys
from pretune.engine.keys import block_key, root_key, salted
from pretune.engine.sequence import Sequence

ROOT = ("base", "float32")
ROUTED = {
    "parent": b"before",
    "ids": (1, 2, 3, 4),
    "routed": (False, True, True, True),
    "virtual": (-1, 0, 1, -1),
    "writer": "adapter",
}
"""A block of which an adapter wrote some tokens."""

PLAIN = ROUTED | {"routed": (False,) * 4, "virtual": (-1,) * 4, "writer": None}
"""The same tokens, all of them the base's."""


@pytest.mark.parametrize("other", [("another", "float32"), ("base", "bfloat16")])
def test_a_root_holds_the_base_and_its_precision(other):
    assert root_key(*ROOT) == root_key(*ROOT)
    assert root_key(*other) != root_key(*ROOT)


def test_a_root_holds_the_version_of_the_masks_meaning(monkeypatch):
    before = root_key(*ROOT)
    monkeypatch.setattr(keys, "SCOPE_VERSION", keys.SCOPE_VERSION + 1)
    assert root_key(*ROOT) != before


def test_a_salt_parts_roots_and_joins_those_who_share_it():
    root, other = root_key(*ROOT), root_key("another", "float32")
    assert salted(root, "") == root
    assert salted(root, "a") == salted(root, "a")
    assert len({root, salted(root, "a"), salted(root, "b"), salted(other, "a")}) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"parent": b"other"},
        {"ids": (1, 2, 3, 5)},
        {"ids": (2, 1, 3, 4)},
        {"routed": (True,) * 4},
        {"virtual": (-1, 1, 0, -1)},
        {"writer": "another"},
    ],
)
def test_an_adapters_block_holds_all_that_it_follows_from(change):
    assert block_key(**ROUTED) == block_key(**ROUTED)
    assert block_key(**(ROUTED | change)) != block_key(**ROUTED)


@pytest.mark.parametrize("change", [{"parent": b"other"}, {"ids": (1, 2, 3, 5)}])
def test_a_block_of_the_base_holds_its_tokens_and_what_came_before(change):
    assert block_key(**(PLAIN | change)) != block_key(**PLAIN)


def test_a_block_of_the_base_is_the_same_under_every_adapter():
    assert block_key(**(PLAIN | {"writer": "adapter"})) == block_key(**PLAIN)
    assert block_key(**ROUTED) != block_key(**PLAIN)


@pytest.fixture(scope="module")
def base():
    return tiny_base()


def last_key(base, adapter, root=b"root", **changes):
    """Key of the last complete block of a prompt's tokens."""
    sequence = Sequence(replace(request_of(base, "a" if adapter else None), **changes))
    sequence.open(adapter)
    return sequence.key(len(sequence.ids) // 4 - 1, 4, root)


def test_a_sequence_hands_on_its_adapter_scope_salt_and_root(base):
    """Same configuration and weights at two scopes; same scope and two weights."""
    config = CONFIGS["lora"]
    prompt, suffix = (make_adapter(base, config, s) for s in (Scope.PROMPT, Scope.SUFFIX))
    other = make_adapter(base, config, Scope.PROMPT, seed=1)
    own = last_key(base, prompt)
    assert last_key(base, prompt, id="another", group="g", weight=2.0) == own
    different = [
        last_key(base, None),
        last_key(base, suffix),
        last_key(base, other),
        last_key(base, prompt, salt="s"),
        last_key(base, prompt, root=b"other"),
    ]
    assert len({own, *different}) == 6


def test_two_soft_prompts_of_one_adapter_length_differ_by_writer_alone(base):
    """All of their ids are placeholders, so nothing else tells their first blocks apart."""
    first, second = (
        make_adapter(base, CONFIGS["prompt_tuning"], Scope.PROMPT, seed=seed) for seed in (0, 1)
    )
    sequences = [Sequence(request_of(base, "a")) for _ in range(2)]
    for sequence, adapter in zip(sequences, (first, second), strict=True):
        sequence.open(adapter)
    one, two = sequences
    assert (one.ids, one.routed, one.virtual) == (two.ids, two.routed, two.virtual)
    assert one.key(0, 4, b"root") != two.key(0, 4, b"root")


@pytest.mark.parametrize("changed", ["digest", "precision"])
def test_an_engines_root_is_of_its_base(base, changed):
    def first(of):
        probe = Probe(of, size=SMALL._replace(blocks=24))
        probe.submit(request_of(of, None, most=2))
        probe.step()
        return probe._requests["r"].keys[0]

    assert first(base) == first(base)
    assert first(replace(base, **{changed: "another"})) != first(base)
