"""JSON in ASCII, which holds any string: half characters, too, and line separators."""

import json
from typing import Any

from starlette.responses import Response


def to_json(value: Any) -> str:
    """Return a value as a line of JSON."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def answer(value: Any, status: int = 200) -> Response:
    """Return a value as an answer."""
    return Response(to_json(value), status, media_type="application/json")


def refuse(status: int, why: str, retry: int = 0) -> Response:
    """Return an answer that is an error; retry is after how many seconds to retry."""
    refusal = answer({"error": " ".join(why.split())}, status)
    if retry:
        refusal.headers["Retry-After"] = str(retry)
    return refusal
