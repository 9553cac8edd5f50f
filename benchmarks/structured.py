"""Real schemas on a real model, with and without the router: who hands over how many valid answers?

    python -m benchmarks.structured [--tokens 256] [--deadline 30] [--callers 2] [--each N] [--only SPLIT …] [--to FILE]

The 110 schemas of the sample, the same model, prompt, seed, token limit and deadline on both sides, each side in
turn for every split. Needs the weights in the cache. Exits 1 when a line of issue 4 does not hold: a success that is
invalid, a call over its deadline, a refusal without a reason, or a split in which the runtime alone did better.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from benchmarks.results import machine
from benchmarks.structured_sides import PROMPT, SEED, Ask, Outcome, Terms, bare, routed

SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "jsonschemabench-sample.json"
PATIENCE_S = 0.5
"""How late the end of a call may be seen on a busy machine."""
KINDS = ("valid", "refused", "cut", "late", "invalid")

ABOUT = """\
# Structured output on real schemas

Written by `make bench-structured` in {minutes:.0f} minutes on {machine}.

The 110 schemas of the sample of JSONSchemaBench (`tests/data/`), or as many as were asked for. On both sides:
SmolLM2-135M-Instruct (Q4_1) in llama.cpp, prompt "{prompt}", temperature 0, seed {seed}, at most {tokens} tokens,
{callers} calls at once, {deadline:g} s a call. *bare* is llama.cpp's own `/v1/chat/completions` with the schema as
`response_format: json_schema`; *router* is `Router.generate` with the same schema. Judged by stock jsonschema.

*valid*: one JSON value that the schema accepts. *refused*: an error that names its reason. *cut*: stopped at the token
limit, which the router makes an error of. *late*: no answer within the deadline. *invalid*: handed over as a success
and is none. *s*: seconds, summed over the calls, on a machine that others use as well.

Of the router's valid answers {first} came at the first attempt, within the same tokens; the others after its one
repair, which may use twice as many. The bare side was asked once.
"""


@dataclass(frozen=True)
class Answer:
    """What one side made of one schema, and in how many seconds."""

    name: str
    outcome: Outcome
    seconds: float


@dataclass
class Split:
    """One split of the sample, as both sides did."""

    name: str
    sides: dict[str, list[Answer]] = field(default_factory=dict)

    def count(self, side: str, kind: str) -> int:
        """Return how many answers of a side were of a kind."""
        return sum(answer.outcome.kind == kind for answer in self.sides[side])

    def seconds(self, side: str) -> float:
        """Return the seconds that a side took, summed over its calls."""
        return sum(answer.seconds for answer in self.sides[side])


async def asked(ask: Ask, rows: Sequence[dict[str, Any]], callers: int) -> list[Answer]:
    """Ask for every schema, so many at a time; answers in the order of the rows."""
    answers: dict[str, Answer] = {}
    waiting = iter(rows)

    async def caller() -> None:
        for row in waiting:
            begun = time.perf_counter()
            outcome = await ask(row["schema"])
            answers[row["name"]] = Answer(row["name"], outcome, time.perf_counter() - begun)

    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(caller)
    return [answers[row["name"]] for row in rows]


async def run(rows: list[dict[str, Any]], terms: Terms, log: Path | None) -> list[Split]:
    """Return what both sides made of every split."""
    splits: list[Split] = []
    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            sides = {
                "bare": await stack.enter_async_context(bare(terms, Path(folder))),
                "router": await stack.enter_async_context(routed(terms, Path(folder))),
            }
            for name, group in groupby(rows, key=lambda row: str(row["split"])):
                split, some = Split(name), list(group)
                for side, ask in sides.items():
                    split.sides[side] = await asked(ask, some, terms.callers)
                splits.append(split)
                print(" | ".join(row_of(split)), file=sys.stderr, flush=True)
                if log:
                    _write(log, splits)
    return splits


def row_of(split: Split) -> list[str]:
    """Return a split as a row of the table."""
    total = len(split.sides["bare"])
    cells = [split.name, str(total)]
    for side in ("bare", "router"):
        cells += [str(split.count(side, kind)) for kind in KINDS] + [f"{split.seconds(side):.0f}"]
    return cells


def broken(splits: list[Split], terms: Terms) -> list[str]:
    """Return what issue 4 asks for and was not found."""
    found = []
    for split in splits:
        if split.count("router", "valid") < split.count("bare", "valid"):
            found.append(f"{split.name}: fewer valid answers than the runtime alone.")
        for answer in split.sides["router"]:
            if answer.outcome.kind == "invalid":
                found.append(f"{answer.name}: an invalid success ({answer.outcome.why}).")
            if answer.seconds > terms.deadline + PATIENCE_S:
                found.append(f"{answer.name}: {answer.seconds:.1f} s, over its deadline.")
            if not answer.outcome.named:
                found.append(f"{answer.name}: a refusal that names nothing ({answer.outcome.why}).")
    return found


def page(splits: list[Split], terms: Terms, wrong: list[str], minutes: float) -> str:
    """Return everything as Markdown."""
    whole = Split("**all**", {side: [a for split in splits for a in split.sides[side]] for side in ("bare", "router")})
    header = ["split", "n", *(f"{side} {word}" for side in ("bare", "router") for word in (*KINDS, "s"))]
    rows = [row_of(split) for split in (*splits, whole)]
    first = sum(a.outcome.kind == "valid" and a.outcome.attempts == 1 for a in whole.sides["router"])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("xllamacpp", "llguidance", "jsonschema"))
    lines = [
        ABOUT.format(
            minutes=minutes,
            machine=f"{machine()}, {versions}",
            prompt=PROMPT,
            seed=SEED,
            first=first,
            **vars(terms),
        ),
        "| " + " | ".join(header) + " |",
        "|---" + "|--:" * (len(header) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        "What must hold: " + ("everything does." if not wrong else "**not everything does.**"),
        *(f"- {each}" for each in wrong),
        "",
        "## What the router refused",
        "",
        *(
            [f"- `{a.name}`: {a.outcome.why}" for a in whole.sides["router"] if a.outcome.kind != "valid"]
            or ["Nothing."]
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _write(log: Path, splits: list[Split]) -> None:
    rows = [
        {"split": split.name, "side": side, "name": a.name, "seconds": round(a.seconds, 2), **vars(a.outcome)}
        for split in splits
        for side, answers in split.sides.items()
        for a in answers
    ]
    log.write_text("\n".join(map(json.dumps, rows)) + "\n")


def chosen(rows: list[dict[str, Any]], only: list[str] | None, each: int | None) -> list[dict[str, Any]]:
    """Return the schemas of the splits asked for, the first so many of each, split by split."""
    rows = sorted((row for row in rows if not only or row["split"] in only), key=lambda row: str(row["split"]))
    return [row for _, group in groupby(rows, key=lambda row: str(row["split"])) for row in list(group)[:each]]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--deadline", type=float, default=30)
    parser.add_argument("--callers", type=int, default=2)
    parser.add_argument("--each", type=int, help="only the first so many schemas of each split")
    parser.add_argument("--only", nargs="+", metavar="SPLIT")
    parser.add_argument("--to", type=Path, help="write the page there")
    parser.add_argument("--log", type=Path, help="write every outcome there, a line each")
    options = parser.parse_args()
    terms = Terms(options.tokens, options.deadline, options.callers)
    rows = chosen(json.loads(SAMPLE.read_text()), options.only, options.each)
    begun = time.perf_counter()
    splits = anyio.run(partial(run, rows, terms, options.log))
    wrong = broken(splits, terms)
    text = page(splits, terms, wrong, (time.perf_counter() - begun) / 60)
    print(text)
    if options.to:
        options.to.write_text(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
