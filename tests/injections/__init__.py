"""What a malicious model does that is driven by poisoned input: 54 scripts of tool calls, as data.

Each script is a text as it would stand in a payload, a record or an answer, and the calls that a model makes which obeys it:
every tool there is and others, every entity, operation and host form, every trick with arguments. They are written against
`World`: what a determined attacker could know of the place, ids of all records included. Nothing here says what is permitted.
"""

from tests.injections import everything, reading, sending, writing
from tests.injections.script import SCRIPTS, Call, Script, World

__all__ = ["SCRIPTS", "Call", "Script", "World", "everything", "reading", "sending", "writing"]
