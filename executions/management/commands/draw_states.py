"""Draw docs/states.md from the code, or check that it was."""

from __future__ import annotations

from pathlib import Path

from executions import drawing
from lightfield.kernel.drawn_pages import DrawCommand


class Command(DrawCommand):
    help = "Draw docs/states.md from the enums and transition tables in the code."
    redraw = "draw_states"

    def page_path(self) -> Path:
        return drawing.page_path()

    def page(self) -> str:
        return drawing.page()
