"""How many floating-point operations a training step needs. A multiplication with its addition counts as two.

Only convolutions and matrix products count. Norms, activations, softmax, dropout and optimizers take time without being
counted, so no step reaches the rate of the matmul.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.bigan import BiGAN
from models.capabilities import HasCode
from models.gan import GAN
from models.infobigbigan import InfoBigBiGAN
from text_vae.language_vae import LanguageModel
from text_vae.nasm import NASM
from text_vae.nvdm import NVDM


def of_batch(model: Any, batch: Any) -> float:
    """Return the operations of the training step of a batch.

    Raises:
        TypeError: there is no rule for models of this class.
    """
    if isinstance(model, GAN):
        return len(batch) * of_image(model)
    if isinstance(model, NVDM):
        unasked = of_row(model.hidden[0]) / 3  # no gradient of the counts is needed
        return len(batch) * (of_row(*model.hidden, model.mu, model.log_variance, model.decoder) - unasked)
    if isinstance(model, LanguageModel):
        encoder = [getattr(model, name) for name in ("encoder", "mu", "log_variance") if hasattr(model, name)]
        return float(np.sum(batch["lengths"])) * of_row(model.decoder.recurrent, model.decoder.vocabulary, *encoder)
    if isinstance(model, NASM):
        asked, answered = (float(np.sum(batch[f"{side}_lengths"])) for side in ("question", "candidate"))
        return asked * of_row(model.question_reader) + answered * of_row(model.answer_reader, model.key)
    raise TypeError(f"{type(model).__name__} has no rule in benchmarks/flops.py: add one")


def of_row(*layers: keras.layers.Layer) -> float:
    """Return the operations for each row that passes the layers: two for each weight of a matrix, forward.

    The backward pass costs two forward passes. A row is a document, or a word of a text; padding does not count.
    """
    return (
        3 * 2 * sum(int(np.prod(w.shape)) for layer in layers for w in layer.trainable_variables if len(w.shape) == 2)
    )


def forward(network: Callable[..., Any], *shapes: tuple[int, ...]) -> float:
    """Return the operations of one image's forward pass, by the convolutions and products of the traced graph.

    The products of spectral norms count for every image, although a pass has them once for all. They are 2 % of F's
    operations and 1 % of G's at the sizes of the public code, and 10 % of F's by default.

    Args:
        shapes: of the network's arguments, without the batch.
    """
    function = tf.function(network).get_concrete_function(*(tf.TensorSpec((1, *shape)) for shape in shapes))
    flops = 0.0
    for operation in function.graph.get_operations():
        if operation.type in ("Conv2D", "Conv2DBackpropInput"):  # the second is a transposed convolution
            image = operation.outputs[0] if operation.type == "Conv2D" else operation.inputs[2]
            flops += 2 * image.shape[1] * image.shape[2] * operation.inputs[1].shape.num_elements()
        elif operation.type in ("MatMul", "BatchMatMulV2"):
            flops += 2 * operation.outputs[0].shape.num_elements() * operation.inputs[0].shape[-1]
    return flops


@functools.cache
def of_image(model: GAN) -> float:
    """Return the operations of a training step for each image of the batch.

    A backward pass costs two forward passes, or one if only the gradient of the inputs is needed. G and E run once a
    step. The update of G and E shares the first pass of the discriminators, and needs F's gradient for generated images
    alone. H, J and the head are too small to count.
    """
    image_shape = model.generator.image_shape
    latents = [(model.latent_dim,)] + ([(model.code.dim,)] if isinstance(model, HasCode) else [])
    g, f = forward(model.generator, *latents), forward(model.image_discriminator, image_shape)
    e = forward(model.encoder, image_shape) if isinstance(model, BiGAN) else 0.0
    passes_of_e = 1
    if isinstance(model, InfoBigBiGAN):  # its bound needs generated images, and consistency the views of real ones
        passes_of_e += model.joint_code == "encoder"
        passes_of_e += model.views if model.consistency_weight and model.consistency_on == "encoder" else 0
    return model.d_updates * 2 * 3 * f + f + 3 * g + 3 * passes_of_e * e
