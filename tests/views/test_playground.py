"""The API of `charrnn serve`, over real sockets: it computes what the library does."""

import json
from math import log

import numpy as np
import pytest
from playground import playing, texts_of, working_with
from texts import save_trained, sentences, trained

from charrnn.generation.ensembles import combine
from charrnn.generation.text_model import TextModel
from charrnn.nn.model import Model
from charrnn.storage.checkpoint import save
from charrnn.storage.run_folder import BEST, lock
from charrnn.text.reading import from_text
from charrnn.views.compare import compare
from charrnn.views.playground import openapi
from charrnn.views.playground.app import Playground
from charrnn.views.playground.limits import Limits
from charrnn.views.playground.models import Models

EVIL = "<script>evil = 1<\u2044script>"  # a name that a folder may have
WRITE = {
    "model": "lines",
    "prime": "Ann ",
    "length": 200,
    "seed": 7,
    "kernels": "numpy",
    "temperatures": [0.2, 0.8, 1.5],
}
LINE = {
    "event": "validation",
    "step": 10,
    "epoch": 0.5,
    "train_loss": 2.0,
    "val_loss": 2.5,
    "best": True,
    "lr": 0.1,
    "grad_norm": 1.0,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Work in a folder with two runs, one of which has a name that is markup."""
    with working_with(tmp_path_factory.mktemp("play"), EVIL, "lines") as place:
        yield place


@pytest.fixture(scope="module")
def client(place):
    with playing() as client:
        yield client


def test_each_text_is_the_one_that_the_library_writes(client):
    found = client.generate(**WRITE)
    texts = texts_of(found)
    for text, temperature in zip(texts, WRITE["temperatures"], strict=True):
        assert "Ann " + text == trained().generate(
            "Ann ", length=200, temperature=temperature, seed=7, kernels="numpy"
        )
    start = dict(found)["start"]
    assert start["model"] == "lines"
    assert start["network"] == "rnn, 1 x 24 units"
    assert (start["seed"], start["kernels"]) == (7, "numpy")
    assert dict(found)["end"]["characters"] == 600


FIGURES = (
    *("log_prob", "entropy", "distinct_4grams", "repetition"),
    *("known_words", "longest_copy"),
)


def test_the_figures_are_those_of_compare(client):
    found = client.generate(**WRITE)
    names = [name for name, _ in found]
    corpus = from_text(sentences(300), name="lines")
    expected = compare(
        trained(), "Ann ", WRITE["temperatures"], corpus=corpus, length=200, seed=7
    )
    figures, shared = dict(found)["figures"]["columns"], dict(found)["corpus"]
    assert shared["searched"] == 1
    for i, column in enumerate(expected.columns):
        wanted = {name: getattr(column, name) for name in FIGURES}
        assert figures[i] | shared["columns"][i] == pytest.approx(wanted)
    assert names[0] == "start"
    assert names[-3:] == ["figures", "corpus", "end"]


def test_filters_count_in_the_text_and_in_its_entropy(client):
    greedy = client.generate(**WRITE | {"top_k": 1})
    text = trained().generate("Ann ", length=200, temperature=0)
    assert ["Ann " + each for each in texts_of(greedy)] == [text] * 3
    figures = dict(greedy)["figures"]["columns"]
    assert [each["entropy"] for each in figures] == [0, 0, 0]
    for field, value in (("top_p", 0.5), ("min_p", 0.2)):
        (found,) = texts_of(
            client.generate(**WRITE | {field: value, "temperatures": [1.2]})
        )
        settings = {field: value, "length": 200, "seed": 7, "kernels": "numpy"}
        assert "Ann " + found == trained().generate("Ann ", temperature=1.2, **settings)


def test_a_seed_that_was_not_given_writes_the_same_text_again(client):
    asked = {key: value for key, value in WRITE.items() if key != "seed"}
    first, other = client.generate(**asked), client.generate(**asked)
    assert texts_of(first) != texts_of(other)
    seed = dict(first)["start"]["seed"]
    assert texts_of(client.generate(**asked, seed=seed)) == texts_of(first)


def test_texts_may_go_unmeasured(client):
    found = client.generate(**WRITE | {"figures": False})
    assert {name for name, _ in found} == {"start", "text", "end"}


def test_next_is_that_of_the_library(client):
    asked = {"model": "lines", "prefix": "Ann ", "top": 5}
    status, found = client.post("/api/next", asked)
    pairs = [(each["character"], each["probability"]) for each in found["characters"]]
    assert status == 200
    assert pairs == trained().next("Ann ", 5)


def test_surprise_is_minus_log2_p(client):
    text = trained().generate("Ann ", length=50, seed=1)[4:]
    asked = {"model": "lines", "prime": "Ann ", "text": text}
    status, found = client.post("/api/surprise", asked)
    nats = TextModel.losses(trained(), "Ann " + text)[3:]
    assert status == 200
    assert found["text"] == text
    assert found["bits"] == pytest.approx(nats / log(2), abs=1e-3)
    empty = client.post("/api/surprise", asked | {"text": ""})
    assert empty == (200, {"text": "", "bits": []})


def test_unknown_characters_are_an_error_or_left_out(client):
    asked = {"model": "lines", "prime": "Ann \u4e00", "text": "A\u4e00nn"}
    status, found = client.post("/api/surprise", asked)
    assert status == 422
    assert "has never seen" in found["error"]
    _, found = client.post("/api/surprise", asked | {"on_unknown": "skip"})
    assert found["text"] == "Ann"
    assert len(found["bits"]) == 3
    status, found = client.post("/api/generate", WRITE | {"prime": "\ud800"})
    assert status == 422
    assert "\n" not in found["error"]


def test_models_are_the_runs_and_the_built_in_one_newest_first(client):
    _, found = client.get("/api/models")
    names = [(each["name"], each["kind"]) for each in found["models"]]
    assert names == [("lines", "run"), (EVIL, "run"), ("shakespeare", "built-in")]
    assert found["models"][0]["saved"] > found["models"][1]["saved"] == 1


def test_the_first_model_is_the_default(client):
    assert dict(client.generate(length=5, seed=1))["start"]["model"] == "lines"


@pytest.mark.parametrize(
    "name",
    ["nothing", "../lines", "checkpoints/lines", "lines/best.npz", "/", "\ud800"],
)
def test_a_model_is_named_and_never_a_path(client, name):
    status, found = client.post("/api/next", {"model": name})
    assert status == 404
    assert "GET /api/models" in found["error"]


def test_a_checkpoint_that_was_named_comes_first(place):
    file = place / "checkpoints" / "lines" / BEST
    other = save_trained(place / "elsewhere")
    with playing(other, file) as client:
        _, found = client.get("/api/models")
        kinds = {each["name"]: each["kind"] for each in found["models"]}
        assert [*kinds][:2] == ["elsewhere", "best"]
        assert (kinds["elsewhere"], kinds["best"]) == ("run", "file")
        assert texts_of(client.generate(**WRITE | {"model": "best"})) == texts_of(
            client.generate(**WRITE)
        )


def test_a_running_training_is_seen_and_followed(client, place):
    folder = place / "checkpoints" / EVIL
    path = "/api/runs/%3Cscript%3Eevil%20=%201%3C%E2%81%84script%3E"
    assert client.get(f"{path}/history") == (
        200,
        {"name": EVIL, "training": False, "events": []},
    )
    with lock(folder):
        lines = [LINE, {"event": "rollback"}, LINE | {"step": 20, "val_loss": None}]
        text = "\n".join(map(json.dumps, lines)) + '\n{"event": "validation", "st'
        (folder / "history.jsonl").write_text(text.replace("2.0", "NaN"))
        status, found = client.get(f"{path}/history")
        assert status == 200
        assert found["training"] is True
        shown = {key: LINE[key] for key in ("step", "epoch", "val_loss", "best", "lr")}
        del (later := shown | {"step": 20})["val_loss"]
        assert found["events"] == [shown, later]
        _, found = client.get("/api/models")
        assert [each["training"] for each in found["models"]] == [False, True, False]
    text = "\n".join(json.dumps(LINE | {"step": step}) for step in range(5))
    (folder / "history.jsonl").write_text(text)
    status, headers, body = client.ask("GET", f"{path}/curve.svg")
    assert (status, headers["Content-Type"]) == (200, "image/svg+xml")
    assert body.startswith(b"<svg")
    assert client.get("/api/runs/shakespeare/history")[0] == 404
    assert client.get("/api/runs/nothing/history")[0] == 404


def test_weights_that_were_saved_anew_are_read_anew(client, place):
    folder = save_trained(place / "checkpoints" / "growing")
    asked = WRITE | {"model": "growing"}
    before = texts_of(client.generate(**asked))
    model = trained().to_checkpoint()
    weights = Model(model.model.config)
    weights.params.flat[:] = model.model.params.flat * np.float32(0.5)
    model.model = weights
    save(model, folder / BEST)
    assert texts_of(client.generate(**asked)) != before
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def test_few_models_are_kept_in_memory(place):
    models = Models(Limits(models=2))
    _, first = models.load("lines")
    assert models.load("lines")[1] is first
    models.load(EVIL)
    assert models.load("lines")[1] is first
    models.load("shakespeare")  # EVIL was used longest ago
    assert models.load("lines")[1] is first
    small = Models(Limits(weights=1))
    _, first = small.load("lines")
    assert small.load("lines")[1] is first
    small.load(EVIL)
    assert small.load("lines")[1] is not first


def test_an_ensemble_is_a_model_like_any_other(place):
    both = combine([trained(), trained()])
    file = both.save(place / "both.npz")
    with playing(file) as client:
        found = client.generate(**WRITE | {"model": "both"})
        assert dict(found)["start"]["network"] == (
            "ensemble of 2 networks: 2 of rnn, 1 x 24 units"
        )
        for text, temperature in zip(
            texts_of(found), WRITE["temperatures"], strict=True
        ):
            assert "Ann " + text == both.generate(
                "Ann ", length=200, temperature=temperature, seed=7, kernels="numpy"
            )
    weights = 4 * both.parameters
    for limit, is_kept in ((weights + 1, False), (4 * weights, True)):
        models = Models(Limits(weights=limit), [file])
        _, first = models.load("both")
        models.load("lines")
        assert (models.load("both")[1] is first) == is_kept


def test_a_damaged_checkpoint_is_a_line(client, place):
    folder = place / "checkpoints" / "broken"
    folder.mkdir()
    (folder / BEST).write_bytes(b"nonsense")
    status, found = client.post("/api/generate", {"model": "broken"})
    assert status == 422
    assert "best.npz" in found["error"]
    (folder / BEST).unlink()
    folder.rmdir()


def test_the_description_is_that_of_the_routes(client):
    status, found = client.get("/api/openapi.json")
    assert (status, found["openapi"]) == (200, "3.1.0")
    assert found == json.loads(json.dumps(openapi.DESCRIPTION))
    for path, methods in found["paths"].items():
        real = path.replace("{name}", "lines")
        for method, about in methods.items():
            schema = body_of(about)
            if schema is None:
                assert client.ask(method.upper(), real)[0] == 200, path
            else:
                assert schema["additionalProperties"] is False
                status, found = client.post(real, {"nonsense": 1})
                assert status == 422, path
                assert all(name in found["error"] for name in schema["properties"])
        others = {"get", "post", "put", "delete"} - {*methods}
        for method in others:
            assert client.ask(method.upper(), real)[0] == 405, path


def body_of(about):
    content = about.get("requestBody", {}).get("content", {})
    return content["application/json"]["schema"] if content else None


def test_every_route_is_described():
    routes = {
        route.path: {method.lower() for method in route.methods - {"HEAD"}}
        for route in Playground().app().routes
        if route.path.startswith("/api/")
    }
    described = {path: {*about} for path, about in openapi.DESCRIPTION["paths"].items()}
    assert routes == described
