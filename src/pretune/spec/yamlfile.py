"""Reading YAML so that every mistake names the file, the line and the remedy."""

from pathlib import Path
from typing import Any

import yaml

from pretune.core.errors import SpecError
from pretune.core.names import near_files


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error, not a silent last word."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    lines: dict[Any, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise SpecError(
                f"line {line}: a key must be a name, not a list or mapping; "
                'text with braces needs quotes, as in "{text}"'
            )
        if key in lines:
            raise SpecError(
                f'line {line}: key "{key}" already stands on line {lines[key]}; remove one'
            )
        lines[key] = line
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_yaml(text: str) -> Any:
    """The value of one YAML document, of plain types only.

    Raises:
        SpecError: broken YAML, or a key that stands twice, with the line.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(
            f"line {line}: {error.problem or 'broken YAML'}; check the indentation, "
            "and put text with braces or colons in quotes"
        ) from error
    except yaml.YAMLError as error:
        raise SpecError(f"broken YAML: {error}") from error


def read_mapping(
    path: Path, kind: str = "task file", keys: tuple[str, str] = ("data", "template")
) -> dict[str, Any]:
    """The mapping that the YAML file ``path`` holds; messages call it a ``kind`` with ``keys``.

    Raises:
        SpecError: no such file, another encoding than UTF-8, broken YAML, or no mapping.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise SpecError(f'no {kind} "{path}";{near_files(path)}') from error
    except IsADirectoryError as error:
        raise SpecError(f'"{path}" is a folder; name the YAML file in it') from error
    except OSError as error:
        raise SpecError(f'cannot read "{path}": {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise SpecError(
            f'"{path}" is not UTF-8 (byte {error.start}); save the {kind} as UTF-8'
        ) from error
    try:
        value = parse_yaml(text)
    except SpecError as error:
        raise SpecError(f'"{path}", {error}') from error
    if not isinstance(value, dict):
        raise SpecError(
            f'"{path}" holds no mapping; write keys such as "{keys[0]}:" and "{keys[1]}:"'
        )
    return value
