"""The bill of materials of a lock file, as CycloneDX 1.6 JSON on standard output.

    python .ci/sbom.py requirements.lock > sbom.json

It stands on the lock alone: what is pinned there, each with every hash that is allowed. A line
without a pin or without a hash ends it with 1.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)"
                  r"(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$")  # fmt: skip
_HASH = re.compile(r"^--hash=sha256:(?P<hash>[0-9a-f]{64})$")


def components(text: str) -> list[dict[str, Any]]:
    """What the lock pins; raises ValueError with the line that pins nothing."""
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        told = line.strip().removesuffix("\\").strip()
        if not told or told.startswith("#"):
            continue
        digest, pin = _HASH.match(told), _PIN.match(told)
        if digest is not None and found:
            found[-1]["hashes"].append({"alg": "SHA-256", "content": digest["hash"]})
        elif pin is not None:
            name = re.sub(r"[-_.]+", "-", pin["name"]).lower()
            purl = f"pkg:pypi/{name}@{pin['version']}"
            part: dict[str, Any] = {
                "type": "library", "bom-ref": purl, "name": name, "version": pin["version"],
                "purl": purl, "hashes": [],
            }  # fmt: skip
            if pin["marker"]:
                part["properties"] = [{"name": "pip:marker", "value": pin["marker"].strip()}]
            found.append(part)
        else:
            raise ValueError(f"this line pins nothing: {told}")
    bare = [part["name"] for part in found if not part["hashes"]]
    if bare or not found:
        raise ValueError(f"without a hash: {', '.join(bare) or 'the lock is empty'}")
    return found


def bill(text: str) -> dict[str, Any]:
    """The document; the same lock gives the same one, its serial number too."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "headgate", "name": "headgate"},
            "properties": [{"name": "lock:sha256", "value": digest}],
        },
        "components": components(text),
    }


def main() -> int:
    """Of the lock that is named."""
    try:
        made = bill(Path(sys.argv[1]).read_text("utf-8"))
    except (IndexError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
