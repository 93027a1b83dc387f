"""Train an LSTM with PyTorch on a text, for the comparison in docs/performance.md.

    python benchmarks/pytorch_lstm.py data/tinyshakespeare.txt --minutes 3
    python benchmarks/pytorch_lstm.py data/tinyshakespeare.txt --minutes 15 \\
        --hidden 512 --dropout 0.4

The network is nn.LSTM and nn.Linear, trained as is usual: windows that carry the state,
AdamW, a learning rate that rises for 1 % of the time and then falls along a cosine,
clipping, and dropout of the outputs. The last tenth of the text is held out. The
weights are validated ten times in the second half of the run, and the lowest loss
counts. It is that of charrnn with these weights, so both are measured alike.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from torch import nn

from charrnn.config import ModelConfig
from charrnn.evaluation.loss import evaluate
from charrnn.machine import available_cores
from charrnn.nn.model import Model
from charrnn.storage.torch_weights import from_torch
from charrnn.text.vocab import Vocabulary

_VALIDATIONS = 10
_WARM_UP, _FLOOR = 0.01, 0.02  # of the time, and of the rate


class Net(nn.Module):
    """One-hot characters, LSTM layers, and the logits of the next character."""

    def __init__(self, vocab: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.vocab = vocab
        self.rnn = nn.LSTM(vocab, hidden, layers, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, vocab)

    def forward(self, ids: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Return logits (T, N, V) for ids (T, N), and the state after."""
        h, state = self.rnn(nn.functional.one_hot(ids, self.vocab).float(), state)
        return self.output(self.dropout(h)), state


def in_charrnn(net: Net, config: ModelConfig) -> Model:
    """Return a model of charrnn with the weights of a network."""
    model = Model(config)
    weights = {name: each.detach().numpy() for name, each in net.state_dict().items()}
    from_torch(weights, model)
    return model


def rate(done: float, peak: float) -> float:
    """Return the learning rate after this fraction of the run."""
    if done < _WARM_UP:
        return peak * done / _WARM_UP
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return peak * (_FLOOR + (1 - _FLOOR) * cosine)


def train(net: Net, ids: np.ndarray, args: argparse.Namespace) -> tuple[float, int]:
    """Train for the given minutes; return the lowest loss, and the number of steps."""
    cut = int(0.9 * len(ids))
    known, held_out = ids[:cut], ids[cut:]
    N, T = args.batch, args.window
    length = (len(known) - 1) // N
    streams = torch.from_numpy(known[: N * length].reshape(N, length).T.astype(int))
    following = torch.from_numpy(
        known[1 : N * length + 1].reshape(N, length).T.astype(int)
    )
    config = ModelConfig(net.vocab, args.hidden, args.layers, "lstm")
    optimizer = torch.optim.AdamW(
        net.parameters(), args.lr, (0.9, 0.99), weight_decay=args.weight_decay
    )
    seconds, start, best = 60 * args.minutes, time.perf_counter(), math.inf
    steps, place, state, next_validation = 0, 0, None, 0.5

    def loss_now() -> float:
        return evaluate(in_charrnn(net, config), held_out, threads=0).nats

    while (done := (time.perf_counter() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate(done, args.lr)
        if place + T > length:
            place, state = 0, None
        window = slice(place, place + T)
        logits, state = net(streams[window], state)
        state = tuple(part.detach() for part in state)
        loss = nn.functional.cross_entropy(
            logits.reshape(-1, net.vocab), following[window].reshape(-1)
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        steps, place = steps + 1, place + T
        if done >= next_validation:
            best = min(best, loss_now())
            next_validation += 0.5 / _VALIDATIONS
    return min(best, loss_now()), steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--hidden", type=int, default=320)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.25)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--lr", type=float, default=0.005)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(available_cores())
    text = args.text.read_text(encoding="utf-8")
    vocab = Vocabulary.of(text)
    net = Net(len(vocab), args.hidden, args.layers, args.dropout)
    nats, steps = train(net, vocab.encode(text), args)
    print(f"{machine(PyTorch=torch)}\n")
    print("| layers x units | dropout | rate | seed | minutes | steps | loss |")
    print("|---" * 7 + "|")
    print(
        f"| {args.layers} x {args.hidden} | {args.dropout:g} | {args.lr:g} "
        f"| {args.seed} | {args.minutes:g} | {steps:,} | {nats:.4f} |"
    )


if __name__ == "__main__":
    main()
