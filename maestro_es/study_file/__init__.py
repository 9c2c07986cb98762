"""Turns a Maestro YAML study into events. The only entry point, `plan.plan_study`, uses the modules in this order.

::

    plan            study file -> StudyPlan, or a SpecError with every problem; then `acquire`
    reading         the study file, read and checked up to its expansion; data -> text of a study file
    findings        problems and warnings: line, message, remedy
    plain_yaml      usual YAML text -> data, quickly
    document        YAML text -> data, and the line of everything in it
    validation      the shape, against schema/study.json
    checks          rules that a schema can't express
    partial         the usable rest of a faulty file, so that it is checked in the same run
    scalars         warnings about values without quotes whose text YAML changes
    env_block       the block ``env``: variables, labels, sources, dependencies, and their substitution
    templates       the steps as declared, their graph, and the order in which they are processed
    parameters      lists of values -> combinations
    pgen            parameters from a user's Python file, which may import Maestro's modules
    pgen_environment  the block ``env`` as that file reads and changes it
    pgen_tools      Maestro's utility functions for that file
    study_environment  Maestro's classes for the items of an environment
    expansion       templates x combinations -> instances, and their order; checks of walltimes
    instances       name, workspace and dependencies of each instance, when needed; which scripts are checked
    names_on_disk   names and workspaces that are not unique or not possible
    placeholders    warnings about ``$(...)`` that are probably misspelt
    dependencies    paths that must exist, git repositories to clone
    metadata        the texts under meta/, and of batch.info
    block_yaml      writes large mappings as PyYAML would
    maestro_dir     a study directory of Maestro, and the request file of ``maestro update``
    maestro_status  Maestro's ``status.csv``
    render          template + one instance + study directory -> what runs; names that are safe on disk

Only the modules that read files, such as `plan`, `dependencies`, `pgen` and `maestro_dir`, access the disk. None of
them writes to it. Submitting needs only `render`, which does not import YAML. ``docs/differences-from-maestro.md``
describes the differences from Maestro and their reasons.
"""
