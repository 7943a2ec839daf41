"""Adversarial losses of discriminator scores (logits): one value per example, to be minimised.

Each score has a loss of its own. The losses of s_x, s_z and s_xz are the parts "x", "z" and "xz" that these functions
return: BigBiGAN uses `hinge_discriminator` and `signed_generator`, BiGAN the logistic pair, and InfoGAN as published
`logistic_discriminator` and `non_saturating_generator`.
"""

from typing import NamedTuple

import tensorflow as tf


class Scores(NamedTuple):
    """The discriminator scores of one batch of pairs (x, z), each float32 [B]; None if a term is switched off."""

    x: tf.Tensor | None = None  # s_x, image score (F)
    z: tf.Tensor | None = None  # s_z, latent score (H)
    xz: tf.Tensor | None = None  # s_xz, joint score (J)

    def parts(self) -> dict[str, tf.Tensor]:
        """Return the scores that are not None, by name."""
        return {name: score for name, score in self._asdict().items() if score is not None}


def hinge_discriminator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """Return h(s(real)) + h(-s(fake)) for every score s, a part [B] each, where h(t) = max(0, 1 - t).

    BigBiGAN, section 2: the sum of the parts is the discriminator loss l_D. The paper's y is +1 for (x, E(x)), here
    `real`, and -1 for (G(z), z), here `fake`. A part is at least 2 if the discriminator gives both pairs the same score.

    Raises:
        ValueError: `real` and `fake` have different numbers of scores.
    """
    return {
        name: tf.nn.relu(1.0 - s_real) + tf.nn.relu(1.0 + s_fake)
        for (name, s_real), s_fake in zip(real.parts().items(), fake.parts().values(), strict=True)
    }


def signed_generator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """Return s(real) - s(fake) for every score of `fake`, a part [B] each.

    BigBiGAN, section 2: the sum of the parts is the loss l_EG, a plain signed sum. G is trained to raise the scores of
    generated pairs, E to lower the scores of real pairs. The image score of a real image depends on neither network, so
    it adds a constant. A score that `real` leaves out counts as 0.
    """
    real_parts, fake_parts = real.parts(), fake.parts()
    return {name: real_parts.get(name, 0.0) - s_fake for name, s_fake in fake_parts.items()}


def non_saturating_generator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """Return -log D(fake) for every score of `fake`, a part [B] each, where D = sigmoid(s).

    Goodfellow et al. 2014, section 3: what G maximises in place of -log(1 - D). Real scores do not depend on G.
    """
    return {name: tf.nn.softplus(-score) for name, score in fake.parts().items()}


def logistic_discriminator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """Return -log D(real) - log(1 - D(fake)) for every score s, a part [B] each, where D = sigmoid(s).

    Each part is the negative of BiGAN's V(D, E, G) (Donahue et al. 2017, eq. 2).

    Raises:
        ValueError: `real` and `fake` have different numbers of scores.
    """
    return {
        name: tf.nn.softplus(-s_real) + tf.nn.softplus(s_fake)
        for (name, s_real), s_fake in zip(real.parts().items(), fake.parts().values(), strict=True)
    }


def logistic_generator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """Return -log(1 - D(real)) - log D(fake) for every score, a part [B] each.

    This is the inverse objective, with which BiGAN trains E and G (section 3.4). Errors are those of
    `logistic_discriminator`.
    """
    return logistic_discriminator(real=fake, fake=real)
