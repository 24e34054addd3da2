"""`/docs` and everything under it: the reference, the guides, and the files that both load. None of them asks another host for anything."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from app.api.docs.guides import ADDRESS, render_guide
from app.errors import NotFound

REFERENCE = Path(__file__).with_name("docs.html").read_bytes()
ASSETS = {"try.js": "text/javascript", "guide.css": "text/css"}
"""Our own files under `/docs/assets`."""
SWAGGER_UI = "fastapi_offline"
"""The package that brings Swagger UI's files."""
CACHE = {"Cache-Control": "no-cache"}
"""Asked for again each time, so that page and script are of one release."""
PAGE = {
    **CACHE,
    # Swagger UI sets styles of its own and draws its arrows from data: addresses.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
}
"""Headers of a page: nothing is loaded from elsewhere, no script stands in a page, and no other site puts it into a frame."""


def add_docs(api: FastAPI) -> None:
    """Serve the reference at `/docs` and the guides at `/docs/guides`."""
    api.mount("/docs/static", StaticFiles(packages=[(SWAGGER_UI, "static")]), name="swagger-ui")

    # Not async: FastAPI runs them in a thread, where reading and rendering a page holds nobody up.
    @api.get("/docs", include_in_schema=False)
    def show_reference() -> Response:
        return HTMLResponse(REFERENCE, headers=PAGE)

    @api.get("/docs/assets/{name}", include_in_schema=False)
    def send_asset(name: str) -> Response:
        if name not in ASSETS:
            raise NotFound("no such file")
        return Response(Path(__file__).with_name(name).read_bytes(), media_type=ASSETS[name], headers=CACHE)

    @api.get(ADDRESS, include_in_schema=False)
    @api.get(f"{ADDRESS}/{{name:path}}", include_in_schema=False)
    def show_guide(name: str = "") -> Response:
        page = render_guide(name.removesuffix(".md"))
        if page is None:
            raise NotFound(f"there is no such page; {ADDRESS} lists them")
        return HTMLResponse(page, headers=PAGE)
