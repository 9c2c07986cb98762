"""A Maestro YAML study -> events. `plan.plan_study` is the one entry; the rest serves it, in this order.

::

    plan            study file -> StudyPlan, or a SpecError with every problem; then `acquire`
    reading         the study file, read and checked up to its expansion; data -> text of a study file
    findings        problems and warnings: line, message, remedy
    document        YAML text -> data, and the line of everything in it
    validation      the shape, against schema/study.json
    checks          what a schema can't say
    partial         what is left of a faulty file, so that the rest is checked in the same round
    scalars         warnings about values without quotes whose text YAML changes
    env_block       the block ``env``: variables, labels, sources, dependencies, and their substitution
    templates       the steps as declared, their graph, and the order in which they are processed
    parameters      lists of values -> combinations
    pgen            parameters from a Python file of the user's, which may import Maestro's modules
    pgen_environment  what that file sees of the block ``env``, and changes in it
    pgen_tools      functions of Maestro's for that file
    study_environment  Maestro's classes for what is in an environment
    expansion       templates x combinations -> instances, what they wait for, where they run, walltimes that can't be
    placeholders    warnings about ``$(...)`` that were probably meant otherwise
    dependencies    paths that must exist, git repositories to clone
    metadata        the texts under meta/, and of batch.info
    block_yaml      large mappings as PyYAML would write them
    maestro_dir     a study directory of Maestro's, and what ``maestro update`` asks for
    maestro_status  its ``status.csv``
    render          template + one instance + study directory -> what is run; names that are safe on disk

Only `plan`, `dependencies`, `pgen` and what reads Maestro's directories touch the disk, and none writes to it.
Submitting needs `render` alone, which imports no YAML. What differs from Maestro, and why, is in
``docs/differences-from-maestro.md``.
"""
