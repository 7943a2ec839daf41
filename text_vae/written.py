"""Words inside a graph: strings to numbers and back, for models that are used without this project."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from data.sentences import SentenceBatch
from data.vocabulary import BOS, EOS, PAD, RESERVED, UNK


class Words(tf.Module):
    """The numbers of words, as a table.

    Args:
        words: different words.
        numbers: the number of each word.
        unknown: the number of all other strings.
    """

    def __init__(self, words: Sequence[str], numbers: Sequence[int], unknown: int):
        super().__init__()
        keys, values = tf.constant(words, tf.string), tf.constant(numbers, tf.int32)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), unknown)

    def numbers(self, tokens: tf.Tensor) -> tf.Tensor:
        """Return the numbers of tokens, int32 in the shape of the strings."""
        return self.table.lookup(tokens)


class Written(Words):
    """The ids of a `Vocabulary`, for texts that are tokens, string [B, T], filled up with "".

    The printed forms of reserved ids are unknown words, but for that of EOS, which ends the sentences of a paragraph.

    Args:
        words: the vocabulary's.
    """

    def __init__(self, words: Sequence[str]):
        known = [EOS, *range(len(RESERVED), len(words))]
        super().__init__(["", *(words[i] for i in known)], [PAD, *known], UNK)
        self.printed = tf.constant([*words[:EOS], "/", *words[UNK:]])  # "/" stands between sentences

    def batch(self, tokens: tf.Tensor) -> SentenceBatch:
        """Return texts as a batch of `data.sentences`; each text gets its EOS."""
        counts = tf.reduce_sum(tf.cast(tokens != "", tf.int32), 1)
        ids = tf.pad(self.numbers(tokens), [[0, 0], [0, 1]], constant_values=PAD)
        at_end = tf.range(tf.shape(ids)[1]) == counts[:, None]
        return {"tokens": tf.where(at_end, EOS, ids), "lengths": counts + 1}

    def texts(self, ids: Any) -> tf.Tensor:
        """Return ids, ragged int32 [B, (T)], as strings [B], with " / " between the sentences of a paragraph."""
        shown = tf.ragged.boolean_mask(ids, (ids != PAD) & (ids != BOS))
        lines = tf.strings.reduce_join(tf.gather(self.printed, shown), axis=1, separator=" ")
        return tf.strings.regex_replace(lines, "( ?/)$", "")
