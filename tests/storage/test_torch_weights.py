"""Weights under PyTorch's names: there and back, and the same numbers in PyTorch."""

import io
import json
import pickle
import re
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path

import hostile
import numpy as np
import pytest

from charrnn import strict_json
from charrnn.config import CELLS, ModelConfig, TextConfig
from charrnn.errors import CheckpointError, MissingExtraError
from charrnn.nn.model import Model
from charrnn.storage import safetensors_file, torch_file
from charrnn.storage.checkpoint import Checkpoint
from charrnn.storage.torch_weights import (
    SUFFIXES,
    export_weights,
    from_torch,
    import_weights,
    to_torch,
)
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.reading import from_text, read_corpus
from charrnn.text.vocab import Vocabulary

T, N, H, V, L = 4, 3, 5, 7, 2

every_cell = pytest.mark.parametrize("kind", CELLS)
cells_of_pytorch = pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])


def random_model(kind, seed=0):
    model = Model(ModelConfig(V, H, L, kind), np.float64)
    rng = np.random.default_rng(seed)
    model.params.flat[:] = rng.normal(0, 0.5, model.params.flat.shape)
    return model


@every_cell
def test_there_and_back_is_the_same(kind):
    model, other = random_model(kind), random_model(kind, seed=1)
    from_torch(to_torch(model), other)
    np.testing.assert_allclose(other.params.flat, model.params.flat, atol=1e-15)


@every_cell
def test_pytorchs_two_biases_become_one(kind):
    model, other = random_model(kind), random_model(kind, seed=1)
    weights = to_torch(model)
    for i in range(L):
        gates = len(weights[f"rnn.bias_ih_l{i}"]) - (H if kind.endswith("gru") else 0)
        weights[f"rnn.bias_hh_l{i}"][:gates] += 0.25
        weights[f"rnn.bias_ih_l{i}"][:gates] -= 0.25
    from_torch(weights, other)
    np.testing.assert_allclose(other.params.flat, model.params.flat, atol=1e-15)


def test_a_weight_that_is_missing_or_of_another_shape_is_named():
    model = random_model("gru")
    weights = to_torch(model)
    del weights["rnn.weight_hh_l1"]
    with pytest.raises(CheckpointError, match=r"'rnn.weight_hh_l1' is missing"):
        from_torch(weights, model)
    weights = to_torch(model) | {"output.bias": np.zeros(V + 1)}
    with pytest.raises(CheckpointError, match=r"'output.bias' is \(8,\); expected \(7"):
        from_torch(weights, model)


@cells_of_pytorch
def test_pytorch_gets_the_same_logits_and_gradients(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = random_model(kind)
    layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind]
    net = torch.nn.ModuleDict(
        {"rnn": layer(V, H, L), "output": torch.nn.Linear(H, V)}
    ).double()
    net.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(model).items()})
    ids = np.random.default_rng(2).integers(0, V, (T + 1, N)).astype(np.uint8)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(ids[:-1].astype(int)), V)
    hidden, _ = net["rnn"](one_hot.double())
    logits = net["output"](hidden)
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, V), torch.from_numpy(ids[1:].astype(int)).reshape(-1)
    )
    loss.backward()
    workspace, state = model.workspace(T, N), model.zero_state(N)
    mine, _ = model.forward(ids[:-1], state, workspace)
    np.testing.assert_allclose(mine, logits.detach().numpy(), atol=1e-9)
    found, grads, _ = model.loss_and_grads(ids[:-1], ids[1:], state, workspace)
    assert found == pytest.approx(float(loss.detach()), abs=1e-12)
    expected = Model(model.config, np.float64)
    theirs = {k: p.grad.numpy().copy() for k, p in net.named_parameters()}
    for i in range(L):  # a sum of two equal gradients; the model has one bias
        gates = len(theirs[f"rnn.bias_hh_l{i}"]) - (H if kind.endswith("gru") else 0)
        theirs[f"rnn.bias_hh_l{i}"][:gates] = 0
    from_torch(theirs, expected)
    np.testing.assert_allclose(grads.flat, expected.params.flat, atol=1e-9)


TEXT = "A b\n\té🙂"  # V distinct characters
ABOUT = {
    "corpus": CorpusInfo(name="naïve", encoding="utf-8", files=("a\nb",)),
    "split": SplitInfo(val_fraction=0.2),
    "train": {"lr": 1e-3, "plan": {"batch": 4}},
    "history": [[10, 2.5, 0.1 + 0.2]],
}


def needs_torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(params=SUFFIXES)
def form(request):
    """Return each format that can be written here."""
    if request.param == "torch":
        needs_torch()
    return request.param


def test_the_module_of_the_documents_computes_what_the_multiplicative_gru_does():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    page = Path(__file__).parents[2] / "docs" / "pytorch.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    (code,) = (block for block in blocks if "MultiplicativeGRU" in block)
    model = Model(ModelConfig(V, H, 1, "mgru"))
    model.params.flat[:] = random_model("mgru").params.flat[: model.params.flat.size]
    model.temperature = 1.3  # which the exported weights contain
    ids = np.random.default_rng(1).integers(0, V, (T, N)).astype(np.uint8)
    weights = {name: torch.from_numpy(W) for name, W in to_torch(model).items()}
    names = {"torch": torch, "V": V, "H": H, "weights": weights}
    names["ids"] = torch.from_numpy(ids.astype(np.int64))
    exec(code, names)
    expected, _ = model.forward(ids, model.zero_state(N), model.workspace(T, N))
    found = names["logits"].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def random_checkpoint(kind="lstm", layers=L, vocab=None):
    vocab = vocab or Vocabulary.of(TEXT)
    model = Model(ModelConfig(len(vocab), H, layers, kind))
    rng = np.random.default_rng(3)
    model.params.flat[:] = rng.normal(0, 0.5, model.params.flat.shape)
    return Checkpoint(model, vocab, **ABOUT)


@pytest.fixture
def path(tmp_path):
    """Return the path of a whole safetensors file of 2 layers of LSTM."""
    path = tmp_path / "a.safetensors"
    export_weights(random_checkpoint(), path, "safetensors")
    return path


def rewritten(path, *, drop=(), about=None, **changes):
    """Write a safetensors file anew with arrays (`__` is a dot) or metadata changed."""
    arrays, metadata = safetensors_file.load(path)
    for name, array in changes.items():
        arrays[name.replace("__", ".", 1)] = np.asarray(array, np.float32)
    for name in drop:
        del arrays[name]
    metadata |= about or {}
    metadata = {key: value for key, value in metadata.items() if value is not ...}
    safetensors_file.save(path, arrays, metadata)
    return path


def refusal(path, text=None):
    """Return the one line with which a file is refused."""
    with pytest.raises(CheckpointError) as error:
        import_weights(path, text)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 600
    return message


@every_cell
@pytest.mark.parametrize("layers", [1, 2])
def test_a_file_gives_the_checkpoint_back_bit_for_bit(tmp_path, form, kind, layers):
    checkpoint = random_checkpoint(kind, layers)
    export_weights(checkpoint, tmp_path / "a", form)
    back = import_weights(tmp_path / "a")
    assert back.model.config == checkpoint.model.config
    assert back.model.dtype == np.float32
    assert back.model.params.flat.tobytes() == checkpoint.model.params.flat.tobytes()
    assert back.vocab == checkpoint.vocab
    assert {key: getattr(back, key) for key in ABOUT} == ABOUT
    assert back.snapshot is None


@pytest.mark.parametrize(
    "characters", [Vocabulary.of_bytes().characters, '\0"\\\ud800\udfffx\uffff']
)
def test_any_character_survives(tmp_path, form, characters):
    vocab = Vocabulary(characters)
    export_weights(random_checkpoint(vocab=vocab), tmp_path / "a", form)
    assert import_weights(tmp_path / "a").vocab == vocab


def test_the_metadata_is_what_is_documented(path):
    arrays, metadata = safetensors_file.load(path)
    assert metadata.keys() == {"format", "version", "model", "vocab", *ABOUT}
    assert (metadata["format"], metadata["version"]) == ("charrnn", "1")
    assert json.loads(metadata["model"]) == asdict(random_checkpoint().model.config)
    assert json.loads(metadata["vocab"]) == sorted(TEXT)
    assert json.loads(metadata["corpus"]) == ABOUT["corpus"].to_json()
    assert json.loads(metadata["split"]) == ABOUT["split"].to_json()
    for key in ("train", "history"):
        assert json.loads(metadata[key]) == ABOUT[key]
    assert arrays.keys() == to_torch(random_checkpoint().model).keys()


def test_a_file_of_pytorchs_own_holds_tensors_and_one_text(tmp_path):
    torch = needs_torch()
    checkpoint = random_checkpoint()
    export_weights(checkpoint, tmp_path / "a.pt", "torch")
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(found) == ["state_dict", "charrnn"]
    for name, expected in to_torch(checkpoint.model).items():
        np.testing.assert_array_equal(found["state_dict"][name].numpy(), expected)
    export_weights(checkpoint, tmp_path / "a.safetensors", "safetensors")
    _, metadata = safetensors_file.load(tmp_path / "a.safetensors")
    assert json.loads(found["charrnn"]) == metadata


def pytorch_module(torch, kind, *names):
    """Return one recurrent layer and one linear one under these names."""
    layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind]
    torch.manual_seed(5)
    parts = (layer(V, H, L), torch.nn.Linear(H, V))
    return torch.nn.ModuleDict(dict(zip(names, parts, strict=True)))


def logits_of(torch, net, names, ids):
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(ids.astype(int)), V)
    hidden, _ = net[names[0]](one_hot.float())
    return net[names[1]](hidden).detach().numpy()


@cells_of_pytorch
@pytest.mark.parametrize("names", [("rnn", "output"), ("gru", "fc"), ("core", "head")])
@pytest.mark.parametrize("save", ["safetensors", "torch", "wrapped", "legacy"])
def test_what_pytorch_made_gives_the_same_logits_here(tmp_path, kind, names, save):
    torch = needs_torch()
    net = pytorch_module(torch, kind, *names)
    if save == "safetensors":
        from safetensors.torch import save_file

        save_file(net.state_dict(), tmp_path / "a", metadata={"format": "pt"})
    else:
        found = net.state_dict()
        found = {"state_dict": found} if save == "wrapped" else found
        new = save != "legacy"
        torch.save(found, tmp_path / "a", _use_new_zipfile_serialization=new)
    checkpoint = import_weights(tmp_path / "a", from_text(TEXT))
    assert checkpoint.model.config == ModelConfig(V, H, L, kind)
    assert checkpoint.vocab.characters == tuple(sorted(TEXT))
    assert checkpoint.corpus == CorpusInfo(encoding="")
    model = checkpoint.model
    ids = np.random.default_rng(2).integers(0, V, (T, N)).astype(np.uint8)
    mine, _ = model.forward(ids, model.zero_state(N), model.workspace(T, N))
    np.testing.assert_allclose(mine, logits_of(torch, net, names, ids), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_tensors_of_another_width_become_float32(tmp_path, dtype):
    torch = needs_torch()
    net = pytorch_module(torch, "gru", "rnn", "output").to(getattr(torch, dtype))
    torch.save(net.state_dict(), tmp_path / "a")
    found = import_weights(tmp_path / "a", from_text(TEXT)).model
    np.testing.assert_array_equal(
        found.params["output.W"].T, net["output"].weight.detach().float().numpy()
    )


def test_names_may_come_without_the_prefix_of_the_recurrent_part(path):
    arrays, metadata = safetensors_file.load(path)
    bare = {name.removeprefix("rnn."): array for name, array in arrays.items()}
    safetensors_file.save(path, bare, metadata)
    expected = random_checkpoint().model.params.flat
    np.testing.assert_array_equal(import_weights(path).model.params.flat, expected)


def test_a_vocabulary_of_bytes(path, tmp_path):
    vocab = Vocabulary.of_bytes()
    export_weights(random_checkpoint(vocab=vocab), path, "safetensors")
    rewritten(path, about={"format": "pt"})
    (tmp_path / "any").write_bytes(b"abc")
    text = read_corpus([tmp_path / "any"], TextConfig("bytes"))
    back = import_weights(path, text)
    assert back.vocab == vocab
    assert back.corpus == CorpusInfo(encoding="bytes")


def test_weights_without_a_vocabulary(path):
    rewritten(path, about={"format": ...})
    message = refusal(path)
    assert "no vocabulary in this file" in message
    assert "expected a text with its 7 distinct characters" in message
    assert "--vocab" in message


def test_a_vocabulary_of_another_size(path):
    rewritten(path, about={"format": "pt"})
    message = refusal(path, from_text(TEXT + "x"))
    assert "weights for 7 characters, but text has 8 distinct ones" in message
    assert "--vocab" in message


def test_a_second_vocabulary_is_refused(path):
    assert "leave out --vocab" in refusal(path, from_text(TEXT))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"drop": ["rnn.weight_hh_l0"]}, "'rnn.weight_hh_l0' is missing"),
        ({"drop": ["output.weight"]}, "'output.weight' is missing"),
        ({"drop": ["rnn.bias_ih_l1"]}, "'rnn.bias_ih_l1' is missing"),
        ({"drop": ["rnn.weight_hh_l1"]}, "'rnn.bias_hh_l1' is not a weight of 1 x"),
        ({"rnn__weight_hh_l0": np.zeros(5)}, "is (5,); expected a matrix"),
        (
            {"rnn__weight_hh_l0": np.zeros((10, 5))},
            "is (10, 5); expected 1, 3 or 4 times as many",
        ),
        ({"rnn__weight_hh_l0": np.zeros((0, 0))}, "hidden is 0"),
        ({"rnn__weight_hh_l0": np.zeros((15, 5))}, "is (20, 7); expected (15, 7)"),
        ({"rnn__weight_hh_l1": np.zeros((15, 5))}, "is (15, 5); expected (20, 5)"),
        ({"output__weight": np.zeros((7, 6))}, "is (7, 6); expected (7, 5)"),
        ({"output__weight": np.zeros((0, 5))}, "vocabulary size is 0"),
        ({"output__weight": np.zeros(())}, "is (); expected a matrix"),
        ({"output__bias": np.zeros(8)}, "is (8,); expected (7,)"),
        ({"rnn__weight_ih_l0": np.zeros((20, 9))}, "is (20, 9); expected (20, 7)"),
        ({"rnn__weight_hh_l5": np.zeros(1)}, "'rnn.weight_ih_l2' is missing"),
        ({"rnn__weight_hr_l0": np.zeros(1)}, "'rnn.weight_hr_l0' is not a weight"),
        (
            {"rnn__weight_hh_l0_reverse": np.zeros(1)},
            "'rnn.weight_ih_l2' is missing",
        ),
        ({"embedding__weight": np.zeros(1)}, "is a second 'output.weight'"),
        ({"rnn2__weight_hh_l0": np.zeros(1)}, "is a second 'rnn.weight_hh_l0'"),
        ({"a\nb": np.zeros(1)}, r"'a\nb' is not a weight of 2 x nn.LSTM"),
        ({"x" * 9999: np.zeros(1)}, "is not a weight of 2 x nn.LSTM"),
    ],
)
def test_weights_that_are_not_of_one_network_are_refused(path, changes, said):
    message = refusal(rewritten(path, **changes))
    assert said in message
    assert "expected the weights of one nn.RNN (tanh), nn.GRU or nn.LSTM" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e30])
@pytest.mark.parametrize("name", ["rnn.weight_hh_l1", "output.bias", "rnn.bias_hh_l0"])
def test_weights_that_are_not_finite_are_named(path, name, value):
    array = safetensors_file.load(path)[0][name]
    array.flat[-1] = value
    changed = rewritten(path, **{name.replace(".", "__"): array})
    assert f"'{name}' is not finite" in refusal(changed)


def test_biases_that_together_are_too_large(path):
    huge = np.full(4 * H, 9e29)
    rewritten(path, rnn__bias_ih_l1=huge, rnn__bias_hh_l1=huge)
    assert "sum of the biases of layer 1 is too large" in refusal(path)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"version": "2"}, "version '2' of the metadata; expected '1'"),
        ({"version": ...}, "version None"),
        ({"vocab": ...}, "the header has no 'vocab'"),
        ({"history": ...}, "the header has no 'history'"),
        ({"model": "{"}, "the header is not JSON"),
        ({"train": "[" * 100_000}, "the header is not JSON"),
        ({"train": "[]"}, "train is []; expected a JSON object"),
        ({"corpus": "null"}, "corpus is None; expected a JSON object"),
        ({"history": "{}"}, "history is {}; expected a list"),
        ({"vocab": '"abc"'}, "expected a list"),
        ({"vocab": '["a", "a"]'}, "twice"),
        ({"vocab": '["ab"]'}, "one character"),
        ({"vocab": '["a", "b"]'}, "2 characters for a model of 7"),
        ({"model": "7"}, "the header is not valid"),
        (
            {"model": '{"vocab": 7, "hidden": 6}'},
            "the weights have hidden 5, but the header 6",
        ),
        (
            {"model": '{"vocab": 7, "hidden": 5}'},
            "the weights have layers 2, but the header 1",
        ),
        (
            {"model": '{"vocab": 7, "hidden": 5, "layers": 2, "cell": "gru"}'},
            "the weights have cell lstm, but the header gru",
        ),
    ],
)
def test_a_description_that_does_not_hold_is_refused(path, about, said):
    message = refusal(rewritten(path, about=about))
    assert said in message


def test_nothing_that_is_neither_format_is_read(tmp_path):
    path = tmp_path / "a"
    for data in (b"", b"{", b"ROMEO: a text of some length", b"PK", b"\x80\x02}"):
        path.write_bytes(data)
        assert "neither in the safetensors format nor from torch.save" in refusal(path)
    assert "cannot be read" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "none")


def test_a_safetensors_file_that_is_damaged(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert "not a whole safetensors file" in refusal(path)
    path.write_bytes(data[:100])
    assert "not a whole safetensors file" in refusal(path)


def test_a_checkpoint_need_not_be_imported(tmp_path):
    np.savez(tmp_path / "best.npz", header=np.zeros(3, np.uint8))
    assert "charrnn sample" in refusal(tmp_path / "best.npz")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def saved(torch, found, **settings):
    data = io.BytesIO()
    torch.save(found, data, **settings)
    return data.getvalue()


@pytest.mark.parametrize("looks", [True, False])
def test_a_pickle_is_never_executed(tmp_path, monkeypatch, looks):
    """Neither if the file is looked through first, nor if PyTorch alone reads it."""
    torch = needs_torch()
    if not looks:
        monkeypatch.setattr(torch_file, "_look_through", lambda path: None)
    said = "it refers to 'io open'" if looks else "UnpicklingError"
    trap, path = tmp_path / "executed", tmp_path / "a.pt"
    good = {"state_dict": {}, "charrnn": "{}"}
    for found in (Payload(trap), good | {"x": Payload(trap)}, {"x": Payload(trap)}):
        for new in (True, False):
            path.write_bytes(saved(torch, found, _use_new_zipfile_serialization=new))
            assert said in refusal(path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Payload(trap))).close()
    assert trap.exists(), "the trap must be able to spring"


def test_what_pytorch_saved_and_is_no_state_dict(tmp_path):
    torch = needs_torch()
    path, x = tmp_path / "a.pt", torch.zeros(2, 2)
    for found in (
        *(x, [x], 5, {"state_dict": 5}, {"state_dict": [x]}, {"a": "b"}, {}),
        *({3: x}, {"a": x}, {"a": {"b": x}}, {"charrnn": "{"}, {"charrnn": x}),
        *({"a": x.to_sparse()}, {"a": torch.zeros(2, 2, device="meta")}),
        torch.nn.Linear(2, 2),
    ):
        path.write_bytes(saved(torch, found))
        refusal(path)
    path.write_bytes(saved(torch, {"output.weight": torch.zeros(7, 5).int()}))
    assert "'output.weight' is torch.int32; expected floats" in refusal(path)


def test_a_tensor_that_claims_more_than_the_file_holds(tmp_path):
    torch = needs_torch()
    path = tmp_path / "a.pt"
    huge = torch.zeros(1, 1).expand(10**6, 10**6)
    path.write_bytes(saved(torch, {"rnn.weight_hh_l0": huge}))
    assert "expected no more than the file can hold" in refusal(path)


def test_tensors_that_share_a_storage_may_not_multiply_it(tmp_path):
    torch = needs_torch()
    path, x = tmp_path / "a.pt", torch.zeros(100, 100, dtype=torch.float16)
    path.write_bytes(saved(torch, {str(i): x for i in range(200)}))
    assert path.stat().st_size < 70_000
    assert "expected no more than the file can hold" in refusal(path)


def reduced(function, *args):
    """Return an object that a pickle makes by calling a function."""
    return type("Made", (), {"__reduce__": lambda self: (function, args)})()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_may_not_allocate_memory(tmp_path, new, protocol):
    """PyTorch would call each of these, weights_only or not."""
    torch, path = needs_torch(), tmp_path / "a.pt"
    rebuilt = torch._utils._rebuild_tensor
    for function, size in ((bytearray, 10**11), (set, ()), (rebuilt, 1)):
        found = {"a": reduced(function, size)}
        settings = {"_use_new_zipfile_serialization": new, "pickle_protocol": protocol}
        path.write_bytes(saved(torch, found, **settings))
        message = refusal(path)
        # The start of a file of protocol 4 is none that is known, unless it is a zip.
        assert "expected named tensors only" in message or (not new and protocol == 4)


def test_a_pickle_without_end_is_refused(tmp_path):
    needs_torch()
    path = tmp_path / "a.pt"
    for data in (b"\x80\x02" + b"N0" * 400_000 + b".", b"\x80\x02" + b"N" * 1000, b""):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
        refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * 400_000 + b".")
    assert "more than 500,000 steps" in refusal(path)


def test_a_huge_pickle_is_not_read(tmp_path):
    needs_torch()
    path = tmp_path / "a.pt"
    hostile.write_members(path, {"archive/data.pkl": bytes(strict_json.LARGEST + 1)})
    assert "'archive/data.pkl' is too large" in refusal(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_compressed_member_is_no_bomb(tmp_path, method):
    torch, path = needs_torch(), tmp_path / "a.pt"
    path.write_bytes(saved(torch, {"output.weight": torch.zeros(1000, 1000)}))
    hostile.write_members(path, hostile.members(path), method)
    assert path.stat().st_size < 10_000
    assert "is compressed; expected it stored" in refusal(path)


def test_a_member_of_pytorchs_archive_that_occurs_twice(tmp_path):
    needs_torch()
    path = tmp_path / "a.pt"
    export_weights(random_checkpoint(), path, "torch")
    name = next(n for n in hostile.members(path) if n.endswith("/data.pkl"))
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(name, b"N.")
    refusal(path)


def test_a_file_of_an_older_pytorch_is_read(tmp_path):
    torch = needs_torch()
    old, new = tmp_path / "old.pt", tmp_path / "new.pt"
    export_weights(random_checkpoint("gru"), new, "torch")
    found = torch.load(new, weights_only=True)
    old.write_bytes(saved(torch, found, _use_new_zipfile_serialization=False))
    expected, loaded = import_weights(new).model, import_weights(old).model
    np.testing.assert_array_equal(loaded.params.flat, expected.params.flat)
    parameters = {k: torch.nn.Parameter(v) for k, v in found["state_dict"].items()}
    new.write_bytes(saved(torch, found | {"state_dict": parameters}))
    np.testing.assert_array_equal(
        import_weights(new).model.params.flat, expected.params.flat
    )


@pytest.mark.parametrize("value", ["[1]", '{"a": 1}', "NaN", '{"a": "b", "a": "c"}'])
def test_metadata_of_pytorchs_file_that_are_no_texts(tmp_path, value):
    torch, path = needs_torch(), tmp_path / "a.pt"
    export_weights(random_checkpoint(), path, "torch")
    found = torch.load(path, weights_only=True)
    path.write_bytes(saved(torch, found | {"charrnn": value}))
    refusal(path)


def test_a_file_of_pytorchs_own_that_is_cut_short_or_damaged(tmp_path):
    torch = needs_torch()
    path = tmp_path / "a.pt"
    export_weights(random_checkpoint("rnn", 1), path, "torch")
    whole = path.read_bytes()
    for length in range(10, len(whole), 331):
        path.write_bytes(whole[:length])
        refusal(path)
    path.write_bytes(saved(torch, {}, _use_new_zipfile_serialization=False)[:30])
    refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"ROMEO")
    refusal(path)


def test_a_pytorch_that_could_be_made_to_run_code_is_not_used(tmp_path, monkeypatch):
    torch = needs_torch()
    export_weights(random_checkpoint(), tmp_path / "a.pt", "torch")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(MissingExtraError, match=r"2\.5\.1.*pip install 'torch>=2\.6'"):
        import_weights(tmp_path / "a.pt")


def test_without_pytorch_its_format_is_refused_and_the_other_works(
    tmp_path, monkeypatch, path
):
    monkeypatch.setattr(torch_file, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"charrnn\[torch\].*safetensors$"):
        export_weights(random_checkpoint(), tmp_path / "a.pt", "torch")
    assert not (tmp_path / "a.pt").exists()
    (tmp_path / "a.pt").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(MissingExtraError, match=r"charrnn\[torch\].*safetensors$"):
        import_weights(tmp_path / "a.pt")
    assert import_weights(path).model.config.cell == "lstm"
