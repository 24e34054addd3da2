"""A small shop of its own site: a product, a cart, a thank-you page. It knows Ariane only by what docs/pixel.md tells shops to paste.

It is served as `localhost` while the service is `127.0.0.1`: to a browser these are two sites, as a shop and its tracker are.
"""

import json
from collections.abc import Callable
from html import escape
from http.server import BaseHTTPRequestHandler
from threading import Thread
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

from tests.browser.wire import Quiet

STUB = "<script>window.ariane=window.ariane||function(){(ariane.q=ariane.q||[]).push(arguments)}</script>"


class Shop:
    """A shop on a free port whose pages hold `script(**attributes)`; `thanks` writes the thank-you page's own part.

    Orders are in `orders`: id -> {order_id, amount, currency, code?}, as the shop's own books.
    """

    def __init__(self, tracker: str, key: str, *, consent: str = "granted", thanks: "Thanks | None" = None) -> None:
        self.tracker = tracker
        self.key = key
        self.consent = consent
        self.thanks = thanks or at_once
        self.orders: dict[str, dict[str, str]] = {}
        self.pages: dict[str, str] = {}
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                page = shop.page(address.path, parse_qs(address.query))
                self.answer(200 if page else 404, page or "")

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
                order = shop.buy(form.get("code", [""])[0])
                self.answer(303, "", location=f"/thanks?order={order}")

            def answer(self, status: int, page: str, **headers: str) -> None:
                body = page.encode()
                self.send_response_only(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self._server.server_port}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def script(self, **attributes: str) -> str:
        """The tag a shop pastes; `consent=...` and the like become data- attributes."""
        told = {"key": self.key, "consent": self.consent} | attributes
        data = " ".join(f'data-{name}="{escape(value)}"' for name, value in told.items())
        return f'{STUB}<script async src="{self.tracker}/a.js" {data}></script>'

    def page(self, path: str, query: dict[str, list[str]]) -> str | None:
        """The HTML at a path, None where there is nothing."""
        if path in self.pages:
            return self.pages[path]
        if path == "/":
            return f'<title>Teapot</title>{self.script()}<h1>Teapot, 49.90 EUR</h1><a id="cart" href="/cart">Into the cart</a>'
        if path == "/cart":
            return (
                f"<title>Cart</title>{self.script()}"
                '<form method="post" action="/buy"><input name="code"><button id="buy">Buy</button></form>'
            )
        if path == "/frame":
            return frame_page(self)
        if path == "/thanks":
            order = self.orders[query["order"][0]]
            return f"<title>Thank you</title>{self.thanks(self, order)}<a id='home' href='/'>On</a>"
        return None

    def buy(self, code: str) -> str:
        """Sells one teapot; returns the order's id."""
        order = {"order_id": uuid4().hex[:12], "amount": "49.90", "currency": "EUR"}
        if code:
            order["code"] = code
        self.orders[order["order_id"]] = order
        return order["order_id"]

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


Thanks = Callable[[Shop, dict[str, str]], str]
"""Writes the part of the thank-you page that reports an order."""


def at_once(shop: Shop, order: dict[str, str]) -> str:
    """The plain way: the script, then the sale, which is queued when the script is not there yet."""
    return f"{shop.script()}<script>ariane('track', 'sale', {json.dumps(order)})</script>"


def queued_twice(shop: Shop, order: dict[str, str]) -> str:
    """Key and sale are both called before the script even begins to load; the tag itself says nothing."""
    init = json.dumps({"key": shop.key, "consent": shop.consent})
    return (
        f"{STUB}<script>ariane('init', {init}); ariane('track', 'sale', {json.dumps(order)}); window.queued = ariane.q.length</script>"
        f'<script async src="{shop.tracker}/a.js"></script>'
    )


def while_leaving(shop: Shop, order: dict[str, str]) -> str:
    """The sale is only reported when the shopper leaves the page."""
    return f"{shop.script()}<script>addEventListener('pagehide', function () {{ ariane('track', 'sale', {json.dumps(order)}) }})</script>"


def in_a_frame(shop: Shop, order: dict[str, str]) -> str:
    """As shop systems isolate foreign scripts: a sandboxed frame with an origin of its own. The shop hands it the click id."""
    told = quote(json.dumps(order))
    return (
        f"{shop.script()}<script>ariane('click_id', function (id) {{ var frame = document.createElement('iframe');"
        f" frame.sandbox = 'allow-scripts allow-forms'; frame.src = '/frame?ariane=' + id + '#{told}'; document.body.appendChild(frame) }})</script>"
    )


def frame_page(shop: Shop) -> str:
    """What the sandboxed frame loads: it knows the order from its fragment and the click from its own address, nothing else."""
    report = "ariane('track', 'sale', JSON.parse(decodeURIComponent(location.hash.slice(1))))"
    return f"<title>Pixel</title>{shop.script()}<script>{report}</script>"
