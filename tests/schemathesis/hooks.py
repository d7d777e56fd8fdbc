"""What of the API its description cannot say, so that schemathesis need not be told that it is wrong."""

import schemathesis


def whole(value):
    """Writes 7.0 as 7: to JSON Schema it is an integer, and in JSON's text it is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, (dict, list)):
        case.body = whole(case.body)
    mode = case.meta.generation.mode if case.meta else None
    if mode is not None and mode.is_positive and isinstance(case.body, dict):
        # Chance signs nothing.
        case.body.pop("signature", None)
