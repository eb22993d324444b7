"""Answers of the admin as a browser would parse them: elements with their attributes, not text that looks right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""  # of everything inside it
    inner: list[Element] = field(default_factory=list)  # the elements directly inside it

    def children(self, tag: str) -> list[Element]:
        return [element for element in self.inner if element.tag == tag]

    def has_class(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()


@dataclass
class Dom(HTMLParser):
    """Every element of a page, in order."""

    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if self._open:
            self._open[-1].inner.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, -1, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements of a tag; `class_` asks for one class, others for the exact value."""
        wanted = dict(attributes)
        class_name = wanted.pop("class_", None)
        return [
            element
            for element in self.elements
            if element.tag == tag
            and (class_name is None or element.has_class(class_name))
            and all(element.attributes.get(name.replace("_", "-")) == value for name, value in wanted.items())
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} × <{tag} {attributes}>"
        return found[0]

    def tags(self) -> Counter[str]:
        return Counter(element.tag for element in self.elements)

    @property
    def text(self) -> str:
        return " ".join(self.one("body").text.split())


def dom_of(answer: Any) -> Dom:
    dom = Dom()
    dom.feed(answer.content.decode())
    dom.close()
    return dom


def words_of(element: Element) -> str:
    return " ".join(element.text.split())
