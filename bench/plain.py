"""What the service is compared with: a bare ASGI 302 that stores nothing, and the plain FastAPI + ORM way that inserts a row per click."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import RedirectResponse
from sqlalchemy import DateTime, ForeignKey, String, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Send = Callable[[dict[str, Any]], Awaitable[None]]

LOCATION = b"https://shop.example/products/launch?ariane=clk_01k0000000000000000000000"


async def bare(scope: dict[str, Any], receive: Any, send: Send) -> None:
    """The ceiling: the least an ASGI application can do to answer 302."""
    if scope["type"] != "http":
        return
    headers = [(b"location", LOCATION), (b"cache-control", b"private, no-store"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class Base(DeclarativeBase):
    """Tables of the comparison, apart from ours."""


class PlainLink(Base):
    """A short link."""

    __tablename__ = "plain_link"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(40), unique=True)
    destination: Mapped[str]


class PlainClick(Base):
    """A click, inserted and committed before the answer."""

    __tablename__ = "plain_click"
    id: Mapped[int] = mapped_column(primary_key=True)
    link_id: Mapped[int] = mapped_column(ForeignKey("plain_link.id"))
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def create_plain() -> FastAPI:
    """The plain way: a route, a SELECT and an INSERT through the ORM, a commit per click. PLAIN_DSN and PLAIN_SLUGS in the environment."""
    engine = create_async_engine(os.environ["PLAIN_DSN"], pool_size=16)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        async with sessions() as session:
            slugs = os.environ["PLAIN_SLUGS"].split(",")
            session.add_all(PlainLink(slug=slug, destination="https://shop.example/products/launch") for slug in slugs)
            await session.commit()
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/{slug}")
    async def redirect(slug: str) -> RedirectResponse:
        async with sessions() as session:
            link = (await session.execute(select(PlainLink).where(PlainLink.slug == slug))).scalar_one_or_none()
            if link is None:
                raise HTTPException(404)
            click = PlainClick(link_id=link.id, occurred_at=datetime.now(UTC))
            session.add(click)
            await session.commit()
            return RedirectResponse(f"{link.destination}?ariane={click.id}", status_code=302)

    return app
