"""All settings, with defaults, limits and help texts, as frozen dataclasses.

No NumPy here: the command line shows these fields in `--help` and must start fast.
"""

from dataclasses import dataclass, field
from typing import Any

from charrnn.errors import ConfigError
from charrnn.option import Option, check_fields, option, settings_of

# Cell name -> its class. Adding a cell is one file and one line here.
CELLS = {
    "rnn": "charrnn.nn.rnn:RNN",
    "gru": "charrnn.nn.gru:GRU",
    "lstm": "charrnn.nn.lstm:LSTM",
    "mrnn": "charrnn.nn.rnn:MultiplicativeRNN",
    "mgru": "charrnn.nn.gru:MultiplicativeGRU",
    "mlstm": "charrnn.nn.lstm:MultiplicativeLSTM",
}
OPTIMIZERS = ("adam", "adamw", "rmsprop", "adagrad", "sgd", "shampoo")
SCHEDULES = ("cosine", "constant", "step")
CLIP_MODES = ("norm", "value")
EXCHANGES = ("float32", "bfloat16")
KERNELS = ("auto", "numpy", "numba")
NORMAL_FORMS = ("nfc", "nfd", "nfkc", "none")
BYTES = "bytes"  # the "encoding" of a file that is read as a sequence of 256 symbols
AUTOMATIC = -1  # for max_vocab
UNTIL = ("sentence", "line", "paragraph")  # where a text may end
ON_UNKNOWN = ("error", "skip", "map")  # for characters outside the vocabulary
LENGTHS = ("steps", "epochs", "minutes")
MOST_THREADS = 1024
MOST_MEMBERS = 100  # of an ensemble
# Settings that may change in a resumed run.
CHANGEABLE = ("steps", "epochs", "threads", "kernels", "save_every")
SHAPE = ("cell", "hidden", "layers")  # settings of a network's shape


_TEXT = "Text"
# Words that somebody would hardly mean as separators.
_NO_SEPARATORS = ("line", "file", "document", "documents", "paragraph", "paragraphs")


@dataclass(frozen=True)
class TextConfig:
    """How a text is read."""

    encoding: str = option(
        "",
        "Encoding of the text.",
        group=_TEXT,
        default_text="utf-8, or what a byte-order mark says",
    )
    normalize: str = option(
        "nfc",
        "Unicode form, so that a letter with an accent is always the same character: "
        "{choices}. none keeps the text as it is.",
        group=_TEXT,
        choices=NORMAL_FORMS,
    )
    documents: str = option(
        "",
        "Learn documents that have nothing to do with each other: lines, files, or the "
        "parts between separators such as '\\n\\n'. An end mark closes each, and "
        "`sample` writes whole documents.",
        group=_TEXT,
        default_text="one long text",
        metavar="KIND",
    )
    max_vocab: int = option(
        AUTOMATIC,
        "Most characters to tell apart; the rarer ones share one symbol, which is "
        "never written. 0 keeps all.",
        group=_TEXT,
        minimum=AUTOMATIC,
        default_text="all, unless most of them occur only once or twice",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.documents in _NO_SEPARATORS:
            raise ConfigError(
                f"documents is {self.documents!r}; expected lines, files or a "
                "separator, such as a blank line ('\\n\\n') for paragraphs"
            )
        if self.max_vocab == 1:
            raise ConfigError(
                "max_vocab is 1; expected at least 2 characters, or 0 for all"
            )
        if self.encoding == BYTES:
            self._check_bytes()

    def _check_bytes(self) -> None:
        """Raise ConfigError for what characters have and bytes lack."""
        lacking = {
            "documents": bool(self.documents),
            "max_vocab": self.max_vocab > 0,
            "normalize": self.normalize not in ("nfc", "none"),  # the default, and none
        }
        for name, is_given in lacking.items():
            if is_given:
                raise ConfigError(
                    f"{name} is for characters; expected no "
                    f"--{name.replace('_', '-')} with bytes"
                )


_NETWORK = "Network"


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network."""

    vocab: int = field(
        metadata={
            "option": Option(
                "Distinct characters (V).", minimum=1, label="vocabulary size"
            )
        }
    )
    hidden: int = option(
        256,
        "Units per layer. More units learn more; the time grows with their square.",
        group=_NETWORK,
        minimum=1,
    )
    layers: int = option(1, "Number of stacked layers.", group=_NETWORK, minimum=1)
    cell: str = option(
        "rnn",
        "Recurrent cell: {choices}. rnn is the fastest per step; gru and lstm learn "
        "more per step. In those with an m (multiplicative), each character also "
        "scales the state, which learns more still.",
        group=_NETWORK,
        choices=CELLS,
    )
    end: int = option(
        -1,
        "Id of the mark before and after every document; -1 if there is none.",
        minimum=-1,
        label="end mark",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.end >= self.vocab:
            raise ConfigError(
                f"end mark is {self.end}; expected -1, or an id below the vocabulary "
                f"size, {self.vocab}"
            )


_LENGTH = "Length of the run (give one)"
_LEARNING = "Learning"
_OVERFITTING = "Against overfitting"
_VALIDATION = "Validation"
_OUTPUT = "Output"
_MACHINE = "Speed and reproducibility"


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. At most one of minutes, epochs and steps is set."""

    members: int = option(
        1,
        "Networks that learn side by side, each from its own initial weights. Their "
        "mean is the model, an ensemble, which predicts better than each of them.",
        group=_NETWORK,
        minimum=1,
        maximum=MOST_MEMBERS,
    )
    minutes: float = option(
        0.0,
        "Time of the run, everything included. It is turned into steps at the start, "
        "by the measured speed of this machine.",
        group=_LENGTH,
        minimum=0,
    )
    epochs: float = option(
        0.0,
        "Passes over the training text. Without dropout, most networks start to "
        "memorise it after 10 to 20.",
        group=_LENGTH,
        minimum=0,
        default_text="",
    )
    steps: int = option(
        0, "Updates of the weights.", group=_LENGTH, minimum=0, default_text=""
    )
    batch: int = option(
        32,
        "Batch size: streams of text read in parallel. Larger is faster per character "
        "but learns less per character.",
        group=_LEARNING,
        minimum=1,
    )
    window: int = option(
        64,
        "Characters per step, and so the reach of backpropagation through time.",
        group=_LEARNING,
        minimum=1,
    )
    optimizer: str = option(
        "adam",
        "Update rule: {choices}. adam rarely fails; shampoo learns more per step, but "
        "a step takes longer; sgd needs a learning rate 10 to 100 times higher.",
        group=_LEARNING,
        choices=OPTIMIZERS,
    )
    lr: float = option(
        2e-3,
        "Peak learning rate. Halve it if the loss jumps.",
        group=_LEARNING,
        minimum=1e-12,
    )
    schedule: str = option(
        "cosine",
        "Learning rate over the run: {choices}. Decaying schedules reach a lower loss.",
        group=_LEARNING,
        choices=SCHEDULES,
    )
    warmup: int = option(
        50,
        "Steps over which the learning rate rises to its peak, at most a tenth of the "
        "run.",
        group=_LEARNING,
        minimum=0,
    )
    lr_floor: float = option(
        0.02,
        "Final learning rate, as a fraction of the peak (cosine only).",
        group=_LEARNING,
        minimum=0,
        maximum=1,
    )
    lr_decay: float = option(
        0.5,
        "Factor of each drop of the learning rate (step only).",
        group=_LEARNING,
        minimum=0,
        maximum=1,
    )
    lr_drops: int = option(
        4,
        "Number of drops, evenly spaced over the run (step only).",
        group=_LEARNING,
        minimum=0,
    )
    momentum: float = option(
        0.9, "Momentum (sgd only).", group=_LEARNING, minimum=0, maximum=1
    )
    weight_decay: float = option(
        0.0,
        "Decoupled weight decay of the matrices (adamw and shampoo only; in long runs, "
        "shampoo needs it).",
        group=_LEARNING,
        minimum=0,
    )
    clip: float = option(
        1.0,
        "Limit of the gradient, which keeps a rare steep window from ruining the "
        "weights; 0 turns it off.",
        group=_LEARNING,
        minimum=0,
    )
    clip_mode: str = option(
        "norm",
        "What --clip limits: {choices}. norm scales the whole gradient and keeps its "
        "direction; value limits each element.",
        group=_LEARNING,
        choices=CLIP_MODES,
    )
    dropout: float = option(
        0.0,
        "Fraction of each layer's outputs to drop.",
        group=_OVERFITTING,
        minimum=0,
        maximum=0.9999,
    )
    recurrent_dropout: float = option(
        0.0,
        "Fraction of the recurrent weights to drop, anew for each step.",
        group=_OVERFITTING,
        minimum=0,
        maximum=0.9999,
    )
    average: float = option(
        0.0,
        "Decay of the weight average that is validated and saved as the model (e.g. "
        "0.999); 0 turns averaging off.",
        group=_OVERFITTING,
        minimum=0,
        maximum=0.9999,
    )
    val_fraction: float = option(
        0.1,
        "Fraction of the text to validate on, taken from its end. 0 trains on all of "
        "it and keeps the last weights.",
        group=_VALIDATION,
        minimum=0,
        maximum=0.9,
    )
    eval_every: int = option(
        0,
        "Steps between validations.",
        group=_VALIDATION,
        minimum=0,
        default_text="2 to 25 validations per run, about 3% of its time",
    )
    patience: int = option(
        0,
        "Stop after this many validations without a new best.",
        group=_VALIDATION,
        minimum=0,
        default_text="never",
    )
    save_every: float = option(
        1.0,
        "Minutes of training that may be lost if the process is killed. A large "
        "network is saved less often, so that saving takes at most 1% of the time.",
        group=_OUTPUT,
        minimum=0.001,
    )
    seed: int = option(
        1,
        "Seed of the initial weights and of dropout.",
        group=_MACHINE,
        minimum=0,
    )
    threads: int = option(
        0,
        "Threads that share a step. To reproduce a run exactly, fix --threads, and "
        "give --steps or --epochs.",
        group=_MACHINE,
        minimum=0,
        maximum=MOST_THREADS,
        default_text="the fastest on this machine",
    )
    kernels: str = option(
        "auto",
        "How each step is computed: {choices}. numba is compiled and faster (pip "
        'install "charrnn[fast]").',
        group=_MACHINE,
        choices=KERNELS,
        default_text="auto, numba if it is installed",
    )
    exchange: str = option(
        "float32",
        "How ranks of mpiexec exchange gradients: {choices}. bfloat16 is half as long, "
        "and rounds to 8 bits; for slow networks.",
        group=_MACHINE,
        choices=EXCHANGES,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if sum(bool(n) for n in (self.steps, self.epochs, self.minutes)) > 1:
            raise ConfigError("steps, epochs and minutes exclude each other; give one")
        if self.weight_decay and self.optimizer not in ("adamw", "shampoo"):
            raise ConfigError(
                f"weight_decay is {self.weight_decay:g} but the optimizer is "
                f"{self.optimizer}; expected adamw or shampoo, or no weight decay"
            )


_SAMPLING = "Sampling"


@dataclass(frozen=True)
class SampleConfig:
    """How characters are drawn."""

    length: int = option(
        500, "Number of characters to write.", group=_SAMPLING, minimum=0
    )
    temperature: float = option(
        0.8,
        "Randomness: below 1 is safer, above 1 is wilder, and 0 always takes the most "
        "likely character. It divides the logits.",
        group=_SAMPLING,
        minimum=0,
        maximum=100,
    )
    top_k: int = option(
        0,
        "Draw only from the k most likely characters.",
        group=_SAMPLING,
        minimum=0,
        default_text="all",
    )
    top_p: float = option(
        1.0,
        "Draw only from the most likely characters that together have this "
        "probability.",
        group=_SAMPLING,
        minimum=1e-9,
        maximum=1,
    )
    min_p: float = option(
        0.0,
        "Draw only from characters at least this many times as likely as the most "
        "likely one.",
        group=_SAMPLING,
        minimum=0,
        maximum=1,
        default_text="",
    )
    typical: float = option(
        1.0,
        "Draw only from the characters whose surprisal is nearest to the entropy, and "
        "that together have this probability.",
        group=_SAMPLING,
        minimum=1e-9,
        maximum=1,
    )
    loop_penalty: float = option(
        0.0,
        "Penalty for repeating a stretch of the text, in nats for each character "
        "beyond 15; 0.5 keeps a text out of loops.",
        group=_SAMPLING,
        minimum=0,
        maximum=100,
        default_text="",
    )
    seed: int = option(
        0,
        "Seed of the random numbers. The seed that was used is printed.",
        group=_SAMPLING,
        minimum=0,
        default_text="a new one each time",
    )
    kernels: str = option(
        "auto",
        "How each step is computed: {choices}. numba is compiled and faster (pip "
        'install "charrnn[fast]").',
        group=_SAMPLING,
        choices=KERNELS,
        default_text="auto, numba if it is installed and the text is long",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.loop_penalty and self.kernels == "numba":
            raise ConfigError(
                "the loop penalty is computed in NumPy only; choose --kernels numpy or "
                "auto"
            )


def new_seed() -> int:
    """Return a seed that nobody has chosen, for random numbers that need not repeat."""
    import secrets  # slow to load, and `--help` needs none

    return secrets.randbelow(2**31)


def known_settings(kind: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are fields of the dataclass `kind`."""
    names = {each.name for each, _ in settings_of(kind)}
    return {name: value for name, value in settings.items() if name in names}
