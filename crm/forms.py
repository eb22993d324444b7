"""Forms of records in the admin."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from crm.values import ADDRESS_DEGREES, ADDRESS_TEXT_CHARS, ADDRESS_TEXTS

ADDRESS_PARTS: Final = (*ADDRESS_TEXTS, *ADDRESS_DEGREES)


def _line(part: str) -> UnfoldAdminTextInputWidget:
    label = part.replace("_", " ").capitalize()
    return UnfoldAdminTextInputWidget(attrs={"placeholder": label, "aria-label": label})


class AddressWidget(forms.MultiWidget):
    """A line for each part of an address."""

    def __init__(self) -> None:
        super().__init__({part: _line(part) for part in ADDRESS_PARTS})

    def decompress(self, value: Any) -> list[Any]:
        address = value if isinstance(value, dict) else {}
        return [address.get(part) for part in ADDRESS_PARTS]


class AddressField(forms.MultiValueField):
    """An address as the record keeps it: what was left empty is left out, and all of it empty is null."""

    widget = AddressWidget

    def __init__(self, **options: Any) -> None:
        texts = [forms.CharField(required=False, max_length=ADDRESS_TEXT_CHARS) for _ in ADDRESS_TEXTS]
        degrees = [
            forms.FloatField(required=False, min_value=-limit, max_value=limit)
            for limit in ADDRESS_DEGREES.values()
        ]
        super().__init__([*texts, *degrees], require_all_fields=False, **options)

    def compress(self, data_list: list[Any]) -> dict[str, Any] | None:
        parts = zip(ADDRESS_PARTS, data_list, strict=False)  # an empty list when nothing was typed
        return {part: value for part, value in parts if value not in self.empty_values} or None


class RecordForm(forms.ModelForm):
    def clean_custom(self) -> dict[str, Any]:
        """An emptied box means that there are no fields of one's own."""
        return self.cleaned_data["custom"] or {}


class AccountForm(RecordForm):
    primary_address = AddressField(required=False)

    class Meta:
        widgets = {"industry": UnfoldAdminTextInputWidget}
