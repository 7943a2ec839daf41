"""BigBiGAN (Donahue & Simonyan 2019): BiGAN with unary scores s_x = F(x) and s_z = H(z) beside s_xz, and the hinge loss."""

from losses.adversarial import hinge_discriminator, signed_generator
from models.bigan import BiGAN


class BigBiGAN(BiGAN):
    """l_D: the hinge on s_x, s_z and s_xz separately; l_EG: their plain signed sum (section 2).

    A unary term is on where F or H was built with `scored=True`; without it F's and H's features still feed J.
    """

    adversarial = (hinge_discriminator, signed_generator)
