"""A folder of documents, English and Chinese."""

from pathlib import Path

import pytest

CARDS = ("gold", "blue", "student", "travel", "business", "family")
COLOURS = ("yellow", "navy", "green", "white", "black", "orange")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six English sections in one document, two Chinese ones in another."""
    home = tmp_path / "documents"
    home.mkdir()
    parts = ["# Cards"]
    for number, (card, colour) in enumerate(zip(CARDS, COLOURS, strict=True)):
        parts.append(f"## The {card} card")
        parts.append(
            f"The annual fee of the {card} card is {20 + 7 * number} euros. "
            f"The colour of the {card} card is {colour}. "
            f"Holders of the {card} card find more in the branch, where the staff tells them "
            "about insurance, limits and the way to report a loss."
        )
    (home / "cards.md").write_text("\n\n".join(parts), encoding="utf-8")
    (home / "zh.txt").write_text(
        "第一章 信用卡\n\n金卡的年费为300元。金卡的颜色为黄色。持卡人可以到网点了解保险和限额。\n\n"
        "第二章 借记卡\n\n借记卡的工本费为5元。借记卡的有效期为十年。挂失请拨打客服电话。\n",
        encoding="utf-8",
    )
    return home
