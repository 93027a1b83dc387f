"""Truncated backpropagation through time, as a generator of records.

The trainer computes; it reads no file, writes none and prints nothing. Whoever drives
it decides what a record looks like and what is saved.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite, log
from time import perf_counter

import numpy as np

from charrnn.config import TrainConfig
from charrnn.errors import TrainingError
from charrnn.evaluation.loss import evaluate
from charrnn.nn.model import Model, ModelState
from charrnn.nn.parameters import Array, Parameters
from charrnn.nn.workers import Workers, blas_threads
from charrnn.text.windows import Windows
from charrnn.training.clipping import CLIPPERS
from charrnn.training.events import Finished, Record, Rollback, Step, Validation
from charrnn.training.optimizers import follow, make_optimizer
from charrnn.training.plan import Plan, make_dropout, make_weight_drop
from charrnn.training.schedules import learning_rate
from charrnn.training.state import Progress, Snapshot

# A diverged run goes back to the last good state at half the rate, this many times.
_ROLLBACKS = 5


class Trainer:
    """Trains a model on ids, and validates it on others, by a plan."""

    def __init__(
        self, model: Model, train: Array, val: Array, config: TrainConfig, plan: Plan
    ) -> None:
        self.model, self.config, self.plan = model, config, plan
        self.progress = Progress()
        self.best_params = model.params.flat.copy()
        self._windows = Windows(train, plan.window, plan.batch)
        self._val = val
        self._optimizer = make_optimizer(model.params, config, model.steps)
        self._clip = CLIPPERS[config.clip_mode]
        self._state = model.zero_state(plan.batch)
        self._stop = False
        self._rng = np.random.default_rng(
            np.random.SeedSequence(config.seed).spawn(2)[1]
        )
        self._dropout = make_dropout(model, config, plan.window, plan.batch)
        self._weight_drop = make_weight_drop(model.params, config)
        # The weights that validate: a running average, or the model's own.
        self._averaged = self._twin() if config.average else model
        self._scratch = np.empty_like(model.params.flat)
        self._good = self._copy()

    def _twin(self) -> Model:
        twin = Model(self.model.config)
        twin.params.flat[:] = self.model.params.flat
        twin.steps = self.model.steps
        return twin

    @property
    def epoch_steps(self) -> int:
        """Steps in one pass over the training text."""
        return len(self._windows)

    def stop(self) -> None:
        """Ask `run` to finish the step that it is in, and end."""
        self._stop = True

    def snapshot(self) -> Snapshot:
        """Return copies of all that changes from step to step."""
        good = self._good
        here = good.progress["step"] == self.progress.step
        return replace(self._copy(), good=None if here else good)

    def _copy(self) -> Snapshot:
        progress = vars(self.progress) | {"history": [*self.progress.history]}
        progress["rng"] = self._rng.bit_generator.state
        moments = {name: moment.copy() for name, moment in self._moments().items()}
        return Snapshot(progress, self.model.params.flat.copy(), moments, self._state)

    def restore(self, snapshot: Snapshot) -> None:
        """Go to where a snapshot was taken, bit for bit."""
        self._go_to(snapshot)
        self._good = snapshot.good or self._copy()

    def _moments(self) -> dict[str, Array]:
        """Return the flat vectors, besides the weights, that a step changes."""
        moments = dict(self._optimizer.state)
        if self.config.average:
            moments["average"] = self._averaged.params.flat
        return moments

    def _go_to(self, snapshot: Snapshot) -> None:
        self.progress = Progress(**snapshot.progress)
        self.progress.history = [*self.progress.history]
        self._rng.bit_generator.state = self.progress.rng
        self.model.params.flat[:] = snapshot.params
        for name, moment in self._moments().items():
            moment[:] = snapshot.moments[name]
        self._state = snapshot.state

    def run(self) -> Iterator[Record]:
        """Train to the plan's last step, or until `stop` or patience ends it.

        Raises TrainingError where the loss keeps diverging at ever lower rates.
        """
        plan = self.plan
        workers = Workers(self.model, plan.window, plan.batch, plan.layout.workers)
        while not self._end():
            try:
                yield self._step(workers)
                if self._validation_due():
                    yield self._validate()
            except _Diverged as diverged:
                yield self._roll_back(diverged.step, diverged.loss)
        yield Finished(self.progress.step, self._end())

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        # Each step looks for a loss that is not finite, so NumPy need not warn of it.
        with (
            blas_threads(self.plan.layout.blas_threads),
            np.errstate(over="ignore", invalid="ignore"),
        ):
            yield

    def _end(self) -> str:
        """Return why training is over, or nothing while it is not."""
        if self.progress.step >= self.plan.steps:
            return "done"
        if self.config.patience and self.progress.since_best >= self.config.patience:
            return "patience"
        return "stopped" if self._stop else ""

    def _step(self, workers: Workers) -> Step:
        start = perf_counter()
        progress, model = self.progress, self.model
        window = progress.step % self.epoch_steps
        if window == 0:  # the streams start over
            self._state = model.zero_state(self.plan.batch)
        inputs, targets = self._windows[window]
        with self._arithmetic():
            # The state is carried into the next window; the gradient is not.
            loss, grads, state = self._gradient(workers, inputs, targets)
            norm = self._clip(grads.flat, self.config.clip)
        self._check(progress.step + 1, loss if isfinite(norm) else norm)
        lr = self._lr(progress.step)
        progress.step += 1
        with self._arithmetic():
            self._optimizer.update(model.params.flat, grads.flat, lr, progress.step)
            if self.config.average:
                self._average()
        self._state = state
        progress.steps_seen += 1
        progress.loss_sum += loss
        progress.norm_sum += norm
        progress.clipped += 0 < self.config.clip < norm
        progress.seconds += perf_counter() - start
        return Step(progress.step, loss, lr, inputs.size)

    def _gradient(
        self, workers: Workers, inputs: Array, targets: Array
    ) -> tuple[float, Parameters, ModelState]:
        """Return loss, gradients and the state after a window, with fresh masks."""
        rng = self._rng
        masks = self._dropout.draw(rng=rng) if self._dropout else None
        if not self._weight_drop:
            return workers.loss_and_grads(inputs, targets, self._state, masks)
        with self._weight_drop.applied(rng=rng) as dropped:
            found = workers.loss_and_grads(inputs, targets, self._state, masks)
        for name, mask in dropped.items():
            found[1][name][:] *= mask
        return found

    def _lr(self, step: int) -> float:
        rate = learning_rate(step, self.plan.steps, self.config)
        return self.progress.lr_scale * rate

    def _average(self) -> None:
        """Let the averaged weights follow."""
        θ, mean = self.model.params.flat, self._averaged.params.flat
        t = self.progress.step
        # At first it follows fast, so that it does not remember the start.
        decay = min(self.config.average, (1 + t) / (10 + t))
        follow(mean, θ, decay, self._scratch)

    def _validation_due(self) -> bool:
        step = self.progress.step
        return step % self.plan.eval_every == 0 or step == self.plan.steps

    def _validate(self) -> Validation:
        start = perf_counter()
        progress = self.progress
        with self._arithmetic():
            threads = self.plan.layout.workers
            val_loss = evaluate(self._averaged, self._val, threads=threads).nats
        if not isfinite(val_loss):
            raise _Diverged(progress.step, val_loss)
        best = val_loss < progress.best_loss
        if best:
            progress.best_loss, progress.best_step = val_loss, progress.step
            self.best_params[:] = self._averaged.params.flat
        progress.since_best = 0 if best else progress.since_best + 1
        seen = progress.steps_seen
        train_loss = progress.loss_sum / seen
        norm, clipped = progress.norm_sum / seen, progress.clipped / seen
        progress.steps_seen = progress.clipped = 0
        progress.loss_sum = progress.norm_sum = 0.0
        progress.remember(train_loss, val_loss)
        progress.seconds += perf_counter() - start
        # A high loss can mean a text unlike the one trained on, and can mean weights
        # that just blew up, which the next step will tell: not where to go back to.
        if self._plausible(val_loss):
            self._good = self._copy()
        return Validation(
            step=progress.step,
            epoch=progress.step / self.epoch_steps,
            train_loss=train_loss,
            val_loss=val_loss,
            best=best,
            lr=self._lr(progress.step - 1),
            grad_norm=norm,
            clipped=clipped,
            seconds=progress.seconds,
        )

    def _check(self, step: int, loss: float) -> None:
        if not self._plausible(loss):
            raise _Diverged(step, loss)

    def _plausible(self, loss: float) -> bool:
        """Return whether a loss is finite, and not far above a blind guess."""
        return loss < 3 * log(self.model.config.vocab) + 3  # NaN compares false

    def _roll_back(self, step: int, loss: float) -> Rollback:
        tried = self.progress.rollbacks
        lr_scale, seconds = self.progress.lr_scale / 2, self.progress.seconds
        self._go_to(self._good)
        self.progress.lr_scale = lr_scale
        self.progress.rollbacks = tried + 1
        self.progress.seconds = seconds
        if tried == _ROLLBACKS:
            raise TrainingError(
                f"the loss diverged ({loss:.4g} at step {step}) after going back "
                f"{tried} times, the last at {lr_scale * 2:g} of the rate; start "
                f"anew, and try a lower --lr than {self.config.lr:g}, or --clip 1"
            )
        return Rollback(step, self.progress.step, loss, lr_scale, tried + 1)


class _Diverged(Exception):
    def __init__(self, step: int, loss: float) -> None:
        self.step, self.loss = step, loss
