"""Django settings. Everything that differs between installations comes from the environment.

The variables, their defaults and meanings are listed in `.env.example` and `docs/operations.md`.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url

from lightfield.api_settings import REST_FRAMEWORK, SPECTACULAR_SETTINGS  # noqa: F401  read by the two frameworks
from lightfield.kernel import env
from lightfield.kernel.db_deadline import DeadlineConnection
from lightfield.look import UNFOLD  # noqa: F401  read by django-unfold

BASE_DIR = Path(__file__).resolve().parent.parent

ENVIRONMENT = env.choice("LIGHTFIELD_ENV", "development", ("development", "production"))
IS_PRODUCTION = ENVIRONMENT == "production"
ROLE = env.choice(
    "LIGHTFIELD_ROLE",
    "command",
    ("web", "worker-fast", "worker-http", "worker-ai", "beat", "flower", "command"),
)
DEBUG = False

SECRET_KEY = env.secret("LIGHTFIELD_SECRET_KEY")
if not SECRET_KEY:
    if IS_PRODUCTION:
        raise env.InvalidSetting("LIGHTFIELD_SECRET_KEY", "set in production: 50 random characters")
    SECRET_KEY = "development-" + secrets.token_urlsafe(48)  # sessions end with the process; bin/* keep one

LIGHTFIELD_ENCRYPTION_KEYS = env.secret("LIGHTFIELD_ENCRYPTION_KEYS")  # read by lightfield.access.keyring
if not LIGHTFIELD_ENCRYPTION_KEYS and IS_PRODUCTION:
    raise env.InvalidSetting("LIGHTFIELD_ENCRYPTION_KEYS", "set in production: id:base64 of 32 random bytes")

LIGHTFIELD_PORT = env.whole("LIGHTFIELD_PORT", 8000, least=1, most=65535)
LIGHTFIELD_FLOWER_PORT = env.whole("LIGHTFIELD_FLOWER_PORT", 5555, least=1, most=65535)
LIGHTFIELD_BIND = env.text("LIGHTFIELD_BIND", "127.0.0.1")
ALLOWED_HOSTS = env.listing("LIGHTFIELD_ALLOWED_HOSTS") or ([] if IS_PRODUCTION else ["*"])
CSRF_TRUSTED_ORIGINS = env.listing("LIGHTFIELD_TRUSTED_ORIGINS")

# --- the engine -----------------------------------------------------------------------------------
LIGHTFIELD_LEASE_SECONDS = env.number("LIGHTFIELD_LEASE_SECONDS", 30, least=1, most=3600)
LIGHTFIELD_SWEEP_SECONDS = env.number("LIGHTFIELD_SWEEP_SECONDS", 1, least=0.1, most=60)
LIGHTFIELD_SHARDS = env.whole("LIGHTFIELD_SHARDS", 16, least=1, most=1024)
LIGHTFIELD_WINDOWS = {  # slow steps in flight per lane, over all workers
    "http": env.whole("LIGHTFIELD_HTTP_WINDOW", 600, least=1, most=100_000),
    "ai": env.whole("LIGHTFIELD_AI_WINDOW", 100, least=1, most=100_000),
}
# A lane is refilled up to so many steps on their way to a worker; workflows with less than two in flight are let past
# that. The rest wait in PostgreSQL, where workflows take turns.
LIGHTFIELD_MOST_QUEUED = env.whole("LIGHTFIELD_MOST_QUEUED", 16, least=1, most=100_000)
LIGHTFIELD_CELL_MEMORY_MB = env.whole("LIGHTFIELD_CELL_MEMORY_MB", 1024, least=256, most=1_000_000)
LIGHTFIELD_MAX_DEPTH = env.whole("LIGHTFIELD_MAX_DEPTH", 8, least=1, most=100)
# The inbox keeps so many deliveries of each workflow, and none that is older.
LIGHTFIELD_INBOX_MOST = env.whole("LIGHTFIELD_INBOX_MOST", 10_000, least=10, most=1_000_000)
LIGHTFIELD_INBOX_DAYS = env.whole("LIGHTFIELD_INBOX_DAYS", 30, least=1, most=3650)
# Who captures changes of records: Django's writers, or database triggers, which see raw SQL as well.
LIGHTFIELD_CAPTURE = env.choice("LIGHTFIELD_CAPTURE", "orm", ("orm", "trigger"))
LIGHTFIELD_WATCH: dict[str, dict[str, object]] = {}  # models of others: docs/records.md
LIGHTFIELD_EGRESS_ALLOW = env.text("LIGHTFIELD_EGRESS_ALLOW")

# The model of agents whose steps name none, and what models cost; judged by `executions.agents.provided`.
LIGHTFIELD_AI_BASE_URL = env.text("LIGHTFIELD_AI_BASE_URL")
LIGHTFIELD_AI_MODEL = env.text("LIGHTFIELD_AI_MODEL")
LIGHTFIELD_AI_API_KEY = env.secret("LIGHTFIELD_AI_API_KEY")
LIGHTFIELD_AI_PRICES = env.text("LIGHTFIELD_AI_PRICES")

# A host that fails is left alone: it is failing when at least so many calls within ten seconds, and this share of them,
# failed (0 calls: never). Then one probe at a time, at distances that double from here up to a minute; once one succeeds,
# releases at a rate that rises by so much every second. What waits for it waits no longer than the last.
LIGHTFIELD_CIRCUIT_CALLS = env.whole("LIGHTFIELD_CIRCUIT_CALLS", 20, least=0, most=1_000_000)
LIGHTFIELD_CIRCUIT_SHARE = env.number("LIGHTFIELD_CIRCUIT_SHARE", 0.5, least=0.01, most=1)
LIGHTFIELD_CIRCUIT_PROBE_SECONDS = env.number("LIGHTFIELD_CIRCUIT_PROBE_SECONDS", 5, least=0.1, most=3600)
LIGHTFIELD_CIRCUIT_RAMP = env.number("LIGHTFIELD_CIRCUIT_RAMP", 5, least=0.1, most=10_000)
LIGHTFIELD_CIRCUIT_HOLD_SECONDS = env.number(
    "LIGHTFIELD_CIRCUIT_HOLD_SECONDS", 86_400, least=1, most=31_536_000
)
# Retries to one host, of each worker process: this share of first attempts, and so many a second besides.
LIGHTFIELD_RETRY_SHARE = env.number("LIGHTFIELD_RETRY_SHARE", 0.2, least=0, most=10)
LIGHTFIELD_RETRY_FLOOR = env.number("LIGHTFIELD_RETRY_FLOOR", 3, least=0.1, most=1_000_000)

# Webhooks: requests a second, and how many at once after a pause. Of one address, of one sender, of one sender in vain.
LIGHTFIELD_WEBHOOK_RATE = env.number("LIGHTFIELD_WEBHOOK_RATE", 300, least=0.01, most=1_000_000)
LIGHTFIELD_WEBHOOK_BURST = env.whole("LIGHTFIELD_WEBHOOK_BURST", 600, least=1, most=1_000_000)
LIGHTFIELD_SENDER_RATE = env.number("LIGHTFIELD_SENDER_RATE", 1000, least=0.01, most=1_000_000)
LIGHTFIELD_SENDER_BURST = env.whole("LIGHTFIELD_SENDER_BURST", 2000, least=1, most=1_000_000)
LIGHTFIELD_REFUSED_RATE = env.number("LIGHTFIELD_REFUSED_RATE", 10, least=0.01, most=1_000_000)
LIGHTFIELD_REFUSED_BURST = env.whole("LIGHTFIELD_REFUSED_BURST", 100, least=1, most=1_000_000)
LIGHTFIELD_TRUSTED_PROXIES = env.networks("LIGHTFIELD_TRUSTED_PROXIES")  # whose X-Forwarded-For is believed
# Where people reach the admin, for links in failure notices; unset: without links.
LIGHTFIELD_PUBLIC_URL = env.text("LIGHTFIELD_PUBLIC_URL")
# Notices that are sent at once, over all workers; threads of a web process that wait.
LIGHTFIELD_NOTICE_SENDERS = env.whole("LIGHTFIELD_NOTICE_SENDERS", 4, least=1, most=100)
LIGHTFIELD_WAITERS = env.whole("LIGHTFIELD_WAITERS", 4, least=0, most=1000)

# --- PostgreSQL -----------------------------------------------------------------------------------
DATABASE_URL = env.secret("DATABASE_URL")
if not DATABASE_URL:
    raise env.InvalidSetting(
        "DATABASE_URL", "set: use bin/up, bin/manage or bin/test, which bring their own server"
    )
_database = dj_database_url.parse(DATABASE_URL)
# A statement, a lock wait or an idle transaction that takes this long is a bug or a fault: let go.
_session = "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"
# The engine's statements are prepared, and each row they touch has an index: one plan for all parameters (ADR
# 0012 says what keeps it good). Only they are prepared, so Django's own are not affected.
_session += " -c plan_cache_mode=force_generic_plan -c jit=off"
if ROLE.startswith("worker-"):
    _session += " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
_database["CONN_MAX_AGE"] = 0  # the pool keeps connections; it refuses any other value
_database["OPTIONS"] = {
    **_database.get("OPTIONS", {}),
    "application_name": f"lightfield-{ROLE}",
    "connect_timeout": 5,
    "options": _session if ROLE != "command" else "",
    # These notice a server that vanished without a word.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
POOL_SIZES = {"web": 3, "worker-fast": 5, "worker-http": 6, "worker-ai": 4}  # two cores serve no more at once
if ROLE in POOL_SIZES:
    _database["CONN_HEALTH_CHECKS"] = True
    _database["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": env.whole("LIGHTFIELD_POOL_SIZE", POOL_SIZES[ROLE], least=1, most=100),
        "timeout": 1.5 if ROLE == "web" else 10,  # a sender would rather be told at once
        # Then the next request tries again; psycopg's 300 s would mean pauses of up to a minute between tries.
        "reconnect_timeout": 2,
        "max_idle": 60,
        "connection_class": DeadlineConnection,
    }
_database["OPTIONS"]["prepare_threshold"] = 1_000_000  # only statements that lightfield.kernel.sql asks for
_database["TEST"] = {"NAME": env.text("LIGHTFIELD_TEST_DB") or f"test_{_database['NAME']}"}
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis and Celery -----------------------------------------------------------------------------
REDIS_URL = env.secret("REDIS_URL")
if not REDIS_URL:
    raise env.InvalidSetting(
        "REDIS_URL", "set: use bin/up, bin/manage or bin/test, which bring their own server"
    )


def _own_servers() -> list[tuple[str, int]]:
    """Where this installation itself listens: steps may never reach these, whatever is allowed."""
    redis = urlsplit(REDIS_URL)
    servers = [(redis.hostname or "127.0.0.1", redis.port or 6379)]
    if str(_database.get("HOST", "")) and not str(_database["HOST"]).startswith("/"):
        servers.append((str(_database["HOST"]), int(_database.get("PORT") or 5432)))
    servers += [(LIGHTFIELD_BIND, LIGHTFIELD_PORT), (LIGHTFIELD_BIND, LIGHTFIELD_FLOWER_PORT)]
    return servers


LIGHTFIELD_OWN_SERVERS = _own_servers()

# --- mail -----------------------------------------------------------------------------------------
EMAIL_HOST = env.text("LIGHTFIELD_EMAIL_HOST")  # unset: no e-mail is sent
_mail_security = env.choice("LIGHTFIELD_EMAIL_SECURITY", "starttls", ("starttls", "tls", "none"))
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail_security == "starttls", _mail_security == "tls"
EMAIL_PORT = env.whole("LIGHTFIELD_EMAIL_PORT", 587, least=1, most=65535)
EMAIL_HOST_USER = env.text("LIGHTFIELD_EMAIL_USER")
EMAIL_HOST_PASSWORD = env.secret("LIGHTFIELD_EMAIL_PASSWORD")
EMAIL_TIMEOUT = 10  # seconds, for each exchange with the mail server
DEFAULT_FROM_EMAIL = env.text("LIGHTFIELD_EMAIL_FROM", "lightfield@localhost")

# --- Django ---------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "lightfield.access",
    "workflows",
    "triggers",
    "executions",
    "crm",
    "lightfield",  # the composition root: what needs every app (builder, templates, system checks)
]
MIDDLEWARE = [
    "lightfield.urls.HookShortcut",  # /hooks/ needs no session, message or CSRF work
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "lightfield.content_policy.ContentPolicy",
]
ROOT_URLCONF = "lightfield.urls"
# What a process does not use is not loaded: that is a fifth of a worker's memory, and a third of beat's.
if ROLE.startswith("worker-"):
    INSTALLED_APPS = [
        *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "postgres")),
        *("lightfield.access", "workflows", "triggers", "executions", "crm"),
    ]
elif ROLE in ("beat", "flower"):
    INSTALLED_APPS = ["django_celery_beat"] if ROLE == "beat" else []
if ROLE.startswith("worker-") or ROLE in ("beat", "flower"):
    MIDDLEWARE = []
    ROOT_URLCONF = "lightfield.no_urls"
WSGI_APPLICATION = "lightfield.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "lightfield" / "templates"],  # before unfold's, some of which it replaces
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "static/"
STATIC_ROOT = env.text("LIGHTFIELD_STATIC_ROOT") or None  # unset: served from where they are installed
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"  # unfold's login form names no page to go to unless the address did
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
if IS_PRODUCTION:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]  # probes come over plain HTTP
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_SSL_REDIRECT = env.choice("LIGHTFIELD_SSL_REDIRECT", "on", ("on", "off")) == "on"

LOGGING_CONFIG = None  # lightfield.kernel.logs sets up one structured format for Django, Celery and us
