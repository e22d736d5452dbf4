"""The chat format of the embedded base: special tokens, rendering and the Jinja template."""

from __future__ import annotations

from dataclasses import dataclass

PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
SYSTEM, USER, ASSISTANT, CONTEXT = "<|system|>", "<|user|>", "<|assistant|>", "<|context|>"
RESERVED = [f"<|reserved_{number}|>" for number in range(9)]

# The position in this list is the token id.
SPECIAL_TOKENS = [PAD, BOS, END, SYSTEM, USER, ASSISTANT, CONTEXT, *RESERVED]
PAD_ID, BOS_ID, END_ID, ASSISTANT_ID = 0, 1, 2, 5

CHAT_TEMPLATE = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' -}}"
    "{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}"
    "{%- else -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


@dataclass(frozen=True)
class Turn:
    """One message of a chat; `role` is system, context, user or assistant."""

    role: str
    content: str


def render(turns: list[Turn]) -> str:
    """The text of a whole chat, `<|bos|>` included."""
    return BOS + "".join(f"<|{turn.role}|>{turn.content}{END}" for turn in turns)


def render_document(text: str) -> str:
    """A plain document between `<|bos|>` and `<|end|>`."""
    return f"{BOS}{text}{END}"
