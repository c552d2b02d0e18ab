"""ES modules as one classic script: browsers load no module from a folder, a file of its own being foreign to a page.

Each module becomes a function that is called once, after those that it imports. It reads the forms that the modules
here have: ``import { a, b } from "./name.js";``, ``export`` before a declaration, and ``export default {...};``.
"""

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter

from shira_lab.errors import StorageError

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_DEFAULT = re.compile(r"^export default (\{.*\});$", re.MULTILINE)
_NAMED = re.compile(r"^export (?=(?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)


def bundled(modules: Mapping[str, str]) -> str:
    """A script that leaves what each module exports in the object ``modules``, by the module's name.

    >>> one = "export const a = 1;\\n"
    >>> print(bundled({"one": one, "two": 'import { a } from "./one.js";\\nexport const b = a;\\n'}))
    const modules = {};
    modules.one = (() => {
    const a = 1;
    return { a };
    })();
    modules.two = (() => {
    const { a } = modules.one;
    const b = a;
    return { b };
    })();
    <BLANKLINE>

    Args:
        modules: their texts by name.

    Raises:
        StorageError: when a module imports one that is not there, or has an import or export of another form.
    """
    needs = {name: {found[2] for found in _IMPORT.finditer(text)} for name, text in modules.items()}
    missing = sorted(set().union(*needs.values()) - set(modules))
    if missing:
        raise StorageError(f"The modules import '{missing[0]}.js', which is not among {', '.join(sorted(modules))}.")
    order = TopologicalSorter(needs).static_order()
    return "const modules = {};\n" + "".join(_as_function(name, modules[name]) for name in order)


def _as_function(name: str, text: str) -> str:
    default = _DEFAULT.search(text)
    exports = default[1] if default else f"{{ {', '.join(found[1] for found in _NAMED.finditer(text))} }}"
    body = _IMPORT.sub(r"const {\1} = modules.\2;\n", _NAMED.sub("", _DEFAULT.sub("", text)))
    odd = re.search(r"^(?:import|export)\b.*", body, re.MULTILINE)
    if odd:
        raise StorageError(f"Module '{name}' has {odd[0]!r}; expected named imports and exports of declarations.")
    return f"modules.{name} = (() => {{\n{body.rstrip()}\nreturn {exports};\n}})();\n"
