"""The adversarial objectives: functions of discriminator scores (logits), one value per example, to be minimised."""

from typing import NamedTuple

import tensorflow as tf


class Scores(NamedTuple):
    """The discriminators' scores of one batch of pairs (x, z), each [B] float32; None where a term is switched off."""

    x: tf.Tensor | None = None  # s_x, image score (F)
    z: tf.Tensor | None = None  # s_z, latent score (H)
    xz: tf.Tensor | None = None  # s_xz, joint score (J)

    def parts(self) -> dict[str, tf.Tensor]:
        """The scores that are on, by name."""
        return {name: score for name, score in self._asdict().items() if score is not None}


def hinge_discriminator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """sum over s of h(s(real)) + h(-s(fake)), h(t) = max(0, 1 - t), on every score separately: a part [B] for each score.

    BigBiGAN, section 2, the discriminator loss l_D, with y = +1 for (x, E(x)) and -1 for (G(z), z). Each part is at least
    2 where the discriminator gives both pairs the same score.
    """
    return {
        name: tf.nn.relu(1.0 - s_real) + tf.nn.relu(1.0 + s_fake)
        for (name, s_real), s_fake in zip(real.parts().items(), fake.parts().values(), strict=True)
    }


def signed_generator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """s(real) - s(fake) for every score: a part [B] each. BigBiGAN, section 2, the loss l_EG: the plain signed sum.

    G raises the scores of what it generates, E lowers the scores of what it encodes. s_x of a real image depends on
    neither and is a constant of the sum; a score that `real` leaves out counts 0.
    """
    real_parts, fake_parts = real.parts(), fake.parts()
    return {name: real_parts.get(name, 0.0) - s_fake for name, s_fake in fake_parts.items()}


def logistic_discriminator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """-log D(real) - log(1 - D(fake)), D = sigmoid(s), for every score: BiGAN's V(D, E, G) (Donahue et al. 2017, eq. 2)."""
    return {
        name: tf.nn.softplus(-s_real) + tf.nn.softplus(s_fake)
        for (name, s_real), s_fake in zip(real.parts().items(), fake.parts().values(), strict=True)
    }


def logistic_generator(real: Scores, fake: Scores) -> dict[str, tf.Tensor]:
    """-log(1 - D(real)) - log D(fake): the inverse objective that BiGAN trains E and G with (section 3.4), per example."""
    return logistic_discriminator(real=fake, fake=real)
