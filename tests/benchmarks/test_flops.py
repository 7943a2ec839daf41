"""The operations of a step, against counts by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.flops import forward, of_batch, of_image, of_row
from models.gan import GAN
from models.infobigbigan import InfoBigBiGAN
from models.layers import Conv2D
from text_vae.language_vae import LanguageModel


def dense(inputs, outputs):
    layer = keras.layers.Dense(outputs)
    layer.build([None, inputs])
    return layer


def test_a_row_costs_two_operations_a_weight_and_the_backward_pass_twice_that():
    assert of_row(dense(3, 5), dense(5, 2)) == 3 * 2 * (3 * 5 + 5 * 2)  # no biases


@pytest.mark.parametrize(
    ("resample", "expected"),
    [
        (None, 2 * 8 * 8 * 9 * 2 * 4),
        ("down", 2 * 4 * 4 * 16 * 2 * 4),  # 4x4 kernels of stride 2
        ("up", 2 * 8 * 8 * 16 * 2 * 4),  # each pixel of the smaller map meets the whole kernel
    ],
)
def test_a_convolution_of_eight_by_eight_pixels(resample, expected):
    layer = Conv2D(4, resample=resample, spectral_norm=False)
    layer(tf.zeros([1, 8, 8, 2]))
    assert forward(layer, (8, 8, 2)) == expected


def test_a_step_of_a_gan_passes_g_three_times_and_f_seven_times():
    model = GAN.create((8, 8, 1), generator_widths=(8,), discriminator_widths=(8,))
    g, f = forward(model.generator, (16,)), forward(model.image_discriminator, (8, 8, 1))
    assert of_image(model) == 3 * g + 7 * f
    assert of_batch(model, np.zeros([5, 8, 8, 1])) == 5 * of_image(model)


def test_each_view_costs_a_pass_of_e():
    sizes = {"generator_widths": (8,), "discriminator_widths": (8,), "encoder_widths": (8,)}
    one, two = (InfoBigBiGAN.create((8, 8, 1), views=views, **sizes) for views in (1, 2))
    assert of_image(two) - of_image(one) == 3 * forward(one.encoder, (8, 8, 1))


def test_padding_of_sentences_does_not_count():
    model = LanguageModel.create(words=10, embedding=3, cell="lstm", units=4, longest=5, updates=1)
    batch = {"tokens": np.ones([2, 7], int), "lengths": np.array([7, 2])}
    assert of_batch(model, batch) == 9 * 6 * ((3 + 4) * 16 + 4 * 8)  # PAD and BOS are never predicted


def test_a_model_without_a_rule_is_named():
    with pytest.raises(TypeError, match="Sequential has no rule"):
        of_batch(keras.Sequential(), np.zeros([1]))
