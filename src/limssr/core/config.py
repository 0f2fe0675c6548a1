"""What a run is, as data: frozen pydantic models, read from YAML recipes and written beside every result.

Defaults are the paper's values where the paper has one; where ours differ the field says so. No string in a recipe ever
names a Python object to import.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from limssr.core.reading.documents import is_text

# Bounds are far above what anyone trains and far below what fills a machine before the first step.
MAX_SIZE = 8_192
"""Of a width, a rank, or a number of tokens."""
MAX_COUNT = 1_000_000
"""Of epochs, samples of a batch, segments."""
MAX_TOGETHER = 131_072
"""Width of all members of an ensemble side by side."""
MAX_SEED = 2**63 - 1
MAX_FILE_NAME_BYTES = 200


def _is_name(value: str) -> str:
    # It becomes the name of a folder, with a few letters more while that is written.
    if (
        not is_text(value)
        or "\0" in value
        or max(len(part.encode()) for part in value.split("/")) > MAX_FILE_NAME_BYTES
    ):
        raise ValueError(f"a name of at most {MAX_FILE_NAME_BYTES} bytes is needed, as it names a folder")
    return value


def _is_option(value: bool | int | float | str | None) -> bool | int | float | str | None:
    if isinstance(value, int | float) and not abs(value) <= MAX_COUNT:
        raise ValueError(f"a number between {-MAX_COUNT:,} and {MAX_COUNT:,} is needed")
    return value


DropoutRate = Annotated[float, Field(ge=0.0, lt=1.0)]
Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Rate = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0, le=1e6)]
Name = Annotated[str, AfterValidator(_is_name), Field(max_length=2_000)]
Option = Annotated[bool | int | float | str | None, AfterValidator(_is_option)]
PromptPart = Literal["condition", "instruction", "fusion"]


class _Config(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, str_max_length=4_096
    )


class ValidationConfig(_Config):
    """A validation split other than the store's: a share of the training samples, or one fold of several."""

    share: float = Field(default=0.15, gt=0.0, lt=1.0)
    """Of the training samples, for a store without a validation split. Samples of one group move together; at least
    one group moves and at least one stays."""
    folds: int | None = Field(default=None, ge=2, le=1_000)
    """Divide training and validation samples together into so many folds of whole groups; `fold` of them validates, the
    others train, and `share` has no say. For cross-validation: a small validation split judges settings poorly."""
    fold: int = Field(default=0, ge=0, le=1_000)
    """Which one, from 0."""
    seed: Seed = 0
    """Decides, with a group's name, which groups; it is not the seed of the run, so all seeds share one validation."""

    @model_validator(mode="after")
    def _fold_exists(self) -> "ValidationConfig":
        if self.fold >= (self.folds or 1):
            raise ValueError(
                f"fold is {self.fold} and folds is {self.folds}: expected folds, and a fold from 0 that is below them"
            )
        return self


class DataConfig(_Config):
    """Which data, and how much of each performance is looked at."""

    store: str = ""
    """Folder of a feature store (`limssr data import`). A relative path is resolved against the working directory."""
    modalities: tuple[str, ...] | None = None
    """Streams to use, in this order; null: all streams of the store in the store's order."""
    criteria: tuple[str, ...] | None = None
    """Scores to predict; null: all of the store."""
    stream_dims: dict[str, Annotated[int, Field(ge=1, le=MAX_COUNT)]] | None = None
    """Width of each stream where there is no store yet: `limssr describe` of a published set-up needs nothing else."""
    num_segments: Count | None = None
    """T of the paper: longer performances are cropped to it, at random in training, around the centre when scoring.
    null keeps every performance whole."""
    validation: ValidationConfig | None = None
    """Hold out samples to choose the epoch by, other than the store's own validation split; null: that split."""
    padding: Literal["masked", "attended"] = "masked"
    """masked: padding does not exist for the model. attended: every performance is zero-padded to `num_segments` and
    the padding is read like data, as the published code does."""

    @model_validator(mode="after")
    def _attended_needs_length(self) -> "DataConfig":
        if self.padding == "attended" and self.num_segments is None:
            raise ValueError("padding: attended needs num_segments (the fixed T to pad to)")
        return self


class AvailabilityConfig(_Config):
    """Streams that a sample does not have, for good: a property of the data (paper section 3.1)."""

    rate: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability that a stream of a sample is absent; at least one stream always stays."""
    pattern: str = "independent"
    """independent, one-stream, or the name of the only stream that may be absent."""
    seed: Seed = 0
    splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    """Splits that are incomplete. Validation is by default, as a person with incomplete data has no other."""


class MissingConfig(_Config):
    """Missing streams: availability belongs to the data, dropout to the training."""

    availability: AvailabilityConfig | None = None
    """Made incomplete on reading, as `limssr data mask` does to a store of the streams in use; null: left as it is."""
    dropout: Literal["none", "per_sample", "per_batch"] = "per_sample"
    """Modality dropout: hide streams that exist, anew in every epoch, uniformly over the non-empty subsets of what
    the sample owns. per_batch: one pattern for the whole batch, as published (needs complete samples)."""
    training: Literal["available", "complete"] = "available"
    """complete: training samples get back what `availability` hides, as many papers assume; reports mark such a run.
    Validation stays incomplete."""


class BackboneConfig(_Config):
    """The language model that reads the sequence."""

    name: str = "qwen3-0.6b"
    """A name that `limssr doctor` lists (qwen3-0.6b, smollm2-135m, tiny), a hub id (owner/name), a local folder, or a
    .gguf file, which is dequantised once into the cache."""
    revision: str | None = None
    """Hub revision; recorded and verified on load."""
    local_files_only: bool = True
    """Never reach for the network unless this is false."""
    num_layers: int | None = Field(default=None, ge=1, le=10_000)
    """Keep only the first n layers; null keeps all."""
    init: Literal["pretrained", "random"] = "pretrained"
    """random answers whether the language prior matters."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_checkpointing: bool = False
    """Keep one state a layer and token in training, and compute the rest again when gradients are due."""
    memory_gb: float | None = Field(default=None, gt=0.0, le=1e6)
    """GB (10^9 bytes) that its activations may take in a training step: a batch that takes more is read in chunks, with
    the same numbers. On top come weights, optimizer and what is around the language model. null: no limit."""
    reading: Literal["packed", "padded"] = "packed"
    """packed: a batch is one row of real tokens, every distinct prompt once. padded: samples side by side, padded to
    the longest. Both give the same numbers; packed is faster (docs/performance.md)."""

    @model_validator(mode="after")
    def _one_way_to_save_memory(self) -> "BackboneConfig":
        if self.memory_gb is not None and (self.gradient_checkpointing or self.reading == "padded"):
            raise ValueError(
                "memory_gb reads a packed batch in chunks, which are computed again as a whole: it needs "
                "reading: packed and gradient_checkpointing: false"
            )
        return self


class LoraConfig(_Config):
    """Low-rank adapters on the attention maps (paper section 4.1)."""

    rank: Size = 16
    alpha: int = Field(default=32, ge=1, le=MAX_COUNT)
    dropout: DropoutRate = 0.1
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


class PromptConfig(_Config):
    """The instruction in front of the streams (paper sections 3.4, 3.5; ablations of Table 8)."""

    variant: Literal["published", "clean", "none"] = "clean"
    """published: the published sentences, odd as some read. clean: well-formed for any pattern and any names."""
    parts: tuple[PromptPart, ...] = ("condition", "instruction", "fusion")
    subject: str = Field(default="a performance", max_length=500)
    """What the streams show, in the clean prompt: "an action video", "a piano performance"."""


class StatisticsConfig(_Config):
    """The head `statistics` and the system `statistics` (docs/heads.md): an option of ours, not of the paper."""

    members: int = Field(default=8, ge=1, le=1_024)
    """Networks that read the moments of the streams; their mean is the second path's score."""
    hidden: Size = 128
    input_dropout: DropoutRate = 0.2
    dropout: DropoutRate = 0.4
    mix: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of path 1, which reads the language model, in the final score. It is not trained: on training samples the
    path that over-fits more would win it."""
    first: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the epochs in which the head's ensemble is trained alone, without the language model, before the rest
    is; it rests then. The two need very different numbers of steps. 0: both are trained together."""
    keeps: Literal["last", "best"] = "last"
    """Which epoch of that time the ensemble rests at: the last, or the one with its lowest validation loss. Few samples
    are soon learned by heart: best; a validation split that is smaller still chooses poorly: last."""


class ModelConfig(_Config):
    """The model (paper section 3). The defaults are the published architecture."""

    system: str = "limssr"
    """limssr, or a comparison system: `limssr systems` lists them."""
    options: dict[str, Option] = {}
    """Settings of the comparison system; `limssr systems NAME` lists them."""
    backbone: BackboneConfig = BackboneConfig()
    lora: LoraConfig | None = LoraConfig()
    """null trains the backbone not at all."""
    train_embeddings: Literal["used", "all", "new", "none"] = "used"
    """used: the rows of prompt and special tokens, as own parameters; all: the paper's whole table; new: special tokens
    only; none: nothing."""
    new_token_init: Literal["mean", "normal", "existing"] = "mean"
    """Where special tokens start: at the mean of the embedding table plus its spread, N(0, 0.02), or (existing, as in
    the published code) the rows of the table beyond its tokenizer's words; where these do not suffice, mean."""
    prompt: PromptConfig = PromptConfig()
    boundary_tokens: Literal["learned", "none"] = "learned"
    """none: blocks without <start> and <end> (Table 8, w/o special tokens)."""
    block_order: Literal["paper", "interleaved"] = "paper"
    """paper: present blocks, then absent ones. interleaved: segment by segment."""
    absent: Literal["placeholders", "zeros", "omitted"] = "placeholders"
    """What stands where a stream is absent: learned placeholders as in the paper, as many zero vectors, or nothing at
    all. The last two are ablations (docs/ablations.md)."""
    num_missing_tokens: Size | None = None
    """Placeholders of an absent stream; null: one a segment, as in the paper."""
    num_fusion_tokens: int = Field(default=4, ge=0, le=MAX_SIZE)
    """K. 0 is an ablation: the mean of the last hidden states over the streams stands in for the slots."""
    input_scaling: Literal["none", "standard"] = "none"
    """standard: features minus their training mean, over their training deviation, clipped at +-5."""
    head: Literal["paper", "statistics"] = "paper"
    """paper: sections 3.5 and 3.6. statistics: our option, see docs/heads.md."""
    statistics: StatisticsConfig = StatisticsConfig()
    """Of the head and the system `statistics`."""
    paths: Literal["both", "path1", "path2"] = "both"
    """Which paths the head `paper` has (Table 6)."""
    calibration: Literal["mask_aware", "none"] = "mask_aware"
    """none: path 1 without its gated refinement, path 2 without reliabilities, and the mean of both for their mix
    ("w/o MDA" of Tables 3 and 6)."""
    gate_layers: Literal[1, 2] = 1
    """Layers of path 1's gate. The text says two, the published parameter count says one."""
    output: Literal["sigmoid", "linear", "standardized"] = "sigmoid"
    """sigmoid as published, linear as the text; standardized: linear, around training mean, in training deviations."""
    dropout: DropoutRate = 0.15
    hidden: int | None = Field(default=None, ge=4, le=MAX_SIZE)
    """Width of a comparison system, which has no backbone to take it from; null: its paper's."""

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


class LossConfig(_Config):
    """Weights of the loss terms (paper section 3.7)."""

    task: Weight = 10.0
    consistency: Weight = 1.0
    slots: Weight = 1.0
    regularizer: Literal["slot_triplet", "eq17"] = "slot_triplet"
    """slot_triplet: the published code. eq17: the paper's Eq. 17, which cannot prevent collapse (a warning says so)."""
    margin: float = Field(default=1.0, ge=-1e6, le=1e6)


class TrainConfig(_Config):
    """The visible loop (paper section 4.1, appendix B)."""

    epochs: Count = 100
    batch_size: Count = 8
    learning_rate: Rate = 2e-4
    backbone_learning_rate: Rate | None = None
    """Of LoRA and token rows; null: the same as `learning_rate`."""
    statistics_learning_rate: Rate | None = None
    """Of the networks that read the moments (head and system `statistics`); null: the same as `learning_rate`."""
    statistics_weight_decay: float | None = Field(default=None, ge=0.0)
    """Likewise; null: the same as `weight_decay`."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    warmup_epochs: int = Field(default=5, ge=0, le=MAX_COUNT)
    warmup_start: float = Field(default=0.2, gt=0.0, le=1.0)
    """Share of the learning rate at the start of the warm-up."""
    final_learning_rate: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of the learning rate that the cosine ends at."""
    clip_norm: float = Field(default=1.0, gt=0.0, le=1e6)
    accumulate: Count = 1
    """Batches a step."""
    precision: Literal["float32", "tf32", "bf16", "fp16"] = "float32"
    """bf16, fp16: mixed precision, only where a device is measured to be faster with it. tf32: matrix products of
    float32 with fewer bits, on NVIDIA GPUs, in training alone."""
    selection: Literal["val", "last", "test"] = "val"
    """Which epoch is kept. test exists only to repeat published tables, and every report made with it says so."""
    patience: Count | None = None
    """Stop after this many epochs without a better validation loss; null never stops early."""
    average: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Decay of an exponential moving average of the trained tensors, a step; null: no averaging."""
    batches: Literal["random", "length"] = "random"
    """length: samples of similar length share a batch, so that little is padded."""
    workers: int = Field(default=0, ge=0, le=128)


class EvalConfig(_Config):
    """What is measured."""

    batch_size: Count = 32
    bootstrap: int = Field(default=1000, ge=0, le=100_000)
    """Resamples of the intervals; 0: none."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    references: tuple[str, ...] = ()
    """Simple models trained and scored beside the model, in the same run: names of `limssr.runs.references`."""


class RunConfig(_Config):
    """A whole run. `load_recipe` reads it, the run folder's config.yaml holds it with every default filled in."""

    name: Name = "run"
    seed: Seed = 42
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
