"""Turn a run on tiny Shakespeare into the model that comes with the package.

    python scripts/pack.py checkpoints/pretrained-3xmgru288 [--force]

Weights are stored in float16, if that changes the validation loss by less than 0.001.
The current model is replaced only if the new one's loss is lower, or with --force.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from charrnn.evaluation.loss import evaluate
from charrnn.storage.checkpoint import load, save
from charrnn.storage.run_folder import PRETRAINED, find_checkpoint
from charrnn.text.download.registry import CORPORA
from charrnn.text.reading import read_corpus

LIMIT = 4_000_000  # bytes
TOLERANCE = 0.001  # nats per character


def validation_loss(path: Path, text: Path) -> float:
    checkpoint = load(path)
    corpus = read_corpus([text])
    ids = corpus.ids_in(checkpoint.vocab)
    _, val = corpus.split(ids, checkpoint.split.val_fraction)
    return evaluate(checkpoint.model, val, streams=1).nats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--force", action="store_true")
    args = parser.parse_args()
    best = find_checkpoint(args.run)
    checkpoint = load(best)
    text = Path(checkpoint.corpus.files[0])
    digests = {checkpoint.corpus.sha256, read_corpus([text]).info.sha256}
    if digests != {CORPORA["tinyshakespeare"].sha256}:
        sys.exit(
            f"{args.run}: expected a run on tiny Shakespeare, with its text at {text}"
        )
    # Where `charrnn download` puts it in the working folder.
    checkpoint.corpus = replace(
        checkpoint.corpus,
        name="tinyshakespeare",
        files=("data/tinyshakespeare.txt",),
        relative=(),
    )
    packed = PRETRAINED.with_suffix(".new.npz")
    packed.parent.mkdir(exist_ok=True)
    save(checkpoint, packed, half=True)
    whole, half = validation_loss(best, text), validation_loss(packed, text)
    size = packed.stat().st_size
    print(f"{whole:.4f} nats per character, {half:.4f} packed, {size:,} bytes")
    there = validation_loss(PRETRAINED, text) if PRETRAINED.exists() else float("inf")
    if abs(half - whole) >= TOLERANCE or size > LIMIT:
        packed.unlink()
        sys.exit(f"expected less than {TOLERANCE} between them and {LIMIT:,} bytes")
    if half > there and not args.force:
        packed.unlink()
        sys.exit(f"{PRETRAINED} is kept: its loss is {there:.4f}")
    packed.replace(PRETRAINED)
    print(PRETRAINED)


if __name__ == "__main__":
    main()
