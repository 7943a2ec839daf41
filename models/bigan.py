"""BiGAN (Donahue et al. 2017): an encoder E beside G, and a discriminator that sees (x, E(x)) or (G(z), z)."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from losses.adversarial import Scores, logistic_discriminator, logistic_generator
from models.encoder import Encoding
from models.gan import GAN, Judgement, Pair, checked, in_batches

tfd = tfp.distributions


class BiGAN(GAN):
    """G and E against one joint discriminator with the logistic loss.

    The joint discriminator is made of F and H, here without scores of their own, and J, which reads their features
    (BigBiGAN's decomposition, section 2), so that BiGAN and BigBiGAN differ by the objective and by nothing else.

    Args:
        encoder, latent_discriminator, joint_discriminator: E, H and J.
        ema_encoder: a network like E, which becomes its moving average.
        options: G, F and those of `GAN`.
    """

    adversarial = (logistic_discriminator, logistic_generator)

    def __init__(
        self,
        *,
        encoder: keras.Model,
        ema_encoder: keras.Model,
        latent_discriminator: keras.Model,
        joint_discriminator: keras.Model,
        **options,
    ):
        super().__init__(**options)
        self.encoder, self.ema_encoder = encoder, ema_encoder
        self.latent_discriminator, self.joint_discriminator = latent_discriminator, joint_discriminator

    @property
    def score_names(self):
        unaries = {"x": self.image_discriminator, "z": self.latent_discriminator}
        return [name for name, network in unaries.items() if network.score is not None] + ["xz"]

    @property
    def discriminators(self):
        return [*super().discriminators, self.latent_discriminator, self.joint_discriminator]

    @property
    def averaged(self):
        return [*super().averaged, (self.encoder, self.ema_encoder)]

    def posterior(self, encoding: Encoding) -> tfd.Distribution:
        """q(z | x) = N(mu, diag sigma^2), batch [B], event [latent_dim]; a point at mu where E has no sigma."""
        if encoding.sigma is None:
            return tfd.Independent(tfd.Deterministic(encoding.mu), 1)
        return tfd.MultivariateNormalDiag(encoding.mu, encoding.sigma)

    def encode_pair(self, x, seed):
        """(x, z_hat), z_hat = mu + sigma * eps: a sample of q(z | x) that gradients pass through; no KL term."""
        return Pair(x, self.posterior(self.encoder(x)).sample(seed=seed))

    def latent_of(self, pair: Pair) -> tf.Tensor:
        """What H sees of a pair: z."""
        return pair.z

    def judge(self, pair, training=False):
        image_features, s_x = self.image_discriminator(pair.x, training=training)
        latent_features, s_z = self.latent_discriminator(self.latent_of(pair), training=training)
        joint = tf.concat([image_features, latent_features], 1)
        joint_features, s_xz = self.joint_discriminator(joint, training=training)
        return Judgement(Scores(s_x, s_z, s_xz), image_features, joint_features)

    def generator_losses(self, real, fake, real_pair, fake_pair):
        return self.adversarial[1](real.scores, fake.scores)

    def encode(self, images: np.ndarray) -> Encoding:
        """Encoding (numpy) of images [N, H, W, C] by the moving average of E; ValueError for values outside [-1, 1]."""
        return in_batches(self._encode, checked(images))

    @tf.function(reduce_retracing=True)
    def _encode(self, x):
        return self.ema_encoder(x)

    def infer_latents(self, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The arguments of G that explain x [B, H, W, C] best, by the moving average of E: here (mu [B, latent_dim],)."""
        return (self.ema_encoder(x).mu,)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """G of the latents inferred from images [N, H, W, C], of their shape; ValueError for values outside [-1, 1]."""
        return in_batches(self._reconstruct, checked(images))

    @tf.function(reduce_retracing=True)
    def _reconstruct(self, x):
        return self.ema_generator(*self.infer_latents(x))
