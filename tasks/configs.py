"""The options of every mode: one frozen dataclass for each. Nothing here imports TensorFlow.

A dataclass says in its docstring which paper or code its preset "reference" follows.
"""

import dataclasses
from typing import ClassVar

from data.errors import InputError
from data.images import BACKGROUND, background_colour
from models.defaults import BIGAN, BIGBIGAN, CODE, GAN, INFOBIGBIGAN, INFOGAN
from text_vae.defaults import LANGUAGE_MODEL, LANGUAGE_VAE, ML_VAE, NASM, NVDM, RANKER, RECURRENT_VAE, TWR_VAE
from training.config import Config, data_option, evaluation_option, network_option, other_default, training_option


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

    dataset: str | None = data_option(
        None,
        "mnist, fashion_mnist, cifar10, mnist_unequal, mnist_5k, digits, an .npz file or a folder of images; default: "
        "mnist, else mnist_5k",
    )
    data_dir: str | None = data_option(None, "folder where tensorflow-datasets keeps its data")
    cache_gb: float | None = data_option(
        None,
        "memory for the data in GB (2^30 bytes); larger data stream from disk; default: half of what is free",
        low=0,
    )
    image_size: int | None = data_option(None, "height and width to resize images to; default: their own size", low=8)
    background: str = data_option(BACKGROUND, "colour that your transparent images stand on: a name, or #rrggbb")
    precision: str = network_option(
        GAN["precision"],
        "dtype of convolutions; auto: bfloat16 if the processor has it",
        choices=("auto", "float32", "bfloat16"),
    )
    latent_dim: int = network_option(GAN["latent_dim"], "size of z", low=2)
    generator_widths: tuple[int, ...] = network_option(
        GAN["generator_widths"],
        "channels of G's up-blocks, lowest resolution first (images of 64x64: 64 32 16)",
        low=4,
    )
    discriminator_widths: tuple[int, ...] = network_option(
        GAN["discriminator_widths"], "channels of F's down-blocks (images of 64x64: 16 32 64)", low=4
    )
    layout_dim: int = network_option(
        GAN["layout_dim"],
        "width of F's dense layer over its whole last map; 0: no such layer, only sums over positions",
        low=0,
    )
    attention: int = network_option(GAN["attention"], "resolution of self-attention in G and F; 0: no attention", low=0)
    d_updates: int = training_option(GAN["d_updates"], "discriminator updates per step", low=1, high=8)
    d_rate: float = training_option(GAN["d_rate"], "learning rate of the discriminators (Adam)", low=0)
    ge_rate: float = training_option(GAN["ge_rate"], "learning rate of G and E (Adam)", low=0)
    beta_1: float = training_option(GAN["beta_1"], "Adam's beta1, of both optimizers", low=0, high=0.999)
    ema_decay: float = training_option(
        GAN["ema_decay"],
        "decay of the moving average of the weights of G, E, and the head with its trunk",
        low=0,
        high=0.99999,
    )
    curves: bool = evaluation_option(False, "score the validation part about ten times during training")

    def __post_init__(self) -> None:
        super().__post_init__()
        background_colour(self.background)  # a wrong name is an error before TensorFlow is imported

    @property
    def computed_in(self) -> str:
        return self.precision

    @property
    def halvings(self) -> list[tuple[str, int, int]]:
        """(network, how often it halves or doubles the resolution, its own input size or 0) of every image network."""
        return [("G", len(self.generator_widths), 0), ("F", len(self.discriminator_widths), 0)]


@dataclasses.dataclass(frozen=True)
class BiGANConfig(BigGANConfig):
    """G, F, E and the joint discriminator.

    Only the joint discriminator teaches E, so it has a wider view of the image and is updated twice a step.
    """

    layout_dim: int = other_default(BigGANConfig, "layout_dim", BIGAN["layout_dim"])
    d_updates: int = other_default(BigGANConfig, "d_updates", BIGAN["d_updates"])
    hidden_norm: bool = network_option(BIGAN["hidden_norm"], "normalise E's last hidden layer before its ReLU")
    encoder_widths: tuple[int, ...] = network_option(
        BIGAN["encoder_widths"],
        "channels of E's stem and blocks, each of which halves the resolution (images of 64x64: 16 32 64)",
        low=4,
    )
    encoder_size: int = network_option(
        BIGAN["encoder_size"], "height and width that E resizes its input to; 0: the size of the images", low=0
    )
    feature_dim: int = network_option(BIGAN["feature_dim"], "width of E's last hidden layer", low=1)
    deterministic_encoder: bool = network_option(BIGAN["deterministic_encoder"], "z_hat = mu in place of a sample")
    view_share: float = training_option(
        BIGAN["view_share"],
        "probability with which F and E, each by itself, see a random view in place of an image",
        low=0,
        high=1,
    )
    latent_width: int = network_option(BIGAN["latent_width"], "width of H and J", low=4)
    latent_blocks: int = network_option(BIGAN["latent_blocks"], "residual blocks of H and J", low=0)

    @property
    def halvings(self) -> list[tuple[str, int, int]]:
        return [*super().halvings, ("E", len(self.encoder_widths), self.encoder_size)]


@dataclasses.dataclass(frozen=True)
class BigBiGANConfig(BiGANConfig):
    """BiGAN with the unary scores, each of which can be switched off."""

    s_x: bool = network_option(BIGBIGAN["s_x"], "F computes the image score s_x")
    s_z: bool = network_option(BIGBIGAN["s_z"], "H computes the latent score s_z")


@dataclasses.dataclass(frozen=True)
class CodeConfig:
    """InfoGAN's code c, for the configs of modes that have it."""

    num_categories: int = network_option(CODE["num_categories"], "size of the one-hot code c", low=2)
    num_continuous: int = network_option(CODE["num_continuous"], "continuous codes, uniform on [-1, 1]", low=0)
    info_weight: float = training_option(CODE["info_weight"], "lambda, the weight of InfoGAN's bound", low=0)
    code_to: str = network_option(
        CODE["code_to"], "where c enters G: its first layer, or every block", choices=("first", "all")
    )
    code_prior: str = network_option(
        CODE["code_prior"],
        "the prior of the one-hot code; learned: from the estimated codes of real images, for classes of unequal size",
        choices=("uniform", "learned"),
    )


@dataclasses.dataclass(frozen=True)
class InfoGANConfig(CodeConfig, BigGANConfig):
    """G, F and the code. The preset "published" has the networks and the rates of the paper (app. C.1)."""

    presets: ClassVar = BigGANConfig.presets | {
        "published": {
            "networks": "plain",
            "generator_widths": (128, 64),
            "discriminator_widths": (64, 128),
            "layout_dim": 1024,
            "latent_dim": 62,
            "num_continuous": 2,
            "d_rate": 2e-4,
            "ge_rate": 1e-3,
        }
    }

    preset: str = training_option(
        "default",
        BigGANConfig.__dataclass_fields__["preset"].metadata["help"],
        choices=("quick", "default", "reference", "published"),
    )
    networks: str = network_option(
        INFOGAN["networks"],
        "G and F: BigGAN's, or plain convolutions with batch norms and the logistic loss, as InfoGAN was published",
        choices=("biggan", "plain"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.networks == "plain":
            if not self.layout_dim:
                raise InputError("--networks plain: F needs its dense layer: give --layout-dim, such as 1024")
            if self.attention:
                raise InputError("--attention: plain networks have none: use --attention 0, or --networks biggan")
            if self.code_to == "all":
                raise InputError("--code-to all: plain networks join c to z: use --code-to first, or --networks biggan")


@dataclasses.dataclass(frozen=True)
class InfoBigBiGANConfig(CodeConfig, BigBiGANConfig):
    """BigBiGAN and the code. The bounds teach E too, and lean networks give better codes."""

    layout_dim: int = other_default(BigBiGANConfig, "layout_dim", INFOBIGBIGAN["layout_dim"])
    d_updates: int = other_default(BigBiGANConfig, "d_updates", INFOBIGBIGAN["d_updates"])
    hidden_norm: bool = other_default(BigBiGANConfig, "hidden_norm", INFOBIGBIGAN["hidden_norm"])
    head_on: str = network_option(
        INFOBIGBIGAN["head_on"],
        "the head reads the features of F, the whole last map of F, or the features of J",
        choices=("image", "map", "joint"),
    )
    joint_code: str = network_option(
        INFOBIGBIGAN["joint_code"],
        "the code of a real image that H and J receive: none, the head's estimate, or E's",
        choices=("none", "head", "encoder"),
    )
    real_info_weight: float = training_option(
        INFOBIGBIGAN["real_info_weight"], "weight of the loss by which the head learns E's codes of real images", low=0
    )
    consistency_on: str = training_option(
        INFOBIGBIGAN["consistency_on"],
        "the network whose codes the two weights below apply to",
        choices=("encoder", "head"),
    )
    consistency_weight: float = training_option(
        INFOBIGBIGAN["consistency_weight"],
        "weight of the information that the codes of two views of an image share",
        low=0,
    )
    views: int = training_option(
        INFOBIGBIGAN["views"],
        "how many of the two views are random; 1: the other is the image itself (below 10,000 images: 2)",
        low=1,
        high=2,
    )
    cutout: int = training_option(
        INFOBIGBIGAN["cutout"],
        "side of a black square that covers a part of half of the random views, in pixels; 0: none is covered",
        low=0,
    )
    balance_weight: float = training_option(
        INFOBIGBIGAN["balance_weight"], "weight of the entropy of the average code of real images", low=0
    )
    neighbours: int = data_option(
        0,
        "the second view is of one of so many nearest training images, by pixels; 0: of the same image (mnist_5k and "
        "digits: 5)",
        low=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head_on == "joint" and self.joint_code != "none":
            raise InputError(
                f"--head-on joint: with --joint-code {self.joint_code} J receives the code that its head is to recover: "
                "use --head-on image, or --joint-code none"
            )
        if self.real_info_weight and self.joint_code != "encoder":
            raise InputError(
                f"--real-info-weight: with --joint-code {self.joint_code} E has no code that the head could recover: use "
                "--real-info-weight 0, or --joint-code encoder"
            )
        if self.consistency_weight or self.balance_weight:
            if self.consistency_on == "encoder" and self.joint_code != "encoder":
                raise InputError(
                    f"--consistency-on encoder: with --joint-code {self.joint_code} E has no code: use --consistency-on "
                    "head, --consistency-weight 0, or --joint-code encoder"
                )
            if self.consistency_on == "head" and self.head_on == "joint":
                raise InputError(
                    "--consistency-on head: a head on J would need E's z of the second view: use --head-on image"
                )


@dataclasses.dataclass(frozen=True)
class NVDMConfig(Config):
    """Topics of documents. The preset "reference" is the paper's recipe."""

    presets: ClassVar = {
        "quick": {"updates": 2000},
        "default": {},
        "reference": {
            "batch_size": 64,
            "encoder_widths": (500, 500),
            "reads": "counts",
            "decay": 0.0,
            "length_power": 0.0,
            "rate": 5e-5,
            "final_rate": 5e-5,
            "alternate": 10,
            "kl_warm_up": 0,
            "updates": 160_000,
        },
    }

    dataset: str = data_option(
        "docstrings",
        "20news, 20news_clean, reuters, docstrings, newsgroups, ag_news, a text file, a folder of .txt files, or word "
        "counts (.feat, docword, .svmlight)",
    )
    data_dir: str | None = data_option(None, "folder that holds 20news, 20news_clean and reuters, or to download to")
    cache_gb: float | None = other_default(BigGANConfig, "cache_gb", None)
    vocabulary_size: int = data_option(2000, "most frequent words of raw text that are kept", low=10)
    updates: int = other_default(Config, "updates", 5000)
    batch_size: int = training_option(128, "documents in a step", low=1)
    topics: int = network_option(NVDM["topics"], "size of z", low=1)
    encoder_widths: tuple[int, ...] = network_option(
        NVDM["encoder_widths"], "hidden layers of the inference network", low=1
    )
    prior_components: int = network_option(
        NVDM["prior_components"],
        "Gaussians of the prior of z, which is learned; 0: the prior is N(0, I), as in the paper",
        low=0,
    )
    reads: str = network_option(
        NVDM["reads"],
        "what the inference network reads: counts, as in the paper; log(1 + count); or about the mode of p(z | x), which a "
        "few of Newton's steps find",
        choices=("counts", "log_counts", "mode"),
    )
    dropout: float = network_option(NVDM["dropout"], "dropout rate after the last hidden layer", low=0, high=0.95)
    length_power: float = training_option(
        NVDM["length_power"], "the loss of a document of N words has the weight N^-length_power", low=0, high=1
    )
    decay: float = training_option(NVDM["decay"], "weight of |R|^2, the squares of the topics, in the loss", low=0)
    rate: float = training_option(NVDM["rate"], "learning rate at the start (Adam)", low=0)
    final_rate: float = training_option(
        NVDM["final_rate"], "learning rate at the end; it falls on a straight line", low=0
    )
    alternate: int = training_option(
        NVDM["alternate"],
        "epochs for which decoder and inference network are trained in turn; 0: both in every step",
        low=0,
    )
    kl_warm_up: int = training_option(
        NVDM["kl_warm_up"], "steps in which the weight of the KL grows from 0 to 1", low=0
    )
    curves: bool = other_default(BigGANConfig, "curves", True)
    samples: int = evaluation_option(20, "samples of z for each document", low=1)


@dataclasses.dataclass(frozen=True)
class SentenceConfig(Config):
    """The language model, and what all recurrent models of sentences share.

    The preset "reference" has the learning rate of TWR-VAE's public code; of a mode with an encoder, that reads EOS.
    """

    presets: ClassVar = {
        "quick": {"updates": 1000, "embedding": 128, "units": 128},
        "default": {},
        "reference": {"rate": 1e-4, "final_rate": 1e-4, "read_end": True},
    }
    retired: ClassVar = ("curves",)

    dataset: str = data_option(
        "docstrings",
        "docstrings, ptb, brown, multi30k, reuters, a text file, or a folder of train.txt, test.txt, valid.txt",
    )
    data_dir: str | None = data_option(None, "folder that holds ptb, brown, multi30k and reuters")
    cache_gb: float | None = other_default(BigGANConfig, "cache_gb", None)
    vocabulary_size: int = data_option(
        10_000, "words that are predicted, the unknown word and the end of a sentence included", low=3
    )
    max_length: int = data_option(100, "most words of a sentence; longer sentences are left out", low=1)
    updates: int = other_default(Config, "updates", 10_000)
    batch_size: int = training_option(64, "sentences in a step", low=1)
    embedding: int = network_option(LANGUAGE_MODEL["embedding"], "width of the words' vectors", low=1)
    cell: str = network_option(LANGUAGE_MODEL["cell"], "recurrent layer", choices=("lstm", "gru", "rnn"))
    units: int = network_option(LANGUAGE_MODEL["units"], "width of the recurrent layers", low=1)
    dropout: float = network_option(
        LANGUAGE_MODEL["dropout"], "dropout rate on the words' vectors and before the vocabulary", low=0, high=0.95
    )
    tied: bool = network_option(LANGUAGE_MODEL["tied"], "the words' vectors are the weights of the vocabulary too")
    locked: bool = network_option(LANGUAGE_MODEL["locked"], "dropout takes the same units at all steps of a sentence")
    rate: float = training_option(LANGUAGE_MODEL["rate"], "learning rate at the start (Adam)", low=0)
    final_rate: float = training_option(
        LANGUAGE_MODEL["final_rate"], "learning rate at the end; it falls on a straight line", low=0
    )


@dataclasses.dataclass(frozen=True)
class LatentConfig(SentenceConfig):
    """A sentence model with z. Curves are on, so that a collapse is seen when it happens."""

    latent_dim: int = network_option(LANGUAGE_VAE["latent_dim"], "size of z", low=1)
    word_dropout: float = training_option(
        LANGUAGE_VAE["word_dropout"], "share of the words that the decoder reads as the unknown word", low=0, high=1
    )
    curves: bool = evaluation_option(
        True, "measure the KL, the mutual information and the active units of the validation part during training"
    )
    samples: int = evaluation_option(100, "samples of z for each sentence", low=1)


@dataclasses.dataclass(frozen=True)
class LanguageVAEConfig(LatentConfig):
    """The VAE over sentences, and how its KL is weighed."""

    beta: float = training_option(RECURRENT_VAE["beta"], "weight of the KL once it has grown", low=0)
    kl_warm_up: int = training_option(
        RECURRENT_VAE["kl_warm_up"], "steps in which the weight of the KL grows from 0", low=0
    )
    kl_cycles: int = training_option(
        RECURRENT_VAE["kl_cycles"],
        "cycles of that growth, which takes half of each cycle; 0: the weight grows once",
        low=0,
    )
    free_bits: float = training_option(
        RECURRENT_VAE["free_bits"], "nats of each dimension's KL that cost nothing", low=0
    )
    text_bits: float = training_option(RECURRENT_VAE["text_bits"], "nats of each text's KL that cost nothing", low=0)
    mu_deviation: float = network_option(
        RECURRENT_VAE["mu_deviation"],
        "standard deviation over a batch to which batch normalisation scales mu (BN-VAE); 0: no normalisation",
        low=0,
    )
    reset_at: int = training_option(
        RECURRENT_VAE["reset_at"],
        "step at which the decoder begins anew; until then the KL has no weight, and growth and cycles count from there; "
        "0: never",
        low=0,
    )
    kl_per_step: bool = training_option(
        RECURRENT_VAE["kl_per_step"], "divide the KL by the number of steps of the sentence"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kl_warm_up and self.kl_cycles:
            raise InputError("--kl-warm-up and --kl-cycles: the weight of the KL grows once or in cycles: give one")
        if self.free_bits and self.text_bits:
            raise InputError("--free-bits and --text-bits: nats are free by dimension or by text: give one")


@dataclasses.dataclass(frozen=True)
class TWRVAEConfig(LatentConfig):
    """TWR-VAE: a posterior at every time step."""

    decoded: str = network_option(
        TWR_VAE["decoded"],
        "what is decoded: the last step's z, or the mean or sum over all steps",
        choices=("normal", "mean", "sum"),
    )
    kl_part: float = training_option(
        TWR_VAE["kl_part"], "share of the last steps whose KL is averaged", low=0.01, high=1
    )
    read_end: bool = network_option(
        TWR_VAE["read_end"], "the encoder reads the end of the sentence too, as one more step"
    )


@dataclasses.dataclass(frozen=True)
class MLVAEConfig(LatentConfig):
    """ml-VAE on paragraphs. The preset "reference" is wide and long; the paper's own sizes are unknown."""

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

    dataset: str = data_option(
        "docstrings", "docstrings, brown, reuters, a text file, or a folder of train.txt, test.txt, valid.txt"
    )
    data_dir: str | None = data_option(None, "folder that holds brown and reuters")
    min_sentences: int = data_option(2, "fewest sentences of a paragraph; other paragraphs are left out", low=1)
    max_sentences: int = data_option(8, "most sentences of a paragraph; other paragraphs are left out", low=1)
    updates: int = other_default(Config, "updates", 3000)
    batch_size: int = training_option(32, "paragraphs in a step", low=1)
    levels: int = network_option(
        ML_VAE["levels"], "0: flat VAE; 1: ml-VAE-S, with plan vectors; 2: ml-VAE-D, with z2 above z1", low=0, high=2
    )
    embedding: int = other_default(SentenceConfig, "embedding", ML_VAE["embedding"])
    encoder_widths: tuple[int, ...] = network_option(
        ML_VAE["encoder_widths"], "channels of the encoder's convolutions", low=1
    )
    plan: int = network_option(ML_VAE["plan"], "size of a plan vector", low=1)
    top_dim: int = network_option(ML_VAE["top_dim"], "size of z2", low=1)
    hidden: int = network_option(ML_VAE["hidden"], "width of the hidden layers between z1 and z2", low=1)
    inferred_first: str = network_option(
        ML_VAE["inferred_first"],
        "which latent of ml-VAE-D is inferred from the paragraph; the other is inferred from it",
        choices=("z1", "z2"),
    )
    bag_weight: float = training_option(
        ML_VAE["bag_weight"],
        "weight of the nll of each sentence's words, whatever their order, by its plan vector",
        low=0,
    )
    text_bits: float = other_default(LanguageVAEConfig, "text_bits", ML_VAE["text_bits"])
    kl_warm_up: int = training_option(
        ML_VAE["kl_warm_up"], "steps in which the weight of the KL grows from 0 to 1", low=0
    )
    reset_at: int = other_default(LanguageVAEConfig, "reset_at", ML_VAE["reset_at"])
    samples: int = evaluation_option(20, "samples of z for each paragraph", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_sentences > self.max_sentences:
            raise InputError(
                f"--min-sentences {self.min_sentences} is more than --max-sentences {self.max_sentences}: no paragraph fits"
            )
        if self.bag_weight and not self.levels:
            raise InputError("--bag-weight: the flat VAE has no plan vectors: use --levels 1 or 2, or --bag-weight 0")


@dataclasses.dataclass(frozen=True)
class RankerConfig(Config):
    """What models of answer selection share.

    The preset "reference" has the sizes of NASM's paper and only what is in it.
    """

    presets: ClassVar = {
        "quick": {"updates": 200},
        "default": {},
        "reference": {"units": 50, "layers": 3, "match": False},
    }
    retired: ClassVar = ("curves",)

    dataset: str = data_option("docstrings", "wikiqa, trecqa, docstrings, or a folder in the form of the first two")
    data_dir: str | None = data_option(None, "folder that holds wikiqa and trecqa")
    vocabulary_size: int = data_option(
        10_000, "most frequent words, of at least two occurrences, that are kept", low=10
    )
    max_length: int = data_option(40, "most words of a question or candidate; longer texts are cut", low=1)
    word_vectors: str | None = data_option(
        None, "file of GloVe or word2vec (*.bin: binary); default: word2vec, trained on the training text"
    )
    updates: int = other_default(Config, "updates", 540)
    batch_size: int = training_option(16, "questions in a step, each with all of its candidates", low=1)
    embedding: int = network_option(
        RANKER["embedding"], "width of the words' vectors; a file of --word-vectors decides it", low=1
    )
    fine_tune: bool = training_option(RANKER["fine_tune"], "train the words' vectors too")
    units: int = network_option(RANKER["units"], "width of the LSTMs", low=1)
    layers: int = network_option(RANKER["layers"], "LSTMs that read a text, each on top of the one before", low=1)
    dropout: float = network_option(RANKER["dropout"], "dropout rate on the words' vectors", low=0, high=0.95)
    rate: float = training_option(RANKER["rate"], "learning rate (Adam)", low=0)


@dataclasses.dataclass(frozen=True)
class NASMConfig(RankerConfig):
    """NASM and its latent h."""

    attention: str = network_option(
        NASM["attention"],
        "what steers the attention: h, or the question; none: no attention",
        choices=("latent", "deterministic", "none"),
    )
    latent: int = network_option(NASM["latent"], "size of h", low=1)
    match: bool = network_option(NASM["match"], "mark the words of a candidate whose stem is in the question")
    samples: int = network_option(NASM["samples"], "samples of h for each question, in evaluation", low=1)
    kl_weight: float = training_option(NASM["kl_weight"], "weight of the KL", low=0)
    bag_weight: float = training_option(
        NASM["bag_weight"], "weight of the words of question and right candidate, which h then explains too", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bag_weight and self.attention != "latent":
            raise InputError(f"--bag-weight: with --attention {self.attention} there is no h to explain words: use 0")


@dataclasses.dataclass(frozen=True)
class GQAConfig(RankerConfig):
    """The generative ranker has no options of its own."""
