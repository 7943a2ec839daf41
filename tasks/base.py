"""What every kind of data needs: the protocol of a task, and how a model is scored."""

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import keras
import numpy as np
from matplotlib.figure import Figure

from data.wording import Wording
from metrics.catalogue import FEATURE_NETWORK, Evaluation, score_of
from reporting.figures import save_figure
from reporting.progress import scoring
from training.config import Config
from training.files import write_arrays
from training.runs import Run

if TYPE_CHECKING:
    import tensorflow as tf

Data = TypeVar("Data")  # what a task's reader returns
AnyConfig = TypeVar("AnyConfig", bound=Config)
Method = TypeVar("Method", bound=Callable[[Any], dict[str, Any]])


class computes:
    """Mark a method of a `Scorer` as the one that computes an evaluation."""

    def __init__(self, evaluation: Evaluation):
        self.evaluation = evaluation

    def __call__(self, method: Method) -> Method:
        self.method = method
        return self  # pyright: ignore[reportReturnType]  # `__set_name__` puts the method back in its place

    def __set_name__(self, scorer: type["Scorer"], name: str) -> None:
        scorer.methods = scorer.methods | {self.evaluation: self.method}
        setattr(scorer, name, self.method)


class Scorer(Generic[Data]):
    """The scores of one model: a method for each evaluation, marked with `computes`.

    What several methods need is a cached property, computed once.

    Args:
        task: the model's task.
        run: its options (samples, seed), its cache of controls, and its folder.
        data: what the task's reader returned.
        model: a trained model.
    """

    methods: ClassVar[dict[Evaluation, Callable[[Any], dict[str, Any]]]] = {}

    def __init__(self, task: "Task[Data]", run: Run, data: Data, model: Any):
        self.task, self.run, self.data, self.model = task, run, data, model
        self.config: Any = run.config  # of the mode's own class
        self.found: dict[str, Any] = {}  # the scores computed so far

    def compute(self, evaluation: Evaluation) -> None:
        """Compute the scores of an evaluation. Raise KeyError if its method returns a key that it does not list."""
        found = self.methods[evaluation](self)
        if unknown := found.keys() - set(evaluation.keys):
            raise KeyError(f"--{evaluation.name} reports {', '.join(sorted(unknown))}: add it to metrics/catalogue.py")
        self.found |= found

    def curve(self) -> dict[str, float]:
        """Return scores of the validation part, by key, that cost seconds: a point of a learning curve."""
        return {}

    def figures(self) -> dict[str, Figure]:
        """Return the pictures that belong to the evaluations computed so far, by name."""
        return {}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Return {name of an .npz file: {name: array}} for the evaluations computed so far."""
        return {}


class Task(Generic[Data]):
    """What one kind of data needs, from reader to scores. A subclass serves all modes of its kind.

    Args:
        model: the mode's model class.
    """

    scorer: ClassVar[type[Scorer]]
    limits: ClassVar[str]  # what a model of this kind cannot do, for the card of one that is given away

    def __init__(self, model: type[Any]):
        self.model = model

    # What a subclass gives

    def load(self, config: Any) -> Data:
        """Read the data of a resolved config. Raise InputError if they cannot be read."""
        raise NotImplementedError

    def resolve(self, config: AnyConfig, left_open: frozenset[str] = frozenset()) -> tuple[AnyConfig, Data]:
        """Return the config without open fields (data set, epochs, precision), and the data.

        Args:
            left_open: the options whose defaults the task may replace to fit the data, since nobody chose them.

        Raises:
            InputError: the data cannot be read, or do not fit the config.
        """
        raise NotImplementedError

    def facts(self, data: Data) -> dict[str, Any]:
        """Return the facts of the data, which a run records and a model depends on."""
        raise NotImplementedError

    def wording(self, data: Data) -> Wording | None:
        """Return the words of the data and how its texts were split; None if it holds no text."""
        return None

    def steps_per_epoch(self, config: Any, data: Data) -> int:
        """Return the steps of one pass over the training part; the remainder of a pass is dropped."""
        raise NotImplementedError

    def batches(self, config: Any, data: Data, first_epoch: int) -> "tf.data.Dataset":
        """Return the endless batches of a training that starts with this epoch, counted from 0."""
        raise NotImplementedError

    def data_arguments(self, config: Any, facts: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the model's `create` that depend on the data or on the length of the training."""
        raise NotImplementedError

    def check(self, config: Any, facts: dict[str, Any]) -> None:
        """Raise InputError if no model of this config fits data of these facts."""

    def in_use(self, config: AnyConfig) -> AnyConfig:
        """Return the config by which this machine computes with a trained model; by default that of its training."""
        return config

    def initialize(self, model: Any, run: Run, data: Data) -> None:
        """Give a new model the first weights that depend on the data."""

    def callbacks(self, run: Run, data: Data) -> list[keras.callbacks.Callback]:
        """Return what a training shows in TensorBoard."""
        raise NotImplementedError

    # What all tasks share

    def build(self, config: Config, facts: dict[str, Any]) -> Any:
        """Return the compiled model that is trained; its first weights depend on the seed alone.

        Raises:
            InputError: no model of this config fits data of these facts.
        """
        self.check(config, facts)
        return self.model.create(**self.data_arguments(config, facts), **config.model_options(), seed=config.seed)

    def curve_point(self, run: Run, data: Data, model: Any) -> dict[str, float]:
        """Return a model's scores of the validation part during training, by their keys in the history."""
        scores = self.scorer(self, run, data, model).curve()
        return {f"validation/{score_of(key).key}": value for key, value in scores.items()}

    def open(self, run: Run) -> tuple[Data, Any, int]:
        """Return a run's data, its model as restored from the best whole checkpoint, and the epoch of that checkpoint.

        Raises:
            InputError: the data cannot be read or are not those of the run, or no checkpoint is whole.
        """
        data = self.load(run.config)
        run.check_data(self.facts(data))
        return data, *self.restored(run)

    def restored(self, run: Run) -> tuple[Any, int]:
        """Return a run's model as restored from the best whole checkpoint, with its words, and that checkpoint's epoch.

        Raises:
            InputError: as `Run.restore` raises it.
        """
        model = self.build(self.in_use(run.config), run.facts)
        epoch = run.restore(model)
        if wording := run.wording:
            model.wording = wording
        return model, epoch

    def evaluate(self, run: Run, data: Data, model: Any, epoch: int, wanted: Sequence[Evaluation]) -> dict[str, Any]:
        """Score a model of a run; merge the scores into the run's metrics.json, and write its pictures.

        An exported run keeps the metrics.json that it came with, and gets pictures alone.

        Args:
            model: a model in the state of the checkpoint of `epoch`.
            wanted: evaluations of the mode.

        Returns:
            The scores that were computed now, by key.
        """
        scorer = self.scorer(self, run, data, model)
        found: dict[str, Any] = {
            "mode": run.mode,
            "seed": run.config.seed,
            "dataset": run.config.dataset,
            "epoch": epoch,
        }
        with contextlib.closing(scoring(wanted)) as evaluations:
            for evaluation in evaluations:
                scorer.compute(evaluation)
        for name, figure in scorer.figures().items():
            save_figure(figure, run.figures / f"{name}.png")
        for name, arrays in ({} if run.exported else scorer.arrays()).items():
            write_arrays(run.path / name, **arrays)
        found |= scorer.found | {"n_parameters": model.count_params()}
        if run.history:  # an exported run has no history, and its metrics.json has the cost of its training
            found |= {"train_minutes": round(run.train_minutes, 2)}
            found |= {"peak_memory_gb": run.peak_memory_gb} if run.peak_memory_gb else {}
        stored = run.scores  # read now, because another evaluation may have ended meanwhile
        if any(stored.get(name, found[name]) != found[name] for name in ("epoch", *FEATURE_NETWORK) if name in found):
            stored = {}  # scores of another checkpoint or feature network do not stand beside these
        if not run.exported:
            run.write_scores(stored | found)
        return found
