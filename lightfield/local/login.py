"""The first login of a development installation: `python -m lightfield.local.login`.

Makes the superuser `admin` with the password in LIGHTFIELD_ADMIN_PASSWORD unless there is one, and leaves an
existing one alone. Prints `kept` when that password opens the admin, `changed` when a person chose another.
"""

from __future__ import annotations

import os

import django

NAME = "admin"


def ensure(password: str) -> str:
    from django.contrib.auth import get_user_model
    from django.db import IntegrityError

    users = get_user_model().objects
    try:
        if not users.filter(username=NAME).exists():
            users.create_superuser(username=NAME, password=password)
    except IntegrityError:  # made by somebody else in this very moment
        pass
    return "kept" if users.get(username=NAME).check_password(password) else "changed"


if __name__ == "__main__":
    django.setup()
    print(ensure(os.environ["LIGHTFIELD_ADMIN_PASSWORD"]))
