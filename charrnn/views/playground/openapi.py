"""The description of the API, OpenAPI 3.1; its schemas also check what is asked for."""

from dataclasses import fields
from typing import Any

from charrnn import __version__
from charrnn.config import KERNELS, ON_UNKNOWN, SampleConfig
from charrnn.option import Option
from charrnn.views.playground.limits import LONGEST, LONGEST_TEXT, MOST_COLUMNS

Json = dict[str, Any]

_LARGEST_SEED = 2**53 - 1  # the largest whole number that JavaScript keeps
_OPTIONS: dict[str, Option] = {
    each.name: each.metadata["option"] for each in fields(SampleConfig)
}


def _string(text: str, most: int = LONGEST_TEXT) -> Json:
    return {"type": "string", "default": "", "maxLength": most, "description": text}


def _of_sample(name: str, kind: str, **changes: Any) -> Json:
    """Return the schema of a field of SampleConfig."""
    option = _OPTIONS[name]
    limits = {"minimum": option.minimum, "maximum": option.maximum}
    return {"type": kind, **limits, "description": option.help, **changes}


_MODEL = _string("The name of a model; without one, it is the first.", 300)
_UNKNOWN: Json = {
    "type": "string",
    "enum": [*ON_UNKNOWN],
    "default": "error",
    "description": "What to do with characters that the model does not know.",
}


def _object(required: tuple[str, ...] = (), **properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


GENERATE = _object(
    model=_MODEL,
    prime=_string("The text that the model reads first, and then continues."),
    length=_of_sample("length", "integer", minimum=1, maximum=LONGEST, default=300),
    temperatures={
        "type": "array",
        "items": _of_sample("temperature", "number"),
        "minItems": 1,
        "maxItems": MOST_COLUMNS,
        "default": [0.5, 0.8, 1.1],
        "description": "One for each text. All texts use the same random numbers.",
    },
    top_k=_of_sample("top_k", "integer", maximum=2**31 - 1, default=0),
    top_p=_of_sample("top_p", "number", default=1),
    min_p=_of_sample("min_p", "number", default=0),
    seed={
        "type": "integer",
        "minimum": 0,
        "maximum": _LARGEST_SEED,
        "description": "The same seed gives the same texts; a new one by default.",
    },
    on_unknown=_UNKNOWN,
    kernels={
        "type": "string",
        "enum": [*KERNELS],
        "default": "auto",
        "description": "How each step is computed. auto is numba once that is loaded; "
        "the two differ by rounding, which changes a text in about a thousand. "
        "`charrnn sample` writes short texts with numpy.",
    },
    figures={
        "type": "boolean",
        "default": True,
        "description": "Whether to measure the texts, as `charrnn compare` does.",
    },
)
NEXT = _object(
    model=_MODEL,
    prefix=_string("The text so far."),
    top={
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 10,
        "description": "The number of characters to return.",
    },
    on_unknown=_UNKNOWN,
)
SURPRISE = _object(
    ("text",),
    model=_MODEL,
    prime=_string("The text before; it is read and not judged."),
    text=_string("The text to judge."),
    on_unknown=_UNKNOWN,
)

_ERROR: Json = {
    "description": "A line that explains what was wrong.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"error": {"type": "string"}},
                "required": ["error"],
            }
        }
    },
}
_EVENTS = """Server-sent events, whose data are JSON:
start {model, network, seed, kernels, prime, temperatures};
text {pieces}, the next piece of each text, any number of times;
figures {columns: [{log_prob, entropy, distinct_4grams, repetition}]};
corpus {columns: [{known_words, longest_copy}], searched}, if the text that the model
was trained on is there;
end {characters, seconds};
error {error} instead of what follows, if something fails."""


def _answer(text: str, kind: str = "application/json", schema: Any = None) -> Json:
    found = {"description": text, "content": {kind: {"schema": schema or {}}}}
    return {"200": found, "default": _ERROR}


def _post(name: str, text: str, schema: Json, answer: Json) -> Json:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    about = {"operationId": name, "summary": text, "requestBody": body}
    return {"post": {**about, "responses": answer}}


def _get(name: str, text: str, answer: Json, *parameters: str) -> Json:
    place = {"in": "path", "required": True, "schema": {"type": "string"}}
    about: Json = {"operationId": name, "summary": text, "responses": answer}
    if parameters:
        about["parameters"] = [{"name": each, **place} for each in parameters]
    return {"get": about}


_CHOICES = """models: [{name, kind, training, saved}], the default first.
kind is run, built-in or file; training is whether a run is going on; saved is when it
was saved last, in seconds since 1970. Also the limits: longest, most_columns."""

DESCRIPTION: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "charrnn serve",
        "version": __version__,
        "description": "Writes, predicts and judges text with the models of charrnn.",
    },
    "paths": {
        "/api/models": _get("models", "The models that are there.", _answer(_CHOICES)),
        "/api/generate": _post(
            "generate",
            "Write a text at each temperature, as a stream of events.",
            GENERATE,
            _answer(_EVENTS, "text/event-stream", {"type": "string"}),
        ),
        "/api/next": _post(
            "next",
            "Which characters may come next, at temperature 1.",
            NEXT,
            _answer(
                "characters: [{character, probability}], the likeliest first; the end "
                "of a document is an empty string."
            ),
        ),
        "/api/surprise": _post(
            "surprise",
            "How surprising each character is, in bits.",
            SURPRISE,
            _answer(
                "bits: a number for each character of text that the model knows; text: "
                "these characters."
            ),
        ),
        "/api/runs/{name}/history": _get(
            "history",
            "The validations of a run, also of one that is going on.",
            _answer("training: whether it is going on; events: the newest last."),
            "name",
        ),
        "/api/runs/{name}/curve.svg": _get(
            "curve",
            "The losses of a run, drawn.",
            _answer("A picture.", "image/svg+xml", {"type": "string"}),
            "name",
        ),
        "/api/openapi.json": _get(
            "openapi", "This description.", _answer("OpenAPI 3.1.")
        ),
    },
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
    "security": [{}, {"token": []}],
}
