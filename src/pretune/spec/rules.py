"""The rules file: how rows are made from value tables, phrases, numbers and dates."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from pretune.core.origin import KEY
from pretune.spec.expression import Expression
from pretune.spec.model import Strict
from pretune.spec.phrase import parse_phrase, slots_of
from pretune.spec.problems import spec_error
from pretune.spec.yamlfile import read_mapping


class PhraseSpec(Strict):
    """One phrase of a slot; a bare text is a phrase of weight 1."""

    say: str = Field(description="the phrase, with {slots} and (choices|of words)")
    weight: float = Field(1.0, gt=0, description="how often it is taken, beside the others")
    when: str | None = Field(
        None, description="taken only where this holds, an expression over bound names"
    )

    @field_validator("say", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return _as_text(value)

    @model_validator(mode="after")
    def _parses(self) -> Self:
        parse_phrase(self.say)
        if self.when is not None:
            Expression(self.when)
        return self


class NumberSpec(Strict):
    """A number, evenly drawn from a range."""

    start: Decimal = Field(alias="from", description="the least value")
    to: Decimal = Field(description="the greatest value")
    step: Decimal = Field(Decimal(1), gt=0, description="distance of two values; 0.01 shows cents")
    forms: tuple[str, ...] = Field(
        ("{}",), min_length=1, description='how it is written: "{}", or "{,}" with commas'
    )

    @model_validator(mode="after")
    def _range_and_forms(self) -> Self:
        if self.start > self.to:
            raise ValueError(f'no number lies from "{self.start}" to "{self.to}"; swap them')
        for form in self.forms:
            if "{}" not in form and "{,}" not in form:
                raise ValueError(f'form "{form}" has no place for the number; write "{{}}" in it')
        return self


DATE_PARTS = ("d", "dd", "m", "mm", "month", "mon", "yy", "yyyy", "weekday")
"""What may stand in braces in the form of a date."""


class DateSpec(Strict):
    """A day, evenly drawn from a range; in expressions it counts days."""

    start: datetime.date = Field(alias="from", description="the first day")
    to: datetime.date = Field(description="the last day")
    forms: tuple[str, ...] = Field(
        ("{yyyy}-{mm}-{dd}",),
        min_length=1,
        description="how it is written, from {d} {dd} {m} {mm} {month} {mon} {yy} {yyyy} {weekday}",
    )

    @model_validator(mode="after")
    def _range_and_forms(self) -> Self:
        if self.start > self.to:
            raise ValueError(f'no day lies from "{self.start}" to "{self.to}"; swap them')
        for form in self.forms:
            if unknown := set(slots_of(parse_phrase(form))) - set(DATE_PARTS):
                raise ValueError(
                    f'form "{form}" names "{min(unknown)}"; known: {", ".join(DATE_PARTS)}'
                )
        return self


class SlotSpec(Strict):
    """Where a value comes from: phrases, a number, a date, or a code; a list is of phrases."""

    phrases: tuple[PhraseSpec, ...] | None = Field(
        None, min_length=1, description="one of these; they may hold slots themselves"
    )
    number: NumberSpec | None = Field(None, description="a number of a range")
    date: DateSpec | None = Field(None, description="a day of a range")
    code: str | None = Field(
        None, min_length=1, description="a reference: 9 is a digit, A a letter, the rest is itself"
    )

    @model_validator(mode="before")
    @classmethod
    def _list_of_phrases(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return {"phrases": [one if isinstance(one, dict) else {"say": one} for one in value]}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a slot has one source and this has {len(given)}; write a list of phrases, "
                "or one of number, date, code"
            )
        return self


class ComputeSpec(Strict):
    """A value that follows from others; a bare text is its expression."""

    value: str = Field(description="an expression over bound names")
    like: str | None = Field(
        None, description="bound number or date whose written form it takes, in which it shows"
    )

    @field_validator("value")
    @classmethod
    def _parses(cls, value: str) -> str:
        Expression(value)
        return value


class SpansSpec(Strict):
    """A field that lists where bound values stand in another: type, text, start, end."""

    spans: str = Field(description="the field in which they stand")
    of: dict[str, str] = Field(
        min_length=1, description="bound names and their types; a list: names as they are"
    )

    @field_validator("of", mode="before")
    @classmethod
    def _names_as_types(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list) else value


FieldSpec = str | SpansSpec


class NegativeSpec(Strict):
    """A hard negative: a second row from the same values, with other words and another answer."""

    fields: dict[str, str] = Field(min_length=1, description="the fields that differ")
    share: float = Field(1.0, gt=0, le=1, description="share of the rule's rows that get one")


class RuleSpec(Strict):
    """How one sort of row is made."""

    name: str | None = Field(None, description="what reports call it; default: its place")
    weight: float = Field(1.0, gt=0, description="how many of the rows it makes, beside others")
    each: dict[str, dict[str, float]] = Field(
        {},
        description="make this a rule for each value of a name: {label: [low, high]}, or with "
        "weights {label: {low: 3, high: 1}}",
    )
    bind: dict[str, str] = Field(
        {},
        description="values drawn once for the row: {name: slot or table}; a list: slots by name",
    )
    compute: dict[str, ComputeSpec] = Field({}, description="values that follow from bound ones")
    where: tuple[str, ...] = Field((), description="expressions that must hold, else drawn again")
    fields: dict[str, FieldSpec] = Field(
        min_length=1, description="the row: {column: phrase}, the answer among them"
    )
    negatives: tuple[NegativeSpec, ...] = Field((), description="hard negatives of its rows")

    @field_validator("each", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: {_as_text(one): 1.0 for one in values}
            if isinstance(values, list)
            else {_as_text(one): weight for one, weight in dict(values).items()}
            for name, values in value.items()
        }

    @field_validator("bind", mode="before")
    @classmethod
    def _slots_by_name(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list) else value

    @field_validator("compute", mode="before")
    @classmethod
    def _bare_expressions(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            n: one if isinstance(one, dict) else {"value": str(one)} for n, one in value.items()
        }

    @field_validator("fields", mode="before")
    @classmethod
    def _field_texts(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {n: one if isinstance(one, dict) else _as_text(one) for n, one in value.items()}

    @field_validator("where", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _parses(self) -> Self:
        for text in self.where:
            Expression(text)
        for value in (
            *self.fields.values(),
            *(t for n in self.negatives for t in n.fields.values()),
        ):
            if isinstance(value, str):
                parse_phrase(value)
        for column, field in self.fields.items():
            if column == KEY:
                raise ValueError(f'column "{KEY}" is where a row\'s origin stands; name another')
            if isinstance(field, SpansSpec) and not isinstance(self.fields.get(field.spans), str):
                raise ValueError(
                    f'"{column}" lists spans of "{field.spans}", which is no text field'
                )
        for negative in self.negatives:
            if unknown := set(negative.fields) - set(self.fields):
                raise ValueError(
                    f'a negative changes "{min(unknown)}", which its rule does not have'
                )
        return self


class HoldOutSpec(Strict):
    """What rows for validation and test are said with and training rows are not. Names may hold
    ``*``."""

    phrases: tuple[str, ...] = Field(
        (), description="slots of which no two parts share a phrase: 2/3, 1/12 and 1/4 of them"
    )
    values: tuple[str, ...] = Field(
        (),
        description="slots and tables whose last quarter never occurs in training; those of up to "
        "nine are shared",
    )


class RulesSpec(Strict):
    """A rules file."""

    name: str = Field(min_length=1, description="default: the file's name")
    target: str = Field("label", description="the column that holds the answer")
    words: tuple[Path, ...] = Field(
        (),
        description="text files with slots: [name] on a line, then phrases, a line or a bar each",
    )
    tables: dict[str, tuple[dict[str, str], ...] | Path] = Field(
        {},
        description="records whose columns belong together: a list of mappings, whose texts are "
        "phrases, or a data file, whose cells are taken as they are",
    )
    slots: dict[str, SlotSpec] = Field({}, description="where values come from")
    rules: tuple[RuleSpec, ...] = Field(min_length=1, description="how rows are made")
    quotas: dict[str, float] = Field(
        {}, description="share of each answer among the rows; default: as the rules' weights say"
    )
    hold_out: HoldOutSpec = Field(HoldOutSpec(), description="what is kept from training")

    @field_validator("words", mode="before")
    @classmethod
    def _paths(cls, value: Any, info: ValidationInfo) -> Any:
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        folder: Path = (info.context or {}).get("folder") or Path()
        return [folder / item if isinstance(item, (str, Path)) else item for item in items]

    @field_validator("tables", mode="before")
    @classmethod
    def _cells(cls, value: Any, info: ValidationInfo) -> Any:
        folder: Path = (info.context or {}).get("folder") or Path()
        if not isinstance(value, dict):
            return value
        return {
            name: [{k: _as_text(v) for k, v in dict(row).items()} for row in rows]
            if isinstance(rows, list)
            else folder / str(rows)
            for name, rows in value.items()
        }

    @field_validator("quotas", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        return {_as_text(k): v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, rows in self.tables.items():
            if name in self.slots:
                raise ValueError(f'"{name}" is a slot and a table; rename one')
            if isinstance(rows, tuple):
                if not rows or any(set(row) != set(rows[0]) for row in rows):
                    raise ValueError(f'table "{name}" needs rows of the same columns')
                for text in (cell for row in rows for cell in row.values()):
                    parse_phrase(text)
        for place, rule in enumerate(self.rules, 1):
            if self.target not in rule.fields:
                raise ValueError(
                    f'rule {rule.name or place} has no field "{self.target}", the answer; '
                    f'add it, or name the answer\'s column with "target:"'
                )
        if any(share < 0 for share in self.quotas.values()) or (
            self.quotas and not sum(self.quotas.values())
        ):
            raise ValueError("quotas are shares above 0")
        return self


def _as_text(value: Any) -> Any:
    """A number as its text; what YAML took for a truth value or nothing is refused.

    Raises:
        ValueError: such a value, with the remedy.
    """
    if isinstance(value, bool) or value is None:
        kind = "nothing" if value is None else "a truth value"
        raise ValueError(f'"{value}" was read by YAML as {kind}; put text in quotes, as in "yes"')
    return str(value) if isinstance(value, (int, float, datetime.date)) else value


def parse_rules(
    value: Mapping[str, Any], *, name: str | None = None, folder: Path | None = None
) -> RulesSpec:
    """The rules that ``value`` says, as read from YAML; relative paths are taken from ``folder``.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    given = dict(value)
    if name is not None:
        given.setdefault("name", name)
    try:
        return RulesSpec.model_validate(given, context={"folder": folder})
    except ValidationError as error:
        raise spec_error(error, f'rules "{given.get("name", "")}"') from error


def load_rules(path: str | Path) -> RulesSpec:
    """Read the rules file ``path``; its name, up to the first dot, is the default name.

    Raises:
        SpecError: a missing, unreadable or broken file, or any problem with what it says.
    """
    path = Path(path)
    value = read_mapping(path, "rules file", ("slots", "rules"))
    return parse_rules(value, name=path.name.split(".")[0], folder=path.parent)
