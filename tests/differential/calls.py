"""Small programs that use ``maestrowf`` as public programs do. Each stores its result in the variable `found`.

All of them begin with `BEFORE`. `test_calls` runs them with Maestro's classes and with those of maestro-es.
"""

from __future__ import annotations

BEFORE = """\
import copy, enum, io, json, logging, os, pathlib, pickle, re, sys
import jsonschema
import maestrowf
from maestrowf import FlatStatusRenderer, StatusRendererFactory, status_renderer_factory
from maestrowf.abstracts import Dependency, Source, Substitution
from maestrowf.abstracts.enums import CancelCode, JobStatusCode, State, StepPriority, StudyStatus, SubmissionCode
from maestrowf.abstracts.interfaces import SchedulerScriptAdapter, ScriptAdapter
from maestrowf.conductor import Conductor
from maestrowf.datastructures import DAG
from maestrowf.datastructures.core import (
    Combination, ExecutionGraph, ParameterGenerator, Study, StudyEnvironment, StudyStep,
)
from maestrowf.datastructures.core.executiongraph import _StepRecord
from maestrowf.datastructures.environment import GitDependency, PathDependency, Script, Variable
from maestrowf.interfaces import ScriptAdapterFactory
from maestrowf.interfaces.script import CancellationRecord, SubmissionRecord
from maestrowf.interfaces.script.localscriptadapter import LocalScriptAdapter
from maestrowf.interfaces.script.slurmscriptadapter import SlurmScriptAdapter
from maestrowf.maestro import load_parameter_generator
from maestrowf.specification import YAMLSpecification
from maestrowf.utils import *
from maestrowf.utils import (
    apply_function, create_dictionary, create_parentdir, csvtable_to_dict, dict_to_dot_strings, generate_filename,
    get_duration, make_safe_path, start_process,
)


def step(name, cmd, depends=(), **run):
    made = StudyStep()
    made.name, made.description = name, "does " + name
    made.run["cmd"] = cmd
    made.run["depends"] = list(depends)
    made.run.update(run)
    return made


def environment(**values):
    made = StudyEnvironment()
    for name, value in values.items():
        made.add(Variable(name, value))
    return made


def parameters(**values):
    made = ParameterGenerator()
    for name, given in values.items():
        made.add_parameter(name, given, name + ".%%")
    return made


def study(*steps, env=None, params=None, **options):
    about, out = {"name": "pi", "description": "about pi"}, os.path.join(os.getcwd(), "out")
    made = Study("pi", about, studyenv=env or StudyEnvironment(), parameters=params or ParameterGenerator(),
                 steps=list(steps), out_path=out)
    made.setup_workspace()
    made.configure_study(**options)
    made.setup_environment()
    return made


def staged(graph):
    return {
        "edges": {name: sorted(children) for name, children in graph.adjacency_table.items()},
        "steps": {name: [record.workspace.value, record.step.run["cmd"], record.restart_limit, record.name,
                         record.status.name, {key: str(value) for key, value in record.params.items()}]
                  for name, record in graph.values.items() if record},
    }


SPEC = '''
description: {name: demo, description: a study}
env:
    variables: {OUTPUT_PATH: ./out, WORD: hello}
    labels: {TAG: "$(WORD)-1"}
study:
    - {name: a, description: first, run: {cmd: "echo $(N) $(TAG)"}}
    - {name: b, description: second, run: {cmd: "ls", depends: [a_*]}}
global.parameters:
    N: {values: [1, 2], label: N.%%}
'''
"""

CALLS = {
    # -- parameters
    "pgen": "found = [str(c) for c in parameters(N=[1, 2], M=['a', 'b'])]",
    "pgen with lists of labels": """
made = ParameterGenerator()
made.add_parameter("N", [1, 2], ["one", "two"], "number")
found = [(str(c), c.apply("$(N) $(N.label) $(N.name)"), c.get_param_string(["N"]), dict(c.get_param_values(["N"])))
         for c in made]
""",
    "pgen: other values": "found = [str(c) for c in parameters(N=(1, 2.5), M=[None, True])]",
    "pgen: lists of unequal length": "parameters(N=[1, 2], M=[1])",
    "pgen: no parameters": "found = [bool(parameters()), list(parameters()), parameters().get_metadata()]",
    "pgen: derived class": """
class Odd(ParameterGenerator):
    def get_combinations(self):
        for number, combination in enumerate(super().get_combinations()):
            if number % 2:
                yield combination
made = Odd()
made.add_parameter("N", [1, 2, 3, 4])
graph = study(step("a", "echo $(N)"), params=made).stage()[1]
found = sorted(name for name in graph.values)
""",
    "metadata of parameters": "found = parameters(N=[1, 2], M=['a', 'b']).get_metadata()",
    "used parameters": """
found = parameters(N=[1], NP=[2]).get_used_parameters(step("a", "x $(NP.label)", restart="$(M)"))
""",
    "combination": """
made = Combination()
made.add("N", "number", 1, "N.1")
made.add("M", "other", "$(N)", "M.x")
found = [made.apply("$(M) $(N) $(X) $(M.label)"), str(made), made.get_param_string({"N", "M"})]
""",
    "combination: unknown parameter": "Combination().get_param_string(['N'])",
    "step with parameters": """
plain, made = step("a", "true"), step("a", "echo $(N)", walltime="$(N)")
[c] = parameters(N=[1])
changed, applied = made.apply_parameters(c)
found = [changed, applied.run["cmd"], applied.run["walltime"], plain.apply_parameters(c)[0], made == applied,
         made != plain, made == copy.deepcopy(made)]
""",
    "nickname": "made = step('a', ''); made.nickname = 'n'; found = [made.name, made.real_name, sorted(vars(made))]",
    "generator from a file": """
pathlib.Path("pg.py").write_text('''
from maestrowf.datastructures.core import ParameterGenerator
def get_custom_generator(env, **kwargs):
    made = ParameterGenerator()
    made.add_parameter("N", list(range(int(kwargs.get("count", env.find("COUNT").value)))), "N.%%")
    return made
''')
found = [[str(c) for c in load_parameter_generator("pg.py", environment(COUNT=2), kwargs)]
         for kwargs in ({}, create_dictionary(["count: 3"]))]
""",
    # -- environment
    "environment": """
made = environment(A="1", B="$(A)/b", C=3)
made.add(Script("source env.sh"))
found = [list(made.substitutions), list(made.labels), [s.source for s in made.sources], made.find("C").value,
         made.find("X"), made.remove("A").name, made.remove("A"), bool(made), made.is_set_up]
""",
    "environment: same name": "environment(A=1).add(Variable('A', 2))",
    "environment: no item": "StudyEnvironment().add('A')",
    "environment: applied": "found = environment(A='1', B='$(A)/b').apply_environment('$(A) $(B) $(date)')",
    "environment: two levels": "found = environment(A='1', B='$(A)/b', C='$(B)/c').apply_environment('$(C)')",
    "environment: only a source": "made = StudyEnvironment(); made.add(Script('x')); found = bool(made)",
    "environment: acquired once": """
made = environment(A=1)
made.acquire_environment()
first = made.is_set_up
made.add(PathDependency("HERE", "."))
found = [first, made.is_set_up, list(made.dependencies)]
""",
    "path": "made = PathDependency('HERE', '.'); found = [made.value, made.substitute('$(HERE)/x'), str(made)]",
    "path: none": "made = StudyEnvironment(); made.add(PathDependency('X', 'none')); made.acquire_environment()",
    "repository": """
made = GitDependency("R", "url", "nowhere", tag="v1")
found = [made.url, made.path, made.tag, made.hash, made.branch, made.substitute("$(R)"), made.get_var()]
""",
    "repository: two refs": "GitDependency('R', 'url', '.', tag='a', hash='b')",
    "repository: unknown argument": "GitDependency('R', 'url', '.', commit='a')",
    "repository: not there": "GitDependency('R', os.path.abspath('none'), '.').acquire()",
    "variable": """
made = Variable("A", 5)
found = [made.get_var(), made.substitute("$(A) $(B)"), str(made), made.token]
""",
    "variable: own token": "found = Variable('A', 5, '%').substitute('$(A) %(A)')",
    "variable: no value": "Variable('A', None)",
    "variable: no name": "Variable('', 1)",
    "script": "found = Script('source x').apply(['a', 'b'])",
    # -- specification
    "specification": """
spec = YAMLSpecification.load_specification_from_stream(io.StringIO(SPEC))
env = spec.get_study_environment()
out = env.remove("OUTPUT_PATH")
found = [spec.name, spec.desc, spec.output_path, spec.path, spec.batch, out.value, list(env.labels),
         [[s.name, s.description, s.run["cmd"], s.run["depends"]] for s in spec.get_study_steps()],
         [str(c) for c in spec.get_parameters()], spec.globals]
""",
    "specification: from a file": """
pathlib.Path("demo.yaml").write_text(SPEC)
spec = YAMLSpecification.load_specification("demo.yaml")
spec.name, spec.desc = "other", "words"
found = [spec.path, spec.description]
""",
    "specification: empty": """
spec = YAMLSpecification()
found = [spec.path, spec.description, spec.environment, spec.batch, spec.study, spec.globals]
""",
    "specification: no file": "YAMLSpecification.load_specification('none.yaml')",
    "specification: no description": "YAMLSpecification.load_specification_from_stream(io.StringIO('study: []'))",
    "specification: no variables": """
text = "{description: {name: a, description: d}, env: {labels: {}}, study: [{name: a, description: d, run: {cmd: x}}]}"
found = YAMLSpecification.load_specification_from_stream(io.StringIO(text)).output_path
""",
    "specification: no steps": """
text = "{description: {name: a, description: d}, study: []}"
try:
    YAMLSpecification.load_specification_from_stream(io.StringIO(text))
except ValueError as error:
    found = getattr(error, "message", None) or str(error)
""",
    **{
        f"specification: {what}": f"""
try:
    YAMLSpecification.load_specification_from_stream(io.StringIO(SPEC.replace({old!r}, {new!r})))
except jsonschema.ValidationError as error:
    found = error.message
"""
        for what, old, new in [
            ("unknown key", "cmd: ls", "cmd: ls, bad: 1"),
            ("missing key", "description: second, ", ""),
            ("wrong type", "label: N.%%", "label: [1]"),
            ("empty text", 'cmd: "ls"', 'cmd: ""'),
            ("twice the same step", "depends: [a_*]", "depends: [a, a]"),
        ]
    },
    "specification: derived class": """
class Merlin(YAMLSpecification):
    def __init__(self):
        super().__init__()
        self.merlin = {}
    def verify(self):
        self.verify_description({"type": "object", "required": ["name"]})
        YAMLSpecification.validate_schema("merlin", self.merlin, {"type": "object", "required": ["samples"]})
spec = Merlin()
spec.description = {"name": "a"}
try:
    spec.verify()
except jsonschema.ValidationError as error:
    found = error.message
""",
    # -- studies
    "study": """
made = study(step("a", "echo $(WORD)"), step("b", "ls $(a.workspace)", ["a"]), env=environment(WORD="hello"))
path, graph = made.stage()
found = [path, staged(graph), made.output_path, made.name, made.is_configured]
""",
    "study with parameters": """
graph = study(step("a", "echo $(N) $(WORKSPACE)", restart="again"), step("b", "ls $(a.workspace)", ["a"]),
              step("c", "cat $(a.workspace)", ["a_*"]), step("d", "echo $(M)", ["c", "b_*"]),
              params=parameters(N=[1, 2], M=["x y", "z"]), restart_limit=3).stage()[1]
found = staged(graph)
""",
    "study with short names": """
graph = study(step("a", "echo $(N)"), step("b", "ls $(a.workspace)", ["a"]), params=parameters(N=[1, 2]),
              hash_ws=True).stage()[1]
found = staged(graph)
""",
    "study: books": """
made = study(step("a", "echo $(N)"), step("b", "ls", ["a_*"]), step("c", "ls", ["a"]), params=parameters(N=[1, 2]))
made.stage()
found = [made.depends, made.hub_depends, made.used_params,
         {name: sorted(map(str, found)) for name, found in made.step_combos.items()}, made.workspaces]
""",
    "study as a graph": """
made = study(step("a", ""), step("b", "", ["a"]), step("c", "", ["a"]), step("d", "", ["b", "c_*"]))
found = [dict(made.adjacency_table), [[p, n] for p, n, _ in made.walk_study()], made.topological_sort(),
         made.bfs_subtree("a"), made.dfs_subtree("b"), made.detect_cycle()]
""",
    "study: later step": "study(step('a', '', ['b']), step('b', ''))",
    "study: unknown step": "study(step('a', 'x', ['nowhere'])).stage()",
    "study: no workspace": """
Study("a", {"name": "a", "description": "d"}, StudyEnvironment(), ParameterGenerator(), [], "x").stage()
""",
    "study: environment not set up": """
made = Study("a", {"name": "a", "description": "d"}, StudyEnvironment(), ParameterGenerator(), [step("a", "x")], ".")
made.configure_study()
made.stage()
""",
    "study: flags that are None": "found = staged(study(step('a', 'x'), use_tmp=None, hash_ws=None).stage()[1])",
    "study: own keys": "found = study(step('a', 'x', task_queue='q')).stage()[1].values['a'].step.run['task_queue']",
    "study: pickled": """
made = study(step("a", "x"))
made.pickle("made.pkl")
again = Study.unpickle("made.pkl")
found = [again.name, dict(again.adjacency_table), again.values["a"] == made.values["a"]]
""",
    "study: another pickle": "pathlib.Path('x').write_bytes(pickle.dumps([1])); Study.unpickle('x')",
    "study: metadata": """
made = study(step("a", "echo $(N)"), params=parameters(N=[1]))
made.stage()
made.store_metadata()
import yaml
found = yaml.full_load(open("out/meta/metadata.yaml"))["workspaces"]["a_N.1"]
""",
    "study: metadata read": "made = study(step('a', 'x')); made.stage(); made.store_metadata(); made.load_metadata()",
    "graph": """
made = DAG()
for name in "abc":
    made.add_node(name, name.upper())
made.add_edge("a", "b"); made.add_edge("a", "b"); made.add_edge("b", "b"); made.add_edge("b", "x")
made.add_edge("b", "c"); made.remove_edge("x", "a"); made.remove_edge("a", "x"); made.add_node("a", None)
found = [dict(made.adjacency_table), dict(made.values), made.topological_sort(), made.detect_cycle()]
""",
    "graph: unknown edge": "made = DAG(); made.add_node('a', 1); made.add_node('b', 2); made.remove_edge('a', 'b')",
    "graph: unknown parent": "made = DAG(); made.add_node('a', 1); made.add_edge('x', 'a')",
    "graph: cycle": """
made = DAG()
made.add_node("a", 1); made.add_node("b", 2); made.add_edge("a", "b")
try:
    made.add_edge("b", "a")
except Exception:
    found = dict(made.adjacency_table)
""",
    "graph: walk from nowhere": "DAG().bfs_subtree('x')",
    "parameters of a step": """
graph = study(step("a", "echo $(N)"), params=parameters(N=[1])).stage()[1]
found = dict(graph.values["a_N.1"].params)
""",
    "program around the graph": """
graph = study(step("a", "x"), step("b", "y", ["a"])).stage()[1]
copied = copy.deepcopy(vars(graph.values["b"].step))
found = [sorted(copied), copied["run"]["cmd"], list(graph.values), graph.values["_source"]]
""",
    # -- conductor
    "conductor": """
made = study(step("a", "echo hello > here"), step("b", "cat $(a.workspace)/here", ["a"]))
Conductor.store_study(made)
Conductor.store_batch(made.output_path, {"type": "local"})
conductor = Conductor(Conductor.load_study("out"))
conductor.initialize(Conductor.load_batch("out"), 0.05 if "maestro_es" not in Conductor.__module__ else 1)
code = conductor.monitor_study()
conductor.cleanup()
status = Conductor.get_status("out")
found = [code, status["Step Name"], status["State"], status["Workspace"], sorted(status), conductor.study_name]
""",
    "conductor: requests": """
os.mkdir("out")
Conductor.update_study_exec("out", {"rlimit": 2, "throttle": None, "sleep": None})
first = Conductor.load_updated_study_exec("out")
Conductor.mark_cancelled("out")
found = [first, Conductor.load_updated_study_exec("out"), sorted(os.listdir("out")), Conductor.get_status("out")]
""",
    "conductor: nothing stored": "Conductor.load_study('.')",
    "conductor: no batch": "Conductor.load_batch('.')",
    "conductor: not initialized": "Conductor(study(step('a', 'x'))).monitor_study()",
    # -- scripts
    "local script": """
adapter = LocalScriptAdapter(shell="/bin/sh")
here = os.getcwd()
found = adapter.write_script(here, step("a b", "echo hello", restart="echo again"))
record = adapter.submit(step("a b", ""), found[1], here)
found = [found, open(found[1]).read(), record.submission_code, record.return_code, adapter.check_jobs([1]),
         adapter.cancel_jobs([1]).cancel_status, adapter.extension, adapter.key]
""",
    "local script that fails": """
adapter = LocalScriptAdapter()
path = adapter.write_script(os.getcwd(), step("a", "echo why >&2; exit 3"))[1]
record = adapter.submit(step("a", ""), path, os.getcwd())
found = [record.submission_code, record.return_code, record.job_identifier, record.get("stderr")]
""",
    "scheduled script": """
adapter = ScriptAdapterFactory.get_adapter("slurm")(host="h", bank="b", queue="q", nodes="")
scheduled, path, restart = adapter.write_script(
    os.getcwd(), step("a b", "$(LAUNCHER) app", nodes=2, procs=4, walltime="1:00", reservation="", gpus=""))
text = open(path).read()
header, _, command = text.partition("srun")
found = [scheduled, path, restart, header.partition("# added")[0].rstrip(), command]
""",
    "scheduled script: keys": "ScriptAdapterFactory.get_adapter('slurm')(host='h')",
    "factory": """
found = [sorted(ScriptAdapterFactory.get_valid_adapters()), ScriptAdapterFactory.get_adapter("local").key]
""",
    "factory: unknown": "ScriptAdapterFactory.get_adapter('none')",
    "own adapter": """
class Own(SlurmScriptAdapter):
    key = "own"
    def get_header(self, step):
        return "#OWN"
    def get_parallelize_command(self, procs, nodes=None, **kwargs):
        return f"run {procs} {nodes}"
made = Own(host="h", bank="b", queue="q")
path = made.write_script(os.getcwd(), step("a", "$(LAUNCHER) x", nodes=2, procs=4))[1]
found = open(path).read()
""",
    "own adapter: launchers": """
class Own(SlurmScriptAdapter):
    def get_parallelize_command(self, procs, nodes=None, **kwargs):
        return f"run {procs} {nodes}"
made = Own(host="h", bank="b", queue="q")
found = [made._substitute_parallel_command("$(LAUNCHER)[%s] x" % asked, nodes=2, procs=4)
         for asked in ("2p", "1n,2p", "1,2")]
""",
    "own adapter: a blank in brackets": """
class Own(SlurmScriptAdapter):
    def get_parallelize_command(self, procs, nodes=None, **kwargs):
        return f"run {procs} {nodes}"
found = Own(host="h", bank="b", queue="q")._substitute_parallel_command("$(LAUNCHER)[1, 2] x", nodes=2, procs=4)
""",
    "own adapter: too much": """
made = SlurmScriptAdapter(host="h", bank="b", queue="q")
made._substitute_parallel_command("$(LAUNCHER)[8p] x", nodes=2, procs=4)
""",
    "records": """
made = SubmissionRecord(SubmissionCode.OK, 0, 7)
made.add_info("x", 1)
bad, end = SubmissionRecord(SubmissionCode.ERROR, 2, 7), CancellationRecord(CancelCode.OK, 0)
end.add_status("1", CancelCode.ERROR)
found = [made.job_identifier, made.submission_code, made.return_code, made.get("x"), made.get("y", 2),
         bad.job_identifier, bad.return_code, end.cancel_status, end.return_code, end.lookup_status(CancelCode.ERROR)]
""",
    "records: no code": "CancellationRecord(CancelCode.OK, 0).add_status('1', 'OK')",
    "step record": """
class Record(_StepRecord):
    def _execute(self, adapter, script):
        self.mark_running()
        return adapter.submit(self.step, script, self.workspace.value).submission_code, 7
made = Record(os.path.abspath("work"), step("a", "echo $(WORKSPACE)", walltime="1:00"), status=State.INITIALIZED)
made.add_params([("N", 1)])
made.setup_workspace()
made.generate_script(LocalScriptAdapter())
code = made.execute(LocalScriptAdapter())
made.mark_end(State.FINISHED)
found = [code, made.jobid, made.status, made.name, made.params, made.walltime, made.is_local_step, made.can_restart,
         made.restart_limit, made.mark_restart(), made.restarts, made.step.run["cmd"], made.elapsed_time[:3]]
""",
    # -- the rest
    "enums": """
found = {kind.__name__: {item.name: item.value for item in kind}
         for kind in (CancelCode, JobStatusCode, State, StepPriority, StudyStatus, SubmissionCode)}
""",
    "priorities": """
found = [StepPriority.from_str(word) for word in ("HELD", "Minimal", "medium", "high", "expedite")]
""",
    "priorities: low": "found = StepPriority.from_str('low')",
    "priorities: unknown": "StepPriority.from_str('none')",
    "safe paths": "found = [make_safe_path('a', 'b c', 'd/e:f'), make_safe_path('a')]",
    "tables": "found = dict(csvtable_to_dict(io.StringIO('A,B\\n1,2\\n3,4')))",
    "arguments": "found = create_dictionary(['a:1', ' b : c:d '])",
    "arguments: no colon": "create_dictionary(['a'])",
    "process": """
made = start_process("echo $HOME; exit 3", env={"HOME": "x", "PATH": os.environ["PATH"]})
out, err = made.communicate()
found = [out, err, made.returncode, start_process(["pwd"], cwd="/").communicate()[0]]
""",
    "status": """
status = {"Step Name": ["a"], "Job ID": ["1"], "Workspace": ["a"], "State": ["FINISHED"], "Run Time": ["x"],
          "Elapsed Time": ["y"], "Start Time": ["z"], "Submit Time": ["s"], "End Time": ["e"],
          "Number Restarts": ["0"], "Params": ["N:1"]}
found = {}
for layout in status_renderer_factory.get_layouts():
    renderer = status_renderer_factory.get_renderer(layout, disable_theme=True, disable_pager=True)
    renderer.layout(status_data=status, study_title="t", filter_dict=None)
    found[layout] = renderer.render_to_str()
""",
    "spec: a batch block for an adapter of the program": """
text = "description: {name: a, description: d}\\nbatch: {type: mine, slots: 2}\\n"
text += "study: [{name: a, description: d, run: {cmd: ls}}]\\n"
spec = YAMLSpecification.load_specification_from_stream(io.StringIO(text))
spec.verify()
found = spec.batch
""",
    "adapter: the notation of launchers": """
text = "$(LAUNCHER)[2n, 4p] app"
found = [SchedulerScriptAdapter.launcher_regex.search(text)["alloc"], *(re.findall(pattern, text) for pattern in (
    SchedulerScriptAdapter.node_alloc, SchedulerScriptAdapter.task_alloc, SchedulerScriptAdapter.legacy_alloc))]
""",
    "status: nothing": "status_renderer_factory.get_renderer('flat', True, True).layout({})",
    "status: unknown layout": "status_renderer_factory.get_renderer('none', True, True)",
    "status: own layout": """
class Short(FlatStatusRenderer):
    layout_type = "short"
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._theme_dict["State"] = "bold"
factory = StatusRendererFactory()
factory.register_layout("short", Short)
made = factory.get_renderer("short", False, True)
made.layout({"Step Name": ["a"], "State": ["b"]}, "t")
found = [made.render_to_str(width=40), made.disable_theme, made.disable_pager, sorted(factory.get_layouts())]
""",
    "version": "found = maestrowf.__version__",
}

#: The programs with different results, and a part of the line in docs/differences-from-maestro.md about each.
DIFFERENT = {
    "environment: two levels": "`apply_environment` replaces names one level deep",
    "repository: unknown argument": "`GitDependency` ignores unknown arguments",
    "specification: no description": "`load_specification` of a file without a description",
    "specification: no variables": "`output_path` of a specification without variables",
    "study: later step": "`add_step` refuses a step that depends on a later one",
    "study: metadata read": "`load_metadata` fails with current versions of PyYAML",
    "graph: cycle": "`add_edge` that closes a cycle",
    "parameters of a step": "The parameters of a step record have the types",
    "own adapter: a blank in brackets": "`$(LAUNCHER)[1, 2]` does not produce a double space",
    "priorities: low": "`StepPriority.from_str` does not know",
}
