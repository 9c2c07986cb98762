from __future__ import annotations

import pytest

from tests.unit.study_file.study import HEAD, problems, read, steps

STEP = "study: [{name: a, description: d, run: {cmd: x}}]\n"


def warnings(text: str) -> tuple[str, ...]:
    return read(text).findings.warnings()


@pytest.mark.parametrize("batch", ["", "batch:\n", "batch: {}\n", "batch: {type: local}\n", "batch: {type: flux}\n"])
def test_a_batch_may_be_absent_or_short(batch: str):
    assert problems(HEAD + batch + STEP) == ()


def test_an_unknown_batch_type_is_refused_before_anything_is_made():
    assert problems(HEAD + "batch: {type: slrum}\n" + STEP) == (
        (
            "study.yaml:2: In batch, the type 'slrum' is unknown. Did you mean 'slurm'? "
            "Known types: local, slurm, lsf, flux, pbs."
        ),
    )


@pytest.mark.parametrize("kind", ["slurm", "lsf"])
def test_slurm_and_lsf_need_host_bank_and_queue(kind: str):
    found = problems(HEAD + f"batch: {{type: {kind}, queue: ''}}\n" + STEP)

    assert [problem.split("'")[1] for problem in found] == ["bank", "host", "queue"]


def test_a_date_in_batch_is_refused_since_no_event_can_hold_it():
    assert problems(HEAD + "batch: {type: local, args: [{r: 2024-01-01}]}\n" + STEP) == (
        "study.yaml:2: In batch, r is read as datetime.date(2024, 1, 1) (a date). Quote it.",
    )


@pytest.mark.parametrize("kind", ["slurm", "lsf", "flux"])
@pytest.mark.parametrize("key", ["shell", "host", "bank", "queue", "reservation", "qos", "nodes", "procs", "gpus"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("[a, b]", "is ['a', 'b'] (a list). Write one text."),
        ("{a: 1}", "is {'a': 1} (a mapping). Write one text."),
        (r'"a\nb"', r"is 'a\nb'. Write it on one line."),
        (r'"a\r"', r"is 'a\r'. Write it on one line."),
        (r'"a\u2028b"', r"is 'a\u2028b'. Write it on one line."),
    ],
)
def test_what_would_break_the_header_of_a_script_is_refused_in_batch(kind: str, key: str, value: str, problem: str):
    batch = {"type": kind, "host": "h", "bank": "b", "queue": "q", key: value}
    text = f"batch: {{{', '.join(f'{name}: {given}' for name, given in batch.items())}}}\n"

    assert problems(HEAD + text + STEP) == (f"study.yaml:2: In batch, {key} {problem}",)


def test_of_a_study_of_local_steps_the_shell_alone_is_looked_at():
    assert problems(HEAD + "batch: {queue: [a], bank: 'a\n\n  b', host: {}}\n" + STEP) == ()
    (problem,) = problems(HEAD + 'batch: {shell: "/bin/sh\\nrm x"}\n' + STEP)
    assert problem == r"study.yaml:2: In batch, shell is '/bin/sh\nrm x'. Write it on one line."


def test_numbers_and_texts_with_blanks_and_quotes_are_well_in_batch():
    batch = r"""batch: {type: slurm, host: 1, bank: 4711, queue: "a 'b' \"c\"\t", shell: /bin/bash -l, nodes: 2}"""
    assert problems(HEAD + batch + "\n" + STEP) == ()


def test_an_unknown_key_at_the_top_is_ignored_with_a_warning():
    text = HEAD + STEP + "global.parameter: {}\n"

    assert problems(text) == ()
    assert warnings(text) == (
        (
            "study.yaml:3: The key 'global.parameter' is ignored. Did you mean 'global.parameters'? "
            "Known keys here: description, env, batch, study, global.parameters."
        ),
    )


@pytest.mark.parametrize(
    ("batch", "advice"),
    [
        ("{type: slurm, host: h, bank: b, queue: q, resevation: x}", "'resevation' is ignored. Did you mean 'reserv"),
        ("{type: slurm, host: h, bank: b, queue: q, walltime: '1:00'}", "'walltime' is ignored. Put it under run of"),
        ("{type: slurm, host: h, bank: b, queue: q, wlltime: '1:00'}", "'wlltime' is ignored. Known keys of type sl"),
        ("{type: slurm, host: h, bank: b, queue: q, launcher_args: {}}", "'launcher_args' is ignored. Known keys of"),
        ("{type: lsf, host: h, bank: b, queue: q, qos: high}", "'qos' is ignored. Known keys of type lsf: type, "),
        ("{type: flux, version: 0.49.0, uris: u}", "'uris' is ignored. Did you mean 'uri'?"),
        ("{foo: bar}", "'foo' is ignored. Known keys of type local: type, shell, "),
        ("{type: slurm, host: h, bank: b, queue: q, nodes: 1, procs: 2, reservation: r, qos: s, args: {}}", ""),
        ("{type: lsf, host: h, bank: b, queue: q, nodes: 1, reservation: r, args: {}}", ""),
        ("{type: flux, host: h, uri: u, version: 0.49.0, args: {}, launcher_args: {}, allocation_args: {}}", ""),
        ("{type: local, shell: /bin/sh, host: h, bank: b, queue: q, nodes: 1, qos: s, uri: u}", ""),
    ],
)
def test_a_key_of_batch_that_nothing_reads_gets_one_warning(batch: str, advice: str):
    found = warnings(f"{HEAD}batch: {batch}\n{STEP}")

    assert [word for word in found if " is ignored" in word] == [*found][: bool(advice)]
    if advice:
        assert f"In batch, the key {advice}" in found[0]


def test_unknown_kinds_of_dependencies_and_keys_of_repositories_are_ignored_with_a_warning():
    text = HEAD + STEP + "env:\n  dependencies:\n    spack: {}\n    git:\n    - {name: G, path: p, url: u, brnch: x}\n"

    assert [warning.split(". ")[0] for warning in warnings(text)] == [
        "study.yaml:5: The key 'spack' is ignored",
        "study.yaml:7: The key 'brnch' is ignored",
    ]


def test_a_name_of_two_things_is_refused():
    text = HEAD + STEP + "env:\n  variables: {A: 1, SPECROOT: x}\n  labels: {A: x}\n"

    assert [problem.split(". ")[0] for problem in problems(text)] == [
        "study.yaml:4: A duplicate name 'SPECROOT' has been detected: it always is the directory of the study file",
        "study.yaml:5: A duplicate name 'A' has been detected, first in line 4",
    ]


def test_the_output_path_cannot_be_a_dependency_and_no_name_is_empty():
    text = HEAD + STEP + "env:\n  labels: {'': x}\n  dependencies: {paths: [{name: OUTPUT_PATH, path: /}]}\n"

    assert [problem.split(". ")[0] for problem in problems(text)] == [
        "study.yaml:4: All variables must have a valid name",
        "study.yaml:5: OUTPUT_PATH can't be a dependency",
    ]


def test_a_repository_is_asked_for_one_commit_and_nothing_git_takes_for_an_option():
    git = "{name: G, path: p, url: --upload-pack=x, tag: t, branch: b}"

    text = HEAD + STEP + f"env: {{dependencies: {{git: [{git}]}}}}"

    assert [problem.split(". ")[0] for problem in problems(text)] == [
        "study.yaml:3: In the git dependency 'G', url begins with '-'",
        "study.yaml:3: The git dependency 'G' gives tag and branch",
    ]


def test_parameters_have_values_and_as_many_as_each_other():
    text = (
        HEAD
        + STEP
        + (
            "global.parameters:\n"
            "  P: {values: [1, 2], label: P.%%}\n"
            "  Q: {values: [1], label: Q.%%}\n"
            "  R: {values: [], label: R.%%}\n"
        )
    )

    assert problems(text) == (
        (
            "study.yaml:5: Global parameter 'Q' is not the same length as other parameters. "
            "The number of values is 1 here, and 2 for 'P'. Combination i consists of "
            "the i-th value of each parameter."
        ),
        "study.yaml:6: Global parameter 'R' has no values. Give it at least one.",
    )


def test_a_parameter_that_a_variable_hides_gets_a_warning():
    text = HEAD + STEP + "env: {variables: {P: 1}}\nglobal.parameters: {P: {values: [1], label: P.%%}}\n"

    assert warnings(text) == (
        "study.yaml:4: The parameter 'P' never takes effect: $(P) is already set in env. Rename one of the two.",
    )


def test_no_step_has_the_name_of_the_root_of_a_graph():
    [problem] = problems(steps("a: cmd: x", "_source: cmd: y"))
    assert problem.startswith("study.yaml:4: No step can be called '_source', which is the root of Maestro's graph.")


def test_steps_have_different_names():
    assert problems(steps("a: cmd: x", "a: cmd: y")) == (
        (
            "study.yaml:4: The step name 'a' appears twice, first in line 3. Step names must be unique: "
            "rename one of them."
        ),
    )


def test_each_entry_of_sources_gets_a_warning_as_maestro_never_used_them():
    assert warnings(HEAD + "env:\n  sources:\n  - make\n  - source env.sh\n" + STEP) == tuple(
        f"study.yaml:{line}: Under sources, {entry!r} is a shell line in front of the commands of every step. "
        "Maestro ignores sources: remove it, unless the steps need it."
        for line, entry in ((4, "make"), (5, "source env.sh"))
    )


def test_a_key_at_the_top_is_said_to_belong_elsewhere():
    assert warnings(HEAD + "variables: {X: 1}\nqueue: q\n" + STEP) == (
        (
            "study.yaml:2: The key 'variables' is ignored. Put it under env. "
            "Known keys here: description, env, batch, study, global.parameters."
        ),
        (
            "study.yaml:3: The key 'queue' is ignored. Put it under batch. "
            "Known keys here: description, env, batch, study, global.parameters."
        ),
    )
