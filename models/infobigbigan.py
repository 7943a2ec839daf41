"""InfoBigBiGAN: BigBiGAN whose generator is also fed InfoGAN's code c. What H and J see of the code is `joint_code`.

    generated   (G(z, c), z, c)           real   (x, z_hat, c_hat),  z_hat ~ E(x)

- "none": H and J see z alone; a real image needs no code.
- "head": they see (z, c), and for a real image the head's estimate, softmax of Q on F, which is not trained by that.
- "encoder": they see (z, c), and E estimates the code of a real image beside z, as in Bidirectional-InfoGAN (Hinz &
  Wermter 2018). E's estimate is trained twice: on generated images by InfoGAN's bound, which G and E maximise together,
  and on real ones by H and J, which tell c_hat from the prior of c. The second is what makes the codes of real images
  decided and evenly used.
"""

import tensorflow as tf

from models.bigbigan import BigBiGAN
from models.code import Coded
from models.gan import Pair


class InfoBigBiGAN(Coded, BigBiGAN):
    """BigBiGAN and the code; see the module for `joint_code`.

    Args:
        joint_code: "none", "head" or "encoder".
        options: those of `Coded` and `BiGAN`.
    """

    def __init__(self, *, joint_code: str, **options):
        super().__init__(**options)
        self.joint_code = joint_code

    @property
    def tracked_names(self):
        return [*super().tracked_names, *(["loss/ge_info_encoder"] if self.joint_code == "encoder" else [])]

    def estimate_code(self, x, encoding):
        """c_hat [B, code.dim] of images, by E or by the head; None where H and J do not see the code."""
        if self.joint_code == "encoder":
            return self.code.estimate(encoding.code)
        if self.joint_code == "head":
            return tf.stop_gradient(self.code.estimate(self.head(self.image_discriminator(x)[0])))
        return None

    def encode_pair(self, x, seed):
        encoding = self.encoder(x)
        return Pair(x, self.posterior(encoding).sample(seed=seed), self.estimate_code(x, encoding))

    def latent_of(self, pair):
        """What H sees of a pair: z, or z and c [B, latent_dim + code.dim]."""
        return pair.z if self.joint_code == "none" else tf.concat([pair.z, pair.c], 1)

    def generator_losses(self, real, fake, fake_pair):
        losses = super().generator_losses(real, fake, fake_pair)
        if self.joint_code == "encoder":
            encoding = self.encoder(fake_pair.x)
            losses["info_encoder"] = -self.info_weight * self.code.bound(fake_pair.c, encoding.code)
        return losses

    def inferred_pair(self, x):
        """The pair that `classify` reads the code of an image from: x and the averaged E's mean."""
        encoding = self.ema_encoder(x)
        return Pair(x, encoding.mu, self.estimate_code(x, encoding))

    def infer_latents(self, x):
        """(mu, c_hat); c_hat is E's estimate, or the head's where E has none."""
        pair = self.inferred_pair(x)
        c_hat = self.code.estimate(self.recognize(self.judge(pair))) if pair.c is None else pair.c
        return pair.z, c_hat
