"""Detects where this process runs: platform, environment, region, deployment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from tracker.errors import SettingError
from tracker.messages import Message

Platform = Literal[
    "vercel",
    "aws_lambda",
    "cloud_run",
    "azure_functions",
    "netlify",
    "render",
    "railway",
    "heroku",
    "fly",
    "server",
    "local",
]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
SERVERLESS: frozenset[Platform] = frozenset({"vercel", "aws_lambda", "cloud_run", "azure_functions", "netlify"})

# The variables with the region and the deployment on each platform; the first one that is set counts.
# Sources: the platforms' pages on system environment variables.
_REGION: dict[Platform, tuple[str, ...]] = {
    "vercel": ("VERCEL_REGION",),
    "aws_lambda": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "cloud_run": ("CLOUD_RUN_REGION", "GOOGLE_CLOUD_REGION"),
    "azure_functions": ("REGION_NAME",),
    "netlify": ("AWS_REGION",),
    "render": ("RENDER_REGION",),
    "railway": ("RAILWAY_REPLICA_REGION",),
    "fly": ("FLY_REGION",),
}
_DEPLOYMENT: dict[Platform, tuple[str, ...]] = {
    "vercel": ("VERCEL_GIT_COMMIT_SHA", "VERCEL_DEPLOYMENT_ID", "VERCEL_URL"),
    "aws_lambda": ("AWS_LAMBDA_FUNCTION_VERSION",),
    "cloud_run": ("K_REVISION", "CLOUD_RUN_EXECUTION"),
    "azure_functions": ("WEBSITE_DEPLOYMENT_ID",),
    "netlify": ("COMMIT_REF", "DEPLOY_ID"),
    "render": ("RENDER_GIT_COMMIT",),
    "railway": ("RAILWAY_GIT_COMMIT_SHA", "RAILWAY_DEPLOYMENT_ID"),
    "heroku": ("HEROKU_SLUG_COMMIT", "HEROKU_RELEASE_VERSION"),
    "fly": ("FLY_MACHINE_VERSION", "FLY_IMAGE_REF"),
}
# PostgreSQL truncates an application_name to NAMEDATALEN - 1.
_MAX_NAME_CHARS = 63
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


class Runtime(NamedTuple):
    """The runtime of a process; the table's columns of the same names have these values."""

    platform: Platform
    environment: str
    region: str | None = None
    deployment: str | None = None

    @property
    def deployed(self) -> bool:
        """True except on a developer's machine."""
        return self.platform != "local"

    @property
    def serverless(self) -> bool:
        """True if the platform freezes or ends an instance after its response."""
        return self.platform in SERVERLESS


def detect(env: Mapping[str, str] = os.environ, platform: Platform | None = None) -> Runtime:
    """Detect the runtime from the platforms' variables; `platform` overrides the detection."""
    platform = platform or _detect_platform(env)
    environment = _first_value(env, ("VERCEL_ENV",) if platform == "vercel" else ())
    environment = environment or _first_value(env, ("NODE_ENV", "APP_ENV", "ENVIRONMENT"))
    return Runtime(
        platform=platform,
        environment=environment or ("development" if platform == "local" else "production"),
        region=_first_value(env, _REGION.get(platform, ())),
        deployment=_shorten(_first_value(env, _DEPLOYMENT.get(platform, ()))),
    )


def _detect_platform(env: Mapping[str, str]) -> Platform:
    def has(*names: str) -> bool:
        return any(env.get(name, "").strip() for name in names)

    # Vercel's functions run on Lambda and have its variables too, so Vercel is checked first.
    checks: tuple[tuple[Platform, bool], ...] = (
        ("vercel", _is_vercel(env)),
        ("netlify", has("NETLIFY")),
        ("aws_lambda", has("AWS_LAMBDA_FUNCTION_NAME")),
        ("cloud_run", has("K_SERVICE", "K_REVISION", "CLOUD_RUN_JOB")),
        ("azure_functions", has("FUNCTIONS_WORKER_RUNTIME")),
        ("render", has("RENDER")),
        ("railway", has("RAILWAY_ENVIRONMENT")),
        ("heroku", has("DYNO")),
        ("fly", has("FLY_APP_NAME")),
    )
    return next((platform for platform, matches in checks if matches), "local")


def _is_vercel(env: Mapping[str, str]) -> bool:
    """Whether this is a deployed function; `vercel dev` and `vercel env pull` also set VERCEL on a laptop."""
    if env.get("VERCEL_IPC_PATH"):
        return True
    return bool(
        env.get("VERCEL")
        and env.get("VERCEL_REGION", "").strip() not in {"", "dev1"}
        and env.get("VERCEL_ENV") != "development"
    )


def _first_value(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    text = next((value for name in names if (value := env.get(name, "").strip())), None)
    # Bytes that aren't UTF-8 become lone surrogates, which the database refuses.
    return text and text.encode("utf-8", "replace").decode("utf-8")


def _shorten(deployment: str | None) -> str | None:
    """A commit's first seven digits; other ids unchanged."""
    return deployment[:7] if deployment and _COMMIT.match(deployment) else deployment


def application_name(runtime: Runtime, role: str = "token-tracker") -> str:
    """The application_name of connections in pg_stat_activity: role, platform, environment, deployment."""
    parts = (role, runtime.platform, runtime.environment, runtime.deployment or "")
    text = "/".join(part for part in parts if part)
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:_MAX_NAME_CHARS]


def user_directory(kind: Literal["data", "state"], env: Mapping[str, str] = os.environ) -> Path:
    """The user's directory for this product's files (XDG base directories; Library on macOS).

    Raises `SettingError` for a user without a home.
    """
    import sys

    if sys.platform == "darwin":
        return _home() / "Library" / "Application Support" / "token-tracker"
    variable, default = {
        "data": ("XDG_DATA_HOME", ".local/share"),
        "state": ("XDG_STATE_HOME", ".local/state"),
    }[kind]
    configured = env.get(variable, "")
    # The XDG specification ignores relative paths.
    base = Path(configured) if configured.startswith("/") else _home() / default
    return base / "token-tracker"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise SettingError(Message("settings.home_missing")) from None
