"""A teacher by rule: it asks about sentences of the form "The X of Y is Z." and 「X的Y为Z。」"""

import json
import re

_TEXT = re.compile(r"<text>\n(.*)\n\s*</text>", re.DOTALL)
_ENGLISH = re.compile(r"The ([\w ]+?) of the ([\w ]+?) is ([^.|]+)\.")
_CHINESE = re.compile(r"([一-鿿]+?)的([一-鿿]+?)为([^。|]+)。")


def answer(prompt: str) -> str:
    """What the prompt asks for, as JSON; at most one question a sentence."""
    found = _TEXT.search(prompt)
    if found is None:
        return "文档中没有说明。" if "问题：" in prompt else "The documents do not say."
    text = found[1]
    chinese = "请根据" in prompt
    facts = (_CHINESE if chinese else _ENGLISH).findall(text)
    supports = [m[0] for m in (_CHINESE if chinese else _ENGLISH).finditer(text)]
    if "does not say" in prompt or "没有说明的" in prompt:
        ask = "{0}的{1}由谁批准？" if chinese else "Who approves the {0} of the {1}?"
        return json.dumps([{"question": ask.format(*facts[0]), "answer": "?"}] if facts else [])
    if ("asks for an amount" in prompt) or ("询问金额" in prompt):
        facts = [fact for fact in facts if re.search(r"\d", fact[2])]
    elif ("asks for one fact" in prompt) or ("询问一个事实" in prompt):
        facts = [fact for fact in facts if not re.search(r"\d", fact[2])]
    else:
        return "[]"
    ask = "{0}的{1}是什么？" if chinese else "What is the {0} of the {1}?"
    pairs = []
    for fact in facts:
        support = next(s for s in supports if fact[0] in s and fact[1] in s and fact[2] in s)
        question = ask.format(*fact)
        if f"- {question}" not in prompt:
            pairs.append({"question": question, "answer": fact[2], "support": support})
    return "Here you are:\n```json\n" + json.dumps(pairs, ensure_ascii=False) + "\n```"
