"""`GET /us/{token}`: the page on which somebody who works for a brand has their browser's clicks left out of its figures, or counted again.

The address is signed and the same for all of them; the API hands it out (`GET /v1/brand/own-clicks`). The cookie says which brand, and nothing of the
person.
"""

from urllib.parse import parse_qs

from app.domain.own_clicks import cookie_name, own_mark, read_token
from app.tracking.lost_visitors import answer_lost
from app.tracking.responses import Answer, Receive, Scope, method_refused, page

COOKIE_MAX_AGE_S = 400 * 86_400
"""As long as browsers keep a cookie at most."""


class OwnClicks:
    """The door `us` of one worker."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Sets the brand's cookie on this host, or takes it away with `?count=yes`; 404 for a token that is none."""
        if scope["method"] not in ("GET", "HEAD"):
            return method_refused(scope, "GET", "HEAD")
        headers = dict(scope["headers"])
        brand_id = read_token(self._key, scope["path"][1:].partition("/")[2].rstrip("/"))
        if brand_id is None:
            return answer_lost("unknown", None, headers)
        counted = parse_qs(scope["query_string"].decode("latin-1")).get("count") == ["yes"]
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        age_s = 0 if counted else COOKIE_MAX_AGE_S
        cookie = f"{cookie_name(brand_id).decode()}={own_mark(self._key, brand_id)}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}"
        if counted:
            title, text = "Your clicks are counted again", '<a href="?">Leave the clicks of this browser out</a>'
        else:
            title = "Your clicks are left out"
            text = (
                "Clicks of this browser on links on this host are no longer counted. Open this page once in each browser that you use, and on"
                ' each host of your links. <a href="?count=yes">Count them again</a>'
            )
        return page(200, title, text, (b"set-cookie", cookie.encode()))
