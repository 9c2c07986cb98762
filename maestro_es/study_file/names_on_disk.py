"""Checks that the names of a study's instances, and their directories, are unique.

For most studies, the names of the templates and the set of labels prove this. Instances are compared one by one only
if two of them might collide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maestro_es.study_file import render
from maestro_es.study_file.findings import Findings
from maestro_es.study_file.instances import Expansion, Instances

_OTHER_LABELS = "Only letters, digits and -_.() of a name or label stay in a path: choose others, or use --hashws."


def check_names(
    expansion: Expansion, taken: Sequence[str], extension: str, findings: Findings, *, hashed: bool
) -> None:
    """Report instances that would share a name or a directory, and directories that can't be created.

    The second instance with the same name gets another name. `taken` holds the names of other files in the study
    directory, and `extension` is the extension of the scripts. With `hashed`, directories have short names.
    """
    names: dict[str, str] = {}  # names of instances, with their templates
    directories: dict[str, str] = {}  # paths, with the names of the instances there
    for template in _to_compare(expansion, taken, extension, hashed=hashed):
        instances = expansion.templates[template]
        line = instances.template.line
        for index, number in enumerate(instances.numbers()):
            name, directory = instances.name(index), instances.workspace(index)
            if name in names:
                message = f"Study steps '{names[name]}' and '{template}' both produce '{name}'"
                findings.problem(line, message, "Rename one of them.")
                expansion.renamed[number] = f"{name} ({template}, {number})"
            elif directory in directories:
                message = f"'{directories[directory]}' and '{name}' would run in the same directory"
                findings.problem(line, f"{message} '{directory}'", _OTHER_LABELS)
            names[name], directories[directory] = template, name
            wrong = render.objection(directory, _stem(name, directory, hashed=hashed), taken, extension)
            if wrong:
                findings.problem(line, f"'{name}' can't have a directory: {wrong}", "Rename it or change its label.")


def _stem(name: str, directory: str, *, hashed: bool) -> str:
    return directory.rpartition("/")[2] if hashed else name


def _to_compare(expansion: Expansion, taken: Sequence[str], extension: str, *, hashed: bool) -> Iterator[str]:
    """Yield the templates whose instances must be compared one by one, in order."""
    compared = {*_alike(expansion), *_in_one_directory(expansion)}
    for template, instances in expansion.templates.items():
        if template in compared or _is_odd(instances, taken, extension, hashed=hashed):
            yield template


def _in_one_directory(expansion: Expansion) -> Iterator[str]:
    """Yield the templates that have the same directory as another template."""
    first: dict[str, str] = {}
    for template in expansion.templates:
        other = first.setdefault(render.workspace(template), template)
        if other != template:
            yield from (other, template)


def _alike(expansion: Expansion) -> Iterator[str]:
    """Yield the templates whose instances could have the same names as those of another template (a_b and a)."""
    with_labels = {name for name, instances in expansion.templates.items() if instances.grouping}
    for template in expansion.templates if with_labels else ():
        for index, character in enumerate(template):
            if character == "_" and template[:index] in with_labels:
                grouping = expansion.templates[template[:index]].grouping
                rest = template[index + 1 :]
                if grouping and (rest.startswith(grouping.prefix) or grouping.prefix.startswith(rest)):
                    yield from (template[:index], template)


def _is_odd(instances: Instances, taken: Sequence[str], extension: str, *, hashed: bool) -> bool:
    """Whether two instances of a template could share a directory, or an instance can't have a directory."""
    grouping = instances.grouping
    if grouping and not (grouping.are_plain or hashed):
        return True
    label = "x" * grouping.longest if grouping else ""
    directory = instances.workspace(len(instances) - 1)
    if grouping and not hashed:
        directory = f"{directory.partition('/')[0]}/{label}"
    name = f"{instances.template.name}_{label}" if grouping else instances.template.name
    return render.objection(directory, _stem(name, directory, hashed=hashed), taken, extension) is not None
