"""The frozen base: a decoder-only model with its tokenizer and chat template."""

from pretune.bases.base import Base
from pretune.bases.load import load_base, load_renderer

__all__ = ["Base", "load_base", "load_renderer"]
