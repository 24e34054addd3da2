"""The way to PostgreSQL, which a test can cut: the server goes on, nobody can reach it."""

import asyncio
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


class Relay:
    """A Unix socket that passes everything on to the real one until it is cut."""

    def __init__(self, dsn: str, directory: Path) -> None:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        port = query.get("port", ["5432"])[0]
        self.name = f".s.PGSQL.{port}"
        self._real = Path(query["host"][0]) / self.name
        self._directory = directory
        self.dsn = parts._replace(query=f"host={quote(str(directory), safe='/')}&port={port}").geturl()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_unix_server(self._pass_on, self._directory / self.name)

    async def cut(self) -> None:
        """End every connection and let no new one through."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)
        (self._directory / self.name).unlink(missing_ok=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._real)
        if self._server is None or not self._server.is_serving():
            # Cut while this connection was being made: let through, it would go on working.
            writer.transport.abort()
            far_writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far_writer))
                group.create_task(_copy(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    writer.close()
