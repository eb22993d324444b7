"""Headers with secrets, as a frozen request has them: references and text, no value. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflows.secret_text import SecretName, SecretText


@dataclass(frozen=True)
class SealedHeader:
    """A header whose value is put together when it is sent. `is_basic`: as RFC 7617 wants it, `user:password` in base64."""

    name: str
    text: SecretText
    is_basic: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "text": self.text.as_json(), "basic": self.is_basic}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> SealedHeader:
        return cls(raw["name"], SecretText.from_json(raw["text"]), raw["basic"])

    def filled_in(self, values: Mapping[str, str]) -> str:
        """The value to send, given those of its secrets."""
        text = "".join(values[part] if isinstance(part, SecretName) else part for part in self.text.parts)
        return basic(text) if self.is_basic else text

    def __str__(self) -> str:
        """For people: `Bearer {{ secret.stripe }}`."""
        return f"Basic {self.text}" if self.is_basic else str(self.text)


def basic(credentials: str) -> str:
    """Source: RFC 7617 section 2; UTF-8, as servers that say nothing mostly expect."""
    return f"Basic {base64.b64encode(credentials.encode()).decode('ascii')}"
