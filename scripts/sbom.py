#!/usr/bin/env python3
"""The bill of materials of the binary, CycloneDX 1.5, from what cargo itself says it links.

Dependencies of tests and of build scripts are left out: they are not in the binary.
"""
import json
import subprocess
import uuid


def cargo(*words):
    run = subprocess.run(["cargo", *words], check=True, capture_output=True, text=True)
    return run.stdout


def main():
    host = cargo("-vV").split("host: ")[1].split()[0]
    meta = json.loads(cargo("metadata", "--format-version=1", "--locked", f"--filter-platform={host}"))
    packages = {package["id"]: package for package in meta["packages"]}
    nodes = {node["id"]: node for node in meta["resolve"]["nodes"]}
    links = {}
    todo = [meta["resolve"]["root"]]
    while todo:
        this = todo.pop()
        if this in links:
            continue
        links[this] = sorted(
            dep["pkg"]
            for dep in nodes[this]["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"])
        )
        todo += links[this]

    def purl(package):
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package, kind):
        found = {"type": kind, "name": package["name"], "version": package["version"]}
        found |= {"bom-ref": purl(package), "purl": purl(package)}
        if package["license"]:
            found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        return found

    root = packages[meta["resolve"]["root"]]
    linked = sorted((packages[id] for id in links if id != root["id"]), key=purl)
    print(json.dumps({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(sorted(links)))}",
        "version": 1,
        "metadata": {"component": component(root, "application")},
        "components": [component(package, "library") for package in linked],
        "dependencies": [
            {"ref": purl(packages[id]), "dependsOn": [purl(packages[dep]) for dep in deps]}
            for id, deps in sorted(links.items())
        ],
    }, indent=1))


main()
