"""Which worker runs what, when the whole suite runs in several processes (`-n auto` in pyproject.toml)."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# Their files share what takes long to bring up: an installation, the tables of a project's own.
TOGETHER = ("tests/acceptance/", "tests/integration/watched/")


class InFiles(LoadScopeScheduling):
    """A file goes to one worker as a whole, and so does a folder of `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)
