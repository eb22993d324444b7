"""`python -m tests.forked ARGUMENTS`: tells what it is, in one line of JSON, starts a child of its own, and stays."""

import json
import os
import signal
import subprocess
import sys
import threading

if __name__ == "__main__":
    child = subprocess.Popen(["sleep", "600"])
    told = {
        "arguments": sys.argv[1:],
        "main": __name__,
        "file": sys.argv[0],
        "role": os.environ.get("LIGHTFIELD_ROLE"),
        "settings": os.environ.get("DJANGO_SETTINGS_MODULE"),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[
            :-1
        ],  # the last is the listing's own
        "stdin": os.readlink("/proc/self/fd/0"),
        "umask": os.umask(0o077),
        "folder": os.getcwd(),
        "threads": threading.active_count(),
        "is_interruptible": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "loaded": "celery.worker.consumer" in sys.modules,
        "said": [getattr(sys.modules[name], "said", None) for name in sys.argv[1:] if name in sys.modules],
        "child": child.pid,
    }
    print(json.dumps(told), flush=True)  # noqa: T201  it is what we are for
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    while True:
        signal.pause()
