"""The strict pydantic model that every part of a task file is made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from pretune.core.names import nearest


class Strict(BaseModel):
    """Immutable; an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if key not in known:
                    guess = nearest(str(key), known)
                    hint = f' did you mean "{guess}"?' if guess else ""
                    raise ValueError(
                        f'unknown key "{key}";{hint} known: {", ".join(sorted(known))}'
                    )
        return value
