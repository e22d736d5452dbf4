"""Labels and their verbalizer words: what a label is called in the data and in the answer."""

from typing import Any


def label_words(value: Any) -> Any:
    """A list of labels, or a mapping of labels to words, as ``{label: words}``.

    Raises:
        ValueError: labels that YAML read as booleans or nothing, that repeat, that share their
            words, or fewer than two.
    """
    if isinstance(value, (list, tuple)):
        pairs = [(item, None) for item in value]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        raise ValueError("labels are a list, or a mapping of each label to its words")
    words: dict[str, str] = {}
    for label, said in pairs:
        for part in (label, said) if isinstance(value, dict) else (label,):
            if isinstance(part, bool) or part is None or isinstance(part, (list, dict)):
                raise ValueError(
                    f'label "{label}" was read by YAML as {_yaml_kind(part)}; '
                    'put text in quotes, as in "yes"'
                )
        key = str(label)
        if key in words:
            raise ValueError(f'label "{key}" stands twice in labels; remove one')
        words[key] = (key.replace("_", " ") if said is None else str(said)).strip()
        if not words[key]:
            raise ValueError(f'label "{key}" has no words; give it some')
    by_words: dict[str, str] = {}
    for key, said in words.items():
        if said in by_words:
            raise ValueError(
                f'labels "{by_words[said]}" and "{key}" share the words "{said}"; '
                "give each its own, as in labels: {label: words}"
            )
        by_words[said] = key
    if len(words) < 2:
        raise ValueError(f"{len(words)} label is no choice; list at least two")
    return words


def _yaml_kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return {bool: "a truth value", list: "a list", dict: "a mapping"}[type(value)]
