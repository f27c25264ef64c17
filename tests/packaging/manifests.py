"""Checks the compose file and the Kubernetes manifests by their published schemas.

Strict: a word that the schema does not know is a fault. Each check is shown to be one by a copy with
a misspelt word, which has to be refused.
"""
import pathlib
import sys

import compose_spec
import kubernetes_validate
import yaml

KUBERNETES = "1.33"
root = pathlib.Path(sys.argv[1])


def refused(check, text):
    try:
        check(text)
    except Exception as error:  # each library has its own
        return str(error).splitlines()[0]
    return None


def kubernetes(text):
    documents = list(yaml.safe_load_all(text))
    assert documents, "no document"
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


checks = [
    ("packaging/compose/compose.yaml", compose_spec.PyCompose.from_yaml, "stop_grace_period"),
    ("packaging/kubernetes/sidecar.yaml", kubernetes, "restartPolicy"),
]
failed = False
for name, check, word in checks:
    text = (root / name).read_text()
    why = refused(check, text)
    if why:
        print(f"{name}: {why}")
        failed = True
    if word not in text or not refused(check, text.replace(word, word + "s")):
        print(f"{name}: {word} misspelt was not noticed")
        failed = True
for name in ["prometheus.yml", "grafana-source.yml", "grafana-dashboards.yml"]:
    assert yaml.safe_load((root / "packaging/compose" / name).read_text())
sys.exit(failed)
