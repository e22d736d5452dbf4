"""``pretune serve``: every tuned task of a folder as a model behind one HTTP server."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import console, errors, quiet_libraries


def serve(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="A registry, folders of finished runs, or folders of those."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address; others than this machine's need --keys.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    keys: Annotated[Path | None, typer.Option(help="File of hashed API keys.")] = None,
    admin_keys: Annotated[
        Path | None, typer.Option(help="File of hashed keys that may change tasks of a registry.")
    ] = None,
    new_key: Annotated[
        Path | None, typer.Option(help="Make a key, add its hash to this file, print it, end.")
    ] = None,
    cache_tokens: Annotated[
        int, typer.Option(min=16, help="Tokens that the cache holds, of all requests together.")
    ] = 32_768,
    slots: Annotated[int, typer.Option(min=1, help="Adapters in prefill at a time.")] = 8,
    most_requests: Annotated[
        int, typer.Option(min=1, help="Requests under way; more are told to come back.")
    ] = 256,
    limits: Annotated[
        Path | None, typer.Option(help="YAML file of limits by API key and by task.")
    ] = None,
) -> None:
    """Serve tuned tasks as models of one OpenAI-compatible server, until it is told to stop."""
    from pretune.core.errors import MissingExtra, SpecError
    from pretune.serving import key_file

    try:
        from pretune.api import serve as api
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "serve", "serving") from error

    if new_key is not None:
        console.print(key_file.new_key(new_key), soft_wrap=True)
        return
    if not runs:
        raise SpecError("nothing to serve; name a folder that pretune train or demo wrote")
    quiet_libraries()
    options = api.ServeOptions(
        host, port, keys, admin_keys, cache_tokens, slots, most_requests, limits
    )
    registry, places = api.find_registry(runs)
    tasks = api.find_tasks(places) if places else []
    app = api.build(tasks, options, registry)
    service = app.state.service
    names = ", ".join(task.name for task in service.catalogue if task.adapter)
    for name, problem in (service.shelf.problems if service.shelf else {}).items():
        errors.print(f'task "{name}": {problem}')

    def listening(url: str) -> None:
        errors.print(f"serving {names} at {url}/v1; Ctrl-C ends it", soft_wrap=True)

    api.Server(app, options, listening).run()
