"""Training: plan, trainer, optimizers, schedules."""
