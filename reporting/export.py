"""Models that are given away: a folder with weights for this project, or with a SavedModel for TensorFlow alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from reporting.cards import card
from text_vae.base import TextVAE
from training.files import whole_folder, write_bytes, write_text
from training.runs import LOCAL, WEIGHTS, WORDING, Run, write_config, write_weights


def export_run(run: Run, model: Any, epoch: int, folder: Path, form: str, summary: str, limits: str) -> None:
    """Write a new folder to give away, with a card and, for text, the vocabulary.

    Args:
        model: the run's, restored from the checkpoint of `epoch`; a model of text knows its words.
        form: one of FORMATS. "weights": config.json, metrics.json and the weights that the model is used through, in
            float16. "saved-model": a SavedModel in the folder `1`, as TensorFlow Serving expects it.
        summary, limits: see `card`.
    """
    with whole_folder(folder) as beside:
        signatures: Mapping[str, Any] = {}
        if form == "weights":
            described = json.loads((run.path / "config.json").read_text())
            # options of the machine that trained it
            described["config"] |= {name: None for name in LOCAL if name in described["config"]}
            write_config(beside / "config.json", described)
            write_bytes(beside / "metrics.json", (run.path / "metrics.json").read_bytes())
            write_weights(beside / WEIGHTS, model, epoch)
        else:
            signatures = save_program(model, beside / "1")
        if run.wording:
            write_bytes(beside / WORDING, (run.path / WORDING).read_bytes())
        write_text(beside / "README.md", card(run, run.scores, summary, limits, signatures))


def save_program(model: Any, folder: Path) -> dict[str, Any]:
    """Write a SavedModel of a model's signatures; return them, as concrete functions."""
    signatures = {name: function.get_concrete_function() for name, function in model.signatures().items()}
    captured = {id(tensor) for function in signatures.values() for tensor in function.captured_inputs}
    program: Any = tf.Module()
    program.weights = [weight.value for weight in model.weights if id(weight.value.handle) in captured]
    program.table = model.table if isinstance(model, TextVAE) else None
    tf.saved_model.save(program, str(folder), signatures)
    return signatures
