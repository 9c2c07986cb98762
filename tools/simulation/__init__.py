"""A simulated week: the real rules, store and poller, with a virtual clock, simulated processes and a simulated Slurm.

One seed decides everything that happens. The modules:

    scenario   draws a scenario from a seed: a study, hosts, drivers, and the actions of a week
    timeline   the virtual clock, and what happens when
    machine    hosts and their processes, in place of `process` and `spawner` of `maestro_es.adapters`
    cluster    Slurm, in place of its commands
    runner     a runner and its step, in place of `runner.sh`
    stage      puts the stand-ins into the places of the real ones, for as long as a week is simulated
    ticking    runs ticks and lets them die, hang and overlap
    people     the requests of users
    week       runs one scenario
    promises   checks each event of the log against the truth, and the files against the log
    shrinking  finds the few actions of a failed week that suffice
    sabotage   breaks the program deliberately
    command    the command line of ``tools/simulate``
"""
