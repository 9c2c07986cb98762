"""Debian's cron itself drives a study, an hour of its time in a minute of ours."""

from __future__ import annotations

import os

from tests.fakes.cron import run_with_cron, who_ticked

SPEC = """
description: {name: chain, description: a chain and a fan-out}
study:
    - {name: first, description: d, run: {cmd: 'while [ ! -e $(SPECROOT)/go ]; do sleep 0.1; done; echo hello > word'}}
    - {name: fan, description: d, run: {cmd: 'cat $(first.workspace)/word; echo $(N) > n', depends: [first]}}
    - {name: last, description: d, run: {cmd: 'cat $(fan.workspace)/*/n | sort -n > all', depends: [fan_*]}}
global.parameters:
    N: {values: [3, 1, 2], label: N.%%}
"""

#: A crontab that the user has already; the job is due next New Year.
OTHERS = "# mine\n0 3 1 1 * true 100\\%\n"

SCRIPT = r"""
newer() { [ study/.maestro-es/last-tick -nt mark ]; }

crontab others
start_cron
maestro_es cron install
maestro_es run -y -o study chain.yaml
alone study
touch mark
await 20 newer
maestro_es cron check
touch go
await 60 ended study
stop_cron
maestro_es cron remove
crontab -l >after
"""


def test_the_installed_line_and_nothing_else_drives_a_study_to_its_end(tmp_path):
    home = tmp_path / "100% ours"  # a space for the shell, a percent sign for cron
    (tmp_path / "others").write_text(OTHERS)
    (tmp_path / "chain.yaml").write_text(SPEC)

    done = run_with_cron(SCRIPT, tmp_path, MAESTRO_ES_HOME=str(home))

    assert "\ncron runs a tick for it every minute\n" in done.stdout
    assert "\nMissed:     0\n" in done.stdout
    assert (tmp_path / "study" / "last" / "all").read_text() == "1\n2\n3\n"
    assert (tmp_path / "after").read_text() == OTHERS
    assert who_ticked(tmp_path / "study") == ["maestro-es tick --all"]
    assert not (tmp_path / "mail").exists()  # nothing was said


#: Crontabs that are harder to leave alone than they look.
STRANGE = {
    "variables": b'PATH=/nowhere\nSHELL=/bin/csh\nMAILTO=""\n\n@yearly true\n',
    "comments first": b"# one\n# two\n#three\n# four\n0 3 1 1 * true\n",
    "no text": b"# caf\xe9 \x80\xff\n",
    "nothing but a newline": b"\n",
}
INSTALL_AND_REMOVE = r"""
start_cron
for file in strange/*; do
    crontab "$file"
    maestro_es cron install
    crontab -l >installed
    grep -c 'maestro_es tick --all$' installed
    maestro_es cron install
    crontab -l | cmp - installed
    maestro_es cron check
    maestro_es cron remove
    crontab -l | cmp - "$file"
done

crontab strange/variables
truncate --size=-1 /var/spool/cron/crontabs/root  # as a person's editor may leave it
maestro_es cron install
maestro_es cron remove
crontab -l | cmp - strange/variables

printf '# maestro-es end\n' >broken
printf '# mine\n0 3 1 1 * true\r\n' >broken-too
for file in broken broken-too; do
    crontab $file
    crontab -l >shown
    ! maestro_es cron install
    crontab -l | cmp - shown
done
"""


def test_a_strange_crontab_is_as_it_was_once_the_line_is_removed(tmp_path):
    (tmp_path / "strange").mkdir()
    for name, text in STRANGE.items():
        (tmp_path / "strange" / name).write_bytes(text)

    done = run_with_cron(INSTALL_AND_REMOVE, tmp_path, MAESTRO_ES_HOME=str(tmp_path / "home"))

    assert done.stdout.count("\n1\n") == done.stdout.count("\nInstalled:  on this host") == len(STRANGE)
    broken, broken_too = done.stderr.splitlines()
    assert broken.startswith("maestro-es: line 1 of your crontab, '# maestro-es end', has no counterpart; ")
    assert broken_too.startswith(r"maestro-es: line 2 of your crontab ends with '\r', a carriage return ")


#: A file system of one page. The page ends with a line of the crontab, so `crontab` accepts this part of it.
ALMOST_FULL = r"""
mkdir small
mount -t tmpfs -o size=4k tmpfs small
crontab long
for command in remove install; do
    ! TMPDIR=$PWD/small maestro_es cron $command
    crontab -l | cmp - long
done
"""


def test_a_crontab_is_not_cut_short_where_temporary_files_have_no_room(tmp_path):
    ours = "# maestro-es begin\n* * * * * /old/maestro-es tick --all\n# maestro-es end\n"
    others = "".join(f"{f'{minute} 3 * * * true':63}\n" for minute in range(60))
    (tmp_path / "long").write_text(f"{'#':{127 - len(ours)}}\n{ours}{others * 2}")

    done = run_with_cron(ALMOST_FULL, tmp_path, MAESTRO_ES_HOME=str(tmp_path / "home"))

    lines = done.stderr.splitlines()
    assert len(lines) == 2, done
    for line in lines:
        assert line.startswith(f"maestro-es: {tmp_path}/small/"), line
        assert line.endswith("/crontab: No space left on device"), line


WITHOUT_A_DAEMON = r"""
! maestro_es cron check >check.before
maestro_es cron install >install 2>&1
maestro_es run -y -o study chain.yaml >run
alone study
! maestro_es cron check >check
as_nobody() {  # who sees no processes but its own
    mount -t proc -o hidepid=2 proc /proc
    setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    umount /proc
}
as_nobody "$PYTHON" -c 'from maestro_es.drivers.cron_daemon import daemon_runs; print(daemon_runs())' >hidden
start_cron
maestro_es cron install >install.after
maestro_es cron check >check.after
"$PYTHON" -c 'from maestro_es.drivers.cron_daemon import daemon_runs; print(daemon_runs())' >seen
maestro_es cancel -y study
"""


def test_that_no_cron_daemon_is_running_is_noticed_and_not_claimed_where_it_can_not_be_seen(tmp_path):
    (tmp_path / "chain.yaml").write_text(SPEC)
    run_with_cron(WITHOUT_A_DAEMON, tmp_path, MAESTRO_ES_HOME=str(tmp_path / "home"))

    host = os.uname().nodename
    words = (
        f"no cron daemon is running on {host}, so nothing reads your crontab: ask for one, or install the line "
        "on another login node, or use 'maestro-es run --wait'"
    )
    said = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert said["install"] == f"The line is in your crontab on {host}\nmaestro-es: {words}\n"
    assert said["run"].splitlines()[-1] == f"Each 'maestro-es tick --all' advances it; {words}"
    assert f"Daemon:     {words}\n" in said["check"]
    assert said["hidden"] == "None\n"
    assert said["install.after"] == f"cron on {host} runs a tick for your studies every minute; it did so before\n"
    assert "Daemon:" not in said["check.before"] + said["check.after"]
    assert said["seen"] == "True\n"
