"""How varied and how like the data generated text is. A text is a list of tokens without start, end or PAD.

Every figure here moves with the number of texts and their length: compare only sets of equal size, and name it.
"""

from collections import Counter

import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu, sentence_bleu
from nltk.util import ngrams

REFERENCES = 200  # at most, for each text of a BLEU: the cost is texts times references
SEED = 0  # of the choice of references


def distinct_n(texts, n):
    """Distinct n-grams over all n-grams of all texts, in [0, 1]; 1 if none is repeated, 0 if there are none.

    After Li et al. 2016, who divide by the number of tokens.
    """
    grams = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(grams)) / max(len(grams), 1)


def self_bleu(texts, n):
    """Mean BLEU of each text against the others, in [0, 1]; 1 if all are one text, lower is more varied.

    Zhu et al. 2018. Precisions of 1- to n-grams weigh the same; an order without a match counts 0.1 matches (Chen &
    Cherry 2014, smoothing 1, as NLTK has it), but a text without a word of the others scores 0. From more than
    REFERENCES + 1 texts each meets REFERENCES of the others, drawn under a fixed seed; fewer references lower it.

    Raises:
        ValueError: fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"self-BLEU compares texts with one another, got {len(texts)}")
    texts = _shuffled(texts)
    ring, others = texts + texts, min(REFERENCES, len(texts) - 1)
    scores = [
        sentence_bleu(ring[i + 1 : i + 1 + others], text, _weights(n), SmoothingFunction().method1)
        for i, text in enumerate(texts)
    ]
    return float(np.mean(scores))


def corpus_bleu_against(texts, references):
    """BLEU-4 of generated texts as one corpus, each against all references, in [0, 1]; higher is more like the data.

    Papineni et al. 2002: matches and n-grams are added up over the texts before they are divided, so it needs no
    smoothing but for an order without a single match (as in `self_bleu`). References are held-out sentences, not the
    originals of the texts; of more than REFERENCES as many are drawn under a fixed seed, the same for every text.

    Raises:
        ValueError: there are no texts or no references.
    """
    if not texts or not references:
        raise ValueError(f"BLEU needs texts and references, got {len(texts)} and {len(references)}")
    references = _shuffled(references)[:REFERENCES]
    return float(corpus_bleu([references] * len(texts), texts, _weights(4), SmoothingFunction().method1))


def repeated_ngrams(paragraph, n):
    """Share of a paragraph's distinct n-grams that occur in more than one of its sentences, in [0, 1]; 0 if it has none.

    A repetition inside one sentence does not count: `distinct_n` sees that.
    """
    sentences = Counter(gram for sentence in paragraph for gram in set(ngrams(sentence, n)))
    return sum(count > 1 for count in sentences.values()) / max(len(sentences), 1)


def _shuffled(texts):
    return [texts[index] for index in np.random.default_rng(SEED).permutation(len(texts))]


def _weights(n):
    return (1 / n,) * n
