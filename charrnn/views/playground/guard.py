"""Who may ask: this machine's own pages and programs, or those that have the token.

A page of another site can make a browser send requests to this server. Such a request
has a foreign Origin or Sec-Fetch-Site or, if the site's name was made to lead here (DNS
rebinding), a foreign Host.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response

from charrnn.views.playground.json_text import refuse

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OWN_SITES = ("same-origin", "none")


def loopback_hosts(port: int) -> frozenset[str]:
    """Return the values of Host by which a browser may reach this machine."""
    names = ("127.0.0.1", "localhost", "[::1]")
    short = names if port == 80 else ()
    return frozenset({*short, *(f"{name}:{port}" for name in names)})


class Guard:
    """Refuses requests that come from elsewhere, and adds headers to every answer.

    Parameters
    ----------
    app : App
        What answers the others.
    hosts : frozenset of str, or None
        The values of Host that are accepted; None for all, which needs a token.
    token : str
        What a client must know; "" if nothing.
    port : int
        Where the server listens. Cookies are shared by all ports, so it is in the name.
    on_fault : callable
        Called with an exception that nobody expected.
    """

    def __init__(
        self,
        app: App,
        *,
        hosts: frozenset[str] | None,
        token: str,
        port: int,
        on_fault: Callable[[Exception], object],
    ) -> None:
        if hosts is None and not token:
            raise ValueError("a server for every host needs a token")
        self._app, self._hosts, self._token = app, hosts, token
        self._cookie, self._on_fault = f"charrnn-{port}", on_fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        try:
            await (refusal or self._app)(scope, receive, send_with_headers)
        except Exception as error:
            self._on_fault(error)
            if not started:
                answer = refuse(500, "a bug in charrnn; its terminal shows more")
                await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self._hosts is not None and host not in self._hosts:
            expected = " or ".join(sorted(self._hosts))
            return refuse(421, f"Host is {host!r:.80}; expected {expected}")
        origin = headers.get("origin")
        if origin is not None and not _is_own(origin, host):
            return refuse(403, "another site's page asks; only this one's may")
        is_api = scope["path"] != "/"
        site = headers.get("sec-fetch-site", "none")
        if is_api and site not in _OWN_SITES:
            return refuse(403, "another site's page asks; only this one's may")
        return self._stranger(scope, headers) if self._token else None

    def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to those who do not have the token yet."""
        if scope["path"] == "/" and scope["method"] == "GET":
            query = scope["query_string"].decode("latin-1")
            for given in parse_qs(query, max_num_fields=10).get("token", ()):
                if self._is_token(given):
                    return self._welcome()
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return None
        if self._is_token(_cookie(headers, self._cookie)):
            return None
        why = "a token is needed: open the address that charrnn serve printed, or send "
        answer = refuse(401, f"{why}Authorization: Bearer TOKEN")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _welcome(self) -> Response:
        """Store the token in a cookie, and take it out of the address."""
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
        return answer

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _is_own(origin: str, host: str) -> bool:
    try:
        found = urlsplit(origin.lower())
    except ValueError:
        return False
    return found.scheme in ("http", "https") and found.netloc == host


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
