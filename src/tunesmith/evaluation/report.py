"""The report: one self-contained page that a person who has never seen a confusion matrix can read.

It is made from the files of the run folder alone, so that it can be drawn again at any time; the same files give the
same bytes. No script, no network: a content security policy in the page forbids both.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from tunesmith.evaluation import report_data, report_pictures, report_training
from tunesmith.evaluation.report_blocks import Section
from tunesmith.evaluation.report_confidence import confidence
from tunesmith.evaluation.report_domains import domains
from tunesmith.evaluation.report_forgetting import forgetting
from tunesmith.evaluation.report_instalments import instalments
from tunesmith.evaluation.report_mistakes import classes, confusions, mistakes
from tunesmith.evaluation.report_read import Results, read
from tunesmith.evaluation.report_results import results_section, slices, warnings
from tunesmith.evaluation.report_robustness import robustness
from tunesmith.evaluation.report_splits import alike
from tunesmith.evaluation.report_structure import structured
from tunesmith.evaluation.report_together import together
from tunesmith.evaluation.report_verdict import question, verdict
from tunesmith.evaluation.report_zero_shot import zero_shot
from tunesmith.files import write_text

PAGE = "report.html"


def write_report(run: Path) -> Path:
    """Draw `report.html` of a run folder; returns its path."""
    page = run / PAGE
    write_text(page, render(read(run)))
    return page


def sections(results: Results) -> list[Section]:
    """The parts of the page, in order; those with nothing to say are left out."""
    everything = [
        warnings(results),
        results_section(results),
        structured(results),
        report_data.data_section(results),
        report_data.balance(results),
        alike(results),
        report_training.curves(results),
        together(results),
        *(section for own in _each(results) for section in own),
        report_pictures.pictures(results),
        report_pictures.augmented(results),
        slices(results),
        robustness(results),
        zero_shot(results),
        domains(results),
        forgetting(results),
        instalments(results),
        report_training.learnt(results),
        report_training.cost(results),
        report_training.proof(results),
        report_training.settings(results),
        report_training.provenance(results),
    ]
    return [section for section in everything if section.blocks]


def _each(results: Results) -> Iterator[list[Section]]:
    """What is shown of answers; of several tasks, task by task."""
    for name, own in (results.tasks or {"": results}).items():
        found = [confusions(own), classes(own), confidence(own), mistakes(own)]
        yield [replace(s, id=f"{s.id}-{name}", title=f"{name}: {s.title}") for s in found] if name else found


def environment() -> Environment:
    """Where pages come from. Everything that comes from data is escaped by default; pictures are built from escaped
    parts."""
    return Environment(
        loader=PackageLoader("tunesmith.evaluation"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def render(results: Results) -> str:
    """The page as text."""
    created = str(results.provenance.get("created") or "")[:16].replace("T", " ")
    page: str = environment().get_template("report.html").render(
        name=results.name, question=question(results), verdict=verdict(results), sections=sections(results),
        created=created, warned=bool(results.warnings),
    )  # fmt: skip
    return page
