"""Histories of runs that were never trained, for plots."""

import json


def validation(step, val=1.5, train=1.4, **more):
    """Return the line of a validation, as a dict."""
    return {
        **{"event": "validation", "step": step, "epoch": step / 50},
        **{"train_loss": train, "val_loss": val, "best": False, "lr": 0.01},
        **{"grad_norm": 0.3, "clipped": 0.25, "seconds": step * 0.6},
        **{"val_characters": 100},
        **more,
    }


def rollback(step, to_step, number=1):
    """Return the line of a rollback, as a dict."""
    return {
        **{"event": "rollback", "step": step, "to_step": to_step, "loss": None},
        **{"lr_scale": 0.5, "number": number},
    }


def scoreboard(step, nats=1.7, order=4):
    """Return the line of a scoreboard, as a dict."""
    ngram = {"nats": nats, "characters": 100}
    return {"event": "scoreboard", "step": step, "ngram": ngram, "ngram_order": order}


def write_history(folder, *events):
    """Write events, dicts or whole lines, as the history of a folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    text = "".join(f"{line}\n" for line in lines)
    (folder / "history.jsonl").write_text(text, encoding="utf-8")
    return folder
