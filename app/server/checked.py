"""The file `<data>/checked`: with which key and database this host has served, so that its next start with both need not wait for a check.

The parent reads it, so nothing big is imported here.
"""

from app.secret import derive
from app.settings import Settings

REFUSED = 78
"""Exit status of a child that found, and said, why this host must not start: EX_CONFIG of <sysexits.h>."""
FILE = "checked"


def was_checked(settings: Settings, secret: str) -> bool | None:
    """Whether this host has served with this key from this database before; None when it has served from none."""
    try:
        return (settings.data / FILE).read_text() == _mark(settings, secret)
    except OSError:
        return None


def note_checked(settings: Settings, secret: str) -> None:
    """Remember that this key and this database belong together. Raises OSError."""
    (settings.data / FILE).write_text(_mark(settings, secret))


def _mark(settings: Settings, secret: str) -> str:
    return derive(secret, f"database {settings.database_url}").hex()
