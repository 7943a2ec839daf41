"""InfoGAN's code c (Chen et al. 2016): its prior, its bound, its head, and the base class that adds it to a GAN."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from losses.information import categorical_bound, continuous_bound, entropy
from losses.replicas import batch_mean
from models.capabilities import HasCode
from models.gan import GAN, Judgement, Pair, check_request, in_batches
from models.layers import Composed, Dense

tfd = tfp.distributions

# How a categorical prior is learned. The first updates leave it uniform, until codes begin to mean something. A category
# keeps a share of what a uniform prior gives it, so that it is never lost for good.
PRIOR_START = 2000  # updates before the first change of the prior
PRIOR_RATE = 0.02  # of the moving average, per update
PRIOR_FLOOR = 0.2  # smallest probability of a category, as a share of 1 / num_categories


class Code:
    """The prior p(c): a categorical code, one-hot, with continuous codes that are uniform on [-1, 1].

    The categorical prior is uniform (Chen et al. 2016), or learned without labels: then it is the moving average of the
    estimated codes of real images. A uniform prior splits large classes and joins small ones.

    c has `dim` numbers: the one-hot category, then the continuous codes. A network describes q(c | .) by `parameters`
    numbers: logits, then means, then log standard deviations.

    Args:
        num_categories: number of categories.
        num_continuous: number of continuous codes.
        learned: whether the categorical prior is learned.
    """

    def __init__(self, num_categories: int = 10, num_continuous: int = 0, learned: bool = False):
        self.num_categories, self.num_continuous, self.learned = num_categories, num_continuous, learned
        self.dim = num_categories + num_continuous
        self.parameters = num_categories + 2 * num_continuous
        uniform = np.full(num_categories, 1 / num_categories, np.float32)
        # a uniform prior is a constant, so that a model without a learned one has no variable for it
        self.prior = keras.Variable(uniform, trainable=False, name="code_prior") if learned else tf.constant(uniform)

    @property
    def entropy(self) -> tf.Tensor | float:
        """H(c) of the categorical prior, in nats; log(num_categories) if it is uniform."""
        return entropy(tf.convert_to_tensor(self.prior)) if self.learned else math.log(self.num_categories)

    def sample(self, n: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return n samples of c from the prior, [n, dim] float32; `seed` is int32 [2]."""
        seeds = tf.unstack(tf.random.split(seed, 2))
        logits = tf.math.log(tf.convert_to_tensor(self.prior)) if self.learned else tf.zeros(self.num_categories)
        one_hot = tfd.OneHotCategorical(logits=logits, dtype=tf.float32).sample(n, seed=seeds[0])
        return tf.concat([one_hot, tfd.Uniform(-1.0, 1.0).sample([n, self.num_continuous], seed=seeds[1])], 1)

    def learn_prior(self, estimates: tf.Tensor, step: tf.Tensor) -> None:
        """Move the learned prior towards the mean of q(c | x) of real images, [B, num_categories].

        Args:
            step: the number of this update, int32; the first PRIOR_START updates change nothing.
        """
        rate = tf.where(step > PRIOR_START, PRIOR_RATE, 0.0)
        prior = self.prior + rate * (batch_mean(tf.reduce_mean(estimates, 0)) - self.prior)
        prior = tf.maximum(prior, PRIOR_FLOOR / self.num_categories)
        self.prior.assign(prior / tf.reduce_sum(prior))

    def encode(self, c: np.ndarray | list[int]) -> np.ndarray:
        """Return codes [N, dim] float32, from categories int [N] or from whole codes [N, dim].

        The continuous part of the code of a category is 0.

        Raises:
            ValueError: c has another shape, or a category is not an integer from 0 to num_categories - 1.
        """
        c = np.asarray(c)
        fits = np.isin(c, range(self.num_categories)).all() if c.ndim == 1 else c.shape[1:] == (self.dim,)
        if not fits:
            most = self.num_categories - 1
            raise ValueError(f"c must be categories from 0 to {most}, one for each image, or codes [N, {self.dim}]")
        if c.ndim == 1:
            c = np.pad(np.eye(self.num_categories)[c.astype(int)], [(0, 0), (0, self.num_continuous)])
        return c.astype("float32")

    def split(self, parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return (logits, mean, log_sigma) of q(c | .), from parameters [B, parameters]."""
        sizes = [self.num_categories, self.num_continuous, self.num_continuous]
        logits, mean, log_sigma = tf.split(parameters, sizes, 1)
        return logits, mean, log_sigma

    def bound(self, c: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """Return InfoGAN's lower bound on I(c; G(z, c)) under this q, per example [B], in nats."""
        logits, mean, log_sigma = self.split(parameters)
        categorical, continuous = tf.split(c, [self.num_categories, self.num_continuous], 1)
        return categorical_bound(categorical, logits, self.entropy) + continuous_bound(continuous, mean, log_sigma)

    def probabilities(self, parameters: tf.Tensor) -> tf.Tensor:
        """Return q(c | x) of the categorical code, [B, num_categories]."""
        return tf.nn.softmax(self.split(parameters)[0])

    def estimate(self, parameters: tf.Tensor) -> tf.Tensor:
        """Return E[c] under q(c | .), [B, dim]: the probabilities of the categories, then the means."""
        return tf.concat([self.probabilities(parameters), self.split(parameters)[1]], 1)


class CodeHead(Composed, keras.Model):
    """The head Q: what a discriminator computes, [B, inputs] -> parameters of q(c | x) [B, parameters].

    Args:
        inputs: number of its inputs.
        parameters: `parameters` of `Code`.
        width: width of the one hidden layer.
    """

    def __init__(self, inputs: int, parameters: int, width: int = 128):
        super().__init__()
        self.hidden, self.out = Dense(width, spectral_norm=False), Dense(parameters, spectral_norm=False)
        self(tf.zeros([1, inputs]))

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return self.out(tf.nn.leaky_relu(self.hidden(features), 0.1))


class Coded(HasCode, GAN):
    """Add the code to a GAN, which is the other base class: G receives c, and the head Q is trained to recover it.

    The update of the discriminators trains the head and its trunk to maximise the bound, and the update of G trains G
    to do so. The trunk is the discriminators from whose features the head computes.

    `classify` computes with the moving averages of the head and its trunk, because the meaning of a code changes with
    every update, as G does. The papers use the weights of the last step.

    If the code's prior is learned, every update moves it towards the estimated codes of the batch's real images.

    Args:
        code: the code's prior.
        head: Q.
        head_on: the head's input: "image", the features of F; "map", the last map of F; or "joint", the features of J.
        info_weight: lambda, the weight of the bound (Chen et al. 2016, eq. 6).
        options: the arguments of the other base class.
    """

    def __init__(self, *, code: Code, head: CodeHead, head_on: str, info_weight: float, **options: Any):
        super().__init__(**options)
        self.code, self.head, self.head_on, self.info_weight = code, head, head_on, info_weight
        self.learned_prior = [code.prior] if code.learned else []  # a list, so that Keras saves what is in it
        trunk = [self.latent_discriminator, self.joint_discriminator] if head_on == "joint" else []
        self.recognizers = [self.image_discriminator, *trunk, head]
        self.recognizer_averages = [
            keras.Variable(weight, trainable=False)
            for network in self.recognizers
            for weight in network.trainable_variables
        ]

    @classmethod
    def parts(
        cls,
        image_shape: tuple[int, int, int],
        *,
        num_categories: int,
        num_continuous: int,
        code_prior: str,
        info_weight: float,
        code_to: str = "first",
        head_on: str = "image",
        **options: Any,
    ) -> dict[str, Any]:
        """Return the constructor's arguments: what the other base class needs, with the code and its head.

        Args:
            num_categories, num_continuous: see `Code`.
            code_prior: "uniform" or "learned".
            code_to: see `Generator`.
            info_weight, head_on: as for the constructor.
            options: the other arguments of the other base class's `parts`.
        """
        code = Code(num_categories, num_continuous, learned=code_prior == "learned")
        parts = super().parts(image_shape, code_dim=code.dim, code_to=code_to, **options)
        trunk = parts["joint_discriminator" if head_on == "joint" else "image_discriminator"]
        head = CodeHead(trunk.map_dim if head_on == "map" else trunk.feature_dim, code.parameters)
        return parts | {"code": code, "head": head, "head_on": head_on, "info_weight": info_weight}

    @property
    def tracked_names(self) -> list[str]:
        prior = ["code/prior_entropy"] if self.code.learned else []
        return [*super().tracked_names, "loss/d_info", "loss/ge_info", *prior]

    @property
    def discriminators(self) -> list[keras.layers.Layer]:
        return [*super().discriminators, self.head]

    @property
    def averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        weights = [weight for network in self.recognizers for weight in network.trainable_variables]
        return [*super().averages, *zip(weights, self.recognizer_averages, strict=True)]

    @property
    def in_use(self) -> list[keras.Variable]:
        statistics = [weight for network in self.recognizers for weight in network.non_trainable_variables]
        return [*super().in_use, *self.recognizer_averages, *statistics, *self.learned_prior]

    def averaged_weights(self) -> keras.StatelessScope:
        """Return a context in which every averaged network computes with its average, as do the head and its trunk."""
        return keras.StatelessScope(self.averages)

    def sample_latents(
        self, n: int | tf.Tensor, seed: tf.Tensor, truncation: float | tf.Tensor | None = None
    ) -> tuple[tf.Tensor, ...]:
        """Return (z [n, latent_dim], c [n, code_dim]), drawn from their priors; `truncation` is that of z."""
        z_seed, c_seed = tf.unstack(tf.random.split(seed, 2))
        return *super().sample_latents(n, z_seed, truncation), self.code.sample(n, c_seed)

    def inferred_pair(self, x: tf.Tensor) -> Pair:
        """Return the pair from which `classify` estimates the codes of images x [B, H, W, C]: here x alone."""
        return Pair(x)

    def recognize(self, judgement: Judgement) -> tf.Tensor:
        """Return the head's parameters of q(c | x), [B, code.parameters]."""
        if self.head_on == "image":
            return self.head(judgement.image_features)
        return self.head(judgement.image_map if self.head_on == "map" else judgement.joint_features)

    def information_loss(self, judgement: Judgement, c: tf.Tensor | None) -> tf.Tensor:
        """Return -lambda L_I [B]: the negative of the weighted bound, for pairs generated with codes c [B, dim]."""
        assert c is not None  # every generated pair has a code
        return -self.info_weight * self.code.bound(c, self.recognize(judgement))

    def discriminator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        losses = super().discriminator_losses(real, fake, real_pair, fake_pair)
        return losses | {"info": self.information_loss(fake, fake_pair.c)}

    def generator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        losses = super().generator_losses(real, fake, real_pair, fake_pair)
        return losses | {"info": self.information_loss(fake, fake_pair.c)}

    def real_codes(self, real: Judgement, real_pair: Pair) -> tf.Tensor:
        """Return q(c | x) of a batch of real images, [B, num_categories], by the head."""
        return self.code.probabilities(self.recognize(real))

    def update_prior(self, real: Judgement, real_pair: Pair) -> dict[str, tf.Tensor]:
        if not self.code.learned:
            return {}
        self.code.learn_prior(self.real_codes(real, real_pair), self.step)
        return {"code/prior_entropy": tf.convert_to_tensor(self.code.entropy)}

    def generate(
        self, n: int, c: np.ndarray | list[int] | None = None, *, truncation: float | None = None, seed: int = 0
    ) -> np.ndarray:
        """Return n images [n, H, W, C] float32 in [-1, 1], computed by the moving average of G.

        Args:
            c: categories int [n], with continuous codes of 0, or whole codes float [n, code.dim]; None: c is drawn from
                its prior.
            truncation: z is drawn from the normal distribution cut off at +-truncation; None: from the whole one.
            seed: the seed of z and of c.

        Raises:
            ValueError: n is below 1, truncation is not above 0, the number of codes is not n, or `Code.encode` does
                not accept c.
        """
        check_request(n, truncation)
        z, sampled = self.sample_latents(n, tf.constant([seed, 2]), truncation)
        codes = sampled if c is None else self.code.encode(c)
        if len(codes) != n:
            raise ValueError(f"{n} images need {n} codes, not {len(codes)}")
        return self.decode(z, codes)

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the averaged head's q(c | x) of the categorical code, [N, num_categories], for images [N, H, W, C].

        Raises:
            ValueError: as `checked` raises it.
        """
        return in_batches(self._classify, self.checked(images))

    def signatures(self) -> dict[str, Any]:
        number, real = (tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float32))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), number, real], autograph=False)
        def generate_categories(c: tf.Tensor, seed: tf.Tensor, truncation: tf.Tensor) -> dict[str, tf.Tensor]:
            z, _ = self.latents_of_request(tf.size(c), seed, truncation)
            code = tf.pad(tf.one_hot(c, self.code.num_categories), [[0, 0], [0, self.code.num_continuous]])
            return {"images": self.ema_generator(z, code)}

        @tf.function(input_signature=[tf.TensorSpec([None, *self.generator.image_shape])], autograph=False)
        def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": self._classify(images)}

        return super().signatures() | {"generate_categories": generate_categories, "classify": classify}

    @tf.function(reduce_retracing=True, autograph=False)
    def _classify(self, x: tf.Tensor) -> tf.Tensor:
        with self.averaged_weights():
            return self.code.probabilities(self.recognize(self.judge(self.inferred_pair(x))))
