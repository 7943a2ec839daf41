"""InfoGAN (Chen et al. 2016) with BigGAN's networks: G, F, the code c, and the head Q on F."""

from typing import ClassVar

from models import defaults
from models.code import Coded
from models.gan import GAN


class InfoGAN(Coded, GAN):
    """A GAN with the hinge loss of `GAN` and the bound of `Coded`. The head is on F, the only discriminator."""

    defaults: ClassVar = defaults.INFOGAN
