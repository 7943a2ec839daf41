"""ml-VAE (Shen et al. 2019): z gives a plan vector for each sentence, and each plan vector gives a sentence.

    levels 0, flat VAE:   z ~ N(0, I)                     p(x | z): one word LSTM over the whole paragraph
    levels 1, ml-VAE-S:   z ~ N(0, I)                     plan_s = LSTM(plan_<s, z), p(sentence_s | plan_s): a word LSTM
    levels 2, ml-VAE-D:   z2 ~ N(0, I), z1 ~ p(z1 | z2)   as levels 1, with z1 for z
    inferred by           q(z1 | x), a convolutional network over the paragraph's words, and q(z2 | z1);
                          or q(z2 | x), the same network, and q(z1 | z2)

Paragraphs are those of `data.sentences.join` and its batches: EOS follows each sentence, and an empty sentence is the
last. All three models predict the same tokens, and with them the number of sentences, so their likelihoods can be
compared.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from data.sentences import SentenceBatch, join, printed
from data.vocabulary import EOS, UNPREDICTED
from losses.variational import bag_nll, gaussian_kl
from text_vae import defaults
from text_vae.language_vae import LanguageVAE, Latent, kl_schedule
from text_vae.layers import GaussianNetwork, Vocabulary, WordDecoder, dropped, gaussian, recurrent

if TYPE_CHECKING:
    from tensorflow_probability.python.distributions import Distribution

KERNEL = 5  # width of the convolutions, whose stride is 2
GROUPS = (
    4  # of sentences of similar length: the word LSTM takes as many steps as the longest sentence of each group has
)


class PlannedDecoder(keras.layers.Layer):
    """The decoder p(x | z) of a paragraph: a sentence LSTM computes plan vectors from z, and a word LSTM the sentences.

    z gives the initial state of the sentence LSTM, and is its only input. A plan vector gives the initial state of the
    word LSTM, and is a part of all its inputs. Given the plan vectors, the sentences are independent, so everything
    that they have in common must come from z.

    Args:
        words: the decoder of a sentence, whose z is the plan vector.
        latent: size of z.
        plan: size of a plan vector.
        sentences: highest number of generated sentences.
        bag: whether there is a layer that computes p(word | plan vector), in which the order of words does not count.
    """

    def __init__(self, words: WordDecoder, *, latent: int, plan: int, sentences: int, bag: bool = False):
        super().__init__()
        self.words, self.embedding, self.sentences = words, words.embedding, sentences
        self.planner = recurrent("lstm", plan)
        self.starts = [keras.layers.Dense(plan, "tanh") for _ in range(2)]
        self.plans(tf.zeros([1, latent]), 1)
        self.bag = Vocabulary(words.embedding, plan, tied=False) if bag else None
        self.built = True

    def plans(self, z: tf.Tensor, count: tf.Tensor | int) -> tf.Tensor:
        """Return the plan vectors of `count` sentences for each z [B, latent], [B, count, plan]."""
        return self.planner(tf.repeat(z[:, None], count, axis=1), initial_state=[start(z) for start in self.starts])[0]

    def planned(self, batch: SentenceBatch, z: tf.Tensor) -> "Planned":
        """Return the sentences of paragraphs, each with its plan vector, given z [B, latent]."""
        ragged: Any = tf.RaggedTensor  # the stubs lack its constructors
        words = ragged.from_tensor(batch["tokens"], batch["lengths"])
        counts = tf.reduce_sum(tf.cast(words == EOS, tf.int32), 1)  # of sentences, with the empty one at the end
        ends = tf.where(words.flat_values == EOS)[:, 0] + 1
        sentences = ragged.from_row_limits(words.flat_values, ends)
        tokens, lengths = sentences.to_tensor(), tf.cast(sentences.row_lengths(), tf.int32)
        plans = ragged.from_tensor(self.plans(z, tf.reduce_max(counts)), counts).flat_values
        return Planned(tokens, lengths, plans, tf.repeat(tf.range(tf.size(counts)), counts))

    def nll(self, batch: SentenceBatch, z: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return -log p(x | z) of paragraphs, [B], in nats; arguments as for `WordDecoder.nll`."""
        tokens, lengths, plans, paragraphs = self.planned(batch, z)
        shortest_first, count = tf.argsort(lengths), tf.size(batch["lengths"])
        seeds = [None] * GROUPS if seed is None else tf.unstack(tf.random.split(seed, GROUPS))
        nll = tf.zeros_like(batch["lengths"], tf.float32)
        for group, group_seed in enumerate(seeds):
            first, end = (tf.size(lengths) * edge // GROUPS for edge in (group, group + 1))
            rows = shortest_first[first:end]
            longest = tf.maximum(tf.reduce_max(tf.gather(lengths, rows)), 1)  # a group of a small batch may be empty
            part: SentenceBatch = {"tokens": tf.gather(tokens, rows)[:, :longest], "lengths": tf.gather(lengths, rows)}
            part_nll = self.words.nll(part, tf.gather(plans, rows), group_seed)
            nll += tf.math.unsorted_segment_sum(part_nll, tf.gather(paragraphs, rows), count)
        return nll

    def bag_nll(self, batch: SentenceBatch, z: tf.Tensor) -> tf.Tensor:
        """Return -sum_s sum_w log p(w | plan_s) over the words w of all sentences s of each paragraph, [B], in nats."""
        assert self.bag is not None
        tokens, lengths, plans, paragraphs = self.planned(batch, z)
        nll = bag_nll(tf.nn.log_softmax(self.bag(plans)), tokens - len(UNPREDICTED), lengths - 1)  # without EOS
        return tf.math.unsorted_segment_sum(nll, paragraphs, tf.size(batch["lengths"]))

    def sample(self, z: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor | float, top_p: tf.Tensor | float) -> Any:
        """Return a paragraph for each z, ragged int32 [B, (T)], as `join` returns them; see `WordDecoder.sample`.

        A paragraph ends before its first empty sentence.
        """
        count = tf.shape(z)[0]
        plans = tf.reshape(self.plans(z, self.sentences), [count * self.sentences, -1])
        drawn = self.words.sample(plans, seed, temperature, top_p)
        filled = tf.reshape(drawn.row_lengths() > 0, [count, self.sentences])
        counts = tf.reduce_sum(tf.math.cumprod(tf.cast(filled, tf.int64), 1), 1)  # of sentences before an empty one
        kept = tf.reshape(tf.sequence_mask(counts, self.sentences), [-1])
        ended = tf.concat([tf.ragged.boolean_mask(drawn, kept), tf.fill([tf.reduce_sum(counts), 1], EOS)], 1)
        ragged: Any = tf.RaggedTensor  # the stubs lack its constructors
        return ragged.from_row_lengths(ended, counts).merge_dims(1, 2)


class Planned(NamedTuple):
    """The sentences of a batch of paragraphs; the empty one that ends each paragraph is one of them."""

    tokens: tf.Tensor  # int32 [S, T], words then EOS then PAD
    lengths: tf.Tensor  # int32 [S], words and EOS
    plans: tf.Tensor  # [S, plan]
    paragraphs: tf.Tensor  # int32 [S], the row of the batch that a sentence is of


class MLVAE(LanguageVAE):
    """The flat VAE or ml-VAE-S: q(z | x) is computed by convolutions over the words of a paragraph.

    This encoder differs from the paper's in two ways, as far as the paper is recalled. Its convolutions take the
    paragraph as one sequence. The paper's convolutions take each sentence, then the sequence of the results. And the
    output of the last convolution is reduced to its maximum over the positions, so that the lengths of paragraphs may
    differ.

    Args:
        latent: size of z.
        widths: channels of the convolutions, each of which halves the number of positions.
        dropout: dropout rate of the word vectors, in training.
        bag_weight: weight of `PlannedDecoder.bag_nll` in the loss; 0: the loss lacks it. By it a plan vector has to say
            which words its sentence has. Zhao et al. 2017 do so for the z of a response.
        options: the arguments of `LanguageVAE`. The decoder is a `WordDecoder` over whole paragraphs (flat VAE) or a
            `PlannedDecoder` (ml-VAE-S), and shares its word vectors with the encoder.
    """

    defaults: ClassVar = defaults.ML_VAE

    def __init__(
        self, *, latent: int, widths: tuple[int, ...], dropout: float, bag_weight: float = 0.0, **options: Any
    ):
        super().__init__(**options)
        self.rate, self.bag_weight = dropout, bag_weight
        self.convolutions = [keras.layers.Conv1D(width, KERNEL, strides=2, activation="relu") for width in widths]
        self.mu = keras.layers.Dense(latent)
        self.log_variance = keras.layers.Dense(latent, kernel_initializer="zeros")  # sigma is the prior's at first
        self.infer({"tokens": tf.zeros([1, 1], tf.int32), "lengths": tf.ones([1], tf.int32)})

    @classmethod
    def assemble(
        cls,
        *,
        levels: int,
        words: int,
        latent_dim: int,
        embedding: int,
        cell: str,
        units: int,
        dropout: float,
        tied: bool,
        locked: bool,
        word_dropout: float,
        encoder_widths: tuple[int, ...],
        plan: int,
        bag_weight: float,
        top_dim: int,
        hidden: int,
        inferred_first: str,
        max_sentences: int,
        longest_sentence: int,
        longest_paragraph: int,
        updates: int,
        kl_warm_up: int,
        reset_at: int,
        **options: Any,
    ) -> "MLVAE":
        """Return a compiled model.

        Args:
            levels: 0, the flat VAE; 1, ml-VAE-S; 2, ml-VAE-D, an `MLVAED`.
            words, embedding, cell, units, dropout, tied, locked, word_dropout: see `WordDecoder`; `dropout` is also the
                encoder's.
            latent_dim: size of the z that is decoded.
            encoder_widths: channels of the encoder's convolutions.
            plan: size of a plan vector; not used by the flat VAE.
            bag_weight: see `MLVAE`; 0 for the flat VAE, which has no plan vectors.
            top_dim: size of z2; used by ml-VAE-D alone.
            hidden: width of the hidden layers between z1 and z2; used by ml-VAE-D alone.
            inferred_first: see `MLVAED`; used by it alone.
            max_sentences: highest number of generated sentences; not used by the flat VAE.
            longest_sentence: highest number of words in a generated sentence; not used by the flat VAE.
            longest_paragraph: highest number of ids in a generated paragraph; used by the flat VAE alone.
            updates: number of steps of the training.
            kl_warm_up: number of steps in which the weight of the KL rises linearly from 0 to 1; they count from
                `reset_at`.
            reset_at: see `LanguageVAE`.
            options: the other arguments of `TextVAE.with_adam`.
        """
        sizes: dict[str, Any] = {
            "words": words,
            "embedding": embedding,
            "cell": cell,
            "units": units,
            "dropout": dropout,
            "tied": tied,
            "locked": locked,
            "word_dropout": word_dropout,
        }
        if levels == 0:
            decoder = WordDecoder(latent=latent_dim, ends=2, longest=longest_paragraph, **sizes)
        else:
            sentence = WordDecoder(latent=plan, longest=longest_sentence, **sizes)
            planned: dict[str, Any] = {"latent": latent_dim, "plan": plan, "sentences": max_sentences}
            decoder = PlannedDecoder(sentence, **planned, bag=bag_weight > 0)
        model: type[MLVAE] = MLVAED if levels == 2 else MLVAE
        second: dict[str, Any] = {"top": top_dim, "hidden": hidden, "inferred_first": inferred_first}
        return model.with_adam(
            decoder=decoder,
            latent=latent_dim,
            widths=encoder_widths,
            dropout=dropout,
            bag_weight=bag_weight,
            updates=updates,
            kl_weight=kl_schedule(1.0, kl_warm_up, 0, updates, start=reset_at),
            reset_at=reset_at,
            **(second if levels == 2 else {}),
            **options,
        )

    def ids_of(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of paragraphs, int32 [T] each, as `data.sentences.join` returns them."""
        wording = self.worded()
        wording.split(texts)  # raises its errors
        return [join([wording.vocabulary.encode(words) for words in wording.sentences(text)]) for text in texts]

    def texts_of(self, ids: Iterable[np.ndarray]) -> list[str]:
        vocabulary = self.worded().vocabulary
        return [printed(vocabulary, own) for own in ids]

    def features(self, batch: SentenceBatch, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Return the maximum of the last convolution over the positions of each paragraph, [B, widths[-1]].

        `seed` is int32 [2], of dropout; None: no dropout.
        """
        h, places = dropped(self.decoder.embedding(batch["tokens"]), self.rate, seed), batch["lengths"]
        for layer in self.convolutions:
            h = layer(tf.pad(real_only(h, places), [[0, 0], [KERNEL // 2, KERNEL // 2], [0, 0]]))
            places = (places + 1) // 2
        return tf.reduce_max(real_only(h, places), 1)

    def infer(self, batch: SentenceBatch, seed: tf.Tensor | None = None) -> Latent:
        h = self.features(batch, seed)
        mu, log_variance = self.mu(h), self.log_variance(h)
        return Latent(mu, log_variance, tf.maximum(gaussian_kl(mu, log_variance), self.text_bits))

    def auxiliary(self, batch: SentenceBatch, z: tf.Tensor) -> tf.Tensor | float:
        return self.bag_weight * self.decoder.bag_nll(batch, z) if self.bag_weight else 0.0


def real_only(h: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Return h [B, T, D] with zeros beyond each row's length, so that convolutions do not depend on the padding."""
    return tf.where(tf.sequence_mask(lengths, tf.shape(h)[1])[..., None], h, 0.0)


class Draw(NamedTuple):
    """One z1 and one z2 for each paragraph, drawn from q; its conditions are left out here."""

    z1: tf.Tensor  # [B, latent], the z that is decoded
    log_ratio_z1: tf.Tensor  # [B], log q(z1) - log p(z1 | z2)
    log_ratio_z2: tf.Tensor  # [B], log q(z2) - log p(z2)
    kl_z2: tf.Tensor  # [B], KL(q(z2) || p(z2)), of which log_ratio_z2 is a sample


class MLVAED(MLVAE):
    """ml-VAE-D: the z that is decoded, z1, has a learned prior p(z1 | z2).

    The paper could not be opened, and a reader's notes of it contradict each other about q. So there are two forms of q.
    With `inferred_first` "z1", q(z1 | x) infers z1, and q(z2 | z1) infers z2 from it. With "z2", q(z2 | x) infers z2,
    and q(z1 | z2) infers z1 from it.

    The KL is the sum of two terms, with expectations over z1 and z2 from q. In the first form:

        kl_z1 = E[log q(z1 | x) - log p(z1 | z2)]
        kl_z2 = E[KL(q(z2 | z1) || N(0, I))]

    kl_z1 has no closed form. z2 depends on the z1 that was drawn, so KL(q(z1 | x) || p(z1 | z2)) at that z2 is another
    number. Therefore kl_z1 is sampled. It may be negative, even in the mean: only the sum of both terms is a KL. In the
    second form, q(z1 | z2) can be p(z1 | z2), which costs nothing; then kl_z1 is 0, and z2 has all the information.

    mu and log_variance of the `Latent` that `infer` returns are q(z1 | x), or q(z2 | x) in the second form. The KL and
    prior of the `Latent`, which are for N(0, I), do not apply to z1.

    Args:
        latent: size of z1.
        top: size of z2.
        hidden: width of the hidden layers of p(z1 | z2), and of q(z2 | z1) or q(z1 | z2).
        inferred_first: "z1" or "z2".
        options: the other arguments of `MLVAE`.
    """

    def __init__(self, *, latent: int, top: int, hidden: int, inferred_first: str, **options: Any):
        first, second = (latent, top) if inferred_first == "z1" else (top, latent)
        super().__init__(latent=first, **options)
        self.inferred_first, self.top = inferred_first, top
        self.inferred = GaussianNetwork(first, hidden, second)  # q(z2 | z1) or q(z1 | z2)
        self.below = GaussianNetwork(top, hidden, latent)  # p(z1 | z2)

    @property
    def latent(self) -> int:
        return self.below.mu.units

    def prior(self, z2: tf.Tensor) -> "Distribution":
        """Return p(z1 | z2), batch [B], event [latent], for z2 [B, top]."""
        return gaussian(*self.below(z2))

    def draw(self, latent: Latent, seed: tf.Tensor) -> Draw:
        """Return samples of both latents from q; `latent` is the output of `infer`, and `seed` is int32 [2]."""
        first_seed, second_seed = tf.unstack(tf.random.split(seed, 2))
        first = latent.posterior.sample(seed=first_seed)
        inferred = Latent(*self.inferred(first), regularizer=tf.zeros([]))  # its regularizer is not used
        second = inferred.posterior.sample(seed=second_seed)
        (q1, z1), (q2, z2) = (latent, first), (inferred, second)
        if self.inferred_first == "z2":
            (q1, z1), (q2, z2) = (q2, z2), (q1, z1)
        log_ratio_z1 = q1.posterior.log_prob(z1) - self.prior(z2).log_prob(z1)
        return Draw(z1, log_ratio_z1, q2.posterior.log_prob(z2) - q2.prior.log_prob(z2), q2.kl)

    def drawn(self, latent: Latent, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        draw = self.draw(latent, seed)
        kl = draw.log_ratio_z1 + draw.kl_z2
        return draw.z1, kl, tf.maximum(kl, self.text_bits) if self.text_bits else kl  # a sampled KL may be negative

    def z_of(self, mu: tf.Tensor) -> tf.Tensor:
        return mu if self.inferred_first == "z1" else self.inferred(mu)[0]

    def log_weight(self, batch: SentenceBatch, latent: Latent, seed: tf.Tensor) -> tf.Tensor:
        draw = self.draw(latent, seed)
        return -self.decoder.nll(batch, draw.z1) - draw.log_ratio_z1 - draw.log_ratio_z2

    def prior_samples(self, n: Any, seed: tf.Tensor) -> tf.Tensor:
        z1_seed, z2_seed = tf.unstack(tf.random.split(seed, 2))
        z2 = tf.random.stateless_normal([n, self.top], z2_seed)
        return self.prior(z2).sample(seed=z1_seed)
