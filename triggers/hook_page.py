"""What a webhook's address answers to anything but POST: the same to everybody, whatever stands in the path.

A person who opens it in a browser gets a page that says what the address is for. It is one constant: it holds nothing of
the request, fetches nothing, and its policy allows its own style and no more.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from django.http import HttpRequest, HttpResponse

from lightfield.kernel import problems

ALLOWED: Final = "POST, OPTIONS"

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2030; --soft: #596076; --paper: #f5f6fa; --card: #fff; --line: #dfe2ec;
  --code: #eef0f7; --mark: #4456d6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaf3; --soft: #a3a9bd; --paper: #10131c; --card: #191d29; --line: #2b3143; --code: #10131c;
    --mark: #9aa7ff } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; grid-template-columns: minmax(0, 42rem); place-content: center;
  padding: 1.5rem; background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif }
main { padding: clamp(1.25rem, 5vw, 2.5rem); background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25 }
h2 { margin: 1.75rem 0 .5rem; font-size: 1rem }
p { margin: 0 0 .75rem }
.soft { color: var(--soft) }
code, pre { font: .875rem/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
p code { padding: .1rem .3rem; background: var(--code); border-radius: .25rem }
pre { margin: 0 0 .75rem; padding: .9rem 1rem; overflow-x: auto; background: var(--code); border: 1px solid var(--line);
  border-radius: .5rem }
pre:focus-visible, a:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px }
a { color: var(--mark) }
main > :last-child { margin-bottom: 0 }
"""

PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>A webhook address</title>
<style>{STYLE}</style>
</head>
<body>
<main id="main">
<h1>This is an address for programs</h1>
<p>Webhooks are sent here: <code>POST</code> requests with one JSON value. A browser asks with <code>GET</code>, and to
that there is nothing to show.</p>
<h2>To send one by hand</h2>
<pre tabindex="0"><code>curl -X POST https://your-host/hooks/your-token \\
  -H 'Content-Type: application/json' \\
  -H 'Idempotency-Key: order-4711' \\
  -d '{{"email": "ada@example.com"}}'</code></pre>
<p>Accepted is answered with <code>202</code> and the id of the event, the same again under its key with <code>200</code>.
What is refused is told in a problem document. Where signatures are asked for, an unsigned request is refused.</p>
<p class="soft">Whoever knows such an address can use it, so keep it like a password. This page looks the same at every
address, whether anything listens there or not.</p>
<p><a href="/api/docs">Documentation of this installation</a></p>
</main>
</body>
</html>
""".encode()

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def answer(request: HttpRequest) -> HttpResponse:
    """To a request that is no POST: 405, but for OPTIONS, which asks just that."""
    if request.method == "OPTIONS":
        response = HttpResponse(status=204, headers={"Allow": ALLOWED})
        del response.headers["Content-Type"]
        return response
    if request.method in ("GET", "HEAD") and _is_for_a_person(request):
        headers = {"Allow": ALLOWED, "Content-Security-Policy": POLICY, "Vary": "Accept"}
        return HttpResponse(PAGE, status=405, content_type="text/html; charset=utf-8", headers=headers)
    return problems.problem_json(
        "request.method_not_allowed",
        detail="A webhook address takes POST.",
        headers={"Allow": ALLOWED, "Vary": "Accept"},
    )


def _is_for_a_person(request: HttpRequest) -> bool:
    return "text/html" in request.META.get("HTTP_ACCEPT", "").lower()
