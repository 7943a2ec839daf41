"""The adversarial step, written once, and its smallest user: BigGAN without labels (G and F alone, mode `biggan`)."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from losses.adversarial import Scores, hinge_discriminator, signed_generator

tfd = tfp.distributions

STATISTICS_BATCH = 1024  # latents whose batch statistics the moving average of G is evaluated with
DECODE_BATCH = 500  # images computed at a time outside training


class Pair(NamedTuple):
    """What the discriminators are asked about: real (x, E(x)) or fake (G(z), z), with the code where there is one."""

    x: tf.Tensor  # [B, H, W, C] in [-1, 1]
    z: tf.Tensor | None = None  # [B, latent_dim]
    c: tf.Tensor | None = None  # [B, code_dim]
    view: tf.Tensor | None = None  # [B, H, W, C] in [-1, 1], another view of a real x, where the code needs one


class Judgement(NamedTuple):
    """What the discriminators say of a batch of pairs."""

    scores: Scores
    image_features: tf.Tensor  # [B, D_F], the last layer of F
    joint_features: tf.Tensor | None = None  # [B, D_J], the last layer of J


class GAN(keras.Model):
    """G against F with the hinge loss; BigGAN's training (Brock et al. 2019) without labels.

    A subclass adds networks through `__init__`, names them and what they report in the properties below, and says in hooks
    what its paper adds: `sample_latents`, `encode_pair`, `judge`, `discriminator_losses`, `generator_losses`. The step is
    never overridden. Randomness is a function of (seed, step), so a run that is resumed meets the same numbers.

    Args:
        generator, image_discriminator: G and F.
        ema_generator: a network like G, which becomes its moving average.
        d_updates: discriminator updates per step.
        ema_decay: decay of the moving average of the weights of G (and E), per step.
        seed: of all sampling in training.
    """

    adversarial = (hinge_discriminator, signed_generator)

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
        self.built = True

    # What a subclass extends

    @property
    def score_names(self) -> list[str]:
        """The scores that are on, of "x", "z" and "xz"."""
        return ["x"]

    @property
    def tracked_names(self) -> list[str]:
        """Everything that training reports, grouped as TensorBoard shows it."""
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
        """(network, its moving average) for every network that `ge_optimizer` updates."""
        return [(self.generator, self.ema_generator)]

    @property
    def averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """(weight, its moving average) for every weight that is averaged."""
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
        """What a trained model is used through: the moving averages, with the statistics that belong to them."""
        return [weight for _, average in self.averaged for weight in average.weights]

    def count_params(self) -> int:
        """Of the networks that learn, with what their norms keep: a moving average is not counted beside its network."""
        return sum(network.count_params() for network in (*self.discriminators, *dict(self.averaged)))

    def sample_latents(self, n: int, seed: tf.Tensor, truncation: float | None = None) -> tuple[tf.Tensor, ...]:
        """The arguments of G, drawn from their prior: here (z,), z ~ N(0, I), [n, latent_dim].

        With `truncation` t, z is drawn from the normal cut off at +-t (BigGAN's truncation trick). `seed`: int32 [2].
        """
        prior = tfd.Normal(0.0, 1.0) if truncation is None else tfd.TruncatedNormal(0.0, 1.0, -truncation, truncation)
        return (prior.sample([n, self.latent_dim], seed=seed),)

    def generate_pair(self, n: int, seed: tf.Tensor) -> Pair:
        """The fake pair (G(z), z) of n examples."""
        latents = self.sample_latents(n, seed)
        return Pair(self.generator(*latents, training=True), *latents)

    def encode_pair(self, x: tf.Tensor, seed: tf.Tensor) -> Pair:
        """The real pair (x, E(x)); here there is no E."""
        return Pair(x)

    def judge(self, pair: Pair, training: bool = False) -> Judgement:
        """Scores and features of a batch of pairs; `training=True` once per discriminator update."""
        features, score = self.image_discriminator(pair.x, training=training)
        return Judgement(Scores(x=score), features)

    def discriminator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        """Parts, [B] or of the whole batch, whose sum the discriminators minimise."""
        return self.adversarial[0](real.scores, fake.scores)

    def generator_losses(
        self, real: Judgement, fake: Judgement, real_pair: Pair, fake_pair: Pair
    ) -> dict[str, tf.Tensor]:
        """Parts, as above, whose sum G (and E) minimise; here nothing of the real pair depends on G."""
        return self.adversarial[1](Scores(), fake.scores)

    # The step

    def compile(self, d_optimizer: keras.Optimizer, ge_optimizer: keras.Optimizer):
        """Takes the optimizers of the discriminators (F, H, J and the head) and of G and E."""
        super().compile(jit_compile=False)  # XLA's own convolutions are slower than oneDNN's on a CPU
        self.d_optimizer, self.ge_optimizer = d_optimizer, ge_optimizer
        self.d_optimizer.build(self.d_variables)
        self.ge_optimizer.build(self.ge_variables)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.tracked_names}

    @property
    def metrics(self):
        return list(self.trackers.values())

    def train_step(self, x):
        """Sample z; x_hat = G(z); z_hat = E(x); judge both pairs; both players descend from this one pass.

        G and E take one step, the discriminators `d_updates`: the first shares the pass, the others judge the same pairs
        anew. The gradients of G and E are those of the discriminators that the last step left.
        """
        self.step.assign_add(1)
        fake_seed, real_seed = tf.unstack(tf.random.split(tf.random.fold_in([self.seed, 0], self.step), 2))

        with tf.GradientTape() as tape:
            fake = self.generate_pair(x.shape[0], fake_seed)
            real = self.encode_pair(x, real_seed)
            d_tape, judged, d_losses = self.discriminate(real, fake)
            ge_losses = totalled("ge", self.generator_losses(*judged, real, fake))
        ge_gradients = tape.gradient(ge_losses["loss/ge"], self.ge_variables)

        for update in range(self.d_updates):
            if update:
                d_tape, judged, d_losses = self.discriminate(real, fake)
            self.d_optimizer.apply(d_tape.gradient(d_losses["loss/d"], self.d_variables), self.d_variables)
        self.ge_optimizer.apply(ge_gradients, self.ge_variables)
        self.update_average()

        logs = d_losses | ge_losses
        for side, judgement in zip(("real", "fake"), judged, strict=True):
            logs |= {f"score/{name}_{side}": tf.reduce_mean(s) for name, s in judgement.scores.parts().items()}
        for name, tracker in self.trackers.items():
            tracker.update_state(logs[name])
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def discriminate(
        self, real: Pair, fake: Pair
    ) -> tuple[tf.GradientTape, tuple[Judgement, Judgement], dict[str, tf.Tensor]]:
        """Judges both pairs for one update of the discriminators: (the tape of it, (real, fake) judgements, losses).

        The pairs are judged one after the other, because G needs F's gradient for generated images alone; the first
        takes the power iteration, and both meet the same sigma.
        """
        with tf.GradientTape() as tape:
            judged = self.judge(real, training=True), self.judge(fake)
            losses = totalled("d", self.discriminator_losses(*judged, real, fake))
        return tape, judged, losses

    # The moving average

    def update_average(self):
        """Moves the averages towards the weights; early on the window is short, so that the start is forgotten."""
        step = tf.cast(self.step, tf.float32)
        rate = 1.0 - tf.minimum(self.ema_decay, (1.0 + step) / (10.0 + step))
        for weight, mean in self.averages:
            mean.assign_add(rate * (weight - mean))

    def refresh_statistics(self):
        """Gives the averages what belongs to their weights: batch statistics of G, u and v of its spectral norms."""
        for network, average in self.averaged:
            for value, own in zip(network.non_trainable_variables, average.non_trainable_variables, strict=True):
                own.assign(value)
        self.ema_generator(*self.sample_latents(STATISTICS_BATCH, tf.constant([self.seed, 1])), training=True)

    # Use

    def generate(self, n: int, *, truncation: float | None = None, seed: int = 0) -> np.ndarray:
        """n images [n, H, W, C] float32 in [-1, 1] by the moving average of G, z from the (truncated) prior."""
        return self.decode(*self.sample_latents(n, tf.constant([seed, 2]), truncation))

    def decode(self, *latents) -> np.ndarray:
        """G of given latents (z [N, latent_dim] and, in info modes, c [N, code_dim]) by the moving average of G."""
        return in_batches(self._decode, *latents)

    @tf.function(reduce_retracing=True)
    def _decode(self, *latents):
        return self.ema_generator(*latents)


def totalled(player: str, parts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The means of a player's parts under the names that training reports, and their sum under `loss/<player>`."""
    means = {f"loss/{player}_{name}": tf.reduce_mean(part) for name, part in parts.items()}
    return {f"loss/{player}": tf.add_n(list(means.values()))} | means


def checked(images) -> np.ndarray:
    """Images [N, H, W, C] as float32. Raises ValueError where one is not in [-1, 1], as bytes are not."""
    images = np.asarray(images, np.float32)
    if images.size and not (images.min() >= -1 and images.max() <= 1):  # what is no number is neither
        raise ValueError(
            f"images lie in [{images.min():g}, {images.max():g}], not in [-1, 1]: data.images.to_float takes bytes there"
        )
    return images


def in_batches(function, *arrays):
    """`function` applied to arrays [N, ...] by batches; its tensors (or tuples of them) joined as numpy arrays."""
    batches = [
        function(*(tf.convert_to_tensor(a[i : i + DECODE_BATCH]) for a in arrays))
        for i in range(0, len(arrays[0]), DECODE_BATCH)
    ]
    return tf.nest.map_structure(
        lambda *parts: None if parts[0] is None else np.concatenate([part.numpy() for part in parts]), *batches
    )
