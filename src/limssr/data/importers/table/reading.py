"""How own tables are read: what a person said; what is left open is found out, and reported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from limssr.core.errors import InputError, unknown_name
from limssr.data.columns import Unnamed
from limssr.data.importers.table.headers import Header
from limssr.data.words.names import DEFAULT

Align = Literal["refuse", "shortest", "resample"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Options of reading; a store keeps them, so that new samples are read in the same way.

    Attributes:
        header: Whether the first line of a text table names its columns; "detect" finds out.
        columns: "by-name", or "by-place": names are not looked at, also where only some files have them.
        time: The column that holds the time of each row; "none": no column does; None: found by its name.
        rates: Stream -> rows a second, for files without a time column.
        segment_s: Length of a segment in seconds. Streams whose time is known are pooled to it.
        align: What is done where streams of a sample differ in length: "refuse"; "shortest" cuts their ends;
            "resample" averages each stream to the length of the shortest.
        zeros: What a stream is that is zero from end to end: kept as it is, or absent.
        words: The view of words in numbers (`limssr.data.words.views`).
        markup: Whether markup, entities and invisible signs are removed from words.
    """

    header: Header = "detect"
    columns: Literal["by-name", "by-place"] = "by-name"
    time: str | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    segment_s: float | None = None
    align: Align = "refuse"
    zeros: Literal["keep", "absent"] = "keep"
    words: str = DEFAULT
    markup: Literal["remove", "keep"] = "remove"

    def __post_init__(self) -> None:
        valid = {
            "header": ("detect", "first-line", "none"),
            "columns": ("by-name", "by-place"),
            "align": ("refuse", "shortest", "resample"),
            "zeros": ("keep", "absent"),
            "markup": ("remove", "keep"),
        }
        for name, values in valid.items():
            if getattr(self, name) not in values:
                raise unknown_name(f"value of '{name}'", str(getattr(self, name)), values)
        if self.time is not None and not isinstance(self.time, str):
            raise InputError(f"Expected the name of a time column, found {self.time!r}: give text.")
        for stream, rate in self.rates.items():
            if not 0 < rate < float("inf"):
                raise InputError(f"Expected a rate above 0 for '{stream}', found {rate:g}: give its rows a second.")
        if self.rates and self.segment_s is None:
            raise InputError(
                f"Expected the length of a segment beside --rate ({', '.join(self.rates)}), found none: give "
                "--segment-s, the seconds that one segment stands for."
            )

    @property
    def unnamed(self) -> Unnamed:
        """What is done with files without names where others have them."""
        return "by-place" if self.columns == "by-place" else "refuse"

    def check_streams(self, streams: tuple[str, ...]) -> None:
        """Raise `InputError` for a rate of a stream that is not there."""
        for stream in self.rates:
            if stream not in streams:
                raise unknown_name("stream", stream, streams)

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON values."""
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in asdict(self).items()}
        default = asdict(Reading())
        return {name: value for name, value in plain.items() if value != default[name]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any] | None) -> "Reading":
        """What `to_dict` wrote; unknown keys of a newer version are refused."""
        try:
            return cls(**(document or {}))
        except (TypeError, AttributeError) as error:
            raise InputError(f"Expected options of reading that this limssr knows, found others ({error}).") from None
