"""The client through which commands call the REST API: errors in the API's own words, jobs followed with a progress bar."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import AppError
from app.settings import SettingsError, check_address, read_settings

if TYPE_CHECKING:
    import httpx2

Url = Annotated[str | None, typer.Option("--url", help="Address of the service [ARIANE_PUBLIC_URL, http://HOST:PORT].")]
Key = Annotated[str | None, typer.Option("--key", help="Secret key, sk_… [ARIANE_KEY].")]

TIMEOUT_S = 60.0
POLL_S = 0.3
CHUNK_BYTES = 64 << 10
ENDED = ("succeeded", "failed", "cancelled")

Json = dict[str, Any]
Parameters = Mapping[str, str | int | None]


class Api:
    """The REST API. Every method raises AppError: with the API's own sentence when it refuses, with the address when nothing answers there."""

    def __init__(self, client: "httpx2.Client") -> None:
        self._client = client

    def get(self, path: str, **parameters: str | int | None) -> Json:
        """The answer to a GET; parameters that are None are left out."""
        return self.send("GET", path, parameters)

    def post(self, path: str, body: Json) -> Json:
        """The answer to a POST of a JSON body."""
        return self.send("POST", path, {}, json=body)

    def send(self, method: str, path: str, parameters: Parameters, **request: Any) -> Json:
        """The answer to any request."""
        with self._asking(method, path, parameters, **request) as answer:
            return dict(json.loads(answer.read()))

    @contextmanager
    def _asking(self, method: str, path: str, parameters: Parameters, **request: Any) -> "Iterator[httpx2.Response]":
        """The answer to a request, to be read in the block. Raises AppError for a refusal, in the API's own words, and when there is no answer."""
        import httpx2

        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            with self._client.stream(method, path, params=given, **request) as answer:
                if not answer.is_success:
                    answer.read()
                    raise AppError(_refusal(answer))
                yield answer
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise AppError(
                f"{self._client.base_url} does not answer ({why}): is `ariane serve` running there?"
            ) from None

    def pages(self, path: str, **parameters: str | int | None) -> Iterator[Json]:
        """Every row of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **parameters, limit=100, cursor=cursor)
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def download(self, path: str, file: Path, **parameters: str | int | None) -> None:
        """Write the answer to a GET to a file. A refusal leaves the file as it was. Raises AppError, also when the file cannot be written."""
        with self._asking("GET", path, parameters) as answer:
            try:
                with file.open("wb") as target:
                    for chunk in answer.iter_bytes():
                        target.write(chunk)
            except OSError as error:
                raise AppError(f"{file}: {error.strerror}") from None

    def upload(self, path: str, file: Path, content_type: str, **parameters: str | int | None) -> Json:
        """The answer to a POST of a file, with a progress bar while it is sent."""
        with _progress("sending", file.stat().st_size) as update, file.open("rb") as source:

            def chunks() -> Iterator[bytes]:
                while chunk := source.read(CHUNK_BYTES):
                    yield chunk
                    update(advance=len(chunk))

            return self.send("POST", path, parameters, content=chunks(), headers={"Content-Type": content_type})

    def follow(self, job: Json) -> Json:
        """The job once it has ended, with a progress bar until then. Raises AppError when it failed."""
        with _progress("waiting") as update:
            while job["state"] not in ENDED:
                time.sleep(POLL_S)
                job = self.get(f"/v1/jobs/{job['id']}")
                done = job["progress"]
                what = "waiting" if job["state"] == "queued" else job["kind"]
                update(description=what, completed=done["done"], total=done["total"])
        if job["state"] == "failed":
            raise AppError(f"the job {job['id']} failed: {job['error']}")
        return job


@contextmanager
def connect(url: str | None, key: str | None) -> Iterator[Api]:
    """The API at `url`, called with `key`; the settings say what is None. Raises SettingsError without a key."""
    import httpx2

    for option, given in (("--url", url), ("--key", key)):
        if given == "":
            raise SettingsError(f"{option} is empty: leave it out, and the environment counts")
    settings = read_settings()
    chosen = (key or settings.key).strip()
    if not chosen:
        raise SettingsError(
            "ARIANE_KEY: a secret key (sk_…) is needed, here or as --key; `ariane keys create` makes one"
        )
    if not chosen.isascii() or not chosen.isprintable():
        raise SettingsError(f"{'--key' if key else 'ARIANE_KEY'}: holds a character that no key has; copy it again")
    headers = {"Authorization": f"Bearer {chosen}", "User-Agent": "ariane"}
    address = (url or settings.base_url).rstrip("/")
    try:
        if url:
            check_address(f"--url {url}", url)
        client = httpx2.Client(base_url=address, headers=headers, timeout=TIMEOUT_S)
    except (httpx2.InvalidURL, ValueError) as error:
        raise SettingsError(f"{f'--url {url}' if url else address}: {error}") from None
    with client:
        yield Api(client)


@contextmanager
def _progress(description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Updates a progress bar on standard error, so that standard output can be piped; none when standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield partial(bar.update, task)


def _refusal(answer: "httpx2.Response") -> str:
    """The API's own sentence in an answer that is an error."""
    try:
        problem = answer.json()
        reason = f"{problem['detail']} ({problem['code']})"
    except (ValueError, KeyError, TypeError):
        reason = f"the answer was {answer.status_code}; is this the address of the service?"
    return " ".join(reason.split())
