"""What is made of other files is made of today's."""

import generated
from chart import CHART

AGAIN = "run tests/chart/run --update"


def test_the_schema_has_the_configuration_that_the_binary_takes(pollux):
    assert generated.SCHEMA.read_text() == generated.schema(pollux), AGAIN


def test_the_table_of_values_is_up_to_date():
    assert generated.README.read_text() == generated.readme(), AGAIN


def test_every_value_is_documented():
    import yaml

    described = {name for name, _, _ in generated.documented()}

    def leaves(tree, path):
        dotted = ".".join(path)
        if dotted in described or not isinstance(tree, dict):
            yield dotted
            return
        for name, child in tree.items():
            yield from leaves(child, [*path, name])

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [leaf for leaf in leaves(values, []) if leaf not in described] == []
