"""BigBiGAN (Donahue & Simonyan 2019): BiGAN with the hinge loss, and the unary scores s_x = F(x) and s_z = H(z)."""

from typing import ClassVar

from losses.adversarial import hinge_discriminator, signed_generator
from models import defaults
from models.bigan import BiGAN


class BigBiGAN(BiGAN):
    """BiGAN with BigBiGAN's losses (section 2).

    The discriminator loss l_D applies the hinge to each of s_x, s_z and s_xz. The loss of E and G, l_EG, is the plain
    signed sum of the scores. A unary score exists if F or H was built with `scored=True`. J receives the features of F
    and H in any case.
    """

    adversarial = (hinge_discriminator, signed_generator)
    defaults: ClassVar = defaults.BIGBIGAN
