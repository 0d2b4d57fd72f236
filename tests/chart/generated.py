"""What is made of other files: values.schema.json, and the table of values in the chart's README.

`tests/chart/run --update` writes both; test_generated.py asserts that they are up to date.
"""

import json
import os
import re
import subprocess
import sys

import yaml
from chart import CHART

SCHEMA = CHART / "values.schema.json"
README = CHART / "README.md"
TABLE = re.compile(r"(?<=<!-- values: made by tests/chart/run --update -->\n).*(?=<!-- /values -->)", re.S)


def schema(pollux):
    """The text of values.schema.json."""
    whole = yaml.safe_load((CHART / "values.schema.yaml").read_text())
    config = json.loads(subprocess.check_output([pollux, "schema"]))
    del config["$schema"]
    # What is missing is said by the chart, in more words; and it fills in `redis` of its own.
    config.pop("required", None)
    # Its own definitions, if any, stay within reach of its references.
    for keyword in ("$defs", "definitions"):
        if keyword in config:
            whole.setdefault(keyword, {}).update(config.pop(keyword))
    whole["properties"]["config"] = config
    return json.dumps(whole, indent=2) + "\n"


def readme():
    """The text of README.md with the table of today's values."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for name, default, meaning in documented():
        default = json.dumps(default).replace("|", "\\|")
        shown = f"`{default}`" if len(default) <= 60 else "see values.yaml"
        rows.append(f"| `{name}` | {shown} | {meaning.replace('|', chr(92) + '|')} |")
    text = README.read_text()
    assert TABLE.search(text), "README.md has lost the marks around its table of values"
    return TABLE.sub(lambda _: "\n" + "\n".join(rows) + "\n\n", text)


def documented():
    """Each value with a comment that begins with `# --`: its path, default and meaning."""
    text = (CHART / "values.yaml").read_text()
    tree = yaml.safe_load(text)
    path, meaning = [], None
    for line in text.splitlines():
        key = re.match(r"( *)([A-Za-z][\w]*):", line)
        comment = re.match(r" *# ?(.*)", line)
        if comment and comment[1].startswith("-- "):
            meaning = comment[1][3:]
        elif comment and meaning is not None:
            meaning += " " + comment[1]
        elif key:
            path = [(depth, name) for depth, name in path if depth < len(key[1])]
            path.append((len(key[1]), key[2]))
            if meaning is not None:
                names = [name for _, name in path]
                yield ".".join(names), value_at(tree, names), meaning
            meaning = None
        else:
            meaning = None


def value_at(tree, names):
    for name in names:
        tree = tree[name]
    return tree


def update():
    SCHEMA.write_text(schema(os.environ["POLLUX"]))
    README.write_text(readme())


if __name__ == "__main__":
    sys.exit(update())
