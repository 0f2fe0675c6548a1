"""The report of a run: one self-contained HTML page made from its folder.

`write_report` reads the files of the run folder and nothing else: no model, no store, no network.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limssr.core.files import check_output, write_atomically

if TYPE_CHECKING:
    from jinja2 import Environment


def write_report(run_dir: Path) -> Path:
    """Write report.html, and the list performances.csv, into a run folder, replacing older ones.

    Args:
        run_dir: With run.json; every other file that is missing is named in the report instead.

    Returns:
        Path of the report.

    Raises:
        ArtifactError: No run.json, or one of a newer format; a file that is there but cannot be read.
    """
    # Figures bring matplotlib along; a table on the terminal, whose words stand in this room too, does without.
    from limssr.report.performances import FILE, as_csv, performances
    from limssr.report.run_page import build_contents
    from limssr.report.runfolder import read_run_folder

    run_dir = Path(run_dir)
    if (run_dir / "run.json").is_file():  # else the words below say what is missing
        check_output(run_dir / "report.html", "a copy of the run folder")
    folder = read_run_folder(run_dir)
    contents = build_contents(folder)
    if listed := performances(folder):
        write_atomically(run_dir / FILE, as_csv(listed))
    path = run_dir / "report.html"
    write_atomically(path, render_page("template.html.j2", contents))
    return path


def render_page(template: str, contents: Mapping[str, Any]) -> bytes:
    """A page from one of the templates beside this file, with the style of all our pages inside it."""
    from markupsafe import Markup

    environment = environment_of_templates(autoescape=True)
    files = {"style": "style.css", "dark": "dark.css", "sort": "sort.js"}
    loader = environment.loader
    assert loader is not None
    inlined = {name: Markup(loader.get_source(environment, file)[0]) for name, file in files.items()}
    return environment.get_template(template).render(**contents, **inlined).encode("utf-8")


def environment_of_templates(*, autoescape: bool) -> "Environment":
    """What renders the templates beside this file; a name that a template misspells is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("limssr.report", "."),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
