"""Reports of runs: one Markdown text, or one HTML page that needs nothing else."""

from pretune.evaluation.report.records import Report, RunSummary, read_loss
from pretune.evaluation.report.render import render_html, render_markdown

__all__ = ["Report", "RunSummary", "read_loss", "render_html", "render_markdown"]
