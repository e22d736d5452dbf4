"""The world of the load test: a base, a task of every method and scope, questions with answers."""

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from load_versions import Changing, set_up

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import save_adapter
from pretune.adapters.injection import Injection
from pretune.adapters.registry import build_method
from pretune.api.runs import RunFolder
from pretune.bases import Base, load_base
from pretune.bases.fakes import save_tiny
from pretune.core.digest import SHORT
from pretune.core.errors import ScopeError
from pretune.core.records import Request, Row
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.data.dataset import option_ids, prompt_of
from pretune.engine.batch import BatchEngine
from pretune.engine.reference import Reference
from pretune.spec.dump import dump_task
from pretune.spec.methods import METHODS, MethodConfig
from pretune.spec.task import TaskSpec, parse_task

SIZES = {"rank": 3, "length": 4}
"""Of the methods that have such a size."""

NEW = 8
"""Tokens of an answer."""

QUESTIONS = 4
"""Of each task."""

CLEAR = 1e-3
"""Lead of the best logit, in every step, of a question that is asked: what hangs on rounding may
come out either way in another batch."""

TEXTS = (
    "Which rate is it?",
    "My card was lost today.",
    "The fee, please.",
    "loan 4711 is late",
    "Why so late?",
    "A refund of 12.50 to my account",
    "Close it.",
    "Who signs the contract?",
)


CHANGING, VERSIONS = ("lora", "prompt_tuning", "direft"), 4
"""Methods of the tasks whose versions change, and how many each has."""


class Question(NamedTuple):
    """A body for the chat route, and the answer that is right: a text, or label probabilities; of
    a task whose versions change the text of each, by the beginning of its digest."""

    body: dict[str, Any]
    text: str
    scores: dict[str, float] | None = None
    versions: Mapping[str, str] | None = None


class World(NamedTuple):
    """Questions of all tasks, and those tasks whose versions change."""

    questions: list[Question]
    changing: list[Changing]


def variants() -> Iterator[tuple[str, MethodConfig, Scope]]:
    """Every method in every scope that it does not refuse."""
    for name, kind in METHODS.items():
        config = kind(**{key: size for key, size in SIZES.items() if key in kind.model_fields})
        for scope in Scope:
            with contextlib.suppress(ScopeError):
                config.check_scope(scope)
                yield f"{name}-{scope}", config, scope


def make_adapter(base: Base, config: MethodConfig, scope: Scope, seed: int) -> Adapter:
    """An adapter as training might leave it: its start, moved by noise."""
    method, draw = build_method(config), torch.Generator().manual_seed(seed)
    weights = {
        name: value + 0.1 * torch.randn(value.shape, generator=draw)
        for name, value in method.initial(base, "Say it.", seed).items()
    }
    weights = method.bake(base.anatomy, weights)
    return Adapter(config, scope, weights, base.digest, base.renderer.digest)


def make_spec(name: str, scope: Scope, method: str, base: str, folder: Path) -> TaskSpec:
    """A task whose prompt has a context where its scope needs one; one of the tasks has labels."""
    template = {"system": "Be brief.", "user": "{text}", "target": "{answer}"}
    if scope is Scope.SUFFIX:
        template = {"context": "The rate is 4%.", "user": "{text}", "target": "{answer}"}
    labelled = name.startswith("bottleneck")
    value = {
        "name": name,
        "base": base,
        "data": {"train": "rows.jsonl"},
        "template": template | ({"target": "{label}"} if labelled else {}),
        "method": {"name": method},
        "scope": str(scope),
        "generate": {"max_new_tokens": NEW},
        **({"labels": {"low": "low", "high": "very high"}} if labelled else {}),
    }
    return parse_task(value, folder=folder)


def build_world(folder: Path, base_name: str) -> World:
    """Runs and a registry below ``folder`` for the server, and the questions that it is asked."""
    name = str(save_tiny(folder / "base")) if base_name == "tiny" else base_name
    base = load_base(name)
    injection = Injection(base)
    questions = list(_base_questions(base, Reference(injection, base.renderer.end_ids)))
    (folder / "rows.jsonl").write_text("{}\n")
    for seed, (task, config, scope) in enumerate(variants()):
        spec = make_spec(task, scope, config.name, name, folder)
        adapter = make_adapter(base, config, scope, seed)
        _write_run(folder / "runs" / task, spec, adapter)
        injection.mount(task, adapter)
        questions += _task_questions(base, injection, spec)
        injection.unmount(task)
    runs, asked = {}, []
    for method in CHANGING:
        task = f"changing-{method}"
        config = next(one for _, one, scope in variants() if one.name == method)
        spec = make_spec(task, Scope.PROMPT, method, name, folder)
        adapters = [make_adapter(base, config, Scope.PROMPT, 100 + i) for i in range(VERSIONS)]
        runs[task] = [
            _write_run(folder / "versions" / f"{task}-{i}", spec, adapter)
            for i, adapter in enumerate(adapters)
        ]
        asked.append((spec, adapters))
    changing = set_up(folder / "registry", runs)
    for task, (spec, adapters) in zip(changing, asked, strict=True):
        questions += _changing_questions(base, injection, spec, task, adapters)
    return World(questions, changing)


def _write_run(folder: Path, spec: TaskSpec, adapter: Adapter) -> Path:
    run = RunFolder(folder)
    saved = save_adapter(adapter, run.adapters)
    run.task.write_text(dump_task(spec, run.path))
    run.write_record({"adapter": str(saved.relative_to(run.path))})
    return folder


def _changing_questions(
    base: Base, injection: Injection, spec: TaskSpec, task: Changing, adapters: list[Adapter]
) -> Iterator[Question]:
    """What every version answers clearly, and no two alike."""
    by_text: dict[str, dict[str, str]] = {}
    for version, adapter in zip(task.versions, adapters, strict=True):
        injection.mount(spec.name, adapter)
        for question in _task_questions(base, injection, spec, TEXTS):
            asked = question.body["messages"][0]["content"]
            by_text.setdefault(asked, {})[version.digest[:SHORT]] = question.text
        injection.unmount(spec.name)
    found = [
        Question(
            {"model": spec.name, "messages": [{"role": "user", "content": asked}]}, "", None, said
        )
        for asked, said in by_text.items()
        if len(set(said.values())) == len(task.versions)
    ]
    if not found:
        raise SystemExit(
            f"no question tells the versions of {spec.name} apart; choose another seed"
        )
    yield from found


def _clear(reference: Reference, request: Request, ids: tuple[int, ...]) -> bool:
    if not ids:
        return False
    top = reference.target_logits(request, ids).topk(2).values
    return bool((top[:, 0] - top[:, 1]).min() > CLEAR)


def _base_questions(base: Base, reference: Reference) -> Iterator[Question]:
    model = Path(base.name).name
    for text in TEXTS[:QUESTIONS]:
        segments = base.renderer.encode(base.renderer.render([Turn(Role.USER, text)]))
        request = Request("base", segments, None, NEW)
        done = reference.generate(request)
        if _clear(reference, request, done.ids):
            body = {
                "model": model,
                "messages": [{"role": "user", "content": text}],
                "max_tokens": NEW,
            }
            yield Question(body, base.renderer.decode(done.ids))


def _task_questions(
    base: Base, injection: Injection, spec: TaskSpec, texts: Sequence[str] = ()
) -> Iterator[Question]:
    reference = Reference(injection, base.renderer.end_ids)
    for text in texts or random.Random(spec.name).sample(TEXTS, QUESTIONS):
        prompt = prompt_of(spec, base.renderer, Row("load", {"text": text})).prompt
        request = Request("load", prompt, spec.name, NEW)
        body = {"model": spec.name, "messages": [{"role": "user", "content": text}]}
        if spec.labels:
            scored = BatchEngine(injection, ()).score([request], option_ids(spec, base.renderer))
            weights = torch.tensor(scored[0].log_probs).double().softmax(0).tolist()
            scores = dict(zip(spec.labels, weights, strict=True))
            yield Question(body, spec.labels[max(scores, key=scores.__getitem__)], scores)
            continue
        done = reference.generate(request)
        if _clear(reference, request, done.ids):
            yield Question(body, base.renderer.decode(done.ids))
