"""Text as metrics see it: normal forms, and whether it is Chinese or Japanese."""

import re
import unicodedata

_CJK_CLASS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_CJK = re.compile(f"[{_CJK_CLASS}]")
_WORD_OR_CJK = re.compile(f"[{_CJK_CLASS}]|[^\\W_{_CJK_CLASS}]+")
_GAP_BESIDE_CJK = re.compile(f"(?<=[{_CJK_CLASS}]) | (?=[{_CJK_CLASS}])")
_GAP_BEFORE_MARK = re.compile(r" (?=[,.;:!?%)\]])|(?<=[(\[]) ")

# What compatibility normalisation (NFKC) leaves alone: it already turns ，：；！？（） and other
# full-width forms into their ASCII ones.
_MARKS = str.maketrans(
    {
        "。": ".",
        "、": ",",
        "“": '"',
        "”": '"',
        "「": '"',
        "」": '"',
        "‘": "'",
        "’": "'",
        "—": "-",
        "–": "-",
    }
)


def is_cjk(text: str) -> bool:
    """Whether ``text`` holds a Chinese or Japanese character."""
    return _CJK.search(text) is not None


def normalise(text: str) -> str:
    """``text`` without differences of case, spacing, width of characters, and final full stop.

    >>> normalise(" ＰｒＡｄ  是 方法。 ")
    'prad是方法'
    """
    text = unicodedata.normalize("NFKC", text).casefold().translate(_MARKS)
    text = _GAP_BEFORE_MARK.sub("", " ".join(text.split()))
    return _GAP_BESIDE_CJK.sub("", text).rstrip(".").rstrip()


def words_and_characters(text: str) -> list[str]:
    """Words of ``text`` in lower case; a Chinese or Japanese character is a word.

    >>> words_and_characters("The P99 是 高")
    ['the', 'p99', '是', '高']
    """
    return _WORD_OR_CJK.findall(unicodedata.normalize("NFKC", text).lower())
