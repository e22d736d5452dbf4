"""Whatever comes to the routes that change a registry: the registry stays whole, and others' keys
lead nowhere."""

from typing import Any, NamedTuple

import httpx2 as httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretune.registry import Registry
from serving.conftest import KEY, Inside, working
from serving.test_fuzz import mutated
from serving.test_holes import SPELLINGS
from serving.test_versions import ADMIN, desk_service

TASKS = "/v1/tasks"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
FIELDS = ["name", "version", "override", "why", "share"]
DIGEST = "a version's digest"
"""Stands for one, which is not known before there is a registry."""
GOOD: dict[str, dict[str, Any]] = {
    TASKS: {"name": "desk", "version": DIGEST, "why": ""},
    f"{TASKS}/desk/promote": {"version": DIGEST, "why": ""},
    f"{TASKS}/desk/canary": {"version": DIGEST, "share": 0.5},
    f"{TASKS}/desk/shadow": {"version": DIGEST},
    f"{TASKS}/desk/rollback": {"why": ""},
}


class Desk(NamedTuple):
    inside: Inside
    registry: Registry
    digests: list[str]

    def whole(self) -> None:
        """Every record can be read, and one of the versions answers."""
        assert self.registry.names() == ["desk"]
        state = self.registry.task("desk")
        assert state.current in self.digests
        assert [self.registry.version(digest).task for digest in self.digests] == ["desk"] * 3
        assert self.inside.service.shelf.problems == {}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    service, _, _, registry, versions = desk_service(tmp_path_factory.mktemp("desk"), keys=(KEY,))
    with working(service) as inside:
        yield Desk(inside, registry, [version.digest for version in versions])
    service.shelf.close()


def test_good_bodies_are_good(desk):
    for path in GOOD:
        body = {**GOOD[path], **({"version": desk.digests[1]} if "version" in GOOD[path] else {})}
        done = desk.inside.post(path, json=body, headers=AS_ADMIN)
        assert done.status_code == 200, (path, done.text)
        undone = desk.inside.post(
            f"{TASKS}/desk/promote", json={"version": desk.digests[0]}, headers=AS_ADMIN
        )
        assert undone.status_code == 200, undone.text
    desk.whole()


@settings(max_examples=30)
@given(mutated(GOOD, FIELDS), st.integers(0, 2))
def test_a_bad_body_leaves_the_registry_whole(desk, asked, number):
    path, content = asked
    content = content.replace(DIGEST.encode(), desk.digests[number].encode())
    answer = desk.inside.post(path, content=content, headers=AS_ADMIN)
    assert answer.status_code in {200, 400, 404, 409, 413}, answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]
    desk.whole()


@settings(max_examples=60)
@given(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "post"]),
    st.sampled_from([TASKS, f"{TASKS}/desk", *GOOD]),
    st.lists(st.tuples(st.integers(0, 24), SPELLINGS), max_size=3),
    st.booleans(),
)
def test_no_spelling_of_a_path_leads_an_ordinary_key_to_what_is_an_administrators(
    desk, method, path, changes, shouted
):
    body = {**GOOD.get(path, {}), **({"version": desk.digests[2]} if path in GOOD else {})}
    for place, text in changes:
        path = path[:place] + text + path[place:]
    path = (path.upper() if shouted else path).replace(" ", "%20")
    try:
        url = httpx.URL("http://inside").copy_with(raw_path=b"/" + path.lstrip("/").encode())
    except (httpx.InvalidURL, ValueError, UnicodeError):
        return
    before = desk.registry.signature()
    headers = {"authorization": f"Bearer {KEY}", "x-original-url": TASKS}
    (response,) = desk.inside.send((method, str(url), {"headers": headers, "json": body}))
    if url.path not in ("/health", "/ready"):
        assert response.status_code in (401, 404), url
    assert desk.digests[0][:12] not in response.text
    assert desk.registry.signature() == before
