"""The diversity of generated texts, and their likeness to the data.

A text is a list of tokens without start, end or PAD. Every score here depends on the number of texts and on their
length: compare only sets of equal size, and state the size.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from nltk.util import ngrams

REFERENCES = 200  # at most, for each text of a BLEU: the cost is texts times references
SEED = 0  # of the choice of references

Text = Sequence[str]


def distinct_n(texts: Sequence[Text], n: int) -> float:
    """Return the number of distinct n-grams divided by the number of n-grams, over all texts, in [0, 1].

    The score is 1 if no n-gram is repeated, and 0 if there are no n-grams. After Li et al. 2016, who divide by the
    number of tokens.
    """
    grams = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(grams)) / max(len(grams), 1)


def self_bleu(texts: Sequence[Text], n: int) -> float:
    """Return the mean BLEU of each text against the others, in [0, 1]: lower for more variety, 1 if all are equal.

    Zhu et al. 2018. The precisions of 1-grams to n-grams have equal weights. An order without a match counts as 0.1
    matches (Chen & Cherry 2014, smoothing 1, as in NLTK). But a text that shares no word with the others scores 0. With
    more than REFERENCES + 1 texts, each is compared with REFERENCES of the others, drawn under a fixed seed. Fewer
    references lower the score.

    Raises:
        ValueError: there are fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"self-BLEU needs at least two texts, got {len(texts)}")
    texts = _shuffled(texts)
    ring, others = texts + texts, min(REFERENCES, len(texts) - 1)
    scores = [
        sentence_bleu(ring[i + 1 : i + 1 + others], text, _weights(n), SmoothingFunction().method1)
        for i, text in enumerate(texts)
    ]
    return float(np.mean(scores))


def corpus_bleu_against(texts: Sequence[Text], references: Sequence[Text]) -> float:
    """Return the BLEU-4 of generated texts as one corpus, each against all references, in [0, 1].

    A higher score is more like the data (Papineni et al. 2002). Matches and n-grams are added up over the texts before
    they are divided, so only an order without a single match is smoothed (as in `self_bleu`).

    Args:
        texts: generated texts.
        references: held-out sentences, not the originals of the texts. Of more than REFERENCES, only REFERENCES are
            used, drawn under a fixed seed and the same for every text.

    Raises:
        ValueError: `texts` or `references` is empty.
    """
    if not texts or not references:
        raise ValueError(f"BLEU needs texts and references, got {len(texts)} and {len(references)}")
    references = _shuffled(references)[:REFERENCES]
    bleu = corpus_bleu([references] * len(texts), texts, _weights(4), SmoothingFunction().method1)
    assert not isinstance(bleu, list)  # NLTK returns a list only for a list of weights
    return float(bleu)


def repeated_ngrams(paragraph: Sequence[Text], n: int) -> float:
    """Return the share of a paragraph's distinct n-grams that occur in two or more of its sentences, in [0, 1].

    The share is 0 if there are no n-grams. A repetition inside one sentence does not count here, but lowers
    `distinct_n`.
    """
    sentences = Counter(gram for sentence in paragraph for gram in set(ngrams(sentence, n)))
    return sum(count > 1 for count in sentences.values()) / max(len(sentences), 1)


def _shuffled(texts: Sequence[Text]) -> list[Text]:
    """Return the texts in an order drawn under SEED."""
    order: list[int] = np.random.default_rng(SEED).permutation(len(texts)).tolist()
    return [texts[index] for index in order]


def _weights(n: int) -> tuple[float, ...]:
    """Return equal weights for the n-gram orders 1 to n."""
    return (1 / n,) * n
