"""Event files, read back as TensorBoard reads them."""

import struct
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from extras import needs_tensorboard
from texts import small_run

from charrnn.errors import ConfigError
from charrnn.training.events import Rollback, Validation
from charrnn.training.state import Progress

pytestmark = needs_tensorboard

if needs_tensorboard.args[0] is False:
    from tensorboardX.crc32c import crc32c
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    from charrnn.views.event_files import EventFiles, check_logs


@pytest.fixture
def open_files():
    """Return a function that makes an EventFiles, which is closed after the test."""
    with ExitStack() as stack:
        yield (
            lambda folder, progress, characters_in=lambda steps: steps, **options: (
                stack.enter_context(
                    closing(EventFiles(folder, progress, characters_in, **options))
                )
            )
        )


def masked(data):
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """Yield the events of a file, whose checksums must be right."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        record = data[12 : 12 + length]
        checks = struct.unpack("<I", data[8:12]) + struct.unpack(
            "<I", data[12 + length : 16 + length]
        )
        assert checks == (masked(data[:8]), masked(record))
        yield Event.FromString(record)
        data = data[16 + length :]


def shown(folder):
    """Return the (step, value) pairs that TensorBoard shows, by tag.

    A session that starts at a step voids what earlier ones wrote from there on.
    """
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in records(path):
            if event.session_log.status == SessionLog.START:
                for pairs in found.values():
                    pairs[:] = [pair for pair in pairs if pair[0] < event.step]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def validation(step, seconds=1.0, val=1.5):
    return Validation(step, 0.1, 1.4, val, True, 0.01, 0.3, 0.25, seconds, 99)


def test_validations_are_written_with_their_steps(tmp_path, open_files):
    run = small_run(steps=40)
    files = open_files(tmp_path, run.trainer.progress, run.trainer.characters_in)
    events = []
    for event in run.events():
        files.show(event)
        events += [event] if isinstance(event, Validation) else []
        found = shown(tmp_path)  # at once, and not at the end
    assert {len(pairs) for pairs in found.values()} == {4}
    for tag, name in {
        "loss/train": "train_loss",
        "loss/validation": "val_loss",
        "learning_rate": "lr",
        "gradient/norm": "grad_norm",
        "gradient/clipped": "clipped",
    }.items():
        assert [step for step, _ in found[tag]] == [10, 20, 30, 40]
        values = [getattr(event, name) for event in events]
        assert [value for _, value in found[tag]] == pytest.approx(values)


def test_the_speed_is_over_the_steps_since_the_last_validation(tmp_path, open_files):
    progress = Progress(step=100, seconds=60.0)
    files = open_files(tmp_path, progress, lambda steps: 50 * steps)
    files.show(validation(150, seconds=70.0))
    files.show(validation(200, seconds=75.0))
    files.show(validation(300, seconds=75.0))  # a clock that stands still
    assert shown(tmp_path)["characters_per_second"] == [(150, 250.0), (200, 500.0)]


def test_without_a_validation_text_its_loss_is_left_out(tmp_path, open_files):
    files = open_files(tmp_path, Progress())
    files.show(validation(10, val=None))
    assert "loss/validation" not in shown(tmp_path)
    assert shown(tmp_path)["loss/train"] == [(10, pytest.approx(1.4))]


def test_a_killed_run_that_is_resumed_repeats_no_step(tmp_path, open_files):
    first = open_files(tmp_path, Progress())
    for step in (10, 20, 30):
        first.show(validation(step, val=1.0))
    # It is killed; its last checkpoint is from step 25, after the validation at 20.
    progress = Progress(step=25, steps_seen=5)
    second = open_files(tmp_path, progress)
    for step in (30, 40):
        second.show(validation(step, val=2.0))
    assert shown(tmp_path)["loss/validation"] == [(10, 1), (20, 1), (30, 2), (40, 2)]
    assert len([*tmp_path.iterdir()]) == 2  # of the same second


def test_a_validation_that_was_given_up_is_written_once(tmp_path, open_files):
    first = open_files(tmp_path, Progress())
    for step in (10, 20):
        first.show(validation(step))
    again = open_files(tmp_path, Progress(step=20, steps_seen=10))
    again.show(validation(20))
    assert [step for step, _ in shown(tmp_path)["loss/train"]] == [10, 20]


def test_a_rollback_voids_what_came_after_its_state(tmp_path, open_files):
    files = open_files(tmp_path, Progress())
    for event in (
        *(validation(10, val=1.0), validation(20, val=9.0)),
        *(Rollback(25, 10, 9.0, 0.5, 1), validation(20, val=2.0)),
    ):
        files.show(event)
    assert shown(tmp_path)["loss/validation"] == [(10, 1), (20, 2)]


def test_the_files_of_another_run_are_kept_unless_replaced(tmp_path, open_files):
    folder = tmp_path / "logs"
    check_logs(folder)
    files = open_files(folder, Progress())
    files.show(validation(10))
    (folder / "notes.txt").touch()
    with pytest.raises(ConfigError, match="logs: already has the event files of a run"):
        check_logs(folder)
    check_logs(folder, resume=True)
    check_logs(folder, force=True)
    assert shown(folder)["loss/train"]
    open_files(folder, Progress(), replace=True)
    assert shown(folder) == {}
    assert len([*folder.iterdir()]) == 2


def test_a_place_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="logs: event files cannot be written there"):
        check_logs(tmp_path / "file" / "logs")


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="needs Linux")
def test_a_folder_that_cannot_be_written():
    with pytest.raises(ConfigError, match="/sys: event files cannot be written there"):
        check_logs(Path("/sys"))
