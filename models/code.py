"""InfoGAN's code c (Chen et al. 2016): its prior, its bound, its head, and what it adds to any GAN. One piece for all."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from losses.information import categorical_bound, continuous_bound
from models.gan import GAN, Pair, checked, in_batches
from models.layers import Dense

tfd = tfp.distributions


class Code:
    """p(c): one uniform categorical code of `num_categories`, one-hot, and `num_continuous` codes uniform on [-1, 1].

    A network describes q(c | .) by `parameters` numbers: logits, then means, then log standard deviations.
    """

    def __init__(self, num_categories: int = 10, num_continuous: int = 0):
        self.num_categories, self.num_continuous = num_categories, num_continuous
        self.dim = num_categories + num_continuous
        self.parameters = num_categories + 2 * num_continuous

    def sample(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """c [n, dim] float32 from the prior; `seed` int32 [2]."""
        seeds = tf.unstack(tf.random.split(seed, 2))
        one_hot = tfd.OneHotCategorical(logits=tf.zeros(self.num_categories), dtype=tf.float32).sample(n, seed=seeds[0])
        return tf.concat([one_hot, tfd.Uniform(-1.0, 1.0).sample([n, self.num_continuous], seed=seeds[1])], 1)

    def encode(self, c: np.ndarray) -> np.ndarray:
        """Categories int [N] as codes [N, dim] whose continuous part is 0; whole codes [N, dim] as they are.

        Raises ValueError for what is neither.
        """
        c = np.asarray(c)
        fits = np.isin(c, range(self.num_categories)).all() if c.ndim == 1 else c.shape[1:] == (self.dim,)
        if not fits:
            raise ValueError(f"c is neither categories from 0 to {self.num_categories - 1} nor codes [N, {self.dim}]")
        if c.ndim == 1:
            c = np.pad(np.eye(self.num_categories)[c.astype(int)], [(0, 0), (0, self.num_continuous)])
        return c.astype("float32")

    def split(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(logits, mean, log_sigma) of q(c | .), from [B, parameters]."""
        return tf.split(parameters, [self.num_categories, self.num_continuous, self.num_continuous], 1)

    def bound(self, c: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """InfoGAN's lower bound on I(c; G(z, c)) of this q, per example [B], in nats."""
        logits, mean, log_sigma = self.split(parameters)
        categorical, continuous = tf.split(c, [self.num_categories, self.num_continuous], 1)
        return categorical_bound(categorical, logits) + continuous_bound(continuous, mean, log_sigma)

    def probabilities(self, parameters: tf.Tensor) -> tf.Tensor:
        """q(c | x) of the categorical code, [B, num_categories]."""
        return tf.nn.softmax(self.split(parameters)[0])

    def estimate(self, parameters: tf.Tensor) -> tf.Tensor:
        """E[c] under q(c | .): class probabilities and means, [B, dim]."""
        return tf.concat([self.probabilities(parameters), self.split(parameters)[1]], 1)


class CodeHead(keras.Model):
    """Q: a discriminator's features [B, inputs] -> parameters of q(c | x) [B, code.parameters], one hidden layer."""

    def __init__(self, inputs: int, parameters: int, width: int = 128):
        super().__init__()
        self.hidden, self.out = Dense(width, spectral_norm=False), Dense(parameters, spectral_norm=False)
        self(tf.zeros([1, inputs]))

    def call(self, features):
        return self.out(tf.nn.leaky_relu(self.hidden(features), 0.1))


class Coded(GAN):
    """Adds the code to the GAN that stands beside it among the bases: c enters G, the head Q recovers it.

    The bound is maximised by the head and its trunk in the discriminators' update, and by G in its own. Codes are read by
    the moving average of the head and its trunk: they turn with every update, as G does (the papers read the last step's).

    Args:
        code: the code's prior.
        head: Q, on the features of F (`head_on="image"`) or of J ("joint").
        info_weight: lambda, the weight of the bound (Chen et al. 2016, eq. 6).
        options: those of the other base.
    """

    def __init__(self, *, code: Code, head: CodeHead, head_on: str, info_weight: float, **options):
        super().__init__(**options)
        self.code, self.head, self.head_on, self.info_weight = code, head, head_on, info_weight
        trunk = [self.latent_discriminator, self.joint_discriminator] if head_on == "joint" else []
        self.recognizers = [self.image_discriminator, *trunk, head]
        self.recognizer_averages = [
            keras.Variable(weight, trainable=False)
            for network in self.recognizers
            for weight in network.trainable_variables
        ]

    @property
    def tracked_names(self):
        return [*super().tracked_names, "loss/d_info", "loss/ge_info"]

    @property
    def discriminators(self):
        return [*super().discriminators, self.head]

    @property
    def averages(self):
        weights = [weight for network in self.recognizers for weight in network.trainable_variables]
        return [*super().averages, *zip(weights, self.recognizer_averages, strict=True)]

    @property
    def in_use(self):
        statistics = [weight for network in self.recognizers for weight in network.non_trainable_variables]
        return [*super().in_use, *self.recognizer_averages, *statistics]

    def averaged_weights(self) -> keras.StatelessScope:
        """The context in which every network that is averaged, the head and its trunk too, computes with its average."""
        return keras.StatelessScope(self.averages)

    def sample_latents(self, n, seed, truncation=None):
        """(z, c), z [n, latent_dim] and c [n, code_dim], from their priors."""
        z_seed, c_seed = tf.unstack(tf.random.split(seed, 2))
        return *super().sample_latents(n, z_seed, truncation), self.code.sample(n, c_seed)

    def inferred_pair(self, x: tf.Tensor) -> Pair:
        """The pair that `classify` reads the code of images x [B, H, W, C] from: here x alone."""
        return Pair(x)

    def recognize(self, judgement) -> tf.Tensor:
        """The head's parameters of q(c | x), [B, code.parameters]."""
        return self.head(judgement.joint_features if self.head_on == "joint" else judgement.image_features)

    def information_loss(self, judgement, c) -> tf.Tensor:
        """-lambda L_I [B]: the negative weighted bound."""
        return -self.info_weight * self.code.bound(c, self.recognize(judgement))

    def discriminator_losses(self, real, fake, real_pair, fake_pair):
        losses = super().discriminator_losses(real, fake, real_pair, fake_pair)
        return losses | {"info": self.information_loss(fake, fake_pair.c)}

    def generator_losses(self, real, fake, real_pair, fake_pair):
        losses = super().generator_losses(real, fake, real_pair, fake_pair)
        return losses | {"info": self.information_loss(fake, fake_pair.c)}

    def generate(self, n, c=None, *, truncation=None, seed=0):
        """n images [n, H, W, C] float32 in [-1, 1]; c from its prior, or as given.

        Args:
            c: categories, int [n] (continuous codes are then 0), or whole codes, float [n, code.dim].
            truncation: cuts the normal that z is drawn from at +-truncation; None: not cut.
            seed: of z and of c.

        Raises:
            ValueError: there is not one c for each image, or one is neither a category nor a whole code.
        """
        if c is not None and len(c) != n:
            raise ValueError(f"{n} images need {n} codes, not {len(c)}")
        z, sampled = self.sample_latents(n, tf.constant([seed, 2]), truncation)
        return self.decode(z, sampled if c is None else self.code.encode(c))

    def classify(self, images: np.ndarray) -> np.ndarray:
        """q(c | x) of the categorical code by the averaged head, [N, num_categories], of images [N, H, W, C].

        Raises ValueError for values outside [-1, 1].
        """
        return in_batches(self._classify, checked(images))

    @tf.function(reduce_retracing=True)
    def _classify(self, x):
        with self.averaged_weights():
            return self.code.probabilities(self.recognize(self.judge(self.inferred_pair(x))))
