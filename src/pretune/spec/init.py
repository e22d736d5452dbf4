"""A first task file from a data file's rows: guessed columns, labels and language, commented."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pretune.core.errors import SpecError
from pretune.spec.task import TaskSpec, parse_task
from pretune.spec.yamlfile import parse_yaml

_MESSAGES = re.compile(r"messages|conversations?|dialog(ue)?|对话|会话", re.I)
_LABEL = re.compile(
    r".*label|intent|category|class|sentiment|topic|urgency|priority|"
    r".*(标签|类别|分类|意图|情感|类型|等级|紧急程度)",
    re.I,
)
_CALLED_LABEL = re.compile(r".*label|.*标签", re.I)
_TARGET = re.compile(
    r"target|output|answer|response|completion|reply|summary|translation|title|headline|"
    r"答案|回答|回复|输出|摘要|译文|标题",
    re.I,
)
_CONTEXT = re.compile(
    r"context|documents?|doc|passage|article|上下文|文档|材料|段落|文章|背景", re.I
)
_INPUT = re.compile(
    r"(text|sentence|question|query|input|premise|hypothesis)(_?[ab12])?|instruction|prompt|"
    r"content|body|message|ticket|utterance|review|source|"
    r"文本|内容|问题|句子|输入|指令|正文|工单|评论|描述",
    re.I,
)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")

_MOST_LABELS = 300
_LONGEST_LABEL = 60
_DEFAULT_ANSWER = 64

_INSTRUCTIONS = {
    "answer|答案|回答": ("Answer the question.", "回答问题。"),
    "summary|摘要": ("Summarise the text.", "概括这段文字。"),
    "translation|译文": ("Translate the text.", "翻译这段文字。"),
    "title|headline|标题": ("Write a headline for the text.", "为这段文字写一个标题。"),
    "": ("Write the answer.", "写出答案。"),
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed task, and the commented YAML that says it."""

    task: TaskSpec
    yaml: str


def propose_task(
    rows: Sequence[Mapping[str, Any]], data: str, name: str, encoding: str = "utf-8"
) -> Proposal:
    """Propose a task for ``rows`` of the file ``data`` (as the task file is to name it).

    What may not stand in a task's name is left out of ``name``.

    Give all rows where that is possible: labels that are not among ``rows`` are not proposed.

    Raises:
        SpecError: no rows, or no column that could be asked or answered.
    """
    if not rows:
        raise SpecError(f'"{data}" holds no rows to propose a task from; add some')
    columns = [
        column
        for column in dict.fromkeys(key for row in rows for key in row)
        if isinstance(column, str) and column and not set(column) & set("{}\n")
    ]
    chat = next((c for c in columns if _holds_messages(rows, c)), None)
    if chat is not None:
        body = ["template:", f"  messages: {_quoted(chat)}  # every assistant message is learned"]
        return _proposal(data, name, encoding, [*body, *_room(_answers(rows, chat))])
    label = _label_column(rows, columns)
    target = label or next((c for c in columns if _TARGET.fullmatch(c)), None)
    rest = [c for c in columns if c != target and _lengths(rows, c)]
    context = next((c for c in rest if _CONTEXT.fullmatch(c)), None)
    inputs = [c for c in rest if c != context and _INPUT.fullmatch(c)]
    if not inputs:
        others = [c for c in rest if c not in (context, "id", "references")]
        inputs = sorted(others, key=lambda c: -sum(_lengths(rows, c)))[:1]
    if target is None or not inputs:
        raise SpecError(
            f'cannot tell what to ask and what to answer from the columns of "{data}": '
            f"{', '.join(columns)}; name the columns text and label, or text and target"
        )
    chinese = _is_chinese(rows, [*inputs, *([context] if context else [])])
    labels = sorted(_values(rows, label)) if label else []
    asks = _instruction(target, inputs, labels, chinese)
    body = ["template:", f"  system: {_quoted(asks)}"]
    if context:
        body.append(f"  context: {_quoted(f'{{{context}}}')}  # cut from its end when too long")
    body.append(f"  user: {_quoted(chr(10).join(f'{{{c}}}' for c in inputs))}")
    body.append(f"  target: {_quoted(f'{{{target}}}')}")
    if label:
        body += _label_lines(labels)
        if label != "label":
            body.append(f"label_field: {_quoted(label)}")
        body.append('# goals: ["macro_f1 >= 0.85"]  # promises that evaluation checks')
    else:
        body += _room(_texts(rows, target))
    return _proposal(data, name, encoding, body)


def _proposal(data: str, name: str, encoding: str, body: Sequence[str]) -> Proposal:
    allowed = re.sub(r"[^\w.-]+", "-", name).lstrip(".-")[:64] or "task"
    lines = [
        "# Every key and its default: docs/task-file.md",
        f"name: {_quoted(allowed)}",
        "base: embedded  # or a folder, or a model of the hub",
        "data:",
        f"  train: {_quoted(data)}",
        *([] if encoding == "utf-8" else [f"  encoding: {encoding}"]),
        "  # validation: other.jsonl  # default: a tenth of train, cut by content",
        *body,
        "method: lora",
        "scope: prompt  # the adapter writes the prompt's cache; answers run at the base's speed",
    ]
    text = "".join(f"{line}\n" for line in lines)
    return Proposal(parse_task(parse_yaml(text)), text)


def _quoted(text: str) -> str:
    """``text`` as a YAML scalar on one line."""
    dumped: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)
    return dumped.strip()


def _holds_messages(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    value = rows[0].get(column)
    if isinstance(value, str) and _MESSAGES.fullmatch(column):
        return value.lstrip().startswith("[{")
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(m, Mapping) and ("role" in m or "from" in m) for m in value)
    )


def _label_column(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str | None:
    """The column that looks most like labels: by name and values, else by values alone.

    Beside a column of free answers only one that is called a label counts: a category there is
    more likely something about the row.
    """
    closed = [c for c in columns if _is_closed(rows, c)]
    free_answers = any(_TARGET.fullmatch(c) for c in columns if c not in closed)
    named = [c for c in closed if _LABEL.fullmatch(c)]
    if free_answers:
        named = [c for c in named if _CALLED_LABEL.fullmatch(c)]
        return named[0] if named else None
    answers = [c for c in closed if _TARGET.fullmatch(c)]
    likely = [*named, *answers, *closed]
    return likely[0] if likely else None


def _is_closed(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether few short values come again and again."""
    values = _values(rows, column)
    often = 2 if _LABEL.fullmatch(column) else 3
    return (
        2 <= len(values) <= min(_MOST_LABELS, len(rows) // often)
        and max(map(len, values)) <= _LONGEST_LABEL
    )


def _values(rows: Sequence[Mapping[str, Any]], column: str) -> Counter[str]:
    cells = [row.get(column) for row in rows]
    if any(isinstance(cell, (float, list, dict)) for cell in cells):
        return Counter()
    texts = (str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in cells)
    return Counter(text for text in texts if text.strip() and text != "None")


def _texts(rows: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    return [row[column] for row in rows if isinstance(row.get(column), str)]


def _lengths(rows: Sequence[Mapping[str, Any]], column: str) -> list[int]:
    return [len(text) for text in _texts(rows, column)]


def _answers(rows: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    """Last messages, where the rows hold lists."""
    lists = [row[column] for row in rows if isinstance(row.get(column), list) and row[column]]
    last = [messages[-1] for messages in lists if isinstance(messages[-1], Mapping)]
    return [str(message.get("content", message.get("value"))) for message in last]


def _is_chinese(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bool:
    text = "".join(text for column in columns for text in _texts(rows[:100], column))
    return len(_CHINESE.findall(text)) > 0.2 * len(text)


def _instruction(target: str, inputs: Sequence[str], labels: Sequence[str], chinese: bool) -> str:
    if not labels and set(inputs) & {"instruction", "指令"}:
        return "按照指令回答。" if chinese else "Follow the instruction."
    if not labels:
        known = (pair for names, pair in _INSTRUCTIONS.items() if re.fullmatch(names, target, re.I))
        return next(known, _INSTRUCTIONS[""])[chinese]
    if len(labels) > 8:
        return "判断文本的类别。" if chinese else "Say which label fits the text."
    listed = ("、" if chinese else ", ").join(label.replace("_", " ") for label in labels)
    listed = listed.replace("{", "{{").replace("}", "}}")
    return f"判断文本的类别：{listed}。" if chinese else f"Say which label fits the text: {listed}."


def _label_lines(labels: Sequence[str]) -> list[str]:
    """The labels section, wrapped at 96 columns."""
    lines, line = ["labels:  # or {label: words}, where a label is to be called otherwise"], "  ["
    for index, label in enumerate(labels):
        item = _quoted(label) + ("]" if index == len(labels) - 1 else ", ")
        if len(line) + len(item) > 96:
            lines.append(line.rstrip())
            line = "   "
        line += item
    return [*lines, line]


def _room(answers: Sequence[str]) -> list[str]:
    """The generate section, where answers seem longer than its default allows.

    Counted at one token a Chinese character and one in three others, generously.
    """
    if not answers:
        return []
    tokens = sorted(
        len(found) + (len(text) - len(found)) / 3
        for text in answers
        for found in [_CHINESE.findall(text)]
    )
    need = math.ceil(tokens[int(0.95 * (len(tokens) - 1))] * 1.2 / 32) * 32
    if need <= _DEFAULT_ANSWER:
        return []
    return [f"generate: {{max_new_tokens: {need}}}  # room for 19 of 20 of the answers seen"]
