"""InfoBigBiGAN: BigBiGAN whose generator is also fed InfoGAN's code c. What H and J see of the code is `joint_code`.

    generated   (G(z, c), z, c)           real   (x, z_hat, c_hat),  z_hat ~ E(x)

- "none": H and J see z alone; a real image needs no code.
- "head": they see (z, c), and for a real image the head's estimate, softmax of Q on F, which is not trained by that.
- "encoder": they see (z, c), and E estimates the code of a real image beside z, as in Bidirectional-InfoGAN (Hinz &
  Wermter 2018). E's estimate is trained twice: on generated images by InfoGAN's bound, which G and E maximise together,
  and on real ones by H and J, which tell c_hat from the prior of c. The second is what makes the codes of real images
  decided and evenly used.

The head may learn from both pairs too (`real_info_weight`): it recovers c from generated images, and from real ones what E
says of them, so that it knows the images that it will classify.

Codes of real images may be asked for more, without labels (`consistency_on` E or the head): that two views of an image
share their code (`consistency_weight`), and that all codes are used (`balance_weight`).
"""

import tensorflow as tf

from losses.information import entropy, view_information
from models.bigbigan import BigBiGAN
from models.code import Coded
from models.gan import Pair
from models.views import random_view


class InfoBigBiGAN(Coded, BigBiGAN):
    """BigBiGAN and the code; see the module for `joint_code`.

    Args:
        joint_code: "none", "head" or "encoder".
        real_info_weight: of the bound, for the head alone, on the information of real images and E's codes of them.
        consistency_on: whose codes of real images the next two are about: "encoder", which must estimate c, or "head".
        consistency_weight: of the information that the codes of two views of an image share (Ji et al. 2019).
        balance_weight: of the entropy of the batch's average code (Krause et al. 2010).
        options: those of `Coded` and `BiGAN`.
    """

    def __init__(
        self,
        *,
        joint_code: str,
        real_info_weight: float,
        consistency_on: str,
        consistency_weight: float,
        balance_weight: float,
        **options,
    ):
        super().__init__(**options)
        self.joint_code, self.real_info_weight, self.consistency_on = joint_code, real_info_weight, consistency_on
        self.consistency_weight, self.balance_weight = consistency_weight, balance_weight

    @property
    def tracked_names(self):
        player = "ge" if self.consistency_on == "encoder" else "d"
        return [
            *super().tracked_names,
            *(["loss/d_info_real"] if self.real_info_weight else []),
            *(["loss/ge_info_encoder"] if self.joint_code == "encoder" else []),
            *([f"loss/{player}_consistency"] if self.consistency_weight else []),
            *([f"loss/{player}_balance"] if self.balance_weight else []),
        ]

    def estimate_code(self, x, encoding):
        """c_hat [B, code.dim] of images x, by E or by the head; None where H and J do not see the code."""
        if self.joint_code == "encoder":
            return self.code.estimate(encoding.code)
        if self.joint_code == "head":
            return tf.stop_gradient(self.code.estimate(self.head_of_image(x)))
        return None

    def head_of_image(self, x):
        """The head's parameters of q(c | x) [B, code.parameters] for images that nobody judges; it sits on F."""
        return self.head(self.image_discriminator(x)[0])

    def encode_pair(self, x, seed):
        encoding = self.encoder(x)
        view = random_view(x, tf.random.fold_in(seed, 1)) if self.consistency_weight else None
        return Pair(x, self.posterior(encoding).sample(seed=seed), self.estimate_code(x, encoding), view)

    def latent_of(self, pair):
        """What H sees of a pair: z, or z and c [B, latent_dim + code.dim]."""
        return pair.z if self.joint_code == "none" else tf.concat([pair.z, pair.c], 1)

    def discriminator_losses(self, real, fake, real_pair, fake_pair):
        losses = super().discriminator_losses(real, fake, real_pair, fake_pair)
        if self.real_info_weight:
            losses["info_real"] = -self.real_info_weight * self.code.bound(real_pair.c, self.recognize(real))
        if self.consistency_on == "head":
            p = self.code.probabilities(self.recognize(real))
            losses |= self.regularity_losses(p, real_pair.view, self.head_of_image)
        return losses

    def generator_losses(self, real, fake, real_pair, fake_pair):
        losses = super().generator_losses(real, fake, real_pair, fake_pair)
        if self.joint_code == "encoder":
            encoding = self.encoder(fake_pair.x)
            losses["info_encoder"] = -self.info_weight * self.code.bound(fake_pair.c, encoding.code)
            if self.consistency_on == "encoder":
                p = real_pair.c[:, : self.code.num_categories]
                losses |= self.regularity_losses(p, real_pair.view, lambda x: self.encoder(x).code)
        return losses

    def regularity_losses(self, p, view, parameters_of) -> dict[str, tf.Tensor]:
        """What is asked of codes p [B, num_categories] of real images: losses, scalars by their names.

        `parameters_of` gives those of q(c | view) [B, code.parameters] of their other view.
        """
        losses = {}
        if self.consistency_weight:
            p_view = self.code.probabilities(parameters_of(view))
            losses["consistency"] = -self.consistency_weight * view_information(p, p_view)
        if self.balance_weight:
            losses["balance"] = -self.balance_weight * entropy(tf.reduce_mean(p, 0))
        return losses

    def inferred_pair(self, x):
        """The pair that `classify` reads the code of an image from: x and the averaged E's mean."""
        encoding = self.ema_encoder(x)
        return Pair(x, encoding.mu, self.estimate_code(x, encoding))

    def infer_latents(self, x):
        """(mu [B, latent_dim], c_hat [B, code.dim]) of images x; c_hat is E's estimate, or the head's where E has none."""
        with self.averaged_weights():
            pair = self.inferred_pair(x)
            c_hat = self.code.estimate(self.recognize(self.judge(pair))) if pair.c is None else pair.c
        return pair.z, c_hat
