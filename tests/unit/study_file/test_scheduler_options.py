"""Options for schedulers, as study files give them: `args`, `memory`, and what is Flux's alone."""

from __future__ import annotations

import pytest

from tests.unit.study_file.study import HEAD, problems, read

STEP = "study: [{name: a, description: d, run: {cmd: hi}}]\n"
SLURM = "type: slurm, host: h, bank: b, queue: q"


def step(run: str) -> str:
    return f"study: [{{name: a, description: d, run: {{cmd: hi, nodes: 1, {run}}}}}]\n"


@pytest.mark.parametrize(
    "run",
    [
        "memory: 4G",
        "memory: 4096",
        "memory: $(M)",
        "args: {}",
        "args: {mail-user: me, nice: 3, overcommit: null, -C: haswell, --mem: $(M), x: 0.5}",
    ],
)
def test_a_step_may_have_memory_and_options_of_its_own(run: str):
    assert problems(HEAD + f"batch: {{{SLURM}}}\n" + step(run)) == ()


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (
            "memory: 0",
            "run.memory must be a string such as 4G, or a whole number of megabytes, but found 0 (a number).",
        ),
        (
            "args: [x]",
            "run.args must be a mapping of the scheduler's options to their values, but found ['x'] (a list).",
        ),
        (
            "args: {bad key: 1}",
            "run.args must be a mapping whose keys are names of options, such as mail-user, but found 'bad key'.",
        ),
        (
            "args: {requeue: true}",
            (
                "run.args.requeue must be a string or a number, or null for an option that takes no value, "
                "but found True (true or false)."
            ),
        ),
    ],
)
def test_other_options_are_refused_in_a_step(run: str, problem: str):
    assert problems(HEAD + f"batch: {{{SLURM}}}\n" + step(run)) == (f"study.yaml:3: In study step 'a', {problem}",)


def test_options_in_batch_are_looked_at_too():
    assert problems(HEAD + f"batch: {{{SLURM}, args: {{a: [1], b: null, c: x}}}}\n" + STEP) == (
        (
            "study.yaml:2: In batch, args.a is [1] (a list). "
            "Write a string or a number, or null for an option that takes no value."
        ),
    )
    assert problems(HEAD + f"batch: {{{SLURM}, args: [x]}}\n" + STEP) == (
        (
            "study.yaml:2: In batch, args is ['x'] (a list). "
            "Write a mapping of options to values, with null for an option that takes none."
        ),
    )


def test_flux_has_true_and_groups_among_its_options():
    assert problems(HEAD + "batch: {type: flux, args: {o: true}, allocation_args: {S: {a: 1}}}\n" + STEP) == ()


def test_scripts_for_old_interfaces_to_flux_are_not_written():
    assert problems(HEAD + "batch: {type: flux, version: 0.26.0}\n" + STEP) == (
        (
            "study.yaml:2: In batch, version is '0.26.0'. "
            "Scripts are written for 0.49.0, which is Maestro's default: remove the key."
        ),
    )


def test_what_flux_does_not_get_is_a_warning():
    text = HEAD + "batch: {type: flux, allocation_args: {x: null, foo: {a: 1}}}\n" + step("memory: 4G")

    assert read(text).findings.warnings() == (
        (
            "study.yaml:2: In batch, allocation_args.foo is ignored, as in Maestro. "
            "Put it in the args of the steps, or in setopt, o, setattr, S, conf."
        ),
        "study.yaml:2: In batch, allocation_args.x is ignored, as in Maestro. Put 'exclusive: true' in the steps.",
        "study.yaml:3: In study step 'a', memory is ignored. Flux does not allocate memory.",
    )
