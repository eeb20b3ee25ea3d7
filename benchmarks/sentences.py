"""How a run was made, in words: pure functions of the record."""

from __future__ import annotations

from .run_record import Entry, Run


def machine_text(run: Run) -> str:
    one = run.machine
    return f"{one.processor}, {one.cores} cores, {one.memory_gb} GB, {one.system} {one.architecture}" + (
        f" ({', '.join(one.instructions)})" if one.instructions else ""
    )


def conditions(run: Run) -> tuple[str, ...]:
    """Return sentences on how the run was made."""
    asked = run.request
    threads = f"{asked.threads} thread{'s' if asked.threads > 1 else ''}"
    disturbance = run.disturbance.sentence()
    return (
        f"{threads}, at most {asked.rounds} rounds, turn by turn, each in a process of its own, after {asked.warmups} "
        f"of each that do not count. {disturbance[0].upper()}{disturbance[1:]}",
        f"The picture is {asked.picture}, {asked.picture_hw[1]}x{asked.picture_hw[0]}; everything mode asks a grid of "
        f"{asked.points_per_side} x {asked.points_per_side} points, without limits."
        + (" A quick run: fewer rounds, no torch.compile, no 64 prompts." if asked.quick else ""),
    )


def options_text(entry: Entry) -> tuple[str, ...]:
    """Return a sentence for each component: what its session says that it uses."""
    said = []
    for component, report in entry.engines.items():
        options = ", ".join(f"{name}={value}" for name, value in report.options.items())
        threads = "threads not told" if report.threads is None else f"{report.threads} threads"
        said.append(
            f"{component}: {report.engine} {report.version} on {report.device}, {report.compute_precision}, {threads}"
            + (f", {options}" if options else "")
        )
    return tuple(said)
