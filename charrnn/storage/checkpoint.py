"""Checkpoints: one .npz file, no pickle, with documented names and shapes.

Member `header` is UTF-8 JSON in a uint8 vector; every other member is an array:

    params/layer0.Wx (V or H, G·H)   params/layer0.Wh (H, G·H)   params/layer0.b (G·H)
    params/output.W (H, V)           params/output.b (V)         and others of the cell

A checkpoint to resume from adds

    optimizer/MOMENT/NAME            shaped like the parameters, or (H, H) in Shampoo
    state/layer0.0 (N, H)            the state carried from window to window
    best/NAME                        the weights of the lowest validation loss
    good/…                           params, optimizer and state at the last validation

One of an ensemble has, instead of `params`, the parameters of each network i under
`members/i/`, and in its header what is known about each. What resuming needs is there,
too: members/i/state/layer0.0 and so on. Its version is 2, because an older charrnn
cannot read it.

A file from somebody else is safe to open: nothing in it is executed, and no array is
read unless its name, shape and type are those of the header's model. Arrays that were
damaged, or come from another file, do not have the digests in the header.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np

import charrnn
from charrnn import strict_json
from charrnn.atomic import replacing
from charrnn.config import MOST_MEMBERS, ModelConfig, TrainConfig
from charrnn.errors import CharRNNError, CheckpointError, ConfigError
from charrnn.evaluation.calibration import COLDEST, HOTTEST
from charrnn.nn.ensemble import Ensemble
from charrnn.nn.model import Model, ModelState, shapes_of
from charrnn.nn.parameters import (
    LARGEST,
    Array,
    Parameters,
    Shape,
    can_compute_with,
    views_of,
)
from charrnn.nn.predictor import Predictor
from charrnn.option import is_count, is_number
from charrnn.storage.npz import DAMAGED, Archive, digest_of, folder_of, open_archive
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.streams import printable
from charrnn.text.vocab import Vocabulary
from charrnn.training.plan import Plan
from charrnn.training.state import (
    History,
    Progress,
    Snapshot,
    check_history,
    moment_shapes,
)

FORMAT = "charrnn"
VERSION, ENSEMBLE = 1, 2  # of the format, for a network and for an ensemble
# If the text consists of so many files that their names have more characters than this,
# they are not recorded: the header could become too large to be read.
_NAMES = 4 << 20
# The fields of a checkpoint that its header holds: everything except arrays.
PARTS = ("model", "vocab", "split", "corpus", "train", "history")
# Those that each network of an ensemble has of its own, and those that it shares with
# the others if they were trained together.
_OF_NETWORK = ("model", "temperature")
_OF_RUN = ("train", "history")


@dataclass(frozen=True)
class Member:
    """What is known about a network of an ensemble."""

    name: str = ""
    train: dict[str, Any] = field(default_factory=dict)  # configuration and plan
    history: History = field(default_factory=list)


@dataclass
class Checkpoint:
    """A trained model and everything that is known about it."""

    model: Predictor
    vocab: Vocabulary
    corpus: CorpusInfo = field(default_factory=CorpusInfo)
    split: SplitInfo = field(default_factory=SplitInfo)
    train: dict[str, Any] = field(default_factory=dict)  # configuration and plan
    history: History = field(default_factory=list)
    snapshot: Snapshot | None = None  # what resuming needs
    members: tuple[Member, ...] = ()  # if the model is an ensemble, of each network
    # Of NumPy, Python and charrnn, as a file says; the present ones are written.
    versions: dict[str, str] = field(default_factory=dict, compare=False)

    def settings(self) -> tuple[TrainConfig, Plan]:
        """Return the configuration and the plan of the training run.

        Raises CheckpointError if they are missing or this version cannot read them.
        """
        try:
            settings = dict(self.train)
            plan = Plan.from_json(settings.pop("plan"))
            config = TrainConfig(**settings)
            plan.check_division(config.members)
            return config, plan
        except (KeyError, TypeError, ValueError, OverflowError, ConfigError) as error:
            raise CheckpointError(
                f"its configuration cannot be read ({_reason(error)}); the file was "
                "edited, or another version of charrnn wrote it"
            ) from None


def make_header(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the fields in PARTS, as JSON can hold them.

    For an ensemble, "model" is that of each of its "members", and so are "train" and
    "history", unless the members were trained together.
    """
    corpus = checkpoint.corpus
    if sum(map(len, corpus.files)) > _NAMES:
        corpus = replace(corpus, files=(), relative=())
    header = {
        **_of_model(checkpoint.model.members[0]),
        "vocab": checkpoint.vocab.to_json(),
        "split": checkpoint.split.to_json(),
        "corpus": corpus.to_json(),
        "train": checkpoint.train,
        "history": checkpoint.history,
    }
    if not checkpoint.members:
        return header
    facts = [asdict(known) for known in checkpoint.members]
    if checkpoint.train:
        facts = [_without(_OF_RUN, known) for known in facts]
    else:
        header = _without(_OF_RUN, header)
    members = zip(checkpoint.model.members, facts, strict=True)
    own = [_of_model(network) | known for network, known in members]
    return _without(_OF_NETWORK, header) | {"members": own}


def _without(names: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in fields.items() if name not in names}


def _of_model(model: Model) -> dict[str, Any]:
    """Return what a header has about a network."""
    header: dict[str, Any] = {"model": asdict(model.config)}
    if model.temperature != 1:
        header["temperature"] = model.temperature
    return header


def parse_header(
    header: Mapping[str, Any],
) -> tuple[ModelConfig, Vocabulary, dict[str, Any]]:
    """Return the model's configuration, its vocabulary, and the other fields by name.

    Raises CheckpointError if a field is missing or not as expected. Weights that were
    exported for PyTorch have the same fields in their metadata.
    """
    for name in PARTS:
        if name not in header:
            raise CheckpointError(f"the header has no '{name}'")
    train, history = header["train"], header["history"]
    try:
        config = ModelConfig(**header["model"])
        vocab = Vocabulary.from_json(header["vocab"])
        corpus = CorpusInfo.from_json(header["corpus"])
        split = SplitInfo.from_json(header["split"])
        check_history(history)
    except (TypeError, CharRNNError) as error:
        raise CheckpointError(f"the header is not valid: {_reason(error)}") from None
    if not isinstance(train, dict):
        raise CheckpointError(
            f"the header is not valid: train is {train!r:.40}; expected a JSON object"
        )
    if len(vocab) != config.vocab:
        raise CheckpointError(f"{len(vocab)} characters for a model of {config.vocab}")
    if vocab.end != config.end:
        raise CheckpointError(
            f"the end mark is {vocab.end} in the vocabulary, {config.end} in the model"
        )
    if corpus.reads_bytes and max(vocab.characters) > "\xff":
        raise CheckpointError("a model of bytes has characters that are no bytes")
    if corpus.documents and vocab.end_id is None:
        raise CheckpointError("a model of documents has no end mark")
    info = {"corpus": corpus, "split": split, "train": train, "history": history}
    return config, vocab, info


def _reason(error: Exception) -> str:
    """Return a message that may hold strings of the file, escaped and cut."""
    return printable(f"{error!s:.200}")


def save(checkpoint: Checkpoint, path: Path, *, half: bool = False) -> None:
    """Write a checkpoint. If that fails, leave what is at `path` untouched.

    With `half`, arrays are stored as float16, which keeps about three digits; `load`
    converts them back to float32.
    """
    versions = {
        "charrnn": charrnn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    networks = checkpoint.model.members
    version = ENSEMBLE if len(networks) > 1 else VERSION
    header = {"format": FORMAT, "version": version} | make_header(checkpoint)
    header["versions"] = versions
    arrays: dict[str, Any] = {}
    for folder, network in zip(_folders(len(networks)), networks, strict=True):
        arrays |= _named(folder, network.params)
    if snapshot := checkpoint.snapshot:
        header["progress"] = snapshot.progress.to_json()
        if snapshot.last_good:
            header["good_progress"] = snapshot.last_good.progress.to_json()
        arrays |= _all_training_arrays(checkpoint, snapshot)
    if half:
        arrays = {name: _halved(path, name, array) for name, array in arrays.items()}
    header["digests"] = _digests(arrays)
    line = json.dumps(header, ensure_ascii=False, allow_nan=False)
    text = line.encode("utf-8", "surrogatepass")
    with replacing(path, CheckpointError) as file:
        _write_archive(file, {"header": np.frombuffer(text, np.uint8)} | arrays)


def _folders(networks: int) -> list[str]:
    """Return the folder of the parameters of each network."""
    if networks == 1:
        return ["params"]
    return [f"members/{i}" for i in range(networks)]


def _write_archive(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write arrays as `np.savez` does, and close the archive if that fails.

    `np.savez` leaves it open. Before Python 3.11, it then prints an error of its own.
    """
    with ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _digests(arrays: Mapping[str, Array]) -> dict[str, str]:
    """Return the digest of each folder of members."""
    return {
        folder: digest_of(arrays[name] for name in names)
        for folder, names in groupby(sorted(arrays, key=_place), folder_of)
    }


def _place(name: str) -> tuple[str, str]:
    return folder_of(name), name


def _named(prefix: str, params: Mapping[str, Array]) -> dict[str, Any]:
    return {f"{prefix}/{name}": array for name, array in params.items()}


def _prefixes(networks: int) -> list[str]:
    """Return what precedes the folders that resuming needs, for each network."""
    if networks == 1:
        return [""]
    return [f"{folder}/" for folder in _folders(networks)]


def _all_training_arrays(checkpoint: Checkpoint, snapshot: Snapshot) -> dict[str, Any]:
    """Return what resuming needs besides the weights, by member name."""
    networks, config = checkpoint.model.members, checkpoint.settings()[0]
    params, k = networks[0].params, len(networks)
    layouts = moment_shapes(config, params.shapes)
    arrays: dict[str, Any] = {}
    for prefix, part in zip(_prefixes(k), snapshot.parts(k), strict=True):
        own = _training_arrays(layouts, part)
        if part.best is not None:
            own |= _named("best", params.views(part.best))
        if part.last_good:
            good = _named("params", params.views(part.last_good.params))
            good |= _training_arrays(layouts, part.last_good)
            own |= {f"good/{name}": array for name, array in good.items()}
        arrays |= {f"{prefix}{name}": array for name, array in own.items()}
    return arrays


def _training_arrays(
    layouts: Mapping[str, Mapping[str, Shape]], snapshot: Snapshot
) -> dict[str, Any]:
    """Return a snapshot's moments and state, by member name.

    layouts are the `moment_shapes` of the run.
    """
    arrays: dict[str, Any] = {}
    for moment, flat in snapshot.moments.items():
        arrays |= _named(f"optimizer/{moment}", views_of(flat, layouts[moment]))
    return arrays | _named("state", _state_arrays(snapshot.state))


def _halved(path: Path, name: str, array: Array) -> Array:
    largest = float(np.abs(array).max(initial=0))
    if largest > float(np.finfo(np.float16).max):
        raise CheckpointError(
            f"{path}: '{name}' goes up to {largest:.4g}, too much for 16 bits; nothing "
            "was written; save it in 32 bits"
        )
    return array.astype(np.float16)


def load(path: Path, *, snapshot: bool = False) -> Checkpoint:
    """Read a checkpoint; with `snapshot`, including what resuming needs.

    Raises CheckpointError, naming the member, if anything is missing or not as
    expected.
    """
    with open_archive(path) as archive:
        header = _read_header(archive)
        if header["version"] == ENSEMBLE:
            checkpoint = _read_ensemble(archive, header)
        else:
            checkpoint = _read_network(archive, "params", header)
        if snapshot:
            checkpoint.snapshot = _read_snapshot(archive, header, checkpoint)
        return checkpoint


def _read_network(
    archive: Archive, folder: str, header: Mapping[str, Any]
) -> Checkpoint:
    """Return the network whose parameters are in a folder."""
    try:
        config, vocab, info = parse_header(header)
    except CheckpointError as error:
        raise archive.error(f"{error}; {DAMAGED}") from None
    archive.check_room(folder, shapes_of(config))
    model = Model(config)
    _fill(archive, folder, model.params)
    if not can_compute_with(model.params.flat):
        raise archive.error(f"weights above {LARGEST:g}; {DAMAGED}")
    temperature = header.get("temperature", 1.0)
    if not is_number(temperature) or not COLDEST <= temperature <= HOTTEST:
        raise archive.error(
            f"temperature is {temperature!r:.40}; expected {COLDEST:g} to {HOTTEST:g}; "
            f"{DAMAGED}"
        )
    model.temperature = float(temperature)
    return Checkpoint(model, vocab, **info, versions=_versions(header))


def _read_ensemble(archive: Archive, header: Mapping[str, Any]) -> Checkpoint:
    members = header.get("members")
    if not isinstance(members, list) or not 2 <= len(members) <= MOST_MEMBERS:
        raise archive.error(
            f"members is {members!r:.40}; expected a list of 2 to {MOST_MEMBERS}; "
            f"{DAMAGED}"
        )
    shared = _without(_OF_NETWORK, header)
    together = bool(header.get("train"))  # the networks were trained in one run
    names = _OF_NETWORK if together else _OF_NETWORK + _OF_RUN
    read, facts = [], []
    for folder, member in zip(_folders(len(members)), members, strict=True):
        name = member.get("name", "") if isinstance(member, dict) else None
        if not isinstance(name, str):
            raise archive.error(
                f"'{folder}' is {member!r:.40} in the header; {DAMAGED}"
            )
        own = {key: member[key] for key in names if key in member}
        checkpoint = _read_network(archive, folder, shared | own)
        read.append(checkpoint)
        facts.append(Member(name, checkpoint.train, checkpoint.history))
    ensemble = replace(
        read[0],
        model=Ensemble([each.model for each in read]),
        members=tuple(facts),
    )
    if not together:
        return replace(ensemble, train={}, history=[])
    # The history is that of their mean.
    alone = Member(train=ensemble.train | {"members": 1})
    return replace(ensemble, members=(alone,) * len(read))


def _read_header(archive: Archive) -> dict[str, Any]:
    if "header" not in archive:
        raise archive.error(
            "no member 'header'; expected a checkpoint that `charrnn train` wrote"
        )
    data = archive.raw("header", strict_json.LARGEST)
    try:
        header = strict_json.parse(data)
    except ValueError as error:
        raise archive.error(f"the header is not JSON ({error}); {DAMAGED}") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise archive.error("the header is not that of a charrnn checkpoint")
    version = header.get("version")
    if version not in (VERSION, ENSEMBLE):
        newer = is_count(version, ENSEMBLE + 1)
        raise archive.error(
            f"format version {version!r:.20}; expected {VERSION} or {ENSEMBLE}: "
            f"{'upgrade charrnn to read this file' if newer else DAMAGED}"
        )
    digests = header.get("digests", {})  # older versions did not write them
    if not isinstance(digests, dict):
        raise archive.error(f"digests is {digests!r:.40}; {DAMAGED}")
    archive.digests = digests or None
    return header


def _versions(header: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions that wrote a file, without what cannot be one."""
    versions = header.get("versions")
    found = versions.items() if isinstance(versions, dict) else ()
    return {name: version for name, version in found if isinstance(version, str)}


def _read_snapshot(
    archive: Archive, header: dict[str, Any], checkpoint: Checkpoint
) -> Snapshot:
    networks = checkpoint.model.members
    if len(networks) > 1 and not checkpoint.train:
        raise archive.error(
            "an ensemble of networks that were trained one by one cannot be resumed; "
            "resume one of the runs that it was made of"
        )
    try:
        config, plan = checkpoint.settings()
        if "progress" not in header:
            raise CheckpointError("the header has no 'progress'")
        progress = Progress.from_json(header["progress"])
        good_progress = None
        if "good_progress" in header:
            good_progress = Progress.from_json(header["good_progress"])
    except CheckpointError as error:
        raise archive.error(
            f"has a model but no training state to resume from: {error}; expected a "
            "last.npz"
        ) from None
    if len({each.config for each in networks}) > 1 or len(networks) != config.members:
        raise archive.error(
            f"its networks are not {config.members} of the same shape; {DAMAGED}"
        )
    moments, batch = moment_shapes(config, networks[0].params.shapes), plan.batch
    parts = []
    for prefix, model in zip(_prefixes(len(networks)), networks, strict=True):
        part = Snapshot(
            progress,
            model.params.flat.copy(),
            _read_moments(archive, prefix, moments),
            _read_state(archive, f"{prefix}state", model, batch),
        )
        if good_progress:
            good = Snapshot(
                good_progress,
                _read_flat(archive, f"{prefix}good/params", model.params.shapes),
                _read_moments(archive, f"{prefix}good/", moments),
                _read_state(archive, f"{prefix}good/state", model, batch),
            )
            part = replace(part, last_good=good)
        if archive.has(f"{prefix}best"):  # older versions did not write it
            best = _read_flat(archive, f"{prefix}best", model.params.shapes)
            part = replace(part, best=best)
        parts.append(part)
    return Snapshot.joined(parts)


def _read_flat(archive: Archive, folder: str, shapes: Mapping[str, Shape]) -> Array:
    archive.check_room(folder, shapes.items())
    arrays = Parameters(shapes)
    _fill(archive, folder, arrays)
    return arrays.flat


def _read_moments(
    archive: Archive, prefix: str, layouts: Mapping[str, Mapping[str, Shape]]
) -> dict[str, Array]:
    return {
        name: _read_flat(archive, f"{prefix}optimizer/{name}", shapes)
        for name, shapes in layouts.items()
    }


def _read_state(archive: Archive, folder: str, model: Model, batch: int) -> ModelState:
    names, H = _state_arrays(model.zero_state(1)), model.config.hidden
    archive.check_room(folder, ((name, (batch, H)) for name in names))
    state = model.zero_state(batch)
    _fill(archive, folder, _state_arrays(state))
    return state


def _state_arrays(state: ModelState) -> dict[str, Array]:
    """Return the parts of a state by the names of their members."""
    return {
        f"layer{i}.{j}": part
        for i, layer in enumerate(state)
        for j, part in enumerate(layer)
    }


def _fill(archive: Archive, folder: str, into: Mapping[str, Array]) -> None:
    """Fill arrays with those of a folder, which must be finite."""
    shapes = {name: array.shape for name, array in into.items()}
    for name, found in archive.floats(folder, shapes):
        with np.errstate(over="ignore"):  # overflow becomes inf, which is refused below
            into[name][:] = found
        if not np.isfinite(into[name]).all():
            raise archive.error(f"'{folder}/{name}' is not finite; {DAMAGED}")
