"""The parameters of a postback: from its query and its body, without two of one name, and without macros that nobody filled in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from app.domain.placeholders import variable_in
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import read_object
from app.platforms.postback.presets import FIELDS, Preset
from app.platforms.postback.signature import is_json

PARAMETERS_MAX = 200
MACRO_CHARACTERS_MAX = 200
READ_AS_QUERY = ("application/x-www-form-urlencoded", "text/plain")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a message: its name there, and its value, a text or whatever JSON had there."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class PostbackFields:
    """The fields of a message. unfilled: those that hold nothing but a macro as it was pasted."""

    given: Mapping[str, Parameter]
    unfilled: Mapping[str, Parameter]


def read_parameters(query: str, content_type: str, body: bytes, preset: Preset) -> PostbackFields:
    """The fields in the query (as latin-1) and the body, by this preset's names. Empty is the same as missing.

    Raises Unreadable: `duplicate_keys` for one name with two values, wherever they stand, because one may come from the sender's
    own system and the other from somebody who can add to its address; `escaped_ampersand` for an address pasted with `&amp;`.
    """
    pairs = list(_pairs(query)) + list(_body_pairs(content_type, body))
    read: dict[str, object] = {}
    preset_names = {name for names in preset.names.values() for name in names}
    for name, value in pairs:
        if name.startswith("amp;"):
            raise Unreadable(
                "escaped_ampersand", "the address was pasted with &amp; in place of &; put a plain & between parameters"
            )
        if name in preset_names and read.setdefault(name, value) != value:
            raise Unreadable("duplicate_keys", f"{name} is given twice, with two values")
    given: dict[str, Parameter] = {}
    unfilled: dict[str, Parameter] = {}
    for field in FIELDS:
        found = [Parameter(name, read[name]) for name in preset.names.get(field, ()) if name in read]
        filled = [each for each in found if not is_unfilled(each.value)]
        if filled:
            given[field] = filled[0]
        elif found:
            unfilled[field] = found[0]
    return PostbackFields(given, unfilled)


def is_unfilled(value: object) -> bool:
    """Whether a value is a macro as it was pasted, which the sender's system did not replace, or holds one."""
    if not isinstance(value, str) or len(value) > MACRO_CHARACTERS_MAX:
        return False
    # A number that went wrong is there, and is refused as a number.
    return variable_in(value) not in (None, "NaN")


def _pairs(text: str) -> Iterator[tuple[str, object]]:
    """The pairs of `name=value&…`, latin-1 of the bytes as they came. Raw UTF-8 is read as well as escaped; anything else becomes half surrogates,
    which every field refuses by name."""
    if text.count("&") >= PARAMETERS_MAX:
        raise Unreadable("too_many_fields", f"more than {PARAMETERS_MAX} parameters")
    for part in text.split("&"):
        name, _, value = part.partition("=")
        # Checked before it is unescaped: %%DATE%% begins with what looks like an escape.
        plain = value if is_unfilled(value) else _unescape(value)
        if plain.strip():
            yield _unescape(name).strip().lower(), plain


def _unescape(text: str) -> str:
    if not text.isascii():
        text = "".join(character if character < "\x80" else f"%{ord(character):02X}" for character in text)
    return unquote_plus(text, errors="surrogateescape")


def _body_pairs(content_type: str, body: bytes) -> Iterable[tuple[str, object]]:
    if not body.strip():
        return ()
    if is_json(content_type, body):
        return [
            (name.strip().lower(), value)
            for name, value in read_object(body, "not_a_postback").items()
            if value is not None and not (isinstance(value, str) and not value.strip())
        ]
    if content_type and not content_type.lower().startswith(READ_AS_QUERY):
        raise Unreadable(
            "unknown_encoding",
            f"the body is {content_type.partition(';')[0][:60]}; send the parameters in the query, urlencoded or as a JSON object",
        )
    return _pairs(body.strip().decode("latin-1"))
