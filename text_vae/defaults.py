"""The arguments of each text model's `create` that have a default. The command line has the same defaults.

Importing this module does not import TensorFlow.
"""

from typing import Any

Arguments = dict[str, Any]

NVDM: Arguments = {
    "topics": 50,
    "encoder_widths": (500,),
    "reads": "mode",
    "dropout": 0.0,
    "length_power": 0.5,
    "alternate": 0,
    "kl_warm_up": 0,
    "prior_components": 0,
    "decay": 1e-3,
    "rate": 2e-3,
    "final_rate": 0.0,
    "seed": 0,
}
LANGUAGE_MODEL: Arguments = {
    "embedding": 512,
    "cell": "lstm",
    "units": 256,
    "dropout": 0.5,
    "tied": False,
    "locked": False,
    "rate": 5e-3,
    "final_rate": 0.0,
    "seed": 0,
}
LANGUAGE_VAE: Arguments = LANGUAGE_MODEL | {"latent_dim": 32, "word_dropout": 0.0}
RECURRENT_VAE: Arguments = LANGUAGE_VAE | {
    "beta": 1.0,
    "kl_warm_up": 0,
    "kl_cycles": 0,
    "free_bits": 0.0,
    "text_bits": 0.0,
    "mu_deviation": 0.0,
    "reset_at": 0,
    "kl_per_step": False,
}
TWR_VAE: Arguments = LANGUAGE_VAE | {"decoded": "normal", "kl_part": 1.0, "read_end": False}
ML_VAE: Arguments = LANGUAGE_VAE | {
    "levels": 2,
    "embedding": 256,
    "encoder_widths": (256, 256, 256),
    "plan": 256,
    "top_dim": 32,
    "hidden": 128,
    "inferred_first": "z1",
    "bag_weight": 0.0,
    "text_bits": 0.0,
    "kl_warm_up": 1500,
    "reset_at": 0,
}
RANKER: Arguments = {
    "embedding": 50,
    "fine_tune": True,
    "units": 100,
    "layers": 1,
    "dropout": 0.4,
    "rate": 1e-3,
    "seed": 0,
}
NASM: Arguments = RANKER | {
    "attention": "latent",
    "latent": 50,
    "match": True,
    "samples": 20,
    "kl_weight": 1.0,
    "bag_weight": 0.0,
}
