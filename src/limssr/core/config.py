"""The configuration of a run: frozen pydantic models, read from YAML recipes and written into every run folder.

Defaults are the paper's values where the paper has one; where ours differ the field says so. No string in a recipe ever
names a Python object to import.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from limssr.core.bounds import (
    MAX_COUNT,
    MAX_SIZE,
    MAX_TOGETHER,
    Count,
    DropoutRate,
    Name,
    Option,
    PathText,
    Rate,
    Seed,
    Size,
    Weight,
)
from limssr.core.config_data import ConfigPart, DataConfig, MissingConfig

PromptPart = Literal["condition", "instruction", "fusion"]


class BackboneConfig(ConfigPart):
    """The language model that reads the sequence."""

    name: PathText = "qwen3-0.6b"
    """The language model: a name that `limssr doctor` lists (qwen3-0.6b, smollm2-135m, tiny), a hub id (owner/name), a
    local folder, or a .gguf file, which is converted once into the cache."""
    revision: str | None = None
    """Revision on the hub. It is recorded, and checked when the run is loaded."""
    local_files_only: bool = True
    """true: use local files only. false: download from the hub what is missing."""
    num_layers: int | None = Field(default=None, ge=1, le=10_000)
    """Number of layers to keep, counted from the first. null: all layers."""
    init: Literal["pretrained", "random"] = "pretrained"
    """pretrained: the published weights. random: random weights of the same shape, to measure what pretraining adds."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the frozen weights."""
    gradient_checkpointing: bool = False
    """Save memory in training: keep only the states between layers, and compute the others again in the backward
    pass."""
    memory_gb: float | None = Field(default=None, gt=0.0, le=1e6)
    """Limit for the activations of the language model in a training step, in GB (10^9 bytes). A batch that needs more
    is read in chunks, with the same results. Weights, optimizer and other layers come on top. null: no limit."""
    reading: Literal["packed", "padded"] = "packed"
    """packed: a batch is one row without padding, and each distinct prompt is read once. padded: one row a sample,
    padded to the longest. Both give the same scores; packed is faster (docs/performance.md)."""

    @model_validator(mode="after")
    def _one_way_to_save_memory(self) -> "BackboneConfig":
        if self.memory_gb is not None and (self.gradient_checkpointing or self.reading == "padded"):
            raise ValueError(
                "memory_gb reads a packed batch in chunks, which are computed again as a whole: it needs "
                "reading: packed and gradient_checkpointing: false"
            )
        return self


class LoraConfig(ConfigPart):
    """Low-rank adapters on the attention maps (paper section 4.1)."""

    rank: Size = 16
    """Rank of the adapters."""
    alpha: int = Field(default=32, ge=1, le=MAX_COUNT)
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    dropout: DropoutRate = 0.1
    """Dropout rate in front of the adapters."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Linear maps that get an adapter, by the last part of their name."""


class PromptConfig(ConfigPart):
    """The instruction in front of the streams (paper sections 3.4, 3.5; ablations of Table 8)."""

    variant: Literal["published", "clean", "none"] = "clean"
    """published: the sentences of the published code. clean: correct sentences for any streams and subsets. none: no
    prompt."""
    parts: tuple[PromptPart, ...] = ("condition", "instruction", "fusion")
    """Parts of the prompt to use: which streams are present, what to do, and what the fusion tokens are for."""
    subject: str = Field(default="a performance", max_length=500)
    """What the streams show, as the clean prompt puts it, such as "an action video" or "a piano performance"."""


class WordsConfig(ConfigPart):
    """How the language model reads streams of words (docs/data-format.md)."""

    read: Literal["tokens", "view"] = "tokens"
    """tokens: the words themselves, as rows of the language model's own table of embeddings. view: their view in
    numbers, projected like the features of any other stream."""
    limit: int = Field(default=512, ge=1, le=MAX_SIZE)
    """Tokens of a stream that are read. Of a longer text the middle is left out: half of the tokens are of its
    beginning, half of its end."""


class StatisticsConfig(ConfigPart):
    """The head `statistics` and the system `statistics` (docs/heads.md): an option of ours, not of the paper."""

    members: int = Field(default=8, ge=1, le=1_024)
    """Number of networks that read the moments of the streams. The mean of their scores is the score of path 2."""
    hidden: Size = 128
    """Width of their hidden layer."""
    input_dropout: DropoutRate = 0.2
    """Dropout rate on their inputs."""
    dropout: DropoutRate = 0.4
    """Dropout rate in their hidden layer."""
    mix: float = Field(default=0.5, ge=0.0, le=1.0)
    """Weight of path 1, which reads the language model, in the final score. It is fixed, because training would give it
    to the path that over-fits more."""
    first: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the epochs in which the ensemble is trained alone, without the language model. In the remaining epochs
    the ensemble is fixed and everything else is trained. 0: all are trained together."""
    keeps: Literal["last", "best"] = "last"
    """Which epoch of the ensemble's own training is kept. best: the one with the lowest validation loss, for small
    training sets, which are over-fitted early. last: the last one, for validation splits too small to choose by."""
    widest: int | None = Field(default=1024, ge=16)
    """Moments that all streams may have together. Where they have more, those of a wide stream are reduced to the
    directions in which training samples differ most. null: none are, and training on wide streams may diverge."""


class ModelConfig(ConfigPart):
    """The model (paper section 3). Defaults are the published architecture."""

    system: str = "limssr"
    """limssr, or the name of a comparison system; `limssr systems` lists them."""
    options: dict[str, Option] = Field(default={})
    """Settings of the comparison system; `limssr systems NAME` lists them."""
    backbone: BackboneConfig = BackboneConfig()
    lora: LoraConfig | None = LoraConfig()
    """Low-rank adapters on the attention maps of the language model (paper section 4.1). null: the language model is
    not trained."""
    train_embeddings: Literal["used", "all", "new", "none"] = "used"
    """Which token embeddings are trained. used: those of the prompt's words and the special tokens. all: the whole
    table, as in the paper. new: special tokens only. none: no embeddings."""
    new_token_init: Literal["mean", "normal", "existing"] = "mean"
    """First values of the special tokens. mean: the mean of the embedding table, plus noise of the table's spread.
    normal: N(0, 0.02). existing: rows of the table that belong to no word, as in the published code, or mean where
    there are too few."""
    prompt: PromptConfig = PromptConfig()
    boundary_tokens: Literal["learned", "none"] = "learned"
    """learned: every block of tokens begins and ends with a special token. none: blocks without them (Table 8, "w/o
    special tokens")."""
    block_order: Literal["paper", "interleaved"] = "paper"
    """paper: first the blocks of streams that are present, then those of absent ones. interleaved: the tokens of all
    streams segment by segment."""
    absent: Literal["placeholders", "zeros", "omitted"] = "placeholders"
    """What represents an absent stream. placeholders: learned tokens, as in the paper. zeros: zero vectors. omitted:
    nothing. The last two are ablations (docs/ablations.md)."""
    num_missing_tokens: Size | None = None
    """Number of placeholders for an absent stream. null: one for each segment, as in the paper."""
    num_fusion_tokens: int = Field(default=4, ge=0, le=MAX_SIZE)
    """Number of fusion tokens (K in the paper). 0 is an ablation: the mean hidden state of the streams takes their
    place."""
    input_scaling: Literal["none", "standard"] = "none"
    """none: features as they are. standard: each feature is centred and scaled by its mean and standard deviation in
    training, and clipped at ±5."""
    head: Literal["paper", "statistics"] = "paper"
    """paper: the head of the paper (sections 3.5 and 3.6). statistics: our head for small data sets (docs/heads.md)."""
    words: WordsConfig = WordsConfig()
    """How streams of words are read."""
    statistics: StatisticsConfig = StatisticsConfig()
    """Settings of the head `statistics` and of the system `statistics`."""
    paths: Literal["both", "path1", "path2"] = "both"
    """Which scoring paths the head `paper` has; one alone is an ablation (Table 6)."""
    calibration: Literal["mask_aware", "none"] = "mask_aware"
    """mask_aware: the calibration of the paper. none: path 1 without gated refinement, path 2 without reliabilities,
    and the mean of both as the score ("w/o MDA" in Tables 3 and 6)."""
    gate_layers: Literal[1, 2] = 1
    """Number of layers in the gate of path 1. The paper's text says two; its parameter count fits one."""
    output: Literal["sigmoid", "linear", "standardized"] = "sigmoid"
    """sigmoid: as in the published code. linear: as in the paper's text. standardized: linear, around the mean training
    score and in its standard deviations."""
    dropout: DropoutRate = 0.15
    """Dropout rate of the layers around the language model."""
    hidden: int | None = Field(default=None, ge=4, le=MAX_SIZE)
    """Width of a comparison system. null: the width in its paper."""

    @model_validator(mode="after")
    def _layout_fits(self) -> "ModelConfig":
        if self.block_order == "interleaved" and self.num_missing_tokens is not None:
            raise ValueError(
                "num_missing_tokens needs block_order: paper (interleaved puts one placeholder at each segment)"
            )
        if self.block_order == "interleaved" and self.absent == "omitted":
            raise ValueError("absent: omitted needs block_order: paper (interleaved gives every segment its place)")
        if self.system == "limssr" and self.options:
            raise ValueError("options belong to comparison systems; limssr has its own keys")
        if self.head == "statistics" and (self.paths != "both" or self.calibration != "mask_aware"):
            raise ValueError("paths and calibration are switches of head: paper; head: statistics has neither")
        members, hidden = self.statistics.members, self.statistics.hidden
        if members * hidden > MAX_TOGETHER:
            raise ValueError(f"statistics: members times hidden is {members * hidden:,}, at most {MAX_TOGETHER:,}")
        return self


def offline(config: ModelConfig) -> ModelConfig:
    """The same model, whose backbone is looked for on this machine alone.

    Only the recipe of the person who runs it may reach for a hub; a folder that somebody handed over may not.
    """
    return config.model_copy(update={"backbone": config.backbone.model_copy(update={"local_files_only": True})})


class LossConfig(ConfigPart):
    """Weights of the loss terms (paper section 3.7)."""

    task: Weight = 10.0
    """Weight of the task loss, the squared error of the scores."""
    consistency: Weight = 1.0
    """Weight of the loss that pulls the scores of the two paths together."""
    slots: Weight = 1.0
    """Weight of the loss that keeps the fusion tokens apart from each other."""
    regularizer: Literal["slot_triplet", "eq17"] = "slot_triplet"
    """Form of the loss on the fusion tokens. slot_triplet: as in the published code. eq17: Eq. 17 of the paper, which
    cannot prevent a collapse; a warning says so."""
    margin: float = Field(default=1.0, ge=-1e6, le=1e6)
    """Margin of that loss: the distance beyond which it is zero."""


class TrainConfig(ConfigPart):
    """Training (paper section 4.1, appendix B)."""

    epochs: Count = 100
    """Passes over the training samples."""
    batch_size: Count = 8
    """Samples in a batch."""
    learning_rate: Rate = 2e-4
    """Highest learning rate of AdamW."""
    backbone_learning_rate: Rate | None = None
    """Learning rate of the adapters and token embeddings. null: `learning_rate`."""
    statistics_learning_rate: Rate | None = None
    """Learning rate of the networks that read moments (head and system `statistics`). null: `learning_rate`."""
    statistics_weight_decay: float | None = Field(default=None, ge=0.0)
    """Weight decay of the networks that read moments. null: `weight_decay`."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    """Weight decay of AdamW."""
    warmup_epochs: int = Field(default=5, ge=0, le=MAX_COUNT)
    """Epochs in which the learning rate rises to its highest value."""
    warmup_start: float = Field(default=0.2, gt=0.0, le=1.0)
    """Learning rate at the start of the warm-up, as a share of the highest."""
    final_learning_rate: float = Field(default=0.1, ge=0.0, le=1.0)
    """Learning rate at the end of the cosine schedule, as a share of the highest."""
    clip_norm: float = Field(default=1.0, gt=0.0, le=1e6)
    """Largest norm of the gradient; a longer one is scaled down to it."""
    accumulate: Count = 1
    """A step is on `batch_size` times as many samples, which the language model reads in so many pieces to save memory.
    The numbers are those of one large batch; reading in pieces takes a third longer."""
    precision: Literal["float32", "tf32", "bf16", "fp16"] = "float32"
    """Precision of the computation in training. bf16 and fp16: mixed precision. tf32: float32 with shortened matrix
    products, on NVIDIA GPUs."""
    selection: Literal["val", "last", "test"] = "val"
    """Which epoch is kept. val: the one with the lowest validation loss. last: the last one. test: the best one on the
    test split, only to repeat published tables; every report of such a run says so."""
    patience: Count | None = None
    """Stop after this many epochs without a lower validation loss. null: no early stopping."""
    average: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Decay per step of an exponential moving average of the trained weights. null: no averaging."""
    batches: Literal["random", "length"] = "random"
    """random: batches at random. length: samples of similar length share a batch, so that there is little padding."""
    workers: int = Field(default=0, ge=0, le=128)
    """Processes that prepare batches; 0 prepares them in the training process."""


class EvalConfig(ConfigPart):
    """What is measured."""

    batch_size: Count = 32
    """Samples that are scored at once."""
    subsets: Literal["auto", "all"] | Annotated[int, Field(ge=1, le=1_000_000)] = "auto"
    """Subsets of the streams that are scored, in validation too; auto: all of up to six streams, else chosen ones."""
    min_samples: int = Field(default=10, ge=3, le=1_000_000)
    """Judged samples below which a criterion or a subset does not enter a mean."""
    interval: Literal["jackknife", "percentile"] = "jackknife"
    """How intervals are made: leave-one-out and Student's t, or percentiles of a bootstrap (docs/protocols.md)."""
    resample: Literal["auto", "samples", "groups"] = "auto"
    """What is left out or drawn: samples, whole groups of them, or (auto) groups where samples share any."""
    bootstrap: int = Field(default=2000, ge=0, le=100_000)
    """Resamples of percentile intervals; 0: no intervals of any kind."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Confidence level of the intervals."""
    references: tuple[str, ...] = ()
    """References: other models that are trained and scored in the same run, such as ridge, extra-trees, attention or
    random-backbone."""


class RunConfig(ConfigPart):
    """A whole run. `load_recipe` reads it; config.yaml in a run folder holds it with all defaults filled in."""

    name: Name = "run"
    """Name of the run in tables and reports, and of its folder unless another one is given."""
    seed: Seed = 42
    """Seed of everything random in the run: first weights, order of samples, crops, dropout, resamples."""
    data: DataConfig = DataConfig()
    missing: MissingConfig = MissingConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _per_batch_needs_complete_data(self) -> "RunConfig":
        if self.missing.dropout == "per_batch" and self.missing.availability and self.missing.availability.rate > 0:
            raise ValueError("dropout: per_batch hides the same streams in a whole batch and needs availability: null")
        return self
