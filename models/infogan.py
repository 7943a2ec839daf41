"""InfoGAN (Chen et al. 2016) on BigGAN's networks: G and F, the code c, and the head Q on F."""

from models.code import Coded
from models.gan import GAN, Pair


class InfoGAN(Coded, GAN):
    """The hinge loss of `GAN` and the bound of `Coded`; the head sits on F, the only discriminator."""

    def inferred_pair(self, x):
        """The pair that `classify` reads the code of an image from: x alone."""
        return Pair(x)
