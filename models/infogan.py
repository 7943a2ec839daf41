"""InfoGAN (Chen et al. 2016) on BigGAN's networks: G and F, the code c, and the head Q on F."""

from models.code import Coded
from models.gan import GAN


class InfoGAN(Coded, GAN):
    """The hinge loss of `GAN` and the bound of `Coded`; the head sits on F, the only discriminator."""
