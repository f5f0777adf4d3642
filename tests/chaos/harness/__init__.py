"""The chaos harness: a real service under load, faults on purpose, and a check that every promise was kept.

    load (client processes) --calls--> broker --> servers and their workers      <-- faults, by a scenario
          |                                             |
          +--------------> history (JSON lines) <-------+ --> checker --> verdict --> figures kept or not

    history     what is written down, by whom, on which clock
    functions   what the servers serve
    load        the client processes
    stage       what a scenario acts upon: broker, network, servers, clients
    scenario    what a scenario is, and where the scenarios are found
    scenarios/  one file for each family of faults
    checker     the history's verdict; pure
    workers     what the history says of the workers; pure
    figures     what a verdict must keep to; pure
    runner      one scenario from the first process to the last
    table       what the user sees

Run it: `scripts/chaos`, or `python -m harness` with tests/chaos, tests/integration and the checkout on PYTHONPATH.
"""
