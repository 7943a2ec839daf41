"""What a run is: one frozen dataclass per mode, from whose fields the command line is built.

Nothing here imports TensorFlow, so `--help` and errors in flags answer at once.
"""

import dataclasses
import math
import types
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from data.errors import InputError, nearest


def option(default: Any, help: str, *, choices: tuple = (), low: float | None = None, high: float | None = None):
    """A field with its default, its help text and what it may be: one of `choices`, or a number in [low, high]."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "low": low, "high": high})


def other_default(parent: type, name: str, default: Any):
    """A field of a parent config with another default."""
    return dataclasses.field(default=default, metadata=parent.__dataclass_fields__[name].metadata)


def flag(name: str) -> str:
    """The command line's spelling of a field: batch_size -> --batch-size."""
    return "--" + name.replace("_", "-")


@dataclasses.dataclass(frozen=True)
class Config:
    """What every mode has. Raises InputError for a value that a field may not have."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}  # preset -> field values; a mode takes those that it has

    dataset: str | None = option(None, "mnist, fashion_mnist, cifar10, digits, an .npz or a folder of images")
    data_dir: str | None = option(None, "where tensorflow-datasets keeps its data")
    preset: str = option("default", "sizes and length of the run", choices=("quick", "default", "reference"))
    epochs: int | None = option(
        None, "passes over the training data; default: enough for --updates (images: at most 150)", low=1
    )
    updates: int = option(7800, "training steps to reach, where --epochs is not given", low=1)
    batch_size: int = option(128, "examples per update", low=2)
    curves: bool = option(
        False, "score the validation part about ten times on the way, for learning curves; lm, nasm, gqa always do"
    )
    seed: int = option(0, "of initial weights, data order and sampling", low=0, high=2**31 - 1)

    def __post_init__(self):
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value, rule, hint = getattr(self, field.name), field.metadata, hints[field.name]
            if value is None or value == ():
                if type(None) not in get_args(hint):
                    raise InputError(f"{flag(field.name)} has no value: give one")
                continue
            kind, many = element_type(hint), get_origin(hint) is tuple
            elements = value if isinstance(value, tuple) else (value,)
            fits = (int, float) if kind is float else kind
            if isinstance(value, tuple) != many or any(
                not isinstance(element, fits) or isinstance(element, bool) != (kind is bool) for element in elements
            ):
                wanted = f"{'several values' if many else 'a value'} of type {kind.__name__}"
                raise InputError(f"{flag(field.name)}: {value!r} is not {wanted}")
            if rule["choices"] and value not in rule["choices"]:
                known = ", ".join(rule["choices"])
                raise InputError(
                    f"{flag(field.name)}: {value!r} is not one of {known}{nearest(value, rule['choices'])}"
                )
            low, high = rule["low"], rule["high"]
            for number in elements if kind in (int, float) else ():
                if (
                    not math.isfinite(number)
                    or (low is not None and number < low)
                    or (high is not None and number > high)
                ):
                    open_end = f"at least {low}" + (" and finite" if kind is float else "")
                    bound = open_end if high is None else f"from {low} to {high}"
                    raise InputError(f"{flag(field.name)}: {number} is out of range: it takes numbers {bound}")


@dataclasses.dataclass(frozen=True)
class BigGANConfig(Config):
    """G and F alone. The preset "reference" has the sizes of the public TensorFlow 2 code."""

    presets: ClassVar = {
        "quick": {"updates": 1170, "ema_decay": 0.99},
        "default": {},
        "reference": {
            "image_size": 32,
            "batch_size": 256,
            "latent_dim": 100,
            "generator_widths": (256, 128, 64),
            "discriminator_widths": (64, 128, 256),
            "layout_dim": 0,
            "attention": 16,
            "encoder_size": 64,
            "encoder_widths": (8, 16, 32, 64),
            "latent_width": 64,
            "latent_blocks": 3,
            "d_updates": 2,
            "hidden_norm": False,
        },
    }

    precision: str = option(
        "auto", "of convolutions; auto: bfloat16 where the processor has it", choices=("auto", "float32", "bfloat16")
    )
    image_size: int | None = option(None, "resize images to this height and width; default: as they are", low=8)
    latent_dim: int = option(16, "size of z", low=2)
    generator_widths: tuple[int, ...] = option((32, 16), "channels of G's up-blocks, lowest resolution first", low=4)
    discriminator_widths: tuple[int, ...] = option((16, 32), "channels of F's down-blocks", low=4)
    layout_dim: int = option(0, "width of F's dense layer over its whole last map; 0: sums over positions alone", low=0)
    attention: int = option(0, "resolution at which G and F attend to themselves; 0: nowhere", low=0)
    d_updates: int = option(1, "discriminator updates per step", low=1, high=8)
    d_rate: float = option(6e-4, "learning rate of the discriminators (Adam)", low=0)
    ge_rate: float = option(3e-4, "learning rate of G and E (Adam)", low=0)
    beta_1: float = option(0.5, "Adam's beta1, of both optimizers", low=0, high=0.999)
    ema_decay: float = option(
        0.999, "decay of the moving average of the weights of G, E, and the head with its trunk", low=0, high=0.99999
    )


@dataclasses.dataclass(frozen=True)
class BiGANConfig(BigGANConfig):
    """E and the joint discriminator beside them, which alone teaches E: it must know more, and be trained further."""

    layout_dim: int = other_default(BigGANConfig, "layout_dim", 256)
    d_updates: int = other_default(BigGANConfig, "d_updates", 2)
    hidden_norm: bool = option(True, "normalise E's last hidden layer before its ReLU")
    encoder_widths: tuple[int, ...] = option((16, 32), "channels of E's stem and blocks, each halves", low=4)
    encoder_size: int = option(0, "height and width to which E resizes its input; 0: as given", low=0)
    feature_dim: int = option(256, "width of E's last hidden layer", low=1)
    deterministic_encoder: bool = option(False, "z_hat = mu in place of a sample")
    latent_width: int = option(128, "width of H and J", low=4)
    latent_blocks: int = option(2, "residual blocks of H and J", low=0)


@dataclasses.dataclass(frozen=True)
class BigBiGANConfig(BiGANConfig):
    """The unary scores, each of which may be switched off."""

    s_x: bool = option(True, "the image score of F")
    s_z: bool = option(True, "the latent score of H")


@dataclasses.dataclass(frozen=True)
class CodeConfig(Config):
    """InfoGAN's code c."""

    num_categories: int = option(10, "size of the one-hot code c", low=2)
    num_continuous: int = option(0, "continuous codes, uniform on [-1, 1]", low=0)
    info_weight: float = option(1.0, "lambda, the weight of InfoGAN's bound", low=0)
    code_to: str = option("first", "where c enters G: the first layer, or every block", choices=("first", "all"))


@dataclasses.dataclass(frozen=True)
class InfoGANConfig(CodeConfig, BigGANConfig):
    """G and F and the code."""


@dataclasses.dataclass(frozen=True)
class InfoBigBiGANConfig(CodeConfig, BigBiGANConfig):
    """Everything: E, H, J, the unary scores and the code. Its bounds teach E too, and lean networks give better codes."""

    layout_dim: int = other_default(BigBiGANConfig, "layout_dim", 0)
    d_updates: int = other_default(BigBiGANConfig, "d_updates", 1)
    hidden_norm: bool = other_default(BigBiGANConfig, "hidden_norm", False)
    head_on: str = option("image", "whose features the head reads: F's, or J's", choices=("image", "joint"))
    joint_code: str = option(
        "encoder", "what H and J see of the code of a real image", choices=("none", "head", "encoder")
    )
    real_info_weight: float = option(1.0, "weight of the head's bound on E's codes of real images", low=0)
    consistency_on: str = option(
        "encoder", "whose codes of real images the two weights below are about", choices=("encoder", "head")
    )
    consistency_weight: float = option(1.0, "weight of what the codes of two views of an image share", low=0)
    balance_weight: float = option(0.0, "weight of the entropy of the average code of real images", low=0)

    def __post_init__(self):
        super().__post_init__()
        if self.head_on == "joint" and self.joint_code != "none":
            raise InputError(
                f"--head-on joint: with --joint-code {self.joint_code} J is shown the code that its head is to recover; "
                "use --head-on image, or --joint-code none"
            )
        if self.real_info_weight and self.joint_code != "encoder":
            raise InputError(
                f"--real-info-weight: with --joint-code {self.joint_code} E has no code that the head could recover; use "
                "--real-info-weight 0, or --joint-code encoder"
            )
        if self.consistency_weight or self.balance_weight:
            if self.consistency_on == "encoder" and self.joint_code != "encoder":
                raise InputError(
                    f"--consistency-on encoder: with --joint-code {self.joint_code} E has no code; use --consistency-on "
                    "head, --consistency-weight 0, or --joint-code encoder"
                )
            if self.consistency_on == "head" and self.head_on == "joint":
                raise InputError("--consistency-on head: a head on J would need E's z of the view; use --head-on image")


@dataclasses.dataclass(frozen=True)
class NVDMConfig(Config):
    """Topics of documents. The preset "reference" is the paper's recipe."""

    presets: ClassVar = {
        "quick": {"updates": 2000, "kl_warm_up": 400},
        "default": {},
        "reference": {
            "batch_size": 64,
            "encoder_widths": (500, 500),
            "log_counts": False,
            "dropout": 0.0,
            "length_power": 0.0,
            "rate": 5e-5,
            "final_rate": 5e-5,
            "alternate": 10,
            "kl_warm_up": 0,
            "updates": 160_000,
        },
    }

    curves: bool = other_default(Config, "curves", True)
    dataset: str = option(
        "docstrings", "20news, docstrings, newsgroups, ag_news, a folder of .feat files, or a text file"
    )
    data_dir: str | None = option(None, "the folder that holds 20news, or to download to")
    updates: int = option(10_000, "training steps to reach, where --epochs is not given", low=1)
    batch_size: int = option(128, "documents per update", low=1)
    vocabulary_size: int = option(2000, "most frequent words of raw text that are kept", low=10)
    topics: int = option(50, "size of z", low=1)
    encoder_widths: tuple[int, ...] = option((500,), "hidden layers of the inference network", low=1)
    log_counts: bool = option(True, "infer from log(1 + count) in place of the counts")
    dropout: float = option(0.1, "rate after the last hidden layer", low=0, high=0.95)
    length_power: float = option(0.5, "a document of N words counts N^-length_power in the loss", low=0, high=1)
    rate: float = option(1e-3, "learning rate at the start (Adam)", low=0)
    final_rate: float = option(0.0, "learning rate at the end, reached on a straight line", low=0)
    alternate: int = option(0, "epochs for which decoder and inference network learn in turn; 0: together", low=0)
    kl_warm_up: int = option(2000, "updates over which the weight of the KL grows from 0 to 1", low=0)
    samples: int = option(20, "samples of z for each document in evaluation", low=1)


@dataclasses.dataclass(frozen=True)
class SentenceConfig(Config):
    """What recurrent models of sentences share.

    The preset "reference" has the learning rate of TWR-VAE's public code, and its encoder reads EOS.
    """

    presets: ClassVar = {
        "quick": {"updates": 1000, "embedding": 128, "units": 128},
        "default": {},
        "reference": {"rate": 1e-4, "final_rate": 1e-4, "read_end": True},
    }

    dataset: str = option("docstrings", "docstrings, ptb, brown, multi30k, a text file, or a folder of train.txt, ...")
    data_dir: str | None = option(None, "the folder that holds ptb, brown and multi30k")
    updates: int = option(10_000, "training steps to reach, where --epochs is not given", low=1)
    batch_size: int = option(64, "sentences per update", low=1)
    vocabulary_size: int = option(10_000, "words that are predicted, the unknown one and the end included", low=3)
    max_length: int = option(100, "most words of a sentence; longer ones are left out", low=1)
    embedding: int = option(512, "width of the words' vectors", low=1)
    cell: str = option("lstm", "recurrent layer", choices=("lstm", "gru", "rnn"))
    units: int = option(256, "width of the recurrent layers", low=1)
    dropout: float = option(0.5, "rate on the words' vectors and before the vocabulary", low=0, high=0.95)
    rate: float = option(5e-3, "learning rate at the start (Adam)", low=0)
    final_rate: float = option(0.0, "learning rate at the end, reached on a straight line", low=0)


@dataclasses.dataclass(frozen=True)
class LatentConfig(SentenceConfig):
    """And z. What it holds is followed along the training, so that a collapse is seen when it happens."""

    curves: bool = other_default(SentenceConfig, "curves", True)
    latent_dim: int = option(32, "size of z", low=1)
    samples: int = option(100, "samples of z for each sentence in evaluation", low=1)


@dataclasses.dataclass(frozen=True)
class LanguageVAEConfig(LatentConfig):
    """How the KL is weighed."""

    beta: float = option(1.0, "weight of the KL once it has grown", low=0)
    kl_warm_up: int = option(0, "updates over which the weight of the KL grows from 0", low=0)
    kl_cycles: int = option(0, "cycles of that growth, each half as long as it lasts; 0: it does not restart", low=0)
    free_bits: float = option(0.0, "nats of each dimension's KL that cost nothing more", low=0)
    kl_per_step: bool = option(False, "divide the KL by the sentence's steps")

    def __post_init__(self):
        super().__post_init__()
        if self.kl_warm_up and self.kl_cycles:
            raise InputError("--kl-warm-up and --kl-cycles: the weight of the KL grows once or in cycles; give one")


@dataclasses.dataclass(frozen=True)
class TWRVAEConfig(LatentConfig):
    """A posterior at every time step."""

    decoded: str = option("normal", "the last z, or the mean or sum of all", choices=("normal", "mean", "sum"))
    kl_part: float = option(1.0, "share of the last steps whose KL is averaged", low=0.01, high=1)
    read_end: bool = option(False, "the encoder reads the end of the sentence too, as one more step")


@dataclasses.dataclass(frozen=True)
class MLVAEConfig(LatentConfig):
    """Paragraphs. The preset "reference" is wide and long; the paper's own sizes are not known to us."""

    presets: ClassVar = {
        "quick": {
            "updates": 300,
            "embedding": 64,
            "units": 64,
            "plan": 64,
            "encoder_widths": (64, 64),
            "kl_warm_up": 150,
        },
        "default": {},
        "reference": {"updates": 50_000, "embedding": 512, "units": 512, "plan": 512, "kl_warm_up": 10_000},
    }

    dataset: str = option("docstrings", "docstrings, brown, a text file, or a folder of train.txt, ...")
    data_dir: str | None = option(None, "the folder that holds brown")
    updates: int = option(3000, "training steps to reach, where --epochs is not given", low=1)
    batch_size: int = option(32, "paragraphs per update", low=1)
    min_sentences: int = option(2, "fewest sentences of a paragraph; others are left out", low=1)
    max_sentences: int = option(8, "most sentences of a paragraph; others are left out", low=1)
    levels: int = option(2, "0: flat VAE; 1: ml-VAE-S, with plan vectors; 2: ml-VAE-D, with z2 above z1", low=0, high=2)
    embedding: int = option(256, "width of the words' vectors", low=1)
    encoder_widths: tuple[int, ...] = option((256, 256, 256), "channels of the encoder's convolutions", low=1)
    plan: int = option(256, "size of a plan vector", low=1)
    top_dim: int = option(32, "size of z2", low=1)
    hidden: int = option(128, "width of the hidden layers between z1 and z2", low=1)
    kl_warm_up: int = option(1500, "updates over which the weight of the KL grows from 0 to 1", low=0)
    samples: int = option(20, "samples of z for each paragraph in evaluation", low=1)

    def __post_init__(self):
        super().__post_init__()
        if self.min_sentences > self.max_sentences:
            raise InputError(
                f"--min-sentences {self.min_sentences} is more than --max-sentences {self.max_sentences}: no paragraph fits"
            )


@dataclasses.dataclass(frozen=True)
class RankerConfig(Config):
    """What models of answer selection share. The preset "reference" has the sizes of NASM's paper and only what is in it."""

    presets: ClassVar = {
        "quick": {"updates": 200},
        "default": {},
        "reference": {"units": 50, "layers": 3, "match": False},
    }

    dataset: str = option("docstrings", "wikiqa, trecqa, docstrings, or a folder in the form of the first two")
    data_dir: str | None = option(None, "the folder that holds wikiqa and trecqa")
    updates: int = option(540, "training steps to reach, where --epochs is not given", low=1)
    batch_size: int = option(16, "questions per update, each with all of its candidates", low=1)
    vocabulary_size: int = option(10_000, "most frequent words, of at least two occurrences, that are kept", low=10)
    max_length: int = option(40, "words at which questions and candidates are cut", low=1)
    word_vectors: str | None = option(
        None, "file of GloVe or word2vec (*.bin: binary); default: word2vec, trained on the training text"
    )
    embedding: int = option(50, "width of the words' vectors; that of --word-vectors where it is given", low=1)
    fine_tune: bool = option(True, "train the words' vectors too")
    units: int = option(100, "width of the LSTMs", low=1)
    layers: int = option(1, "LSTMs that read a text, one on the other", low=1)
    dropout: float = option(0.4, "rate on the words' vectors", low=0, high=0.95)
    rate: float = option(1e-3, "learning rate (Adam)", low=0)


@dataclasses.dataclass(frozen=True)
class NASMConfig(RankerConfig):
    """The latent h."""

    attention: str = option(
        "latent", "steered by h, or by the question, or none", choices=("latent", "deterministic", "none")
    )
    latent: int = option(50, "size of h", low=1)
    match: bool = option(True, "tell the reader of an answer which of its words the question has")
    samples: int = option(20, "samples of h for each question in evaluation", low=1)
    kl_weight: float = option(1.0, "weight of the KL", low=0)


@dataclasses.dataclass(frozen=True)
class GQAConfig(RankerConfig):
    """Nothing more."""


def with_epochs(config: Config, steps_per_epoch: int, most: float = math.inf, turn: int = 1) -> Config:
    """The config with its number of epochs: as given, or enough whole turns for its updates and no more than `most`."""
    turns = -(-config.updates // (steps_per_epoch * turn))
    return dataclasses.replace(config, epochs=config.epochs or min(most, turns * turn))


def element_type(hint) -> type:
    """The type of one value: int for int, int | None and tuple[int, ...]."""
    if isinstance(hint, types.UnionType) or get_args(hint):
        return get_args(hint)[0]
    return hint


def make_config(config_class: type[Config], given: dict[str, Any]) -> Config:
    """A config of the class from what was given, the preset's values, and the defaults, in this order.

    Raises InputError for a name that the class does not have, or a value that its field may not have.
    """
    names = [field.name for field in dataclasses.fields(config_class)]
    for name in given:
        if name not in names:
            raise InputError(f"{flag(name)} is no option of this mode{nearest(flag(name), map(flag, names))}")
    preset = given.get("preset", "default")
    preset_values = {k: v for k, v in config_class.presets.get(preset, {}).items() if k in names}
    return config_class(**(preset_values | given))
