"""A study file with blanks in the names of its steps and in the values of its parameter."""

TRAVEL = r"""
description: {name: travel, description: names with blanks}
study:
  - {name: visit, description: a label with a blank, run: {cmd: "echo $(TOWN)"}}
  - {name: pack bags, description: a name with a blank, run: {cmd: "echo packed"}}
  - name: check
    description: reads what was printed
    run: {cmd: "cat $(OUTPUT_PATH)/pack_bags/pack\\ bags.*.out > list.txt", depends: [pack bags]}
global.parameters:
  TOWN: {values: [Salt Lake, Bath], label: TOWN.%%}
"""
