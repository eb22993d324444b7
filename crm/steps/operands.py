"""One side of a comparison: a field of the row as SQL, and the parameters that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

ORDER: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
FALSE: Final = "false"


@dataclass
class Operand:
    """One field of the row, and the parameters that it is compared with."""

    name: str
    column: str
    prefix: str
    params: dict[str, Any] = field(default_factory=dict)

    def param(self, value: str | list[str]) -> str:
        name = f"{self.prefix}_{len(self.params)}"
        self.params[name] = value
        return f"%({name})s::text" + ("[]" if isinstance(value, list) else "")


class Unfit(Exception):
    """The operator or the value does not go with the field; says why."""
