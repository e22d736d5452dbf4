"""From evidence to text: the model card of a version as Markdown, and the same as one HTML page."""

from dataclasses import dataclass

from pretune.core.digest import SHORT
from pretune.evaluation.report.pages import environment
from pretune.evaluation.report.scales import Scale, Tick
from pretune.gating.evidence import Calibration, Evidence, Load

_SIDE = 260
_LEFT, _FLOOR = 34, 236


def render_card(evidence: Evidence) -> str:
    """The model card: what it is, what was promised and what came of it, what was not looked at."""
    return _render("card.md.jinja", evidence, escape=False)


def render_page(evidence: Evidence) -> str:
    """The same as one HTML page: no script, no reference to any other file."""
    return _render("gate.html.jinja", evidence, escape=True)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bin of the diagram: a bar to its share of right answers, a dot at its mean confidence."""

    x: float
    width: float
    y: float
    height: float
    dot_x: float
    dot_y: float
    text: str


@dataclass(frozen=True, slots=True)
class Reliability:
    """The reliability diagram (Guo et al. 2017, figure 1)."""

    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = _SIDE
    floor: float = _FLOOR
    top: float = 6
    side: float = _SIDE


def reliability(found: Calibration) -> Reliability:
    """Bars of ``found``'s bins; on the diagonal, confidence is what it says."""
    across, up = Scale(0, 1, _LEFT, _SIDE), Scale(0, 1, _FLOOR, 6)
    bars = tuple(
        Bar(
            x=across(one.low),
            width=across(one.high) - across(one.low),
            y=up(one.right),
            height=_FLOOR - up(one.right),
            dot_x=across(one.confidence),
            dot_y=up(one.right),
            text=f"{one.rows} rows: confidence {one.confidence:.2f}, right {one.right:.2f}",
        )
        for one in found.bins
    )
    return Reliability(bars, across.ticks(6), up.ticks(6))


def load_title(load: Load) -> str:
    """How the requests of ``load`` came."""
    if load.rps is None:
        return "one request after another"
    return f"{load.rps:g} requests a second, at random times"


def _render(template: str, evidence: Evidence, *, escape: bool) -> str:
    pages = environment("pretune.gating.report", escape=escape)
    found = evidence.calibration
    return pages.get_template(template).render(
        evidence=evidence,
        short=SHORT,
        diagram=found and reliability(found),
        load_title=load_title,
    )
