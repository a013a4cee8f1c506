"""The files of a deployment fit their schemas, what they name exists, and they agree."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from api.__main__ import DRAIN_S
from scenebook.encoders import exports, text
from scenebook.settings import Settings
from tests.deployed import (
    INFRA,
    ROOT,
    SERVICES,
    compose,
    dockerfile,
    procfile,
    railway,
    railway_project,
    words_of,
)

RAILWAY_FILES = ("railway.toml", *(f"infra/railway/{name}.toml" for name in SERVICES))
COMPOSE_FILES = ("compose.yaml", "compose.test.yaml")
DOCKERFILES = ("api.Dockerfile", "worker.Dockerfile")
OURS = {"release": "release", "api": "web", "worker": "worker", "relay": "relay"}
SETTINGS = {name.upper() for name in Settings.model_fields}
# Read by the storage's library, and by Railway itself.
STORAGE = re.compile(
    r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|REGION|ENDPOINT_URL|VIRTUAL_HOSTED_STYLE_REQUEST)"
)
BUILD = {"TORCH_INDEX_URL", "BAKE_CLIP", "BAKE_WHISPER"}
SECRETS = re.compile(r"PASSWORD|SECRET|KEY$")


def problems(schema: str, document: Any) -> list[str]:
    """What a schema beside the tests has against a document."""
    read = json.loads((ROOT / "tests" / schema).read_text("utf-8"))
    Draft202012Validator.check_schema(read)
    found = Draft202012Validator(read).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return railway_project(tmp_path_factory.mktemp("railway"))


# --- Railway ---


@pytest.mark.parametrize("name", RAILWAY_FILES)
def test_a_service_of_railway_fits_the_documented_fields(name: str) -> None:
    assert problems("railway.schema.json", railway(name)) == []


def test_what_railway_refuses_is_refused_here() -> None:
    fine = railway("railway.toml")
    for field, value in (
        ("drainingSeconds", "30"),  # Railway's own example has a string, which its parser refuses
        ("drainingSeconds", 0),
        ("restartPolicyType", "SOMETIMES"),
        ("preDeployCommand", "scenebook migrate"),
        ("drainSeconds", 30),
    ):
        assert problems("railway.schema.json", fine | {"deploy": fine["deploy"] | {field: value}})


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_its_line_of_the_procfile_drains_and_migrates_first(name: str) -> None:
    read = railway(f"infra/railway/{name}.toml")
    deploy = read["deploy"]
    assert deploy["startCommand"] == f"/bin/sh -c '{procfile()[name]}'"
    assert ["exec " + command for command in deploy["preDeployCommand"]] == [procfile()["release"]]
    assert deploy["restartPolicyType"] == "ALWAYS"
    dockerfile_of = {"web": "api", "worker": "worker", "relay": "api"}[name]
    assert read["build"]["dockerfilePath"] == f"infra/{dockerfile_of}.Dockerfile"


def test_the_root_file_is_that_of_the_api_which_is_ready_first_and_has_time_to_drain() -> None:
    web = railway("infra/railway/web.toml")
    assert railway("railway.toml") == web
    assert web["deploy"]["healthcheckPath"] == "/readyz"
    assert web["deploy"]["drainingSeconds"] > DRAIN_S
    assert (
        Settings.model_fields["clip_load_timeout_s"].default < web["deploy"]["healthcheckTimeout"]
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_change_of_what_an_image_holds_deploys_it(name: str) -> None:
    build = railway(f"infra/railway/{name}.toml")["build"]
    patterns = build["watchPatterns"]
    for pattern in patterns:
        assert list(ROOT.glob(pattern.removeprefix("/").replace("/**", "/*"))), pattern
    runs = dockerfile(Path(build["dockerfilePath"]).name)[-1]
    idle = {"web": {"worker"}, "relay": {"api"}, "worker": set[str]()}[name]
    for folder in ({"api", "scenebook", "worker", "migrations"} & copied(runs)) - idle:
        assert f"/{folder}/**" in patterns


def test_both_forms_for_railway_say_the_same(project: dict[str, dict[str, Any]]) -> None:
    for name in SERVICES:
        read = railway(f"infra/railway/{name}.toml")
        described = project[name]
        assert described["deploy"] == read["deploy"]
        assert sorted(described["build"].pop("watchPatterns")) == sorted(
            read["build"].pop("watchPatterns")
        )
        assert described["build"] == read["build"]


def test_variables_on_railway_are_settings_and_refer_to_what_is_there(
    project: dict[str, dict[str, Any]],
) -> None:
    for name in SERVICES:
        variables = project[name]["variables"]
        unknown = variables.keys() - SETTINGS - BUILD
        assert [one for one in unknown if not STORAGE.fullmatch(one)] == []
        assert {"DATABASE_URL", "REDIS_URL", "STORAGE_URL"} <= variables.keys()
        for variable, value in variables.items():
            referred = re.findall(r"\$\{\{(\w+)\.\w+\}\}", value or "")
            assert set(referred) <= project.keys()
            if SECRETS.search(variable):
                assert value is None or referred, f"{variable} is written down"


def test_the_guide_has_a_row_for_every_variable_of_each_service(
    project: dict[str, dict[str, Any]],
) -> None:
    page = (ROOT / "docs" / "deploy-railway.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    documented = {name: set[str]() for name in SERVICES}
    for variables, _, *dots in (row for row in rows if len(row) == 5):
        for name, dot in zip(SERVICES, dots, strict=True):
            documented[name] |= set(re.findall(r"`([A-Z_]+)`", variables)) if dot == "●" else set()
    for name in SERVICES:
        assert project[name]["variables"].keys() <= documented[name]
        unknown = documented[name] - SETTINGS - BUILD
        assert [one for one in unknown if not STORAGE.fullmatch(one)] == []


# --- Dockerfiles ---


def copied(stage: Any) -> set[str]:
    """What a stage copies from the repository."""
    taken = [value.split() for value in stage.all("COPY") if not value.startswith("--from=")]
    return {source for *sources, _ in taken for source in sources}


def let_in() -> list[str]:
    """What .dockerignore lets into a build."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return [rule.removeprefix("!") for rule in rules if rule.startswith("!")]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_everything_that_an_image_copies_is_there_and_is_let_in(name: str) -> None:
    stages = dockerfile(name)
    made = set[str]()
    for stage in stages:
        for source in copied(stage):
            assert (ROOT / source).exists(), source
            assert any(
                source == rule or source.startswith(f"{rule}/") or fnmatch.fnmatch(source, rule)
                for rule in let_in()
            ), f"{source} is kept out by .dockerignore"
        for value in stage.all("COPY"):
            if other := re.match(r"--from=(\S+)", value):
                assert other[1] in made, f"{other[1]} is built later, or never"
        made.add(stage.name)


def test_no_secret_and_no_data_is_let_into_a_build() -> None:
    for secret in (".env", ".git", ".scenebook", ".venv", "tests", "infra/.env"):
        assert not any(fnmatch.fnmatch(secret, rule) for rule in let_in())


@pytest.mark.parametrize(("name", "process"), [("api", "web"), ("worker", "worker")])
def test_an_image_runs_its_process_itself_and_not_as_root(name: str, process: str) -> None:
    runs = dockerfile(f"{name}.Dockerfile")[-1]
    assert json.loads(runs.all("CMD")[0]) == words_of(process)
    assert runs.all("ENTRYPOINT") == []
    assert runs.instructions[-2:][0] in (("USER", "scenebook"), ("EXPOSE", "8000"))
    assert runs.all("USER") == ["scenebook"]


def test_modules_and_commands_that_are_started_exist() -> None:
    for process in procfile():
        words = words_of(process)
        if words[0] == "python":
            assert importlib.util.find_spec(words[2]) is not None
    declared = re.search(
        r'^scenebook = "scenebook\.cli:main"$', (ROOT / "pyproject.toml").read_text(), re.M
    )
    assert words_of("release")[0] == "scenebook"
    assert declared


def test_the_images_agree_on_the_models_that_are_baked() -> None:
    """What one exports the other must be able to ask."""
    _, models, runs = dockerfile("api.Dockerfile")
    (works,) = dockerfile("worker.Dockerfile")
    baked = [
        [one for one in stage.all("RUN") if "models export" in one] for stage in (models, works)
    ]
    assert baked[0] == baked[1] != []
    assert set(models.all("ARG")) <= set(works.all("ARG"))
    for stage in (models, runs, works):
        assert any("ENCODER_EXPORTS_DIR=/app/exports" in value for value in stage.all("ENV"))


def test_the_default_model_is_found_where_its_weights_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "PACKAGED_FAST", "no_such_package")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    description = {
        "format": exports.FORMAT, "kind": "text", "model": "all-MiniLM-L6-v2", "weights": "model@1",
        "revision": "sentences-254", "dimensions": 384, "precision": "int8", "accepted": True,
        "made_at": "2026-01-01",
    }  # fmt: skip
    (tmp_path / "exports" / "text").mkdir(parents=True)
    (tmp_path / "exports" / "text" / "export.json").write_text(json.dumps(description))
    found = text.find_text_export(tmp_path / "exports", "fast")
    assert found is not None
    assert found.model == "all-MiniLM-L6-v2"
    assert text.find_text_export(tmp_path / "exports", "balanced") is None


# --- compose ---


def services(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from compose(name)["services"].items()


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_a_compose_file_fits_the_specification(name: str) -> None:
    assert problems("compose.schema.json", compose(name)) == []


def test_what_compose_refuses_is_refused_here() -> None:
    fine = compose("compose.yaml")
    api = fine["services"]["api"]
    for change in ({"depend_on": {}}, {"stop_grace_period": 30}, {"ports": ["8000:8000"]}):
        assert problems("compose.schema.json", fine | {"services": {"api": api | change}})


@pytest.mark.parametrize(("service", "process"), OURS.items())
def test_a_container_runs_its_line_of_the_procfile_with_as_much_time_to_end(
    service: str, process: str
) -> None:
    described = compose("compose.yaml")["services"][service]
    assert described["command"] == words_of(process)
    image = "worker" if service == "worker" else "api"
    assert (described["image"], described["build"]["dockerfile"]) == (
        f"scenebook-{image}",
        f"infra/{image}.Dockerfile",
    )
    assert (INFRA / described["build"]["context"]).resolve() == ROOT
    if process in SERVICES:
        drain_s = railway(f"infra/railway/{process}.toml")["deploy"]["drainingSeconds"]
        assert described["stop_grace_period"] == f"{drain_s}s"
        assert described["depends_on"]["release"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_every_variable_of_ours_is_a_setting_and_every_argument_is_asked_for(name: str) -> None:
    for service, described in services(name):
        if described["image"].startswith("scenebook-"):
            unknown = described["environment"].keys() - SETTINGS
            assert [one for one in unknown if not STORAGE.fullmatch(one)] == [], service
        if "build" in described:
            asked = {
                value.partition("=")[0]
                for stage in dockerfile(Path(described["build"]["dockerfile"]).name)
                for value in stage.all("ARG")
            }
            assert described["build"]["args"].keys() == asked, service


def test_no_secret_has_a_default_and_the_trial_names_each() -> None:
    written = (INFRA / "compose.yaml").read_text("utf-8")
    required = set(re.findall(r"\$\{(\w+):\?\}", written))
    lines = (INFRA / "compose.test.env").read_text("utf-8").splitlines()
    trial = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert required <= trial.keys()
    assert trial.keys() <= set(re.findall(r"\$\{(\w+)", written))
    for _, described in services("compose.yaml"):
        for variable, value in described.get("environment", {}).items():
            if SECRETS.search(variable):
                assert re.fullmatch(r"\$\{\w+:(\?|-)\}", value), f"{variable} has a default"


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_whoever_is_waited_for_says_when_that_is_over(name: str) -> None:
    known = dict(services("compose.yaml")) | dict(services(name))
    for service, described in services(name):
        for other, wanted in described.get("depends_on", {}).items():
            assert other in known, f"{service} waits for {other}"
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in known[other], other
            if wanted["condition"] == "service_completed_successfully":
                assert known[other]["restart"] == "no"


def test_volumes_are_declared_and_mounted_files_exist() -> None:
    read = compose("compose.yaml")
    mounted = [
        volume.split(":")[:2]
        for _, one in services("compose.yaml")
        for volume in one.get("volumes", [])
    ]
    for source, _ in mounted:
        assert (INFRA / source).exists() if source.startswith(".") else source in read["volumes"]
    assert {source for source, _ in mounted if not source.startswith(".")} == read["volumes"].keys()


def test_addresses_name_services_of_the_file() -> None:
    read = compose("compose.yaml")["services"]
    for described in read.values():
        for value in described.get("environment", {}).values():
            for host in re.findall(r"://(?:[^@/]*@)?(\w+):\d+", value):
                assert host in read, value


def test_prometheus_scrapes_what_runs_where_it_listens() -> None:
    read = compose("compose.yaml")["services"]
    scraped = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text("utf-8"))
    targets = {
        target
        for job in scraped["scrape_configs"]
        for target in (
            [one for group in job.get("static_configs", []) for one in group["targets"]]
            + [
                f"{name}:{dns['port']}"
                for dns in job.get("dns_sd_configs", [])
                for name in dns["names"]
            ]
        )
    }
    expected = {f"api:{read['api']['environment']['PORT']}"}
    for name in ("worker", "relay"):
        expected.add(f"{name}:{read[name]['environment']['METRICS_PORT']}")
    assert targets == expected
