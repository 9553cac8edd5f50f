"""The bill of materials of this environment, as CycloneDX.

`cyclonedx-bom` would write it too, but it installs what makes `import jsonschema` take a second (`format-nongpl`), and
that would slow every process that starts from a developer's environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement


def bill_of_materials(root: str, licence: Callable[[metadata.Distribution], str]) -> str:
    """Return every package that is installed here, with version, licence and needs; `root` is what all are for."""
    installed = {_name(each.name): each for each in metadata.distributions()}
    parts = {name: _component(name, each, licence(each), root) for name, each in installed.items()}
    bom = Bom(components=[part for name, part in parts.items() if name != root])
    bom.metadata.component = parts[root]
    for name, part in parts.items():
        needed = {_name(Requirement(line).name) for line in installed[name].requires or []}
        bom.register_dependency(part, [parts[each] for each in sorted(needed & parts.keys())])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(name: str, distribution: metadata.Distribution, licence: str, root: str) -> Component:
    return Component(
        name=name,
        version=distribution.version,
        type=ComponentType.APPLICATION if name == root else ComponentType.LIBRARY,
        bom_ref=f"{name}=={distribution.version}",
        purl=PackageURL("pypi", None, name, distribution.version),
        licenses=[LicenseFactory().make_from_string(licence)],
    )
