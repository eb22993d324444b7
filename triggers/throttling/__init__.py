"""How much one webhook's address, and one sender, may ask of an installation.

* `buckets`: the counts, in the memory of the process; the request path looks nowhere else.
* `sharing`: a thread tells Redis what was spent, and learns what the other processes spent.
* `clients`: by which address a sender is counted.
* `doors`: the questions that views ask.

Why it is counted in the process and shared afterwards: ADR 0019.
"""

from triggers.throttling.clients import client_of
from triggers.throttling.doors import Throttle, admit, refused, use

__all__ = ["Throttle", "admit", "client_of", "refused", "use"]
