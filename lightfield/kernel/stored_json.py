"""How Django reads jsonb columns whose values came from outside."""

from __future__ import annotations

import json
from typing import Any

from lightfield.kernel import strict_json


class StoredJSON(json.JSONDecoder):
    """`JSONField(decoder=StoredJSON)`: 1e300 comes back as the number it was, not as 301 digits."""

    def decode(self, text: str, *_: Any) -> Any:  # type: ignore[override]  # Django hands it nothing but the text
        return strict_json.from_storage(text)
