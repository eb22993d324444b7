"""Draw docs/limits.md from the code, or check that it was."""

from __future__ import annotations

from pathlib import Path

from lightfield.kernel.drawn_pages import DrawCommand
from lightfield.limits import drawing


class Command(DrawCommand):
    help = "Draw docs/limits.md from the settings, the models of a definition and the constants in the code."
    redraw = "draw_limits"

    def page_path(self) -> Path:
        return drawing.page_path()

    def page(self) -> str:
        return drawing.page()
