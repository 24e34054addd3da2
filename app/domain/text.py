"""Text that PostgreSQL can store: no NUL, and no lone surrogate, which has no UTF-8."""


def storable(text: str, characters_max: int | None = None, *, nul: str = "␀") -> str:
    """The first `characters_max` characters of `text`, each NUL replaced by `nul` and each lone surrogate by `?`."""
    return text[:characters_max].replace("\0", nul).encode("utf-8", "replace").decode()
