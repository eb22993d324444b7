"""Property tests judge results, not the speed of the machine they run on."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lightfield", deadline=None)
settings.load_profile("lightfield")
