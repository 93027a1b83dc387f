"""What can go wrong, as one small tree.

Library code raises a child of `CharRNNError` with a message that stands by itself: what
was wrong, where, what was expected, what to do now. The command line catches the base
class once and prints that one line.
"""


class CharRNNError(Exception):
    """Base of every error that charrnn raises on purpose."""


class ConfigError(CharRNNError):
    """An option, or a combination of options, that makes no sense."""


class ShapeError(CharRNNError):
    """Arrays whose shapes or dtypes do not fit together."""


class TextError(CharRNNError):
    """A text that cannot be read, encoded or learned from."""


class DownloadError(CharRNNError):
    """A corpus that could not be fetched, or came out wrong."""


class CheckpointError(CharRNNError):
    """A checkpoint or run folder that is missing, damaged or in the way."""


class TrainingError(CharRNNError):
    """A training that cannot go on, for example because the loss diverged."""


class MissingExtraError(CharRNNError):
    """An optional dependency that is needed here and is not installed."""


class CharRNNWarning(UserWarning):
    """Something that charrnn changed or cut short, and that you should know of."""
