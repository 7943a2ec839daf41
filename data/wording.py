"""The words of a trained model of text, and how it splits a text into words: what it needs to take and give strings."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data.errors import reason
from data.text import CONTENT_WORD, INVISIBLE, TOKEN, content_words, split_sentences, tokenise
from data.vocabulary import Vocabulary


def lower_spaces(text: str) -> list[str]:
    """Return what spaces separate, in lower case."""
    return text.lower().split()


def english_content_words(text: str) -> list[str]:
    """Return the words of `content_words` that are not among scikit-learn's English stop words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return [word for word in content_words(text) if word not in ENGLISH_STOP_WORDS]


CONTENT, ENGLISH = "content words", "English content words"

# How texts are split, by the names that files store.
SPLITTINGS: dict[str, Callable[[str], list[str]]] = {
    "tokens": tokenise,
    "spaces": str.split,  # of prepared corpora, whose tokens are separated already
    "lower spaces": lower_spaces,
    CONTENT: content_words,
    ENGLISH: english_content_words,
}


class Wording(NamedTuple):
    """Words, and how texts are split into words."""

    words: tuple[str, ...]  # in the order of their ids, or of the columns of counts
    splitting: str  # a name in SPLITTINGS
    longest: int | None = None  # words after which a text is cut

    @property
    def vocabulary(self) -> Vocabulary:
        """The words as a vocabulary, if the reserved ids are among them."""
        return Vocabulary(self.words)

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of each text.

        Raises:
            ValueError: `texts` is not a list of strings, it is empty, or a text has no word.
        """
        if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("give a list of texts, such as ['a sentence', 'another one']")
        found = [SPLITTINGS[self.splitting](text)[: self.longest] for text in texts]
        if empty := [text for text, words in zip(texts, found, strict=True) if not words]:
            raise ValueError(f"{empty[0]!r} has no word: give texts with words")
        return found

    def sentences(self, text: str) -> list[list[str]]:
        """Return the words of each sentence of a paragraph. Where tokens are separated, each line is a sentence."""
        pieces = split_sentences(text) if self.splitting == "tokens" else text.splitlines()
        return self.split([piece for piece in pieces if piece.strip()])

    def counts(self, texts: Sequence[str]) -> np.ndarray:
        """Return how often each word is in each text, float32 [N, V]. Unknown words are passed over."""
        column = {word: i for i, word in enumerate(self.words)}
        counts = np.zeros([len(texts), len(self.words)], np.float32)
        for row, words in zip(counts, self.split(texts), strict=True):
            np.add.at(row, [column[word] for word in words if word in column], 1)
        return counts

    def as_json(self) -> str:
        """Return the file of this wording."""
        return json.dumps(self._asdict(), ensure_ascii=False) + "\n"

    @classmethod
    def of_json(cls, text: str) -> "Wording":
        """Return the wording of a file. Raise ValueError if the text is not such a file."""
        try:
            found = json.loads(text)
            wording = cls(tuple(found["words"]), found["splitting"], found["longest"])
            known = wording.splitting in SPLITTINGS and isinstance(wording.longest, int | None)
        except (KeyError, TypeError, RecursionError) as error:  # another object, or one that is nested deeply
            raise ValueError(f"no words and splitting ({reason(error)})") from error
        if not known or not all(isinstance(word, str) for word in wording.words):
            raise ValueError("no list of words with a known splitting")
        return wording


def code_of(splitting: str) -> str:
    """Return Python code that defines `split(text)`, the same as a splitting, for use without this project.

    Args:
        splitting: a name in SPLITTINGS.
    """
    if splitting in ("spaces", "lower spaces"):
        body = "text.split()" if splitting == "spaces" else "text.lower().split()"
        return f"def split(text):\n    return {body}\n"
    pattern = TOKEN if splitting == "tokens" else CONTENT_WORD
    lines = [
        "import unicodedata",
        "",
        "import regex",
        *(["from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS"] if splitting == ENGLISH else []),
        "",
        f"WORD = regex.compile({pattern.pattern!r})",
        f"INVISIBLE = {INVISIBLE!r}",
        "",
        "",
        "def split(text):",
        '    text = unicodedata.normalize("NFC", text.translate(INVISIBLE)).lower().replace("i\\u0307", "i")',
        "    words = WORD.findall(text)",
        "    return [word for word in words if word not in ENGLISH_STOP_WORDS]"
        if splitting == ENGLISH
        else "    return words",
    ]
    return "\n".join(lines) + "\n"
