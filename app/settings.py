"""Every setting of the service, in one table: `Settings`. The only reader of the environment.

msgspec reads it, not pydantic-settings: the doors must answer within 0.4 s of the start, and pydantic alone would cost half of that.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta


class SettingsError(Exception):
    """A setting is missing or wrong; the text says which one, why, and what would be right."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings, read once at start. A field is set by the environment variable `variable(field)`; the text below it says what it means, with its unit."""

    database_url: str = ""
    """PostgreSQL 15 or later, `postgresql://user@host/name`. Empty: the embedded PostgreSQL in the data directory."""
    reports_database_url: str = ""
    """A hot standby of that database, from which reports are read. Empty: the database itself."""
    data: Path = Path("data")
    """Directory for everything that must survive a restart: spool, snapshot, key, embedded database."""
    host: str = "127.0.0.1"
    """Address the service listens on."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    """Port the service listens on; 0 takes a free one."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Web worker processes."""
    public_url: str = ""
    """Address under which the outside reaches the service, without a trailing slash. Empty: http://host:port."""
    other_names: str = ""
    """Further host names (comma separated) under which the service is reached, such as one it had before: no link may lead to them."""
    proof_of_hosts: Literal["auto", "always", "off"] = "auto"
    """Whether a brand must prove that a host is its own before links stand on it. auto: from the second brand on; off: you answer for all of them."""
    dns_server: str = ""
    """DNS server that is asked for such proofs and for addresses that users name, host:port. Empty: those of the system."""
    outgoing_networks: str = ""
    """Networks (CIDR, comma separated) that addresses named by users may lead to although they are not public, such as your shop's."""
    docs: Literal["on", "off"] = "on"
    """Whether /docs and /openapi.json are served; never on a brand's own host."""
    metrics: Literal["on", "off"] = "on"
    """Whether /metrics is served; never on a brand's own host."""
    internal_address: str = ""
    """A second address to listen on, host:port (127.0.0.1:9090, [::1]:9090). /docs, /openapi.json and /metrics are then served there and nowhere else."""
    secret_key: str = ""
    """Key that encrypts stored secrets and keys visitor hashes and cursors, at least 32 characters. Empty: made once, kept in the data directory."""
    key: str = ""
    """Secret key (sk_…) with which commands that ask the REST API speak: import, reconcile, deliveries"""
    trusted_proxies: str = ""
    """Networks (CIDR, comma separated) whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    pg_bin: str = ""
    """Directory of PostgreSQL's programs for the embedded database. Empty: the wheel, then the system's."""
    fast_redirects: Literal["on", "off"] = "on"
    """Answer clicks on known links inside uvicorn's protocol: twice as fast, see docs/performance.md."""
    spool_sync: Literal["interval", "always"] = "interval"
    """When a click is flushed to the disk: every `spool_sync_ms`, or before it is answered."""
    spool_sync_ms: Annotated[int, Meta(ge=10, le=10_000)] = 100
    """Milliseconds between two flushes of clicks to the disk."""
    spool_cap_bytes: Annotated[int, Meta(ge=1 << 20)] = 4 << 30
    """Bytes the spool may hold; clicks stop being recorded at 80 % of it so that orders still fit."""
    spool_segment_bytes: Annotated[int, Meta(ge=1 << 16)] = 4 << 20
    """Bytes after which a segment of the spool is closed and the next one begun."""
    drain_interval_ms: Annotated[int, Meta(ge=10, le=60_000)] = 200
    """Milliseconds between two passes of the background process over the spool."""
    drain_chunk_rows: Annotated[int, Meta(ge=1, le=20_000)] = 4_000
    """Lines of the spool recorded in one statement."""
    click_retention_days: Annotated[int, Meta(ge=30, le=3_650)] = 400
    """Days single clicks are kept; their daily counts stay for ever."""
    delivery_retention_days: Annotated[int, Meta(ge=7, le=3_650)] = 400
    """Days a recorded webhook or hit is kept as received; what it said stays with its order for ever."""
    rejected_retention_days: Annotated[int, Meta(ge=1, le=3_650)] = 90
    """Days a webhook or hit that recorded nothing (rejected, ignored) is kept, to be replayed after a fix."""
    unsigned_retention_days: Annotated[int, Meta(ge=1, le=365)] = 7
    """Days a webhook with a wrong signature, or a hit of nobody's key, is kept, to be replayed once its secret is mended."""
    unsigned_cap_rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    """Webhooks with a wrong signature kept per source."""
    body_max_bytes: Annotated[int, Meta(ge=1 << 10, le=64 << 20)] = 5 << 20
    """Largest body the API and the webhook door read."""
    pixel_max_bytes: Annotated[int, Meta(ge=1 << 10, le=1 << 20)] = 64 << 10
    """Largest body the beacon reads; browsers stop at 64 KiB."""
    pixel_key_per_minute: Annotated[int, Meta(ge=0)] = 120_000
    """Hits of one publishable key that a web worker records in a minute; over it landings are left out, orders once the spool is half full. 0: any number."""
    pixel_network_per_minute: Annotated[int, Meta(ge=0)] = 12_000
    """Hits of one network (IPv4 /24, IPv6 /48), with whatever keys, likewise; off while a proxy that is not trusted hides the networks. 0: any number."""
    upload_max_bytes: Annotated[int, Meta(ge=1 << 10, le=1 << 30)] = 64 << 20
    """Largest file that an import or a reconciliation reads."""
    job_retention_days: Annotated[int, Meta(ge=1, le=365)] = 30
    """Days a finished job and its lines are kept."""
    job_silent_s: Annotated[int, Meta(ge=2, le=600)] = 15
    """Seconds after which a job whose process gives no sign of life is taken up again."""
    directory_poll_ms: Annotated[int, Meta(ge=50, le=60_000)] = 2_000
    """Milliseconds between two polls for changed links, keys and sources; notifications usually come first."""
    directory_cache_rows: Annotated[int, Meta(ge=100)] = 10_000
    """Unknown slugs and keys remembered as unknown."""
    database_pool: Annotated[int, Meta(ge=1, le=200)] = 8
    """Database connections of one web worker."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is logged."""

    @property
    def base_url(self) -> str:
        """Where links point and sources post to, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


# Variables with their usual names; every other setting is ARIANE_ and its name.
PLAIN_VARIABLES = {
    "database_url": "DATABASE_URL",
    "reports_database_url": "REPORTS_DATABASE_URL",
    "host": "HOST",
    "port": "PORT",
    "pg_bin": "PG_BIN",
}


def variable(field: str) -> str:
    """The environment variable of a setting: `spool_sync_ms` is ARIANE_SPOOL_SYNC_MS."""
    return PLAIN_VARIABLES.get(field, f"ARIANE_{field.upper()}")


def read_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """The settings from the environment; `overrides` (a command's options, named as their settings) win where they are not None.

    Raises SettingsError naming the variable or the option. An empty variable counts as unset. An empty option is refused: it comes from a shell
    variable that is not set.
    """
    source = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for field in Settings.__struct_fields__:
        text = source.get(variable(field), "")
        if text != "":
            values[field] = text
    chosen = {name: value for name, value in overrides.items() if value is not None}
    values.update(chosen)
    for field, value in values.items():
        option = f"--{field.replace('_', '-')}"
        if value == "":
            raise SettingsError(f"{option} is empty: leave it out, and {variable(field)} or the default counts")
        try:
            msgspec.convert({field: value}, Settings, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            given = f"{option} {value}" if field in chosen else f"{variable(field)}={value}"
            raise SettingsError(f"{given}: {_reason(field, error)}") from None
    settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    _check(settings)
    return settings


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment for a child process, which reads exactly these settings from it."""
    ours = {variable(field): str(getattr(settings, field)) for field in Settings.__struct_fields__}
    return {**os.environ, **ours}


def check_address(name: str, address: str) -> None:
    """Raises SettingsError, beginning with `name`, unless `address` is one of a service."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{name}: begins with http:// or https:// and a host")


def read_place(field: str, place: str) -> tuple[str, int]:
    """Host and port of a setting that holds both. Raises SettingsError."""
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"{variable(field)}: {error}") from None
    if not host or not port or parts.netloc != place:
        raise SettingsError(f"{variable(field)}: a host and a port are needed, 127.0.0.1:9090 say")
    return host, port


def _check_dsn(name: str, dsn: str) -> None:
    """Raises SettingsError, without repeating the DSN, when a character of the password that is not escaped changes where its host begins or ends."""
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"{name}: only postgresql://… is spoken")
    parts = urlsplit(dsn)
    try:
        plain = parts.port is None or parts.port > 0
    except ValueError:
        plain = False
    misread = (
        parts.netloc.count("@") > 1 or "@" in parts.path or parts.fragment or (parts.query and "=" not in parts.query)
    )
    if misread or not plain:
        raise SettingsError(
            f"{name}: cannot be read; it has one host and a port in digits, and in a user's name or password @ is written %40, / %2F, ? %3F, # %23"
        )


def _reason(field: str, error: msgspec.ValidationError) -> str:
    """Why a value is refused: the choices there are, or the bounds of a number."""
    hint = get_type_hints(Settings, include_extras=True)[field]
    if get_origin(hint) is Literal:
        return f"choose among {', '.join(get_args(hint))}"
    if get_origin(hint) is Annotated:
        (bounds,) = hint.__metadata__
        return f"a whole number {f'of at least {bounds.ge}' if bounds.le is None else f'from {bounds.ge} to {bounds.le}'} is needed"
    return str(error).split(" - at ")[0]


def _path(kind: type, value: object) -> object:
    return Path(str(value)) if kind is Path else value


def _check(settings: Settings) -> None:
    if settings.secret_key and len(settings.secret_key) < 32:
        raise SettingsError("ARIANE_SECRET_KEY: at least 32 characters are needed; leave it empty to have one made")
    for field in ("database_url", "reports_database_url"):
        if dsn := getattr(settings, field):
            _check_dsn(variable(field), dsn)
    if settings.public_url:
        check_address("ARIANE_PUBLIC_URL", settings.public_url)
    if settings.internal_address:
        _, port = read_place("internal_address", settings.internal_address)
        if port == settings.port:
            raise SettingsError(f"ARIANE_INTERNAL_ADDRESS: port {port} is the public one; name another")
    for field in ("trusted_proxies", "outgoing_networks"):
        for network in filter(None, (part.strip() for part in getattr(settings, field).split(","))):
            try:
                ip_network(network)
            except ValueError as error:
                raise SettingsError(f"{variable(field)}: {error}") from None
    if settings.dns_server:
        read_place("dns_server", settings.dns_server)
