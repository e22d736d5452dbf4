"""Names of people by a language model, through Presidio (the extra ``privacy``).

Presidio fetches a model that is not there, and its e-mail recogniser a list of domains. Neither
happens here: the model must be installed, and Presidio is asked for what it knows from the model
alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pretune.core.errors import MissingExtra, SpecError
from pretune.data.privacy.found import Found, PrivateType
from pretune.data.privacy.recognisers.pattern import squeezed

_LONGEST = 100_000
_OVERLAP = 200
"""Characters that the model is given at once, and those that are given twice."""


class Result(Protocol):
    """What an analyzer says: places, and a score of 0 to 1."""

    start: int
    end: int
    score: float


class Analyzer(Protocol):
    """The part of ``presidio_analyzer.AnalyzerEngine`` that is used."""

    def analyze(self, text: str, language: str, *, entities: list[str]) -> Sequence[Result]:
        """Entities of these types in ``text``."""


class Presidio:
    """Names of people in ``language`` that ``analyzer`` finds."""

    def __init__(self, analyzer: Analyzer, language: str) -> None:
        self._analyzer = analyzer
        self._language = language

    def find(self, text: str) -> Iterator[Found]:
        """See :class:`pretune.data.privacy.found.Recogniser`."""
        for begin in range(0, len(text), _LONGEST - _OVERLAP):
            piece = text[begin : begin + _LONGEST]
            for one in self._analyzer.analyze(piece, self._language, entities=["PERSON"]):
                start, end = begin + one.start, begin + one.end
                value = squeezed(text[start:end])
                yield Found(start, end, PrivateType.PERSON, value, min(one.score, 0.75))


def load_presidio(model: str) -> Presidio:
    """Presidio on the installed spaCy pipeline ``model``, a package's name or a folder.

    Raises:
        MissingExtra: Presidio is not installed. SpecError: the pipeline is not.
    """
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer
    except ImportError as error:
        raise MissingExtra("presidio-analyzer", "privacy", "finding names by a model") from error
    if not (spacy.util.is_package(model) or Path(model).is_dir()):
        raise SpecError(
            f'no spaCy pipeline "{model}" is installed, and none is fetched; install it, or name '
            "its folder"
        )
    pipeline = spacy.load(model)
    engine = SpacyNlpEngine()
    engine.nlp = {pipeline.lang: pipeline}  # as Presidio's documentation has it for loaded models
    languages = [pipeline.lang]
    registry = RecognizerRegistry(
        recognizers=[SpacyRecognizer(supported_language=pipeline.lang)],
        supported_languages=languages,
    )
    analyzer = AnalyzerEngine(registry, engine, supported_languages=languages)
    return Presidio(analyzer, pipeline.lang)
