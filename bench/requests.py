"""The requests of a load, in a form that every load generator can be given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

NUMBER = "@NUMBER@"
"""Placeholder in a body for a number that no other request of this load has."""
SEED = 7

BROWSER_HEADERS = {
    "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 401.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "fr-FR,fr;q=0.9",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "https://l.instagram.com/",
    "Sec-Fetch-Mode": "navigate",
}
"""Headers that a phone's browser sends with a click on a link."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Endless requests for paths drawn at random. body: contains NUMBER where requests differ, counted from `first_number`."""

    paths: tuple[str, ...]
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    first_number: int = 1

    def plain(self) -> dict[str, Any]:
        """These requests as JSON values."""
        return asdict(self)

    def lua(self) -> str:
        """These requests as a Lua script for wrk."""
        body = f" .. {_HERE} .. ".join(_quoted(part) for part in self.body.split(NUMBER)) if self.body else "nil"
        lines = [f"wrk.headers[{_quoted(name)}] = {_quoted(value)}" for name, value in self.headers.items()]
        lines += [
            f"local paths = {{ {', '.join(map(_quoted, self.paths))} }}",
            f"math.randomseed({SEED})",
            f"local number = {self.first_number - 1}",
            "request = function()",
            "  number = number + 1",
            f"  return wrk.format({_quoted(self.method)}, paths[math.random(#paths)], nil, {body})",
            "end",
        ]
        return "\n".join(lines) + "\n"


_HERE = 'string.format("%d", number)'
"""Lua's numbers are floats: a large one would be written 1e+15."""


def clicks(paths: list[str]) -> Requests:
    """Clicks on these links in a phone's in-app browser."""
    return Requests(paths=tuple(paths), headers=BROWSER_HEADERS)


def _quoted(text: str) -> str:
    """A Lua string: printable ASCII unchanged, every other byte by its number."""
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}" for byte in text.encode())
    return f'"{plain}"'
