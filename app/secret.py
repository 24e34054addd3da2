"""The secret key, which encrypts stored secrets and keys visitor hashes and cursors. Losing it loses those; nobody else may read it."""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from app.settings import Settings, SettingsError

KEY_BYTES = 32
LENGTH_MIN = 32
NONCE_BYTES = 12


class UnsealError(Exception):
    """A sealed text was made with another key, or was altered."""


def derive(secret: str, purpose: str) -> bytes:
    """The 32-byte key of one purpose (`seal`, `cursor`, …); no two purposes share a key."""
    return hashlib.blake2b(purpose.encode(), key=hashlib.sha256(secret.encode()).digest(), digest_size=32).digest()


def fingerprint(secret: str) -> str:
    """What tells this key from others and reveals nothing of it, in hexadecimal digits: stored in the database that it belongs to."""
    return derive(secret, "fingerprint").hex()


def seal(secret: str, text: str) -> str:
    """`text` encrypted and authenticated (AES-256-GCM), as URL-safe ASCII; different every time."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + AESGCM(derive(secret, "seal")).encrypt(nonce, text.encode(), None)
    return base64.urlsafe_b64encode(sealed).decode()


def unseal(secret: str, sealed: str) -> str:
    """The text that was given to `seal`. Raises UnsealError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        octets = base64.urlsafe_b64decode(sealed)
        return AESGCM(derive(secret, "seal")).decrypt(octets[:NONCE_BYTES], octets[NONCE_BYTES:], None).decode()
    except (InvalidTag, ValueError):
        raise UnsealError("sealed with another secret key, or altered") from None


def load_secret(settings: Settings) -> str:
    """`settings.secret_key`, else the key in `<data>/secret.key`, made now (mode 0600, on the disk before it is used) when there is none.

    Raises SettingsError when the file cannot be read or written, or holds too little: a damaged key must not be replaced in silence.
    """
    if settings.secret_key:
        return settings.secret_key
    path = settings.data / "secret.key"
    try:
        return _read(path) if path.exists() else _make(path)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}; make it readable by this user, or set ARIANE_SECRET_KEY"
        ) from None


def _read(path: Path) -> str:
    key = path.read_text().strip()
    if len(key) < LENGTH_MIN:
        raise SettingsError(
            f"{path}: holds no key of {LENGTH_MIN} characters; restore it from a backup, or delete it to lose what it encrypted"
        )
    return key


def _make(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".secret.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(KEY_BYTES).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # A link, unlike a rename, never replaces the key that another process made meanwhile.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return _read(path)
