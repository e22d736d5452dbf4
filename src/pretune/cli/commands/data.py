"""``pretune data``: the data workshop; each step a file beside this one."""

import typer

from pretune.cli.commands import (
    data_augment,
    data_clean,
    data_distil,
    data_label,
    data_mask,
    data_mix,
    data_probe,
    data_rules,
    data_soften,
)

data = typer.Typer(
    help="Make, vary, clean and mix rows; every row keeps where it comes from.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

data.command("rules")(data_rules.rules)
data.command("distil")(data_distil.distil)
data.command("label")(data_label.label)
data.command("soften")(data_soften.soften)
data.command("augment")(data_augment.augment)
data.command("probe")(data_probe.probe)
data.command("clean")(data_clean.clean)
data.command("mix")(data_mix.mix)
data.command("mask")(data_mask.mask)
data.command("unmask")(data_mask.unmask)
