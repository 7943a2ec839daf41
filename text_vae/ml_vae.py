"""ml-VAE (Shen et al. 2019): a paragraph's latent becomes a plan vector for each sentence, each plan vector a sentence.

levels 0, flat VAE:   z ~ N(0, I)                       p(x | z): one word LSTM over the whole paragraph
levels 1, ml-VAE-S:   z ~ N(0, I)                       plan_s = LSTM(plan_<s, z), p(sentence_s | plan_s): a word LSTM
levels 2, ml-VAE-D:   z2 ~ N(0, I), z1 ~ p(z1 | z2)     as levels 1, with z1 for z
inferred by           q(z1 | x), a convolutional network over the paragraph's words, and q(z2 | z1)

A paragraph is as `data.sentences.join` and its batches give it: EOS behind each sentence, an empty sentence at its end. All
three models predict these same tokens, and with them the number of sentences, so that their likelihoods can be compared.
"""

from itertools import takewhile
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from data.sentences import join
from data.vocabulary import EOS
from losses.variational import gaussian_kl
from text_vae.base import ElboTerms
from text_vae.language_vae import LanguageVAE, Latent
from text_vae.layers import GaussianNetwork, WordDecoder, dropped, gaussian, recurrent

tfd = tfp.distributions

KERNEL = 5  # words that a convolution sees; it moves on by two
GROUPS = 4  # of sentences alike in length: the word LSTM passes as many positions as each group's longest has


class PlannedDecoder(keras.layers.Layer):
    """p(x | z) of a paragraph: a sentence LSTM turns z into one plan vector a sentence, a word LSTM each into its words.

    z starts the sentence LSTM and is its only input; a plan vector starts the word LSTM and joins its every input. Given the
    plans the sentences are independent: what they share, z must say.

    Args:
        words: the decoder of a sentence, whose z is the plan vector.
        latent: size of z.
        plan: size of a plan vector.
        sentences: most that are generated.
    """

    def __init__(self, words: WordDecoder, *, latent: int, plan: int, sentences: int):
        super().__init__()
        self.words, self.embedding, self.sentences = words, words.embedding, sentences
        self.planner = recurrent("lstm", plan)
        self.starts = [keras.layers.Dense(plan, "tanh") for _ in range(2)]
        self.plans(tf.zeros([1, latent]), 1)
        self.built = True

    def plans(self, z: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
        """The plan vectors of `count` sentences, [B, count, plan]."""
        return self.planner(tf.repeat(z[:, None], count, axis=1), initial_state=[start(z) for start in self.starts])[0]

    def nll(self, batch: dict[str, tf.Tensor], z: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """-log p(x | z) of paragraphs, [B], in nats; arguments as for `WordDecoder.nll`."""
        words = tf.RaggedTensor.from_tensor(batch["tokens"], batch["lengths"])
        counts = tf.reduce_sum(tf.cast(words == EOS, tf.int32), 1)  # of sentences, the empty one at the end too
        ends = tf.where(words.flat_values == EOS)[:, 0] + 1
        sentences = tf.RaggedTensor.from_row_limits(words.flat_values, ends)
        tokens, lengths = sentences.to_tensor(), tf.cast(sentences.row_lengths(), tf.int32)
        plans = tf.RaggedTensor.from_tensor(self.plans(z, tf.reduce_max(counts)), counts).flat_values
        paragraphs, shortest_first = tf.repeat(tf.range(tf.size(counts)), counts), tf.argsort(lengths)
        seeds = [None] * GROUPS if seed is None else tf.unstack(tf.random.split(seed, GROUPS))
        nll = tf.zeros_like(counts, tf.float32)
        for group, group_seed in enumerate(seeds):
            first, end = (tf.size(lengths) * edge // GROUPS for edge in (group, group + 1))
            rows = shortest_first[first:end]
            longest = tf.maximum(tf.reduce_max(tf.gather(lengths, rows)), 1)  # a small batch leaves groups empty
            part = {"tokens": tf.gather(tokens, rows)[:, :longest], "lengths": tf.gather(lengths, rows)}
            part_nll = self.words.nll(part, tf.gather(plans, rows), group_seed)
            nll += tf.math.unsorted_segment_sum(part_nll, tf.gather(paragraphs, rows), tf.size(counts))
        return nll

    def generate(self, z: tf.Tensor, seed: tf.Tensor, temperature: float = 1.0, top_p: float = 1.0) -> list[np.ndarray]:
        """A paragraph for each z, int32 ids as `join` gives them; arguments as for `WordDecoder.generate`."""
        plans = tf.reshape(self.plans(z, self.sentences), [len(z) * self.sentences, -1])
        drawn = self.words.generate(plans, seed, temperature, top_p)
        return [
            join(list(takewhile(len, drawn[first : first + self.sentences])))
            for first in range(0, len(drawn), self.sentences)
        ]


class MLVAE(LanguageVAE):
    """Convolutions over a paragraph's words give q(z | x), and the decoder is told z: the flat VAE and ml-VAE-S.

    Departures, as far as the paper is recalled: the convolutions see a paragraph as one sequence, where the paper's see
    sentences first and then what they gave; and the largest value over the places is what the last one hands on, so that
    paragraphs need not be of one length.

    Args:
        latent: size of z.
        widths: channels of the convolutions, each of which halves the number of places.
        dropout: rate on the words' vectors, in training.
        options: those of `LanguageVAE`; the decoder is a `WordDecoder` over whole paragraphs (flat), or a `PlannedDecoder`,
            and its vectors of words are the encoder's too.
    """

    def __init__(self, *, latent: int, widths: tuple[int, ...], dropout: float, **options):
        super().__init__(**options)
        self.rate = dropout
        self.convolutions = [keras.layers.Conv1D(width, KERNEL, strides=2, activation="relu") for width in widths]
        self.mu = keras.layers.Dense(latent)
        self.log_variance = keras.layers.Dense(latent, kernel_initializer="zeros")  # sigma starts as the prior's
        self.infer({"tokens": tf.zeros([1, 1], tf.int32), "lengths": tf.ones([1], tf.int32)})

    def features(self, batch, seed: tf.Tensor | None = None) -> tf.Tensor:
        """What the convolutions find anywhere in each paragraph, [B, widths[-1]]; without a seed nothing is dropped."""
        h, places = dropped(self.decoder.embedding(batch["tokens"]), self.rate, seed), batch["lengths"]
        for layer in self.convolutions:
            h = layer(tf.pad(real_only(h, places), [[0, 0], [KERNEL // 2, KERNEL // 2], [0, 0]]))
            places = (places + 1) // 2
        return tf.reduce_max(real_only(h, places), 1)

    def infer(self, batch, seed=None):
        h = self.features(batch, seed)
        mu, log_variance = self.mu(h), self.log_variance(h)
        return Latent(mu, log_variance, gaussian_kl(mu, log_variance))


def real_only(h: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """h [B, T, D] with zeros beyond each row's length, so that no batch changes what a convolution sees."""
    return tf.where(tf.sequence_mask(lengths, tf.shape(h)[1])[..., None], h, 0.0)


class Draw(NamedTuple):
    """One z1 from q(z1 | x) and one z2 from q(z2 | z1) for each paragraph."""

    z1: tf.Tensor  # [B, latent]
    log_ratio_z1: tf.Tensor  # [B], log q(z1 | x) - log p(z1 | z2)
    log_ratio_z2: tf.Tensor  # [B], log q(z2 | z1) - log p(z2)
    kl_z2: tf.Tensor  # [B], KL(q(z2 | z1) || p(z2)), of which log_ratio_z2 is a sample


class MLVAED(MLVAE):
    """ml-VAE-D: the z that is decoded, z1, has a learned prior p(z1 | z2), and q(z2 | z1) infers z2 from it.

    KL = kl_z1 + kl_z2, E log q(z1 | x) - log p(z1 | z2) and E KL(q(z2 | z1) || N(0, I)), each E over z1 and z2 of q. The
    first has no closed form: z2 knows which z1 was drawn, so KL(q(z1 | x) || p(z1 | z2)) at that z2 is another number. It is
    sampled, and may be negative, in the mean too: only the sum of both is a KL. Of what `infer` gives, mu and log_variance
    are q(z1 | x); its KL and prior, those of N(0, I), are not this model's.

    Args:
        latent: size of z1.
        top: size of z2.
        hidden: width of the hidden layers of q(z2 | z1) and p(z1 | z2).
        options: those of `MLVAE`.
    """

    def __init__(self, *, latent: int, top: int, hidden: int, **options):
        super().__init__(latent=latent, **options)
        self.above = GaussianNetwork(latent, hidden, top)  # q(z2 | z1)
        self.below = GaussianNetwork(top, hidden, latent)  # p(z1 | z2)

    def prior(self, z2: tf.Tensor) -> tfd.Distribution:
        """p(z1 | z2), batch [B], event [latent]."""
        return gaussian(*self.below(z2))

    def draw(self, latent: Latent, seed: tf.Tensor) -> Draw:
        """Both latents from q; `seed`: int32 [2]."""
        z1_seed, z2_seed = tf.unstack(tf.random.split(seed, 2))
        z1 = latent.posterior.sample(seed=z1_seed)
        above = Latent(*self.above(z1), 0.0)
        z2 = above.posterior.sample(seed=z2_seed)
        log_ratio_z1 = latent.posterior.log_prob(z1) - self.prior(z2).log_prob(z1)
        return Draw(z1, log_ratio_z1, above.posterior.log_prob(z2) - above.prior.log_prob(z2), above.kl)

    def elbo_terms(self, batch, seed, training=False):
        z_seed, *dropout_seeds = tf.unstack(tf.random.split(seed, 3))
        encoder_seed, decoder_seed = dropout_seeds if training else (None, None)
        draw = self.draw(self.infer(batch, encoder_seed), z_seed)
        kl = draw.log_ratio_z1 + draw.kl_z2
        return ElboTerms(self.decoder.nll(batch, draw.z1, decoder_seed), kl, kl)

    def log_weight(self, batch, latent, seed):
        draw = self.draw(latent, seed)
        return -self.decoder.nll(batch, draw.z1) - draw.log_ratio_z1 - draw.log_ratio_z2

    def prior_samples(self, n, seed):
        z1_seed, z2_seed = tf.unstack(tf.random.split(seed, 2))
        z2 = tf.random.stateless_normal([n, self.above.mu.units], z2_seed)
        return self.prior(z2).sample(seed=z1_seed)
