"""The adversarial step of all image models, and the smallest model: BigGAN without labels (G and F, mode `biggan`)."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from data.seeds import seeded
from losses.adversarial import Scores, hinge_discriminator, signed_generator
from losses.optimizers import Adam
from losses.replicas import SharedModel, batch_mean, own_rows, replicas, reported
from models import defaults
from models.capabilities import fastest_dtype
from models.discriminators import ImageDiscriminator
from models.generator import Generator
from models.plain import PlainDiscriminator, PlainGenerator

tfd = tfp.distributions

Own = TypeVar("Own", bound="GAN")  # the class that `create` is called on

STATISTICS_BATCH = 1024  # latents in the one batch from which the moving average of G takes its batch statistics
DECODE_BATCH = 500  # images that are computed at a time outside training


class Pair(NamedTuple):
    """A batch of pairs for the discriminators: real (x, E(x)) or fake (G(z), z), with the code if there is one."""

    x: tf.Tensor  # [B, H, W, C] in [-1, 1]
    z: tf.Tensor | None = None  # [B, latent_dim]
    c: tf.Tensor | None = None  # [B, code_dim]
    views: tf.Tensor | None = None  # [V B, H, W, C] in [-1, 1], V views of each real x, if a loss needs them


class Judgement(NamedTuple):
    """The discriminators' output for a batch of pairs."""

    scores: Scores
    image_features: tf.Tensor  # [B, D_F], the last layer of F
    image_map: tf.Tensor | None  # [B, D_M], the last map of F as a vector; None if F is plain
    joint_features: tf.Tensor | None = None  # [B, D_J], the last layer of J


class GAN(SharedModel):
    """G and F, trained against each other with the hinge loss: BigGAN (Brock et al. 2019) without labels.

    A subclass adds networks through `__init__`, and lists them and their losses in the properties below. It adds the
    terms of its paper in hooks: `sample_latents`, `encode_pair`, `judge`, `discriminator_losses`, `generator_losses`
    and `update_prior`. No subclass overrides the step. Randomness is a function of (seed, step), so a resumed run draws
    the same numbers.

    Args:
        generator, image_discriminator: G and F.
        ema_generator: a network like G, which becomes its moving average.
        d_updates: updates of the discriminators per step.
        ema_decay: decay of the moving average of the weights of G (and E), per step.
        seed: the seed of all sampling in training.
    """

    adversarial = (hinge_discriminator, signed_generator)
    defaults: ClassVar = defaults.GAN

    def __init__(
        self,
        *,
        generator: keras.Model,
        ema_generator: keras.Model,
        image_discriminator: keras.Model,
        d_updates: int = 1,
        ema_decay: float = 0.999,
        seed: int = 0,
    ):
        super().__init__()
        self.generator, self.ema_generator, self.image_discriminator = generator, ema_generator, image_discriminator
        self.d_updates, self.ema_decay, self.seed = d_updates, ema_decay, seed
        self.latent_dim = sum(generator.chunks)
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="step")

    @classmethod
    def create(cls: type[Own], image_shape: tuple[int, int, int], **options: Any) -> Own:
        """Return a compiled model, which `fit` trains on batches of images, float32 [B, H, W, C] in [-1, 1], B static.

        Its initial weights depend on the seed alone. The global random generators stay as they are.

        Args:
            image_shape: (H, W, C).
            options: arguments that differ from `defaults`. They are those of the constructor and of `parts`, and Adam's:
                d_rate for the discriminators, ge_rate for G (and E), and beta_1 for both. The precision "auto" is
                bfloat16 if the processor has it.
        """
        options = cls.defaults | options
        if options["precision"] == "auto":
            options["precision"] = fastest_dtype()
        d_rate, ge_rate, beta_1 = (options.pop(name) for name in ("d_rate", "ge_rate", "beta_1"))
        with seeded(options["seed"]):
            model = cls(**cls.parts(image_shape, **options))
            model.compile(
                d_optimizer=Adam(d_rate, beta_1=beta_1),
                ge_optimizer=Adam(ge_rate, beta_1=beta_1),
            )
        return model

    @classmethod
    def parts(
        cls,
        image_shape: tuple[int, int, int],
        *,
        latent_dim: int,
        generator_widths: tuple[int, ...],
        discriminator_widths: tuple[int, ...],
        layout_dim: int,
        attention: int,
        precision: str,
        code_dim: int = 0,
        code_to: str = "first",
        s_x: bool = True,
        networks: str = "biggan",
        **options: Any,
    ) -> dict[str, Any]:
        """Return the constructor's arguments: G, the network of its average, F, and `options`.

        Args:
            image_shape: (H, W, C).
            latent_dim, code_dim, code_to: see `Generator`.
            generator_widths, discriminator_widths: `widths` of G and of F; see `Generator` and `ImageDiscriminator`.
            layout_dim: see `ImageDiscriminator`.
            attention: `attention` of both G and F.
            precision: `compute_dtype` of all networks, "float32" or "bfloat16".
            s_x: whether F computes the image score.
            networks: "biggan", or "plain", whose G and F are those of `models.plain`. Plain networks have no attention,
                join c to z, and need a `layout_dim`, the width of F's dense layer.
            options: arguments of the constructor, such as `d_updates` and `seed`, which are returned as they are.
        """
        if networks == "plain":
            make_generator = PlainGenerator
            make_discriminator = functools.partial(PlainDiscriminator, units=layout_dim)
        else:
            make_generator = functools.partial(Generator, code_to=code_to, attention=attention)
            make_discriminator = functools.partial(
                ImageDiscriminator, scored=s_x, layout_dim=layout_dim, attention=attention
            )
        generator, ema_generator = (
            make_generator(image_shape, generator_widths, latent_dim, code_dim, compute_dtype=precision)
            for _ in range(2)
        )
        image_discriminator = make_discriminator(image_shape, discriminator_widths, compute_dtype=precision)
        made = {"generator": generator, "ema_generator": ema_generator, "image_discriminator": image_discriminator}
        return made | options

    # What a subclass extends

    @property
    def score_names(self) -> list[str]:
        """The scores that the discriminators compute, a selection of "x", "z" and "xz"."""
        return ["x"]

    @property
    def tracked_names(self) -> list[str]:
        """The names of all numbers that training reports, grouped as TensorBoard shows them."""
        names = [f"loss/{player}_{score}" for player in ("d", "ge") for score in self.score_names]
        return [
            "loss/d",
            "loss/ge",
            *names,
            *(f"score/{s}_{side}" for s in self.score_names for side in ("real", "fake")),
        ]

    @property
    def discriminators(self) -> list[keras.layers.Layer]:
        """The networks that `d_optimizer` updates."""
        return [self.image_discriminator]

    @property
    def averaged(self) -> list[tuple[keras.Model, keras.Model]]:
        """The pairs (network, its moving average) of all networks that `ge_optimizer` updates."""
        return [(self.generator, self.ema_generator)]

    @property
    def averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """The pairs (weight, its moving average) of all weights that are averaged."""
        networks = [(network.trainable_variables, average.trainable_variables) for network, average in self.averaged]
        return [pair for weights, means in networks for pair in zip(weights, means, strict=True)]

    @property
    def d_variables(self) -> list[keras.Variable]:
        """The weights that `d_optimizer` updates."""
        return [weight for network in self.discriminators for weight in network.trainable_variables]

    @property
    def ge_variables(self) -> list[keras.Variable]:
        """The weights that `ge_optimizer` updates."""
        return [weight for network, _ in self.averaged for weight in network.trainable_variables]

    @property
    def in_use(self) -> list[keras.Variable]:
        """The variables that a trained model computes with: the moving averages, and the statistics of their norms."""
        return [weight for _, average in self.averaged for weight in average.weights]

    def count_params(self) -> int:
        """Return the number of weights of the trained networks, with the statistics of their norms.

        Moving averages are not counted.
        """
        return sum(network.count_params() for network in (*self.discriminators, *dict(self.averaged)))

    def sample_latents(
        self, n: int | tf.Tensor, seed: tf.Tensor, truncation: float | tf.Tensor | None = None
    ) -> tuple[tf.Tensor, ...]:
        """Return arguments of G that are drawn from their prior: here (z,), where z ~ N(0, I) is [n, latent_dim].

        Args:
            seed: int32 [2].
            truncation: z is drawn from the normal distribution cut off at +-truncation (BigGAN's truncation trick).
        """
        prior = tfd.Normal(0.0, 1.0) if truncation is None else tfd.TruncatedNormal(0.0, 1.0, -truncation, truncation)
        return (prior.sample([n, self.latent_dim], seed=seed),)

    def generate_pair(self, n: int, seed: tf.Tensor) -> Pair:
        """Return n fake pairs (G(z), z); `seed` is int32 [2]."""
        latents = [own_rows(whole) for whole in self.sample_latents(replicas() * n, seed)]
        return Pair(self.generator(*latents, training=True), *latents)

    def encode_pair(self, x: tf.Tensor, seed: tf.Tensor) -> Pair:
        """Return the real pairs (x, E(x)) of images x [B, H, W, C]: here x alone. `seed` is int32 [2]."""
        return Pair(x)

    def judge(self, pair: Pair, training: bool = False) -> Judgement:
        """Return the scores and features of a batch of pairs.

        `training=True` takes the power iteration of the spectral norms; it is passed once per discriminator update.
        """
        features, score, whole = self.image_discriminator(pair.x, training=training)
        return Judgement(Scores(x=score), features, whole)

    def discriminator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        """Return the losses by name, each [B] or a scalar; the discriminators minimise the sum of their means."""
        return self.adversarial[0](real.scores, fake.scores)

    def generator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        """Return the losses by name, each [B] or a scalar; G (and E) minimise the sum of their means.

        Here the scores of real pairs do not depend on G, so they are left out.
        """
        return self.adversarial[1](Scores(), fake.scores)

    def update_prior(self, real: Judgement, real_pair: Pair) -> dict[str, tf.Tensor]:
        """Update what the model learns of the prior of its latents, after the networks; here nothing.

        Returns:
            The numbers to report, scalars by the names in `tracked_names`.
        """
        return {}

    # The step

    def compile(self, d_optimizer: keras.Optimizer, ge_optimizer: keras.Optimizer) -> None:
        """Set the optimizers of the discriminators (F, H, J and the head) and of G (and E)."""
        super().compile(jit_compile=False)  # XLA's own convolutions are slower than oneDNN's on a CPU
        self.d_optimizer, self.ge_optimizer = d_optimizer, ge_optimizer
        self.d_optimizer.build(self.d_variables)
        self.ge_optimizer.build(self.ge_variables)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.tracked_names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers.values())

    def train_step(self, images: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> dict[str, Any]:
        """Train on a batch of images: sample z; x_hat = G(z); z_hat = E(x); compute the scores; update all networks.

        The discriminators take `d_updates` updates, G and E one. The first update of the discriminators shares its pass
        with the update of G and E; each further one computes the scores of the same pairs anew. The gradients of G and
        E come from the discriminators as they were before this step.

        Args:
            images: x [B, H, W, C] float32 in [-1, 1], where B is static; or x with other images for `encode_pair`.

        Returns:
            The means of the reported numbers, by the names in `tracked_names`.

        Raises:
            ValueError: B is not static.
        """
        x, *others = tf.nest.flatten(images)
        if x.shape[0] is None:
            raise ValueError("the size of a batch must be known: make batches with drop_remainder=True")
        self.step.assign_add(1)
        fake_seed, real_seed = tf.unstack(  # the stubs declare the result of fold_in an int
            tf.random.split(tf.random.fold_in([self.seed, 0], self.step), 2)  # pyright: ignore[reportArgumentType]
        )

        with tf.GradientTape() as tape:
            fake = self.generate_pair(x.shape[0], fake_seed)
            real = self.encode_pair(x, real_seed, *others)
            d_tape, judged, d_losses = self.discriminate(real, fake)
            ge_losses = totalled("ge", self.generator_losses(*judged, real, fake))
        ge_gradients = tape.gradient(ge_losses["loss/ge"], self.ge_variables)

        for update in range(self.d_updates):
            if update:
                d_tape, judged, d_losses = self.discriminate(real, fake)
            self.d_optimizer.apply(d_tape.gradient(d_losses["loss/d"], self.d_variables), self.d_variables)
        self.ge_optimizer.apply(ge_gradients, self.ge_variables)
        self.update_average()

        logs = d_losses | ge_losses | self.update_prior(judged[0], real)
        for side, judgement in zip(("real", "fake"), judged, strict=True):
            logs |= {f"score/{name}_{side}": tf.reduce_mean(s) for name, s in judgement.scores.parts().items()}
        means = tf.unstack(batch_mean(tf.stack([logs[name] for name in self.trackers])))
        for tracker, mean in zip(self.trackers.values(), means, strict=True):
            tracker.update_state(mean)
        return {name: reported(tracker.result()) for name, tracker in self.trackers.items()}

    def discriminate(
        self, real: Pair, fake: Pair
    ) -> tuple[tf.GradientTape, tuple[Judgement, Judgement], dict[str, tf.Tensor]]:
        """Compute the scores and losses for one update of the discriminators.

        Real and fake pairs have passes of their own, because G needs F's gradient for generated images alone. The first
        pass takes the power iteration, so both passes use the same sigma. With batch normalisation, which comes without
        spectral norms, both passes are in training mode.

        Returns:
            The gradient tape, the judgements (real, fake), and the discriminators' losses by their reported names.
        """
        with tf.GradientTape() as tape:
            normalizes = self.image_discriminator.normalizes_batches
            judged = self.judge(real, training=True), self.judge(fake, training=normalizes)
            losses = totalled("d", self.discriminator_losses(*judged, real, fake))
        return tape, judged, losses

    # The moving average

    def update_average(self) -> None:
        """Move the averages towards the weights.

        The decay is min(ema_decay, (1 + step) / (10 + step)): low at first, so that the initial weights soon stop
        counting.
        """
        step = tf.cast(self.step, tf.float32)
        rate = 1.0 - tf.minimum(self.ema_decay, (1.0 + step) / (10.0 + step))
        for weight, mean in self.averages:
            mean.assign_add(rate * (weight - mean))

    def refresh_statistics(self) -> None:
        """Update the statistics of the averages: batch statistics of G, and u and v of its spectral norms."""
        for network, average in self.averaged:
            for value, own in zip(network.non_trainable_variables, average.non_trainable_variables, strict=True):
                own.assign(value)
        self.ema_generator(*self.sample_latents(STATISTICS_BATCH, tf.constant([self.seed, 1])), training=True)

    def fit(self, *args: Any, **options: Any) -> keras.callbacks.History:
        """Train as Keras does; then update the statistics of the averages, with which the model is used."""
        history = super().fit(*args, **options)
        self.refresh_statistics()
        return history

    # Use

    def generate(self, n: int, *, truncation: float | None = None, seed: int = 0) -> np.ndarray:
        """Return n images [n, H, W, C] float32 in [-1, 1], computed by the moving average of G.

        Args:
            truncation: z is drawn from the normal distribution cut off at +-truncation; None: from the whole one.
            seed: the seed of z.

        Raises:
            ValueError: n is below 1, or truncation is not above 0.
        """
        check_request(n, truncation)
        return self.decode(*self.sample_latents(n, tf.constant([seed, 2]), truncation))

    def decode(self, *latents: np.ndarray | tf.Tensor) -> np.ndarray:
        """Return images [N, H, W, C] float32 in [-1, 1], computed by the moving average of G from given latents.

        Args:
            latents: z [N, latent_dim] and, in info modes, c [N, code_dim].
        """
        return in_batches(self._decode, *latents)

    def checked(self, images: np.ndarray) -> np.ndarray:
        """Return images [N, H, W, C] as float32. Warn if no value is below 0, as in images whose range is [0, 1].

        Raises:
            ValueError: the array is empty or has another shape than the model's images; or a value is NaN or not in
                [-1, 1], as the values of bytes are.
        """
        images = np.asarray(images, np.float32)
        height, width, channels = self.generator.image_shape
        if not images.size or images.shape[1:] != (height, width, channels):
            raise ValueError(
                f"images have the shape {list(images.shape)}: give [N, {height}, {width}, {channels}], N >= 1"
            )
        low, high = images.min(), images.max()
        if not (low >= -1 and high <= 1):  # also true if a value is NaN
            raise ValueError(
                f"images lie in [{low:g}, {high:g}], not in [-1, 1]: convert bytes by data.images.to_float"
            )
        if low >= 0:
            warnings.warn("no value is below 0: map images in [0, 1] to [-1, 1], as 2 * images - 1", stacklevel=3)
        return images

    @tf.function(reduce_retracing=True, autograph=False)
    def _decode(self, *latents: tf.Tensor) -> tf.Tensor:
        return self.ema_generator(*latents)

    def signatures(self) -> dict[str, Any]:
        """Return the functions of an exported model by name. Their inputs are typed, and their outputs have names.

        A truncation of 0 stands for none.
        """
        number, real = (tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float32))

        @tf.function(input_signature=[number, number, real], autograph=False)
        def generate(n: tf.Tensor, seed: tf.Tensor, truncation: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"images": self.ema_generator(*self.latents_of_request(n, seed, truncation))}

        return {"generate": generate}

    def latents_of_request(self, n: tf.Tensor, seed: tf.Tensor, truncation: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the latents that `generate` draws, in a graph; n and seed are int32 scalars; truncation 0: none."""
        seeds = tf.stack([seed, 2])
        whole, cut = (functools.partial(self.sample_latents, n, seeds, *bound) for bound in ((), (truncation,)))
        return tf.cond(truncation > 0, cut, whole)


def check_request(n: int, truncation: float | None) -> None:
    """Raise ValueError if n images cannot be generated with this truncation."""
    if n < 1:
        raise ValueError(f"n is {n}: ask for at least 1")
    if truncation is not None and not truncation > 0:
        raise ValueError(f"truncation is {truncation}: give a number above 0, or None for the whole distribution")


def totalled(player: str, parts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the means of a player's losses as `loss/<player>_<name>`, and their sum as `loss/<player>`.

    Args:
        player: "d" or "ge".
        parts: the losses by name, each [B] or a scalar.
    """
    means = {f"loss/{player}_{name}": tf.reduce_mean(part) for name, part in parts.items()}
    return {f"loss/{player}": tf.add_n(list(means.values()))} | means


def in_batches(function: Callable[..., Any], *arrays: np.ndarray | tf.Tensor) -> Any:
    """Apply `function` to arrays [N, ...] in batches of DECODE_BATCH, and join the results.

    Returns:
        The structure that `function` returns, a tensor or a tuple of tensors and None, with NumPy arrays [N, ...] in
        place of tensors.
    """
    batches = [
        function(*(tf.convert_to_tensor(a[i : i + DECODE_BATCH]) for a in arrays))
        for i in range(0, len(arrays[0]), DECODE_BATCH)
    ]
    return tf.nest.map_structure(
        lambda *parts: None if parts[0] is None else np.concatenate([part.numpy() for part in parts]), *batches
    )
