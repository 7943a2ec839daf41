"""BiGAN (Donahue et al. 2017): G with an encoder E, and a discriminator of the pairs (x, E(x)) and (G(z), z)."""

from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from losses.adversarial import Scores, logistic_discriminator, logistic_generator
from losses.replicas import own_rows, replicas, sampled
from models import defaults
from models.capabilities import Encodes
from models.discriminators import VectorDiscriminator
from models.encoder import Encoder, Encoding
from models.gan import GAN, Judgement, Pair, in_batches
from models.views import random_view

if TYPE_CHECKING:
    from tensorflow_probability.python.distributions import Distribution

tfd = tfp.distributions

IMAGE_DISCRIMINATOR, ENCODER = 3, 4  # the numbers of F and E, whose views differ; 1 and 2 are of InfoBigBiGAN's views


class BiGAN(Encodes, GAN):
    """G and E, trained against one joint discriminator with the logistic loss.

    The joint discriminator consists of three networks, as in BigBiGAN (section 2): F and H compute features, and J
    computes the score from them. F and H compute no scores of their own here. So BiGAN and BigBiGAN differ in the
    objective alone.

    Args:
        encoder, latent_discriminator, joint_discriminator: E, H and J.
        ema_encoder: a network like E, which becomes its moving average.
        view_share: probability with which F and E, each by itself, see a random view in place of an image, real or
            generated. With different views of one image, z can keep only what views share. No view is certain, so that G
            does not learn to distort (Karras et al. 2020, section 2.2). Not in the papers.
        options: the arguments of `GAN`, among them G and F.
    """

    adversarial = (logistic_discriminator, logistic_generator)
    defaults: ClassVar = defaults.BIGAN

    def __init__(
        self,
        *,
        encoder: keras.Model,
        ema_encoder: keras.Model,
        latent_discriminator: keras.Model,
        joint_discriminator: keras.Model,
        view_share: float = 0.0,
        **options: Any,
    ):
        super().__init__(**options)
        self.view_share = view_share
        self.encoder, self.ema_encoder = encoder, ema_encoder
        self.latent_discriminator, self.joint_discriminator = latent_discriminator, joint_discriminator

    @classmethod
    def parts(
        cls,
        image_shape: tuple[int, int, int],
        *,
        latent_dim: int,
        precision: str,
        encoder_widths: tuple[int, ...],
        encoder_size: int,
        feature_dim: int,
        hidden_norm: bool,
        deterministic_encoder: bool,
        latent_width: int,
        latent_blocks: int,
        s_x: bool = False,
        s_z: bool = False,
        code_parameters: int = 0,
        judged_code_dim: int = 0,
        **options: Any,
    ) -> dict[str, Any]:
        """Return the constructor's arguments: what `GAN.parts` returns, with E, the network of its average, H and J.

        Args:
            encoder_widths: `widths` of `Encoder`.
            encoder_size: `input_size` of `Encoder`.
            feature_dim, hidden_norm: see `Encoder`.
            deterministic_encoder: z_hat is mu, not a sample.
            latent_width, latent_blocks: width and number of residual blocks of H, and of J.
            s_x, s_z: whether F and H compute their unary scores.
            code_parameters: number of outputs by which E describes q(c | x); 0: E does not estimate the code.
            judged_code_dim: size of the code that H receives with z; 0: H receives z alone.
            options: the other arguments of `GAN.parts`.
        """
        parts = super().parts(image_shape, latent_dim=latent_dim, precision=precision, s_x=s_x, **options)
        encoder, ema_encoder = (
            Encoder(
                image_shape,
                encoder_widths,
                latent_dim,
                code_parameters,
                stochastic=not deterministic_encoder,
                feature_dim=feature_dim,
                hidden_norm=hidden_norm,
                input_size=encoder_size,
                compute_dtype=precision,
            )
            for _ in range(2)
        )
        latent_discriminator = VectorDiscriminator(
            latent_dim + judged_code_dim, latent_width, latent_blocks, scored=s_z
        )
        features = parts["image_discriminator"].feature_dim + latent_discriminator.feature_dim
        return parts | {
            "encoder": encoder,
            "ema_encoder": ema_encoder,
            "latent_discriminator": latent_discriminator,
            "joint_discriminator": VectorDiscriminator(features, latent_width, latent_blocks),
        }

    @property
    def score_names(self) -> list[str]:
        unaries = {"x": self.image_discriminator, "z": self.latent_discriminator}
        return [name for name, network in unaries.items() if network.score is not None] + ["xz"]

    @property
    def discriminators(self) -> list[keras.layers.Layer]:
        return [*super().discriminators, self.latent_discriminator, self.joint_discriminator]

    @property
    def averaged(self) -> list[tuple[keras.Model, keras.Model]]:
        return [*super().averaged, (self.encoder, self.ema_encoder)]

    def posterior(self, encoding: Encoding) -> "Distribution":
        """Return q(z | x) = N(mu, diag sigma^2), batch [B], event [latent_dim]; a point at mu if E has no sigma."""
        if encoding.sigma is None:
            return tfd.Independent(tfd.Deterministic(encoding.mu), 1)
        return tfd.MultivariateNormalDiag(encoding.mu, encoding.sigma)

    def seen(self, x: tf.Tensor, seed: tf.Tensor, network: int) -> tf.Tensor:
        """Return images x [B, H, W, C] as a network sees them in training: some are random views.

        Args:
            seed: int32 [2].
            network: a number of its own for each network.
        """
        if not self.view_share:
            return x
        fold_in: Any = tf.random.fold_in  # the stubs declare its result an int
        chosen_seed, view_seed = tf.unstack(tf.random.split(fold_in(seed, network), 2))
        count: list = [replicas() * tf.shape(x)[0], 1, 1, 1]
        chosen = own_rows(tf.random.stateless_uniform(count, chosen_seed)) < self.view_share
        return tf.where(chosen, random_view(x, view_seed), x)

    def generate_pair(self, n: int, seed: tf.Tensor) -> Pair:
        pair = super().generate_pair(n, seed)
        return pair._replace(x=self.seen(pair.x, seed, IMAGE_DISCRIMINATOR))

    def encode_pair(self, x: tf.Tensor, seed: tf.Tensor) -> Pair:
        """Return the real pair (x, z_hat), where z_hat = mu + sigma * eps is a sample of q(z | x).

        Gradients pass through the sample. The losses have no KL term.
        """
        encoding = self.encoder(self.seen(x, seed, ENCODER))
        return Pair(self.seen(x, seed, IMAGE_DISCRIMINATOR), sampled(self.posterior(encoding), seed))

    def latent_of(self, pair: Pair) -> tf.Tensor:
        """Return H's input for a batch of pairs: z [B, latent_dim]."""
        assert pair.z is not None  # every pair has a z if there is an E
        return pair.z

    def judge(self, pair: Pair, training: bool = False) -> Judgement:
        image_features, s_x, image_map = self.image_discriminator(pair.x, training=training)
        latent_features, s_z = self.latent_discriminator(self.latent_of(pair), training=training)
        joint = tf.concat([image_features, latent_features], 1)
        joint_features, s_xz = self.joint_discriminator(joint, training=training)
        return Judgement(Scores(s_x, s_z, s_xz), image_features, image_map, joint_features)

    def generator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        """Return the parts of both pairs, because the scores of real pairs depend on E."""
        return self.adversarial[1](real.scores, fake.scores)

    def encode(self, images: np.ndarray) -> Encoding:
        """Return the `Encoding`, as NumPy arrays, of images [N, H, W, C] by the moving average of E.

        Raises:
            ValueError: as `checked` raises it.
        """
        return in_batches(self._encode, self.checked(images))

    @tf.function(reduce_retracing=True, autograph=False)
    def _encode(self, x: tf.Tensor) -> Encoding:
        return self.ema_encoder(x)

    def infer_latents(self, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the arguments of G that reconstruct x [B, H, W, C], by the moving average of E.

        They are (mu [B, latent_dim],). A subclass whose G receives a code adds it.
        """
        return (self.ema_encoder(x).mu,)

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return G's output, [N, H, W, C], for the latents that are inferred from images [N, H, W, C].

        Both networks are the moving averages.

        Raises:
            ValueError: as `checked` raises it.
        """
        return in_batches(self._reconstruct, self.checked(images))

    def signatures(self) -> dict[str, Any]:
        images = tf.TensorSpec([None, *self.generator.image_shape])

        @tf.function(input_signature=[images], autograph=False)
        def encode(images: tf.Tensor) -> dict[str, tf.Tensor]:
            encoding = self.ema_encoder(images)._asdict()
            return {name: value for name, value in encoding.items() if value is not None}

        @tf.function(input_signature=[images], autograph=False)
        def reconstruct(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"images": self._reconstruct(images)}

        return super().signatures() | {"encode": encode, "reconstruct": reconstruct}

    @tf.function(reduce_retracing=True, autograph=False)
    def _reconstruct(self, x: tf.Tensor) -> tf.Tensor:
        return self.ema_generator(*self.infer_latents(x))
