"""The runtime of a process, detected from the platforms' variables."""

from __future__ import annotations

import pytest

from tracker.platforms import PLATFORMS, detect, user_directory

VERCEL = {"VERCEL": "1", "VERCEL_ENV": "production", "VERCEL_REGION": "icn1"}


@pytest.mark.parametrize(
    ("env", "platform"),
    [
        ({}, "local"),
        (VERCEL, "vercel"),
        ({"VERCEL_IPC_PATH": "/tmp/ipc.sock"}, "vercel"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "summarise"}, "aws_lambda"),
        ({"K_SERVICE": "summarise"}, "cloud_run"),
        ({"K_REVISION": "summarise-00001"}, "cloud_run"),
        ({"CLOUD_RUN_JOB": "nightly"}, "cloud_run"),
        ({"FUNCTIONS_WORKER_RUNTIME": "python"}, "azure_functions"),
        ({"NETLIFY": "true"}, "netlify"),
        ({"RENDER": "true"}, "render"),
        ({"RAILWAY_ENVIRONMENT": "production"}, "railway"),
        ({"DYNO": "web.1"}, "heroku"),
        ({"FLY_APP_NAME": "summaries"}, "fly"),
    ],
)
def test_each_platform_is_known_by_its_own_variable(env, platform):
    assert detect(env).platform == platform


@pytest.mark.parametrize(
    "env",
    [
        {"VERCEL": "1", "VERCEL_ENV": "development", "VERCEL_REGION": "dev1"},  # vercel dev
        {"VERCEL": "1", "VERCEL_ENV": "development", "VERCEL_REGION": ""},  # vercel env pull
        {"VERCEL": "1", "VERCEL_ENV": "production"},  # vercel env pull --environment=production
        {"VERCEL": "1", "VERCEL_ENV": "production", "VERCEL_REGION": "dev1"},
        {"VERCEL": "1", "VERCEL_ENV": "development", "VERCEL_REGION": "icn1"},
        {"VERCEL": "1", "VERCEL_ENV": "preview", "VERCEL_REGION": "  "},
        {"VERCEL": "", "VERCEL_REGION": "icn1"},
    ],
)
def test_vercels_variables_on_a_laptop_are_not_vercel(env):
    runtime = detect(env)
    assert runtime.platform == "local"
    assert not runtime.deployed


def test_vercel_is_recognised_although_its_functions_carry_lambdas_variables():
    assert detect({**VERCEL, "AWS_LAMBDA_FUNCTION_NAME": "x", "AWS_REGION": "ap-northeast-2"}).platform == "vercel"


def test_netlify_is_recognised_although_its_functions_run_on_lambda():
    assert detect({"NETLIFY": "true", "AWS_LAMBDA_FUNCTION_NAME": "x"}).platform == "netlify"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_override_wins_over_every_sign(platform):
    assert detect(VERCEL, platform).platform == platform


def test_a_variable_set_to_white_space_is_no_sign():
    assert detect({"NETLIFY": " ", "DYNO": ""}).platform == "local"


@pytest.mark.parametrize(
    ("platform", "serverless"),
    [(name, name in {"vercel", "aws_lambda", "cloud_run", "azure_functions", "netlify"}) for name in PLATFORMS],
)
def test_only_platforms_that_freeze_after_the_response_are_serverless(platform, serverless):
    assert detect({}, platform).serverless is serverless


@pytest.mark.parametrize("platform", PLATFORMS)
def test_everything_but_local_is_deployed(platform):
    assert detect({}, platform).deployed is (platform != "local")


def test_on_vercel_the_environment_is_vercels_not_nodes():
    assert detect({**VERCEL, "VERCEL_ENV": "preview", "NODE_ENV": "production"}).environment == "preview"


def test_a_pulled_vercel_env_is_ignored_outside_of_vercel():
    assert detect({"VERCEL_ENV": "production", "NODE_ENV": "test"}).environment == "test"


def test_without_any_word_local_is_development():
    assert detect({}).environment == "development"


def test_without_any_word_a_deployed_place_is_production():
    assert detect({"DYNO": "web.1"}).environment == "production"


@pytest.mark.parametrize(
    ("env", "region", "deployment"),
    [
        ({**VERCEL, "VERCEL_GIT_COMMIT_SHA": "0123456789abcdef" * 2 + "01234567"}, "icn1", "0123456"),
        (
            {**VERCEL, "VERCEL_DEPLOYMENT_ID": "dpl_89qyp1cskzkLrVicDaZoDbjyHuDJ"},
            "icn1",
            "dpl_89qyp1cskzkLrVicDaZoDbjyHuDJ",
        ),
        (VERCEL, "icn1", None),
        (
            {"AWS_LAMBDA_FUNCTION_NAME": "x", "AWS_REGION": "eu-west-1", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST"},
            "eu-west-1",
            "$LATEST",
        ),
        ({"K_SERVICE": "x", "K_REVISION": "x-00042-abc"}, None, "x-00042-abc"),
        ({"FLY_APP_NAME": "x", "FLY_REGION": "nrt", "FLY_MACHINE_VERSION": "v7"}, "nrt", "v7"),
        ({"DYNO": "web.1", "HEROKU_RELEASE_VERSION": "v12"}, None, "v12"),
        ({"RENDER": "true", "RENDER_GIT_COMMIT": "f" * 40}, None, "fffffff"),
        ({"AWS_REGION": "eu-west-1"}, None, None),
    ],
)
def test_region_and_deployment_are_those_of_the_platform(env, region, deployment):
    runtime = detect(env)
    assert (runtime.region, runtime.deployment) == (region, deployment)


@pytest.mark.parametrize("name", ["NODE_ENV", "APP_ENV", "ENVIRONMENT"])
def test_bytes_that_are_no_utf_8_in_a_variable_become_text_that_postgres_takes(name):
    """os.environ hands such bytes on as lone surrogates, and every record would carry them."""
    detect({name: "caf\udce9"}).environment.encode("utf-8")


@pytest.mark.parametrize(("kind", "variable"), [("data", "XDG_DATA_HOME"), ("state", "XDG_STATE_HOME")])
def test_files_are_in_the_xdg_directories(kind, variable, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert str(user_directory(kind, {variable: "/srv/xdg"})) == "/srv/xdg/token-tracker"


def test_a_relative_xdg_directory_is_ignored(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert user_directory("data", {"XDG_DATA_HOME": "here"}).parts[-3:] == (".local", "share", "token-tracker")
