"""A piece of the outside: a real DNS server and a real web server on this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rrset


@dataclass
class Outside:
    """What its servers know. addresses: by name, in the order of the answers, each question taking the next list while several are there."""

    dns_server: str = ""
    port: int = 0
    texts: dict[str, list[str]] = field(default_factory=dict)
    addresses: dict[str, list[list[str]]] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, question: bytes) -> bytes | None:
        query = dns.message.from_wire(question)
        (asked,) = query.question
        name = asked.name.to_text(omit_final_dot=True).lower()
        if name in self.silent:
            return None
        found: list[str] = []
        kind = dns.rdatatype.to_text(asked.rdtype)
        if kind == "TXT":
            found = [f'"{text}"' for text in self.texts.get(name, [])]
        elif name in self.addresses:
            lists = self.addresses[name]
            now = lists.pop(0) if kind == "A" and len(lists) > 1 else lists[0]
            found = [each for each in now if (":" in each) == (kind == "AAAA")]
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if found:
            reply.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *found))
        return reply.to_wire()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ")[1]
        host = next(line[6:] for line in head.split("\r\n") if line.lower().startswith("host: ")).partition(":")[0]
        self.asked.append((host, path))
        body = self.files.get((host, path))
        if body is not None and body.startswith(b"->"):
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % body[2:])
        elif body is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (answer := self.outside.answer(data)) is not None:
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """Both servers, on free ports of 127.0.0.1."""
    known = Outside()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(known), local_addr=("127.0.0.1", 0))
    server = await asyncio.start_server(known.serve, "127.0.0.1", 0)
    known.dns_server = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    known.port = server.sockets[0].getsockname()[1]
    try:
        yield known
    finally:
        transport.close()
        server.close()
