"""``pretune merge``: fold an all-token adapter into a copy of the base."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, quiet_libraries, show


def merge(
    adapter: Annotated[Path, typer.Argument(help="An adapter's folder or a run's.")],
    out: Annotated[Path, typer.Argument(help="Folder for the merged model; must not exist.")],
    base: Annotated[str, typer.Option(help="The adapter's base: name, folder or hub name.")] = (
        "embedded"
    ),
    as_json: AsJson = False,
) -> None:
    """Merge an adapter of scope "all" into the base's weights, with an identity check."""
    from pretune.api import merge_adapter
    from pretune.spec.base import BaseSpec

    quiet_libraries()
    merged = merge_adapter(adapter, BaseSpec(name=base), out)
    result = {"folder": str(merged.folder), "largest_difference": merged.difference}
    text = (
        f'merged into "{merged.folder}"; its logits differ from base + adapter by at most '
        f"{merged.difference:.2g} (the largest logit is {merged.largest_logit:.1f})"
    )
    show(result, text, as_json=as_json)
