"""Truncated backpropagation through time, as a generator of events.

The trainer only computes: it reads and writes no files and prints nothing. The caller
decides how to show an event and what to save.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import inf, isfinite, log
from time import perf_counter

import numpy as np

from charrnn.config import TrainConfig
from charrnn.errors import TrainingError
from charrnn.evaluation.loss import Score, evaluate
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor
from charrnn.nn.sampled import make_sampler
from charrnn.ranks import STATE, STOP, Ranks, Stopped
from charrnn.text.windows import Windows
from charrnn.training.events import Event, Finished, Rollback, Step, Validation
from charrnn.training.plan import Plan
from charrnn.training.state import Progress, Snapshot
from charrnn.training.team import Team

# A larger gradient diverges: its square must fit into the state of the optimizer.
_LARGEST_GRADIENT = 1e15
# A diverged run returns to its last good state at half the rate, this many times.
_ROLLBACKS = 5


class Trainer:
    """Trains a model on windows of a text by a plan, and validates it on other ids.

    Several ranks train together: the windows have the columns of this one, and all
    ranks make the same calls.
    """

    def __init__(
        self,
        model: Predictor,
        windows: Windows,
        val: Array,
        config: TrainConfig,
        plan: Plan,
        ranks: Ranks | None = None,
    ) -> None:
        self.model, self.config, self.plan = model, config, plan
        self.ranks = ranks or Ranks()
        self.progress = Progress()
        self.paused = 0.0  # seconds in which the process was suspended
        self._windows, self._val = windows, val
        T, N = windows.T, windows.N
        sampler = make_sampler(windows.ids, model.vocab, plan.sampled)
        self._team = Team(
            *(model, config, T, N, plan.layout),
            sampler=sampler,
            ranks=self.ranks,
            stop=self._is_stopping,
            diverges=self._diverges,
        )
        self._state = self._team.zero_state()
        self._whole_state = self._state  # of all columns, at the step `_gathered_at`
        self._gather_state()
        self._rng = np.random.default_rng(
            np.random.SeedSequence(config.seed).spawn(2)[1]
        )
        self._last_good = self._snapshot_here()
        self.best_params = self._last_good.params

    @property
    def averaged_model(self) -> Predictor:
        """The model that is validated, with averaged weights if averaging is on."""
        return self._team.averaged

    @property
    def epoch_steps(self) -> int:
        """Steps in one pass over the training text."""
        return len(self._windows)

    def characters_in(self, steps: int) -> int:
        """Return how many characters the first `steps` steps of a run predict."""
        epochs, window = divmod(steps, len(self._windows))
        per_step = self._windows.T * self._windows.N  # the last of an epoch has fewer
        return epochs * self._windows.characters + window * per_step

    def stop(self) -> None:
        """Ask `run` to end after its current step.

        A slow step is given up, and so is a validation; a resumed run makes it first.
        If one rank is asked, all of them stop.
        """
        self.ranks.wishes |= STOP

    def _is_stopping(self) -> bool:
        return bool(self.ranks.wishes & STOP)

    def can_snapshot(self) -> bool:
        """Return whether `snapshot` is possible now; if not, it is after the next step.

        With several ranks, this one does not always have the state of all columns.
        """
        if self._gathered_at == self.progress.step:
            return True
        self.ranks.wishes |= STATE
        return False

    def close(self) -> None:
        """End the threads and free what only training needs; it cannot go on then.

        The model, the best weights and the progress stay.
        """
        self._team.close()
        del self._team, self._last_good

    def snapshot(self, *, copy: bool = True) -> Snapshot:
        """Return everything that changes from step to step.

        If it is no copy, its arrays change with the next step.
        """
        good = self._last_good
        if good.progress.step != self.progress.step:
            here = self._snapshot_here(copy=copy)
            return replace(here, best=self.best_params, last_good=good)
        return replace(good, progress=self._progress_here(), best=self.best_params)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state of a snapshot, bit for bit."""
        self._go_to(snapshot)
        if snapshot.best is not None:
            self.best_params = snapshot.best
        del self._last_good  # before its successor needs as much memory
        self._last_good = snapshot.last_good or self._snapshot_here()

    def _snapshot_here(self, *, copy: bool = True) -> Snapshot:
        params, moments = self.model.params.flat, self._team.moments
        if copy:
            params = params.copy()
            moments = {name: moment.copy() for name, moment in moments.items()}
        return Snapshot(self._progress_here(), params, moments, self._whole_state)

    def _progress_here(self) -> Progress:
        return replace(
            self.progress,
            history=[*self.progress.history],
            rng=dict(self._rng.bit_generator.state),
        )

    def _go_to(self, snapshot: Snapshot) -> None:
        progress = snapshot.progress
        self.progress = replace(progress, history=[*progress.history])
        self._rng.bit_generator.state = self.progress.rng
        self.model.params.flat[:] = snapshot.params
        for name, moment in self._team.moments.items():
            moment[:] = snapshot.moments[name]
        self._whole_state, self._gathered_at = snapshot.state, progress.step
        self._state = self._team.part_of(snapshot.state)

    def _gather_state(self) -> None:
        """Collect what the ranks have; all do it at the same time."""
        self._whole_state = self._team.gathered(self._state)
        self._gathered_at = self.progress.step
        self.ranks.forget(STATE)

    def run(self) -> Iterator[Event]:
        """Train to the plan's last step, or until `stop` or patience ends it.

        Raises TrainingError if the loss keeps diverging at ever lower rates. If a rank
        fails, all end as after `stop`. Then it raises its error, and the others raise
        OtherRankError.
        """
        failure: Exception | None = None
        while not self._end() and not failure:
            rng = self._rng.bit_generator.state
            try:
                yield self._validate() if self.validation_due else self._step()
            except _Diverged as diverged:
                yield self._roll_back(diverged.step, diverged.value)
            except Stopped:  # nothing else has changed yet
                self._rng.bit_generator.state = rng
            except Exception as error:
                if not self.ranks.failed:
                    raise
                self._rng.bit_generator.state = rng
                failure = error
        reason = "stopped" if failure else self._end()
        self.ranks.forget(STOP)
        if self._gathered_at != self.progress.step:
            self._gather_state()
        if not len(self._val):
            self._keep_newest()
        yield Finished(self.progress.step, reason)
        if failure:
            raise failure

    def _end(self) -> str:
        """Return why training is over, or "" if it is not."""
        if self.is_complete:
            return "done"
        if self.config.patience and self.progress.since_best >= self.config.patience:
            return "patience"
        return "stopped" if self.ranks.granted & STOP else ""

    def _step(self) -> Step:
        start = self._clock()
        progress = self.progress
        epoch, window = divmod(progress.step, self.epoch_steps)
        if window == 0:  # the streams start over
            self._state = self._team.zero_state()
        inputs, targets = self._windows.of_epoch(epoch)[window]
        # The state is carried into the next window but the gradient is not: this is the
        # truncation of backpropagation through time.
        found = self._team.gradient(inputs, targets, self._state, rng=self._rng)
        if found.diverged:
            value = found.loss if self._is_usable(found.norm) else found.norm
            raise _Diverged(progress.step + 1, value)
        lr = self._lr(progress.step)
        progress.step += 1
        self._team.apply(found.grads, lr, progress.step)
        if not self._team.is_finite():  # it must not get into a checkpoint
            raise _Diverged(progress.step, inf)
        self._state = found.state
        progress.steps_seen += 1
        progress.loss_sum += found.loss
        progress.norm_sum += found.norm
        progress.clipped += found.clipped
        if self.ranks.size == 1 or self.ranks.granted & STATE:
            self._gather_state()
        progress.seconds += self._clock() - start
        return Step(progress.step, found.loss, lr, len(inputs) * self._windows.N)

    def _clock(self) -> float:
        return perf_counter() - self.paused

    def _lr(self, step: int) -> float:
        return self.progress.lr_scale * self.plan.learning_rate(step, self.config)

    @property
    def validation_due(self) -> bool:
        """Whether a validation comes next, after the step that was just made."""
        step = self.progress.step
        is_due = step % self.plan.eval_every == 0 or step == self.plan.steps
        return is_due and self.progress.steps_seen > 0

    @property
    def is_complete(self) -> bool:
        """Whether all steps and validations of the plan are made."""
        return self.progress.step >= self.plan.steps and not self.validation_due

    def _validate(self) -> Validation:
        """Score the averaged weights on the validation text, and keep the best.

        Without a validation text, keep the newest.
        """
        start = self._clock()
        progress = self.progress
        if self._gathered_at != progress.step:  # the weights of all ranks, too
            self._gather_state()
        score = self._score() if len(self._val) else None
        best = score is None or score.nats < progress.best_loss
        if best:
            progress.best_step = progress.step
        if score:
            progress.best_loss = min(score.nats, progress.best_loss)
            progress.since_best = 0 if best else progress.since_best + 1
        seen = progress.steps_seen
        train_loss = progress.loss_sum / seen
        norm, clipped = progress.norm_sum / seen, progress.clipped / seen
        progress.steps_seen = progress.clipped = 0
        progress.loss_sum = progress.norm_sum = 0.0
        progress.remember(train_loss, score.nats if score else None)
        progress.seconds += self._clock() - start
        # A loss far above a uniform guess can mean weights that have just exploded. The
        # next step will then diverge, and must not return to this state.
        plausible = self._plausible(score.nats if score else train_loss)
        if plausible:
            del self._last_good  # before its successor needs as much memory
            self._last_good = self._snapshot_here()
        if best:
            weights = self.averaged_model.params.flat
            good = self._last_good.validated
            self.best_params = good if plausible else weights.copy()
        return Validation(
            step=progress.step,
            epoch=progress.step / self.epoch_steps,
            train_loss=train_loss,
            val_loss=score.nats if score else None,
            best=best,
            lr=self._lr(progress.step - 1),
            grad_norm=norm,
            clipped=clipped,
            seconds=progress.seconds,
            val_characters=score.characters if score else 0,
        )

    def _score(self) -> Score:
        """Return the loss on the validation text."""
        with self._team.arithmetic():
            score = evaluate(
                self.averaged_model,
                self._val,
                limit=self.plan.val_characters,
                threads=self.plan.layout.workers,
                stop=self._is_stopping,
                ranks=self.ranks,
            )
        if not isfinite(score.nats):
            raise _Diverged(self.progress.step, score.nats)
        return score

    def _keep_newest(self) -> None:
        """Take the newest weights as the best."""
        self.progress.best_step = self.progress.step
        self.best_params = self.averaged_model.params.flat.copy()

    def _diverges(self, loss: float, norm: float) -> bool:
        """Return whether a network with this loss and this norm has diverged."""
        return not (self._is_usable(norm) and self._plausible(loss))

    def _is_usable(self, norm: float) -> bool:
        """Return whether a gradient of this norm can be applied."""
        return isfinite(norm) and min(norm, self.config.clip or inf) < _LARGEST_GRADIENT

    def _plausible(self, loss: float) -> bool:
        """Return whether a loss is finite and not far above that of a uniform guess.

        A guess has a loss of log V nats. The limit is three times that, plus 3 for tiny
        vocabularies: a network that still works has a lower loss on any window.
        """
        return loss < 3 * log(self.model.vocab) + 3  # NaN compares false

    def _roll_back(self, step: int, value: float) -> Rollback:
        tried = self.progress.rollbacks
        lr_scale, seconds = self.progress.lr_scale / 2, self.progress.seconds
        self._go_to(self._last_good)
        self.progress.lr_scale = lr_scale
        self.progress.rollbacks = tried + 1
        self.progress.seconds = seconds
        if tried == _ROLLBACKS:
            raise TrainingError(
                f"the loss diverged ({value:.4g} at step {step}) after {tried} "
                f"rollbacks, the last at {lr_scale * 2:g} of the learning rate; "
                f"{self._advice(lr_scale)}"
            )
        return Rollback(step, self.progress.step, value, lr_scale, tried + 1)

    def _advice(self, lr_scale: float) -> str:
        """Return what to do about a run that diverges even at this scale."""
        config, default = self.config, TrainConfig()
        lower = min(lr_scale * config.lr, default.lr)
        advice = f"start again with a lower rate, such as --lr {lower:.1g}"
        if 0 < config.clip <= 1 and config.clip_mode == "norm":
            return advice
        return f"{advice}, and with --clip-mode norm --clip 1"


class _Diverged(Exception):
    """A loss, or a gradient's norm, that is not finite or not plausible."""

    def __init__(self, step: int, value: float) -> None:
        self.step, self.value = step, value
