"""InfoGAN (Chen et al. 2016): G, F, the code c, and the head Q on F, with BigGAN's networks or the published ones."""

from typing import Any, ClassVar

from losses.adversarial import logistic_discriminator, non_saturating_generator
from models import defaults
from models.code import Coded
from models.gan import GAN


class InfoGAN(Coded, GAN):
    """A GAN with the bound of `Coded`. The head is on F, the only discriminator.

    BigGAN's networks are trained with the hinge loss of `GAN`, plain networks with the logistic loss, as published. Two
    parts of the published model are ours: z is normal in place of uniform, and the head has no batch normalisation.
    """

    defaults: ClassVar = defaults.INFOGAN

    def __init__(self, **options: Any):
        super().__init__(**options)
        if self.image_discriminator.normalizes_batches:  # no spectral norm bounds its scores, as the hinge loss needs
            self.adversarial = (logistic_discriminator, non_saturating_generator)
