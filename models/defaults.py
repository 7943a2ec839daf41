"""The arguments of each image model's `create` that have a default. The command line has the same defaults.

Importing this module does not import TensorFlow.
"""

from typing import Any

Arguments = dict[str, Any]

GAN: Arguments = {
    "latent_dim": 16,
    "generator_widths": (32, 16),
    "discriminator_widths": (16, 32),
    "layout_dim": 0,
    "attention": 0,
    "precision": "auto",
    "d_updates": 1,
    "d_rate": 6e-4,
    "ge_rate": 3e-4,
    "beta_1": 0.5,
    "ema_decay": 0.999,
    "seed": 0,
}
# Only the joint discriminator teaches E, so it has a wider view of the image and is updated twice a step.
BIGAN: Arguments = GAN | {
    "layout_dim": 256,
    "d_updates": 2,
    "encoder_widths": (16, 32),
    "encoder_size": 0,
    "feature_dim": 256,
    "hidden_norm": True,
    "deterministic_encoder": False,
    "view_share": 0.0,
    "latent_width": 128,
    "latent_blocks": 2,
}
BIGBIGAN: Arguments = BIGAN | {"s_x": True, "s_z": True}
CODE: Arguments = {
    "num_categories": 10,
    "num_continuous": 0,
    "code_prior": "uniform",
    "code_to": "first",
    "info_weight": 1.0,
}
INFOGAN: Arguments = GAN | CODE | {"networks": "biggan"}
# The bounds teach E too, and lean networks give better codes.
INFOBIGBIGAN: Arguments = (
    BIGBIGAN
    | CODE
    | {
        "layout_dim": 0,
        "d_updates": 1,
        "hidden_norm": False,
        "head_on": "image",
        "joint_code": "encoder",
        "real_info_weight": 1.0,
        "consistency_on": "encoder",
        "consistency_weight": 1.0,
        "views": 1,
        "cutout": 0,
        "balance_weight": 0.0,
    }
)
