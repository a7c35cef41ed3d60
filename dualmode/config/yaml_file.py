"""Decides: options from the text of a YAML file with etcd's keys.

Keys are the names of flags; the nested groups of etcd (client-transport-security, peer-transport-security,
socket-options) have their own. What etcd ignores silently is a fault here: unknown keys, and keys that stand twice.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from dualmode.config.given import Given, Reading, Source, hint
from dualmode.config.option import Option
from dualmode.config.options import BY_NAME, BY_PLACE, YAML_GROUPS

_INTEGER, _NULL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:null"


def parse_file(text: str, path: str) -> Reading:
    """Reads the whole file; `path` is only for the sources' names."""
    reading = Reading()
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        reading.faults.append(f"{path}: not YAML: {_one_line(error)}")
        return reading
    except RecursionError:
        reading.faults.append(f"{path}: nested too deeply")
        return reading
    if root is None:
        return reading
    if not isinstance(root, yaml.MappingNode):
        reading.faults.append(f"{path}: expected keys and values (name: default)")
        return reading
    for key, node, where in _pairs(root, path, "", reading):
        if key not in YAML_GROUPS:
            _take(BY_NAME.get(key), node, where, sorted(BY_NAME.keys() | YAML_GROUPS), reading)
        elif isinstance(node, yaml.MappingNode):
            for inner, inner_node, inner_where in _pairs(node, path, f"{key}.", reading):
                known = [name for group, name in BY_PLACE if group == key]
                _take(BY_PLACE.get((key, inner)), inner_node, inner_where, known, reading)
        elif node.tag != _NULL:
            reading.faults.append(f"{where}: expected a group of keys")
    return reading


def _pairs(mapping: yaml.MappingNode, path: str, prefix: str, reading: Reading) -> Iterator[tuple[str, yaml.Node, str]]:
    """Key, value and where they stand; a key that stands twice is a fault and comes once."""
    seen: dict[str, int] = {}
    for key_node, node in mapping.value:
        line = key_node.start_mark.line + 1
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        where = f"{path} line {line}, {prefix}{key}"
        if key in seen:
            reading.faults.append(f"{where}: stands in line {seen[key]} already")
            continue
        seen[key] = line
        yield key, node, where


def _take(option: Option | None, node: yaml.Node, where: str, known: list[str], reading: Reading) -> None:
    if option is None:
        key = where.rpartition(", ")[2].rpartition(".")[2]
        reading.faults.append(f"{where}: unknown key{hint(key, known)}")
        return
    if node.tag == _NULL:
        return  # a key without a value gives none, as in etcd's own sample file
    text = _text(option, node)
    if text is None:
        reading.faults.append(f"{where}: expected a {option.kind.name}, not a nested value")
        return
    reading.given.append(Given(option, text, Source("file", where)))


def _text(option: Option, node: yaml.Node) -> str | None:
    """The value as a flag would have it, or None when it is neither a scalar nor a list of scalars."""
    if isinstance(node, yaml.SequenceNode):
        items = node.value
        return ",".join(item.value for item in items) if all(isinstance(i, yaml.ScalarNode) for i in items) else None
    if not isinstance(node, yaml.ScalarNode):
        return None
    value = str(node.value)
    if node.tag == _INTEGER:
        try:
            return option.kind.from_integer(int(value.replace("_", ""), 10))
        except ValueError:
            return value  # hexadecimal and the like; the kind has its word on it
    if option.kind.is_switch:
        return value.lower()  # YAML writes True as well
    return value


def _one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
