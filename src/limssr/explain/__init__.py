"""Why a score is what it is: what streams and stretches of time add to it, and how far it can be trusted.

The package can be called: `limssr.explain(run)` does what the verb of its name does.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal


class _Callable(ModuleType):
    """A package that is also a function, since both have the name that people expect."""

    def __call__(
        self,
        run: Any,
        *,
        split: Literal["train", "val", "test"] = "test",
        samples: Sequence[str] = (),
        source: str | Path | None = None,
        subsets: Sequence[str] = (),
        member: str | None = None,
        device: str = "auto",
        show: Literal["progress", "nothing"] = "progress",
    ) -> dict[str, Any]:
        """Explain a finished run and write `explain/` into its folder: `limssr explain`.

        Args:
            run: A run folder, or what `limssr.train` returns.
            split: Whose performances are looked at.
            samples: Ids to explain one by one; empty: one with a low, a middle and a high score.
            source: Where these performances come from, as for `limssr predict`; None: the split.
            subsets: Subsets to look at, such as "video+audio"; empty: all that an evaluation scores.
            member: A reference of the run or a member of a mixture, such as "ridge".
            device: "auto", "cpu", "cuda", "cuda:N" or "mps".
            show: "progress" reports on stderr.

        Returns:
            What is written to explain.json, and under "folder" where.

        Raises:
            InputError: As for the verb.
        """
        from limssr.core.progress import SilentReporter, make_reporter
        from limssr.explain.run import Wish, explain_run

        wish = Wish(
            split=split,
            samples=tuple(samples),
            source=None if source is None else Path(source),
            subsets=tuple(subsets),
            member=member,
        )
        reporter = make_reporter() if show == "progress" else SilentReporter()
        return explain_run(Path(getattr(run, "folder", run)), wish, device=device, reporter=reporter)


sys.modules[__name__].__class__ = _Callable
